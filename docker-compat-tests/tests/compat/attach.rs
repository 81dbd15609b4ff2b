//! `docker attach` and the attach endpoint.

use docker_compat_tests::{Scope, cli, http};
use rustix::process::Signal;

#[test]
fn follows_the_output_and_gives_the_exit_code() {
    let t = Scope::new();
    let id = t
        .docker(&[
            "run",
            "-di",
            "--network",
            "none",
            "busybox",
            "sh",
            "-c",
            "while read x; do echo got $x; [ $x = end ] && exit 8; done",
        ])
        .ok()
        .to_owned();
    let mut attached = t.spawn(&["attach", &id]);
    attached.send(b"one\n");
    attached.wait_for("got one");
    attached.send(b"end\n");
    attached.wait().fails(8);
}

#[test]
fn several_clients_see_the_same() {
    let t = Scope::new();
    let id = t
        .docker(&["run", "-di", "--network", "none", "busybox", "sh", "-c", "while read x; do echo got $x; done"])
        .ok()
        .to_owned();
    let mut first = t.spawn(&["attach", &id]);
    let second = t.spawn(&["attach", "--no-stdin", &id]);
    // An attachment is known to be there once it has seen something.
    let mut seen = 0;
    docker_compat_tests::eventually("both clients are attached", || {
        seen += 1;
        first.send(format!("probe{seen}\n").as_bytes());
        (first.stdout().contains("probe") && second.stdout().contains("probe")).then_some(())
    });
    first.send(b"last\n");
    first.wait_for("got last");
    second.wait_for("got last");
}

#[test]
fn detach_keys_leave_it_running() {
    let t = Scope::new();
    let id = t.docker(&["run", "-dit", "--network", "none", "busybox", "sh"]).ok().to_owned();
    let mut attached = t.spawn_on_tty(24, 80, &["attach", &id]);
    attached.send(b"echo mar''ker\n");
    attached.wait_for("marker");
    attached.send(b"\x10\x11");
    // The CLI calls this success or failure, by its version.
    let out = attached.wait();
    assert!(out.stdout.contains("read escape sequence"), "{out:?}");
    assert_eq!(t.inspect(&id)["State"]["Status"], "running");
}

#[test]
fn detach_keys_of_ones_own() {
    let t = Scope::new();
    let id = t.docker(&["run", "-dit", "--network", "none", "busybox", "sh"]).ok().to_owned();
    let mut attached = t.spawn_on_tty(24, 80, &["attach", "--detach-keys", "ctrl-a,x", &id]);
    attached.send(b"echo mar''ker\n");
    attached.wait_for("marker");
    attached.send(b"\x10\x11\x01x");
    assert!(attached.wait().stdout.contains("read escape sequence"));
    assert_eq!(t.inspect(&id)["State"]["Status"], "running");
    let answer = t.daemon.http("POST", &format!("/containers/{id}/attach?stream=1&stdout=1&detachKeys=nonsense-key"), None);
    assert_eq!(answer.status, 400, "{}", answer.text());
}

#[test]
fn run_detaches_and_exec_detaches_by_keys() {
    let t = Scope::new();
    let name = t.name("dk");
    let mut run = t.spawn_on_tty(24, 80, &["run", "-it", "--name", &name, "--network", "none", "busybox", "sh"]);
    run.send(b"echo mar''ker\n");
    run.wait_for("marker");
    run.send(b"\x10\x11");
    run.wait().ok();
    assert_eq!(t.inspect(&name)["State"]["Status"], "running");
    let mut exec = t.spawn_on_tty(24, 80, &["exec", "-it", &name, "sh"]);
    exec.send(b"echo mar''ker\n");
    exec.wait_for("marker");
    exec.send(b"\x10\x11");
    exec.wait();
    let shown = t.inspect(&name);
    assert_eq!(shown["ExecIDs"].as_array().map(Vec::len), Some(1), "the detached exec runs on");
}

#[test]
fn signals_of_the_client_reach_the_program() {
    let t = Scope::new();
    let name = t.name("sig");
    let script = "trap 'echo int; exit 44' INT; trap 'echo hup' HUP; echo up; while :; do sleep 0.1; done";
    let run = t.spawn(&["run", "--name", &name, "--network", "none", "busybox", "sh", "-c", script]);
    run.wait_for("up");
    run.signal(Signal::HUP);
    run.wait_for("hup");
    run.signal(Signal::INT);
    run.wait().fails(44);
}

#[test]
fn without_sig_proxy_the_client_leaves_alone() {
    let t = Scope::new();
    let name = t.name("nosig");
    let run = t.spawn(&[
        "run",
        "--sig-proxy=false",
        "--name",
        &name,
        "--network",
        "none",
        "busybox",
        "sh",
        "-c",
        "trap 'exit 1' INT; echo up; while :; do sleep 0.1; done",
    ]);
    run.wait_for("up");
    run.signal(Signal::INT);
    // The program would have ended within its next turn.
    t.docker(&["exec", &name, "sleep", "0.5"]).ok();
    cli::wait_state(t.daemon, &name, "running");
}

#[test]
fn a_stopped_container_cannot_be_attached_by_the_cli() {
    let t = Scope::new();
    let id = t.docker(&["create", "busybox"]).ok().to_owned();
    let out = t.docker(&["attach", &id]);
    assert!(out.fails(1).contains("cannot attach to a stopped container, start it first"), "{}", out.stderr);
}

#[test]
fn api_attach_multiplexed_with_half_close() {
    let t = Scope::new();
    let id =
        t.docker(&["create", "-i", "--network", "none", "busybox", "sh", "-c", "cat; echo err >&2; echo out"]).ok().to_owned();
    let mut client = http::Client::connect(&t.daemon.socket).unwrap();
    let head = client.hijack(&format!("/v1.44/containers/{id}/attach?stream=1&stdin=1&stdout=1&stderr=1"), None).unwrap();
    assert_eq!(head.status, 101);
    assert_eq!(head.header("connection"), Some("Upgrade"));
    assert_eq!(head.header("upgrade"), Some("tcp"));
    assert_eq!(head.header("content-type"), Some("application/vnd.docker.multiplexed-stream"));
    assert_eq!(t.daemon.http("POST", &format!("/containers/{id}/start"), None).status, 204);
    client.write(b"line one\nline two\n").unwrap();
    client.half_close().unwrap();
    let bytes = client.rest().unwrap();
    assert_eq!(http::stream_of(&bytes, 1), "line one\nline two\nout\n");
    assert_eq!(http::stream_of(&bytes, 2), "err\n");
}

#[test]
fn api_attach_bytes_right_behind_the_request() {
    let t = Scope::new();
    let id = t.docker(&["create", "-i", "--network", "none", "busybox", "cat"]).ok().to_owned();
    let mut client = http::Client::connect(&t.daemon.socket).unwrap();
    // Input in the same write as the request must reach the program, and only it.
    let request = format!(
        "POST /containers/{id}/attach?stream=1&stdin=1&stdout=1&stderr=1 HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly\n"
    );
    client.write(request.as_bytes()).unwrap();
    assert_eq!(client.head().unwrap().status, 101);
    assert_eq!(t.daemon.http("POST", &format!("/containers/{id}/start"), None).status, 204);
    client.write(b"late\n").unwrap();
    client.half_close().unwrap();
    let got = http::stream_of(&client.rest().unwrap(), 1);
    // dockerd loses what its reader had buffered; the order and the rest hold for all.
    let lost = t.daemon.kind == docker_compat_tests::Kind::Reference && got == "late\n";
    assert!(got == "early\nlate\n" || lost, "{got:?}");
}

#[test]
fn api_attach_without_upgrade_headers_is_a_200() {
    let t = Scope::new();
    let id = t.detached(&["-i"], "read x; echo bye");
    let mut client = http::Client::connect(&t.daemon.socket).unwrap();
    client.send("POST", &format!("/containers/{id}/attach?stream=1&stdin=1&stdout=1&stderr=1"), &[], Some(b"")).unwrap();
    let head = client.head().unwrap();
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-type"), Some("application/vnd.docker.raw-stream"));
    client.write(b"\n").unwrap();
    assert_eq!(http::stream_of(&client.rest().unwrap(), 1), "bye\n");
}

#[test]
fn api_attach_raw_with_a_terminal() {
    let t = Scope::new();
    let id = t.docker(&["run", "-dit", "--network", "none", "busybox", "sh", "-c", "read x; echo got $x"]).ok().to_owned();
    let mut client = http::Client::connect(&t.daemon.socket).unwrap();
    let head = client.hijack(&format!("/v1.44/containers/{id}/attach?stream=1&stdin=1&stdout=1&stderr=1"), None).unwrap();
    assert_eq!(head.header("content-type"), Some("application/vnd.docker.raw-stream"));
    client.write(b"typed\n").unwrap();
    let bytes = client.rest().unwrap();
    assert_eq!(String::from_utf8(bytes).unwrap(), "typed\r\ngot typed\r\n");
}

#[test]
fn api_attach_with_logs_replays() {
    let t = Scope::new();
    let id = t.detached(&[], "echo before; exit 0");
    t.docker(&["wait", &id]).ok();
    let mut client = http::Client::connect(&t.daemon.socket).unwrap();
    let head = client.hijack(&format!("/containers/{id}/attach?logs=1&stdout=1&stderr=1"), None).unwrap();
    assert_eq!(head.status, 101);
    assert_eq!(http::stream_of(&client.rest().unwrap(), 1), "before\n");
}

#[test]
fn a_vanished_client_does_not_stop_the_program() {
    let t = Scope::new();
    let id = t
        .docker(&[
            "create",
            "-i",
            "--network",
            "none",
            "busybox",
            "sh",
            "-c",
            "n=0; while [ $n -lt 30000 ]; do n=$((n+1)); echo line $n of a long output; done; echo complete",
        ])
        .ok()
        .to_owned();
    let mut client = http::Client::connect(&t.daemon.socket).unwrap();
    client.hijack(&format!("/containers/{id}/attach?stream=1&stdout=1&stderr=1"), None).unwrap();
    t.docker(&["start", &id]).ok();
    // Vanishes without having read anything.
    drop(client);
    assert_eq!(t.docker(&["wait", &id]).ok(), "0");
    assert!(t.docker(&["logs", "--tail", "1", &id]).ok().contains("complete"));
}

#[test]
fn stdin_once_closes_with_the_first_client() {
    let t = Scope::new();
    let out = t.docker_with_input(&["run", "-i", "--rm", "--network", "none", "busybox", "wc", "-l"], b"1\n2\n3\n");
    assert_eq!(out.ok().trim(), "3");
}
