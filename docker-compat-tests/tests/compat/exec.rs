//! `docker exec`, all flags, and the exec API.

use docker_compat_tests::{Scope, eventually, http};
use serde_json::json;

#[test]
fn output_and_exit_codes() {
    let t = Scope::new();
    let id = t.sleeper(&[]);
    let out = t.docker(&["exec", &id, "sh", "-c", "echo out; echo err >&2; exit 33"]);
    out.fails(33);
    assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("out\n", "err\n"));
    t.docker(&["exec", &id, "true"]).ok();
    t.docker(&["exec", &id, "sh", "-c", "kill -9 $$"]).fails(137);
    t.docker(&["exec", &id, "sh", "-c", "kill -15 $$"]).fails(143);
}

#[test]
fn not_found_is_127_and_not_executable_126() {
    let t = Scope::new();
    let id = t.sleeper(&[]);
    let out = t.docker(&["exec", &id, "no-such-program"]);
    assert_eq!(out.code, 127, "{out:?}");
    let text = format!("{}{}", out.stdout, out.stderr);
    assert!(text.contains("exec: \"no-such-program\": executable file not found in $PATH"), "{text}");
    let out = t.docker(&["exec", &id, "/etc/passwd"]);
    assert_eq!(out.code, 126, "{out:?}");
    let text = format!("{}{}", out.stdout, out.stderr);
    assert!(text.contains("permission denied"), "{text}");
}

#[test]
fn environment_user_directory() {
    let t = Scope::new();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("env");
    std::fs::write(&file, "FILE=1\n").unwrap();
    let id = t.sleeper(&["-e", "OWN=kept", "-w", "/tmp", "-u", "nobody"]);
    let out = t.docker(&[
        "exec",
        "-e",
        "EXTRA=x",
        "--env-file",
        file.to_str().unwrap(),
        &id,
        "sh",
        "-c",
        "echo $OWN $EXTRA $FILE; pwd; id -u",
    ]);
    assert_eq!(out.ok(), "kept x 1\n/tmp\n65534");
    let out = t.docker(&["exec", "-u", "app", "-w", "/etc", &id, "sh", "-c", "id -u; id -g; pwd; echo $HOME"]);
    assert_eq!(out.ok(), "1000\n1000\n/etc\n/home/app");
    let out = t.docker(&["exec", "-u", "0:10", &id, "sh", "-c", "id -u; id -g"]);
    assert_eq!(out.ok(), "0\n10");
    let out = t.docker(&["exec", "-u", "ghost", &id, "true"]);
    assert!(
        out.code != 0
            && format!("{}{}", out.stdout, out.stderr).contains("unable to find user ghost: no matching entries in passwd file"),
        "{out:?}"
    );
    let out = t.docker(&["exec", "-w", "/no/such/dir", &id, "true"]);
    assert!(out.code != 0, "{out:?}");
}

#[test]
fn input_and_half_close() {
    let t = Scope::new();
    let id = t.sleeper(&[]);
    let out = t.docker_with_input(&["exec", "-i", &id, "sh", "-c", "cat; echo end"], b"one\ntwo\n");
    assert_eq!(out.ok(), "one\ntwo\nend");
    let out = t.docker_with_input(&["exec", &id, "sh", "-c", "cat; echo end"], b"ignored\n");
    assert_eq!(out.ok(), "end");
    let big: Vec<u8> = (0..2_000_000u32).map(|n| b'a' + (n % 26) as u8).collect();
    let out = t.docker_with_input(&["exec", "-i", &id, "cat"], &big);
    assert!(out.stdout.as_bytes() == big, "{} bytes came back", out.stdout.len());
}

#[test]
fn terminal() {
    let t = Scope::new();
    let id = t.sleeper(&[]);
    let mut run = t.spawn_on_tty(31, 97, &["exec", "-it", &id, "sh", "-c", "tty; read x; stty size; echo TERM=$TERM got=$x"]);
    run.wait_for("/dev/pts/");
    run.send(b"typed\n");
    let out = run.wait();
    assert!(out.ok().contains("31 97") && out.stdout.contains("TERM=xterm got=typed"), "{}", out.stdout);
    let out = t.docker(&["exec", "-it", &id, "true"]);
    assert!(out.fails(1).contains("the input device is not a TTY") || out.stderr.contains("not a terminal"), "{}", out.stderr);
    // Without a terminal on our side, -t alone works.
    let out = t.docker(&["exec", "-t", &id, "sh", "-c", "tty; echo err >&2"]);
    assert!(out.ok().contains("/dev/pts/") && out.stdout.contains("err\r"), "one stream: {out:?}");
}

#[test]
fn detached() {
    let t = Scope::new();
    let id = t.sleeper(&[]);
    assert_eq!(t.docker(&["exec", "-d", &id, "sh", "-c", "echo done >/tmp/done"]).ok(), "");
    eventually("the detached program has run", || {
        (t.docker(&["exec", &id, "cat", "/tmp/done"]).stdout == "done\n").then_some(())
    });
}

#[test]
fn security_of_an_exec() {
    let t = Scope::new();
    let id = t.sleeper(&["--cap-drop", "NET_RAW"]);
    let status = |flags: &[&str], key: &str| {
        let script = format!("awk '/^{key}:/{{print $2}}' /proc/self/status");
        let mut args = vec!["exec"];
        args.extend(flags);
        args.extend([id.as_str(), "sh", "-c", script.as_str()]);
        t.docker(&args).ok().to_owned()
    };
    assert_eq!(status(&[], "CapEff"), "00000000a80405fb");
    assert_eq!(status(&[], "CapBnd"), "00000000a80405fb");
    assert_eq!(status(&[], "Seccomp"), "2", "the filter holds for an exec too");
    assert_eq!(status(&["-u", "app"], "CapEff"), "0000000000000000");
    let host = std::fs::read_to_string("/proc/self/status").unwrap();
    let all = host.lines().find_map(|l| l.strip_prefix("CapBnd:\t")).unwrap();
    assert_eq!(status(&["--privileged"], "CapEff"), all);
    let cgroup = t.docker(&["exec", &id, "cat", "/proc/self/cgroup"]).ok().to_owned();
    let init = t.docker(&["exec", &id, "cat", "/proc/1/cgroup"]).ok().to_owned();
    assert_eq!(cgroup, init, "an exec counts against the container's limits");
}

#[test]
fn no_new_privileges_holds_for_an_exec() {
    let t = Scope::new();
    let id = t.sleeper(&["--security-opt", "no-new-privileges"]);
    assert_eq!(t.docker(&["exec", &id, "awk", "/^NoNewPrivs/{print $2}", "/proc/self/status"]).ok(), "1");
}

#[test]
fn stopped_container_is_409() {
    let t = Scope::new();
    let id = t.docker(&["create", "busybox"]).ok().to_owned();
    let out = t.docker(&["exec", &id, "true"]);
    assert!(out.fails(1).contains(&format!("container {id} is not running")), "{}", out.stderr);
    let message = t.daemon.http("POST", &format!("/containers/{id}/exec"), Some(r#"{"Cmd":["true"]}"#)).error(409);
    assert_eq!(message, format!("container {id} is not running"));
}

#[test]
fn inspect_before_during_and_after() {
    let t = Scope::new();
    let id = t.sleeper(&[]);
    let body = r#"{"Cmd":["sh","-c","read x; exit 5"],"AttachStdin":true,"AttachStdout":true,"AttachStderr":true,"Env":["A=1"],"User":"app"}"#;
    let created = t.daemon.http("POST", &format!("/containers/{id}/exec"), Some(body));
    assert_eq!(created.status, 201);
    let exec = created.json()["Id"].as_str().unwrap().to_owned();
    assert_eq!(exec.len(), 64);
    let show = || t.daemon.http("GET", &format!("/exec/{exec}/json"), None).json();
    let shown = show();
    assert_eq!(shown["ID"], exec.as_str());
    assert_eq!(shown["Running"], false);
    assert_eq!(shown["ExitCode"], serde_json::Value::Null);
    assert_eq!(shown["ContainerID"], id.as_str());
    assert_eq!(shown["OpenStdin"], true);
    assert_eq!(shown["Pid"], 0);
    assert_eq!(
        shown["ProcessConfig"],
        json!({"arguments": ["-c", "read x; exit 5"], "entrypoint": "sh", "privileged": false, "tty": false, "user": "app"})
    );
    let mut client = http::Client::connect(&t.daemon.socket).unwrap();
    let head = client.hijack(&format!("/exec/{exec}/start"), Some(r#"{"Detach":false,"Tty":false}"#)).unwrap();
    assert_eq!(head.status, 101);
    // dockerd says that it runs a moment before it knows the process.
    eventually("the exec runs", || (show()["Running"] == true && show()["Pid"].as_u64() > Some(1)).then_some(()));
    assert_eq!(t.inspect(&id)["ExecIDs"], json!([exec]));
    // A second start of a running one.
    let again = t.daemon.http("POST", &format!("/exec/{exec}/start"), Some(r#"{"Detach":true}"#));
    assert_eq!(again.status, 409, "{}", again.text());
    client.write(b"\n").unwrap();
    client.rest().unwrap();
    let shown = show();
    assert_eq!(shown["Running"], false, "already ended when the stream closes: {shown}");
    assert_eq!(shown["ExitCode"], 5);
    let again = t.daemon.http("POST", &format!("/exec/{exec}/start"), Some(r#"{"Detach":true}"#));
    assert_eq!(again.status, 409, "{}", again.text());
    assert!(t.daemon.http("POST", &format!("/exec/{exec}/resize?h=1&w=1"), None).status >= 400);
}

#[test]
fn bad_requests() {
    let t = Scope::new();
    let id = t.sleeper(&[]);
    let create = |body: &str| t.daemon.http("POST", &format!("/containers/{id}/exec"), Some(body));
    assert_eq!(create(r#"{"Cmd":[]}"#).error(400), "No exec command specified");
    assert_eq!(create("{}").error(400), "No exec command specified");
    assert!(create("{").error(400).starts_with("invalid JSON: "));
    assert!(create(r#"{"Cmd":5}"#).error(400).contains("json: cannot unmarshal number"));
    assert_eq!(t.daemon.http("GET", "/exec/no-such/json", None).error(404), "No such exec instance: no-such");
    assert_eq!(t.daemon.http("POST", "/exec/no-such/start", Some("{}")).error(404), "No such exec instance: no-such");
    assert_eq!(t.daemon.http("POST", "/exec/no-such/resize?h=1&w=1", None).error(404), "No such exec instance: no-such");
}

#[test]
fn execs_end_with_their_container() {
    let t = Scope::new();
    let id = t.sleeper(&[]);
    let mut exec = t.spawn(&["exec", &id, "sh", "-c", "echo up; sleep 1000"]);
    exec.wait_for("up");
    t.docker(&["kill", &id]).ok();
    exec.close_stdin();
    assert_eq!(exec.wait().code, 137);
}

#[test]
fn many_at_once() {
    let t = Scope::new();
    let id = t.sleeper(&[]);
    let runs: Vec<_> = (0..12).map(|n| t.spawn(&["exec", &id, "sh", "-c", &format!("echo {n}; exit {n}")])).collect();
    for (n, run) in runs.into_iter().enumerate() {
        let out = run.wait();
        assert_eq!((out.code, out.stdout.trim()), (n as i32, n.to_string().as_str()), "{out:?}");
    }
}

#[test]
fn a_long_output_is_whole() {
    let t = Scope::new();
    let id = t.sleeper(&[]);
    let out = t.docker(&["exec", &id, "seq", "1", "200000"]);
    assert_eq!(out.lines().len(), 200_000);
    assert_eq!(out.stdout.len(), (1..=200_000u32).map(|n| n.to_string().len() + 1).sum::<usize>());
}

#[test]
fn fields_of_an_instance_and_its_refusals() {
    let t = Scope::new();
    let id = t.sleeper(&[]);
    let create = |body: &str| t.daemon.http("POST", &format!("/containers/{id}/exec"), Some(body));
    let made =
        create(r#"{"Cmd":["sh","-c","exit 3"],"AttachStdout":true,"DetachKeys":"ctrl-a,b","User":"1000","Privileged":true}"#);
    let exec = made.json()["Id"].as_str().unwrap().to_owned();
    let inspect = || t.daemon.http("GET", &format!("/exec/{exec}/json"), None).json();
    let fresh = inspect();
    assert_eq!((&fresh["Running"], &fresh["ExitCode"], &fresh["Pid"]), (&false.into(), &serde_json::Value::Null, &0.into()));
    assert_eq!(fresh["DetachKeys"], "AWI=", "bytes, as Go writes them");
    assert_eq!(t.daemon.http("POST", &format!("/exec/{exec}/start"), Some(r#"{"Detach":true}"#)).status, 200);
    let ended = docker_compat_tests::eventually("it ends", || {
        let now = inspect();
        (now["ExitCode"] == 3).then_some(now)
    });
    assert_eq!((&ended["Running"], &ended["CanRemove"]), (&false.into(), &false.into()));
    let said = create(r#"{"Cmd":["true"],"DetachKeys":"bad-key"}"#).json()["message"].clone();
    assert_eq!(said, "Invalid escape keys (bad-key) provided");
    // What has no terminal has no size, and nobody minds.
    assert_eq!(t.daemon.http("POST", &format!("/containers/{id}/resize?h=10&w=20"), None).status, 200);
    t.docker(&["pause", &id]).ok();
    let twice = t.docker(&["pause", &id]).fails(1).to_owned();
    assert!(twice.contains(&format!("Container {id} is already paused")), "{twice}");
    assert!(create(r#"{"Cmd":["true"]}"#).error(409).ends_with(" is paused, unpause the container before exec"));
    t.docker(&["unpause", &id]).ok();
    let twice = t.docker(&["unpause", &id]).fails(1).to_owned();
    assert!(twice.contains(&format!("Container {id} is not paused")), "{twice}");
}
