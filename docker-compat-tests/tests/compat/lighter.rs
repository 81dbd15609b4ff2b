//! The `lighter` command against a real daemon and real containers. Ours only.

use docker_compat_tests::lighter::{command, run, spawn};
use docker_compat_tests::{Scope, cli, daemon};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;

fn ours() -> Option<Scope> {
    let t = Scope::new();
    t.daemon.is_lighter("it has no lighter command").then_some(t)
}

fn values(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn events_tell_who_did_what() {
    let Some(t) = ours() else { return };
    let name = t.name("told");
    let id = t.docker(&["create", "--name", &name, "busybox", "true"]).ok().to_owned();
    t.docker(&["start", &name]).ok();
    t.docker(&["pause", &name]).fails(1);
    let out = run(t.daemon, &["events", "--container", &name]);
    let lines = out.lines();
    assert!(lines[0].starts_with("TIME ") && lines[0].ends_with("ERROR"), "{}", lines[0]);
    let kinds =
        ["ContainerCreate", "ContainerStart", "ContainerPause"].map(|k| lines.iter().position(|l| l.contains(k)).unwrap());
    assert!(kinds.is_sorted(), "{lines:#?}");
    let refused = lines[kinds[2]];
    assert!(refused.contains("refused 409") && refused.contains(&id[..12]) && refused.contains("is not running"), "{refused}");
    assert!(refused.contains("Docker-Client/") && refused.contains("(uid 0, pid "), "{refused}");
    let json = values(run(t.daemon, &["events", "--json", "--container", &name, "--kind", "ContainerCreate"]).ok());
    assert_eq!((json.len(), json[0]["containerId"].as_str()), (1, Some(id.as_str())));
    assert_eq!(run(t.daemon, &["events", "--container", &name, "--until", "1h"]).lines().len(), 1);
    assert!(run(t.daemon, &["events", "--since", "nonsense"]).fails(1).contains("nonsense"));
    assert!(run(t.daemon, &["events", "--status", "odd"]).fails(2).contains("possible values"));
}

#[test]
fn events_are_followed() {
    let Some(t) = ours() else { return };
    let follower = spawn(t.daemon, &["events", "-f", "-n", "0", "--kind", "ContainerCreate", "--json"]);
    // It is there when its own request is recorded.
    docker_compat_tests::eventually("the follower is recorded", || {
        let out = run(t.daemon, &["events", "--json", "--kind", "LighterEvents", "--since", "1m"]);
        out.ok().contains(&format!("\"peerPid\":{}", follower.pid())).then_some(())
    });
    let id = t.docker(&["create", "busybox", "true"]).ok().to_owned();
    follower.wait_for(&id);
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let Some(t) = ours() else { return };
    let mut shell = std::process::Command::new("/bin/sh");
    let lighter = docker_compat_tests::lighter::program();
    shell.args(["-c", "set -e; \"$0\" events -n 1000 | head -n 1; \"$0\" completions bash | head -c 1"]).arg(lighter);
    shell.env("LIGHTER_HOST", t.daemon.host());
    let out = cli::run_client(t.daemon, shell);
    out.ok();
    assert_eq!(out.stderr, "");
}

#[test]
fn a_container_is_explained() {
    let Some(t) = ours() else { return };
    let name = t.name("explained");
    let flags = ["create", "--name", &name, "-m", "64m", "--mac-address", "02:42:ac:11:00:99", "-e", "SECRET=hunter2-canary"];
    t.docker(&[&flags[..], &["--cap-add", "NET_ADMIN", "busybox", "sh", "-c", "exit 3"]].concat()).ok();
    t.docker(&["pause", &name]).fails(1);
    let out = run(t.daemon, &["explain", &name]);
    let text = out.ok();
    assert!(!text.contains("hunter2-canary"), "{text}");
    let mut parts = text.split("\n\n");
    assert!(parts.next().unwrap().starts_with(&format!("{name} (")));
    let honoured = parts.next().unwrap();
    for wanted in ["-m 67108864  (HostConfig.Memory)", "--cap-add", "Config.Cmd sh -c exit 3", "SECRET"] {
        assert!(honoured.starts_with("honoured:") && honoured.contains(wanted), "{wanted}: {honoured}");
    }
    assert!(text.contains("\nrefused:\n  ContainerPause 409: "), "{text}");
    t.docker(&["rm", &name]).ok();
    assert!(run(t.daemon, &["explain", &name]).ok().contains("is gone"));
    assert!(run(t.daemon, &["explain", "never-was"]).fails(1).contains("No such container: never-was"));
}

#[test]
fn logs_are_searched_also_those_of_the_gone() {
    let Some(t) = ours() else { return };
    let name = t.name("printer");
    let script = "echo INFO ready; echo 'ERROR connection refused by db' >&2; echo token canary-word-1";
    t.docker(&["run", "--name", &name, "-e", "MY_TOKEN=canary-word-1", "busybox", "sh", "-c", script]).ok();
    let search = |args: &[&str]| run(t.daemon, &[&["logs", "search", "--container", &name][..], args].concat());
    let out = search(&["--level", "error", "--", "refused", "-canary"]);
    let lines = out.lines();
    assert!(lines[0].starts_with("TIME ") && lines[0].ends_with("MESSAGE"), "{lines:#?}");
    assert!(
        lines.len() == 2 && lines[1].contains(&name) && lines[1].ends_with("error   ERROR connection refused by db"),
        "{lines:#?}"
    );
    assert_eq!(search(&["--level", "error", "--json"]).ok().lines().count(), 1);
    assert!(search(&["token"]).ok().ends_with("token ***"));
    t.docker(&["rm", &name]).ok();
    assert!(search(&["connection refused"]).ok().contains("refused by db"));
    assert!(run(t.daemon, &["logs", "search"]).fails(2).contains("<QUERY>"));
}

#[test]
fn what_a_container_used_is_shown() {
    let Some(t) = ours() else { return };
    let name = t.name("busy");
    t.docker(&["run", "-d", "--name", &name, "busybox", "sh", "-c", "while :; do :; done"]).ok();
    // The second sample comes with the next look, ten seconds later at most.
    let rows = docker_compat_tests::eventually("two samples are kept", || {
        let out = run(t.daemon, &["metrics", &name, "--csv"]);
        (out.code == 0 && out.stdout.lines().count() >= 3).then_some(out.stdout)
    });
    let last: Vec<&str> = rows.lines().last().unwrap().split(',').collect();
    assert!(last[1] == name && last[4].parse::<f64>().unwrap() > 5.0 && last[5].parse::<u64>().unwrap() > 0, "{rows}");
    let shown = run(t.daemon, &["metrics", &name]);
    assert!(shown.ok().starts_with(&format!("{name} (")) && shown.stdout.contains("% now, "), "{}", shown.stdout);
    let dir = daemon::scratch("chart");
    let file = dir.join("chart.svg");
    run(t.daemon, &["metrics", &name, "--svg", file.to_str().unwrap()]).ok();
    assert!(std::fs::read_to_string(&file).unwrap().contains("<polyline"));
    std::fs::remove_dir_all(dir).unwrap();
    assert!(run(t.daemon, &["metrics", "never-was"]).fails(1).contains("no container or stack of this name ran"));
}

#[test]
fn a_pipeline_runs_from_a_file() {
    let Some(t) = ours() else { return };
    let name = t.name("pipe");
    let dir = daemon::scratch("pipeline");
    let file = dir.join("pipeline.yaml");
    let text = format!(
        "name: {name}\nsteps:\n  - name: test\n    image: busybox\n    needs: [build]\n    commands:\n      - cat product\n      - test \"$MODE\" = dev\n      - 'false'\n      - echo never\n    \
         env: {{MODE: dev}}\n  - name: build\n    image: busybox\n    commands: ['echo made > product']\n"
    );
    std::fs::write(&file, text).unwrap();
    let out = run(t.daemon, &["pipeline", "run", file.to_str().unwrap()]);
    assert_eq!(out.code, 1, "{}{}", out.stdout, out.stderr);
    assert!(out.stdout.contains("test | made") && !out.stdout.contains("never"), "{}", out.stdout);
    assert!(out.stdout.contains("failed: the step \"test\" ended with exit code 1"), "{}", out.stdout);
    let again = run(t.daemon, &["pipeline", "rerun", &name, "--from", "test", "--json"]);
    let shown: Value = serde_json::from_str(again.stdout.trim()).unwrap();
    assert_eq!((again.code, &shown["steps"][0]["status"], &shown["steps"][1]["exitCode"]), (1, &"skipped".into(), &1.into()));
    assert!(run(t.daemon, &["pipeline", "list"]).ok().contains(&name));
    std::fs::write(&file, "name: x\nsteps: []\n").unwrap();
    assert!(run(t.daemon, &["pipeline", "run", file.to_str().unwrap()]).fails(1).contains("a pipeline needs a step"));
    let workspace = shown["workspace"].as_str().unwrap();
    assert_eq!(t.docker(&["volume", "ls", "-q", "--filter", &format!("name={workspace}")]).ok(), workspace);
    // The newest of this name, and then the one before it.
    run(t.daemon, &["pipelines", "rm", &name, &name]).ok();
    assert!(run(t.daemon, &["pipeline", "rm", &name]).fails(1).contains("No such pipeline"));
    assert_eq!(t.docker(&["volume", "ls", "-q", "--filter", &format!("name={workspace}")]).ok(), "");
    assert_eq!(t.docker(&["ps", "-aq", "--filter", &format!("name={name}-")]).ok(), "");
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_pipeline_pulls_an_image_that_is_missing() {
    let Some(t) = ours() else { return };
    let registry = docker_compat_tests::registry::Registry::start();
    let (image, name) = (registry.name("tools/busybox:1"), t.name("pulls"));
    t.docker(&["tag", "busybox", &image]).ok();
    t.docker(&["push", "-q", &image]).ok();
    t.docker(&["rmi", &image]).ok();
    let dir = daemon::scratch("pull-pipeline");
    let file = dir.join("pipeline.yaml");
    let text = |image: &str| format!("name: {name}\nsteps:\n- {{name: one, image: '{image}', commands: [echo pulled]}}\n");
    std::fs::write(&file, text(&image)).unwrap();
    let out = run(t.daemon, &["pipeline", "run", file.to_str().unwrap()]);
    assert!(out.ok().contains("one | pulled"), "{}", out.stdout);
    std::fs::write(&file, text(&registry.name("tools/none:1"))).unwrap();
    let out = run(t.daemon, &["pipeline", "run", file.to_str().unwrap()]);
    assert!(out.code == 1 && out.stdout.contains("the step \"one\": ") && out.stdout.contains("not found"), "{}", out.stdout);
    run(t.daemon, &["pipeline", "rm", &name, &name]).ok();
    t.docker(&["rmi", &image]).ok();
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn the_doctor_looks_at_this_machine() {
    let Some(t) = ours() else { return };
    let out = run(t.daemon, &["doctor"]);
    for subject in ["socket", "engine", "kernel", "control groups", "nftables", "overlay", "disk", "database"] {
        assert!(out.stdout.lines().any(|l| l[4..].starts_with(subject)), "{subject}: {}", out.stdout);
    }
    assert_eq!(out.code, 0, "{}", out.stdout);
    for finding in values(run(t.daemon, &["doctor", "--json"]).ok()) {
        let advised = finding["advice"].as_str().is_some_and(|advice| !advice.is_empty());
        assert_eq!(advised, finding["verdict"] != "good", "what is not good comes with what to do: {finding}");
    }
    // Without a daemon it says so, and what it can see itself.
    let mut alone = command(t.daemon, &["doctor", "-H", "unix:///nonexistent/docker.sock"]);
    alone.env("HOME", "/nonexistent");
    let out = cli::run_client(t.daemon, alone);
    assert_eq!(out.code, 1);
    assert!(out.stdout.contains("there is no socket at /nonexistent/docker.sock") && out.stdout.contains("is lighterd running?"));
}

#[test]
fn the_database_is_copied_and_checked() {
    let Some(t) = ours() else { return };
    let dir = daemon::scratch("backup");
    let file = dir.join("copy.db");
    let path = file.to_str().unwrap();
    t.docker(&["create", "--name", &t.name("copied"), "busybox", "true"]).ok();
    assert!(run(t.daemon, &["store", "backup", path]).ok().contains("readable by you alone"));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let bytes = std::fs::read(&file).unwrap();
    assert!(
        bytes.starts_with(b"SQLite format 3\0") && bytes.windows(12).any(|w| t.name("copied").as_bytes().starts_with(&w[..6]))
    );
    assert!(run(t.daemon, &["store", "backup", path]).fails(1).contains("File exists"));
    assert_eq!(run(t.daemon, &["store", "check"]).ok(), "the database is sound");
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn the_docker_context_is_made_and_removed() {
    let Some(t) = ours() else { return };
    let config = daemon::scratch("context");
    let docker = cli::program();
    let with = |mut c: std::process::Command| {
        c.env("DOCKER_CONFIG", &config).env("PATH", docker.parent().unwrap()).env_remove("DOCKER_HOST");
        // Unlike other clients of these tests, by its context.
        let out = c.output().unwrap();
        assert!(out.status.success(), "{c:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    };
    let lighter = |args: &[&str]| with(command(t.daemon, args));
    let docker_says = |args: &[&str]| {
        let mut c = std::process::Command::new(&docker);
        c.args(args);
        with(c)
    };
    assert!(lighter(&["context", "install", "--name", "ours"]).contains(&t.daemon.host()));
    assert!(docker_says(&["--context", "ours", "version", "--format", "{{.Server.Platform.Name}}"]).contains("Lighter"));
    assert_eq!(docker_says(&["context", "show"]).trim(), "default");
    assert!(lighter(&["doctor"]).contains("\"ours\" leads here; docker uses \"default\""));
    lighter(&["context", "install", "--name", "ours", "--use"]);
    assert_eq!(docker_says(&["context", "show"]).trim(), "ours");
    lighter(&["context", "remove", "--name", "ours"]);
    assert!(!docker_says(&["context", "ls"]).contains("ours"));
    std::fs::remove_dir_all(config).unwrap();
}

#[test]
fn completions_and_man_pages_know_every_command() {
    let Some(t) = ours() else { return };
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(t.daemon, &["completions", shell]);
        assert!(["events", "explain", "doctor"].iter().all(|w| script.ok().contains(w)), "{shell}");
    }
    let dir = daemon::scratch("man");
    run(t.daemon, &["man", dir.to_str().unwrap()]).ok();
    for page in ["lighter.1", "lighter-events.1", "lighter-store-backup.1"] {
        assert!(std::fs::read_to_string(dir.join(page)).unwrap().contains(".TH lighter"), "{page}");
    }
    std::fs::remove_dir_all(dir).unwrap();
}
