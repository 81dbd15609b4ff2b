//! What `docker compose` does with a project that is up.

use crate::compose::project;
use docker_compat_tests::{Project, eventually};

fn two() -> Project {
    let p = project("services:\n  a: {<<: *idle, stop_grace_period: 1s}\n  b: {<<: *idle, stop_grace_period: 1s}\n");
    p.up(&[]);
    p
}

/// States of all services, sorted.
fn states(p: &Project) -> Vec<String> {
    let shown = p.compose(&["ps", "-a", "--format", "{{.Service}} {{.State}}"]);
    let mut lines: Vec<_> = shown.lines().into_iter().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn lists() {
    let p = two();
    assert_eq!(states(&p), ["a running", "b running"]);
    let shown = p.compose(&["ps", "--format", "json", "a"]).json();
    assert_eq!((&shown["Service"], &shown["Project"]), (&"a".into(), &p.name.as_str().into()));
    let all = p.daemon.docker(&["compose", "ls", "--format", "json", "--filter", &format!("name={}", p.name)]).json();
    assert_eq!((&all[0]["Name"], &all[0]["Status"]), (&p.name.as_str().into(), &"running(2)".into()));
    assert!(all[0]["ConfigFiles"].as_str().unwrap().ends_with("compose.yaml"));
    let images = p.compose(&["images", "--format", "json"]).json();
    assert_eq!(images.as_array().map(Vec::len), Some(2), "{images}");
    assert!(p.compose(&["config", "--services"]).ok().contains('a'));
    let top = p.compose(&["top", "a"]);
    assert!(top.ok().contains("sleep 1000"), "{}", top.stdout);
    let stats = p.compose(&["stats", "--no-stream", "--format", "{{.Name}}"]);
    assert!(stats.ok().contains(&format!("{}-a-1", p.name)), "{}", stats.stdout);
}

#[test]
fn starts_stops_and_signals() {
    let p = two();
    let id = p.id("a");
    p.compose(&["stop", "a"]).ok();
    assert_eq!(states(&p), ["a exited", "b running"]);
    p.compose(&["start", "a"]).ok();
    p.compose(&["restart", "-t", "0"]).ok();
    assert_eq!((states(&p), p.id("a")), (vec!["a running".into(), "b running".into()], id));
    p.compose(&["pause", "b"]).ok();
    assert_eq!(states(&p), ["a running", "b paused"]);
    p.compose(&["unpause", "b"]).ok();
    p.compose(&["kill", "-s", "TERM", "b"]).ok();
    eventually("b has ended", || (states(&p) == ["a running", "b exited"]).then_some(()));
    p.compose(&["rm", "-f", "b"]).ok();
    assert_eq!(states(&p), ["a running"]);
}

#[test]
fn wait_gives_the_exit_code() {
    let p = project("services:\n  job: {<<: *idle, command: [\"sh\", \"-c\", \"trap 'exit 5' TERM; sleep 1000 & wait\"]}\n");
    p.up(&[]);
    let waiting = p.spawn(&["wait", "job"]);
    // Stopped once somebody waits: an end before that would be an error.
    eventually("somebody waits", || waiters(&p).then_some(()));
    p.compose(&["kill", "-s", "TERM", "job"]).ok();
    let out = waiting.wait();
    assert_eq!(out.code, 5, "{out:?}");
}

/// Whether the process of the job has set its trap.
fn waiters(p: &Project) -> bool {
    p.sh("job", "grep SigCgt /proc/1/status | grep -c '4000\\|4002\\|0000000000004'").starts_with('1')
}

#[test]
fn logs_of_all_services_and_as_they_come() {
    let p = project(
        r#"
services:
  a: {<<: *idle, command: ["sh", "-c", "echo from a; echo to stderr >&2; trap 'exit 0' TERM; sleep 1000 & wait"]}
  b: {<<: *idle, command: ["sh", "-c", "echo from b; trap 'echo ended; exit 0' TERM; sleep 1000 & wait"]}
"#,
    );
    p.up(&[]);
    let follow = p.spawn(&["logs", "-f", "--no-color"]);
    for text in ["a-1  | from a", "a-1  | to stderr", "b-1  | from b"] {
        follow.wait_for(text);
    }
    p.compose(&["stop"]).ok();
    follow.wait_for("b-1  | ended");
    let out = follow.wait();
    assert_eq!(out.code, 0, "it ends with the last container: {out:?}");
    let one = p.compose(&["logs", "--no-log-prefix", "--tail", "1", "b"]);
    assert_eq!(one.ok(), "ended");
}

#[test]
fn exec_run_and_cp() {
    let p = project(
        r#"
services:
  a: {<<: *idle, environment: {WORD: hello}, depends_on: [b]}
  b: {<<: *idle}
"#,
    );
    p.up(&["b"]);
    let out = p.compose(&["run", "--rm", "-T", "-e", "MORE=x", "a", "sh", "-c", "echo $WORD $MORE; exit 3"]);
    out.fails(3);
    assert_eq!(out.stdout.trim(), "hello x");
    assert!(p.ids("a").is_empty() && p.all_containers().len() == 1);
    let name = format!("{}-once", p.name);
    p.compose(&["run", "-d", "--name", &name, "a"]).ok();
    p.daemon.docker(&["rm", "-f", &name]).ok();
    p.up(&[]);
    assert_eq!(p.sh("a", "echo $WORD"), "hello");
    p.compose(&["exec", "-T", "a", "sh", "-c", "exit 9"]).fails(9);
    p.compose(&["exec", "-d", "a", "touch", "/made"]).ok();
    eventually("the detached exec has run", || (p.sh("a", "ls /made 2>/dev/null; true") == "/made").then_some(()));
    let file = p.write("file", "content");
    p.compose(&["cp", file.to_str().unwrap(), "a:/there"]).ok();
    assert_eq!(p.sh("a", "cat /there"), "content");
    let back = p.path().join("back");
    p.compose(&["cp", "a:/there", back.to_str().unwrap()]).ok();
    assert_eq!(std::fs::read_to_string(back).unwrap(), "content");
    assert_eq!(
        p.compose(&["exec", "-T", "--user", "1000", "--workdir", "/tmp", "b", "sh", "-c", "id -u; pwd"]).ok(),
        "1000\n/tmp"
    );
}

#[test]
fn events_of_the_project() {
    let p = project("services:\n  a: {<<: *idle}\n");
    let events = p.spawn(&["events", "--json"]);
    let mut n = 0;
    // It gives no sign that it listens; so something is done until it is seen.
    eventually("events are seen", || {
        n += 1;
        p.up(&["--force-recreate"]);
        let text = events.stdout();
        ["create", "start"].iter().all(|action| text.contains(&format!("\"action\":\"{action}\""))).then_some(())
    });
    assert!(events.stdout().contains("\"service\":\"a\""), "{}", events.stdout());
}

#[test]
fn one_service_without_those_it_depends_on() {
    let p = project("services:\n  a: {<<: *idle, depends_on: [b]}\n  b: {<<: *idle}\n");
    p.up(&["--no-deps", "a"]);
    assert_eq!(states(&p), ["a running"]);
    p.compose(&["create", "b"]).ok();
    assert_eq!(states(&p), ["a running", "b created"]);
    let (a, b) = (p.id("a"), p.compose(&["ps", "-aq", "b"]).ok().to_owned());
    p.up(&[]);
    assert_eq!((p.id("a"), p.id("b")), (a.clone(), b.clone()));
    p.up(&["--force-recreate", "--no-deps", "a"]);
    assert!(p.id("a") != a && p.id("b") == b, "b is none of its affair");
    p.up(&["--scale", "a=2", "--no-recreate"]);
    assert_eq!(p.ids("a").len(), 2);
    let second = p.compose(&["exec", "-T", "--index", "2", "a", "hostname"]).ok().to_owned();
    assert!(p.ids("a").iter().any(|id| id.starts_with(&second)), "{second}");
}

#[test]
fn down_removes_the_images_that_have_the_projects_name() {
    let p = project("services:\n  built: {build: ., command: [sleep, '1000'], init: true}\n  taken: {<<: *idle}\n");
    let image = format!("{}-built", p.name);
    let other = format!("{}-other", p.name);
    let label = |key: &str, value: &str| format!("LABEL com.docker.compose.{key}={value}");
    let maker = p.daemon.docker(&["create", "busybox"]).ok().to_owned();
    // What a build would have made.
    let (project_label, service) = (label("project", &p.name), label("service", "built"));
    p.daemon.docker(&["commit", "-c", &project_label, "-c", &service, &maker, &image]).ok();
    p.daemon.docker(&["rm", &maker]).ok();
    p.daemon.docker(&["tag", "busybox", &other]).ok();
    p.up(&["--no-build"]);
    assert_eq!(p.inspect("built")["Config"]["Image"], image);
    let there = |name: &str| p.daemon.http("GET", &format!("/images/{name}/json"), None).status == 200;
    assert!(there(&image));
    p.compose(&["down", "--rmi", "local", "-v", "-t", "0"]).ok();
    assert_eq!((there(&image), there(&other), there("busybox")), (false, true, true));
    assert!(p.leftovers().is_empty());
    // All that it uses, by their names.
    p.write("compose.yaml", &format!("services:\n  a: {{image: {other}, command: [sleep, '1000'], init: true}}\n"));
    p.up(&[]);
    p.compose(&["down", "--rmi", "all", "-t", "0"]).ok();
    assert_eq!((there(&other), there("busybox")), (false, true));
}

#[test]
fn a_failure_ends_the_project_and_a_hook_comes_before_the_stop() {
    let p = project(
        r#"
services:
  works:
    <<: *idle
    volumes: ["kept:/v"]
    pre_stop: [{command: ["sh", "-c", "echo hooked >/v/word"]}]
  done: {<<: *idle, command: ["true"]}
  fails: {<<: *idle, command: ["sh", "-c", "sleep 1; exit 6"]}
volumes: {kept: }
"#,
    );
    let out = p.compose(&["up", "--abort-on-container-failure", "-t", "1"]);
    assert_eq!(out.code, 6, "{out:?}");
    assert_eq!(states(&p), ["done exited", "fails exited", "works exited"]);
    p.compose(&["rm", "-f"]).ok();
    p.up(&["works"]);
    p.compose(&["stop", "-t", "1"]).ok();
    let said = p.compose(&["run", "--rm", "-T", "--no-deps", "works", "cat", "/v/word"]);
    assert_eq!(said.ok().trim(), "hooked");
}

#[test]
fn attached_to_one_service() {
    let p = project(
        r#"
services:
  a: {<<: *idle, command: ["sh", "-c", "trap 'exit 8' TERM; while :; do echo tick; sleep 0.2; done"]}
"#,
    );
    p.up(&[]);
    let attached = p.spawn(&["attach", "--no-stdin", "a"]);
    attached.wait_for("tick");
    p.compose(&["kill", "-s", "TERM", "a"]).ok();
    assert_eq!(attached.wait().code, 8);
}
