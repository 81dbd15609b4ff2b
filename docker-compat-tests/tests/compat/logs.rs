//! `docker logs` and the logs endpoint.

use docker_compat_tests::{Scope, cli, http};

use super::exit_codes::wait_log;

#[test]
fn both_streams_in_order() {
    let t = Scope::new();
    let id = t.detached(&[], "for i in 1 2 3; do echo out $i; echo err $i >&2; done");
    t.docker(&["wait", &id]).ok();
    let out = t.docker(&["logs", &id]);
    out.ok();
    assert_eq!(out.stdout, "out 1\nout 2\nout 3\n");
    assert_eq!(out.stderr, "err 1\nerr 2\nerr 3\n");
    let only = t.daemon.http("GET", &format!("/v1.44/containers/{id}/logs?stderr=1"), None);
    assert_eq!(only.header("content-type"), Some("application/vnd.docker.multiplexed-stream"));
    assert_eq!(http::stream_of(&only.body, 2), "err 1\nerr 2\nerr 3\n");
    assert!(http::frames(&only.body).iter().all(|(stream, _)| *stream == 2));
    // Before 1.42 the type was always the raw one.
    let old = t.daemon.http("GET", &format!("/v1.41/containers/{id}/logs?stdout=1"), None);
    assert_ne!(old.header("content-type"), Some("application/vnd.docker.multiplexed-stream"));
    assert_eq!(
        t.daemon.http("GET", &format!("/containers/{id}/logs"), None).error(400),
        "Bad parameters: you must choose at least one stream"
    );
}

#[test]
fn tail() {
    let t = Scope::new();
    let id = t.detached(&[], "seq 1 1000");
    t.docker(&["wait", &id]).ok();
    assert_eq!(t.docker(&["logs", "--tail", "3", &id]).ok(), "998\n999\n1000");
    assert_eq!(t.docker(&["logs", "-n", "0", &id]).ok(), "");
    assert_eq!(t.docker(&["logs", "--tail", "all", &id]).lines().len(), 1000);
    assert_eq!(t.docker(&["logs", "--tail", "5000", &id]).lines().len(), 1000);
    // What is no number means all, as dockerd has it.
    let odd = t.daemon.http("GET", &format!("/containers/{id}/logs?stdout=1&tail=-5"), None);
    assert_eq!(odd.status, 200);
}

#[test]
fn timestamps() {
    let t = Scope::new();
    let id = t.detached(&[], "echo first; sleep 1.1; echo second");
    t.docker(&["wait", &id]).ok();
    let out = t.docker(&["logs", "-t", &id]);
    let stamps: Vec<&str> = out
        .lines()
        .iter()
        .map(|l| {
            let (stamp, rest) = l.split_once(' ').expect("stamp and line");
            assert!(rest == "first" || rest == "second");
            assert!(stamp.len() == 30 && stamp.ends_with('Z'), "RFC 3339 with nine digits: {stamp}");
            stamp
        })
        .collect();
    assert!(stamps[0] < stamps[1]);
    // The stamp of the second line divides.
    assert_eq!(t.docker(&["logs", "--since", stamps[1], &id]).ok(), "second");
    assert_eq!(t.docker(&["logs", "--until", stamps[0], &id]).ok(), "first");
    assert_eq!(t.docker(&["logs", "--since", "1h", &id]).ok(), "first\nsecond");
    assert_eq!(t.docker(&["logs", "--since", "2100-01-01T00:00:00Z", &id]).ok(), "");
    assert_eq!(t.docker(&["logs", "--until", "2001-01-01", &id]).ok(), "");
    let out = t.daemon.http("GET", &format!("/containers/{id}/logs?stdout=1&since=nonsense"), None);
    assert!(matches!(out.status, 400 | 500), "{}", out.text());
}

#[test]
fn details_show_labels_and_variables_asked_for() {
    let t = Scope::new();
    let id = t.detached(&["--log-opt", "labels=mark", "--log-opt", "env=SHOWN", "-l", "mark=m1", "-e", "SHOWN=s1"], "echo line");
    t.docker(&["wait", &id]).ok();
    let line = t.docker(&["logs", "--details", &id]).ok().to_owned();
    assert!(line.contains("SHOWN=s1") && line.contains("mark=m1") && line.ends_with(" line"), "{line}");
}

#[test]
fn follow_ends_with_the_container() {
    let t = Scope::new();
    let id = t.detached(&["-i"], "echo first; read x; echo second");
    let follow = t.spawn(&["logs", "-f", &id]);
    follow.wait_for("first");
    t.docker_with_input(&["attach", &id], b"\n");
    let out = follow.wait();
    assert_eq!(out.ok(), "first\nsecond");
}

#[test]
fn follow_from_the_tail_and_across_a_restart() {
    let t = Scope::new();
    let id = t
        .docker(&[
            "create",
            "--network",
            "none",
            "busybox",
            "sh",
            "-c",
            "echo run; trap 'exit 0' TERM; while :; do sleep 1000 & wait; done",
        ])
        .ok()
        .to_owned();
    for _ in 0..3 {
        t.docker(&["start", &id]).ok();
        cli::wait_state(t.daemon, &id, "running");
        t.docker(&["stop", &id]).ok();
    }
    assert_eq!(t.docker(&["logs", &id]).lines().len(), 3, "the log goes on over restarts");
    t.docker(&["start", &id]).ok();
    wait_log(&t, &id, "run\nrun\nrun\nrun");
    let follow = t.spawn(&["logs", "-f", "--tail", "1", &id]);
    follow.wait_for("run");
    t.docker(&["stop", &id]).ok();
    assert_eq!(follow.wait().ok(), "run");
}

#[test]
fn terminal_logs_are_raw() {
    let t = Scope::new();
    let id = t.detached(&["-t"], "echo one; echo two >&2");
    t.docker(&["wait", &id]).ok();
    let answer = t.daemon.http("GET", &format!("/v1.44/containers/{id}/logs?stdout=1&stderr=1"), None);
    assert_eq!(answer.header("content-type"), Some("application/vnd.docker.raw-stream"));
    assert_eq!(answer.text(), "one\r\ntwo\r\n");
}

#[test]
fn long_lines_and_lines_without_end() {
    let t = Scope::new();
    let id = t.detached(&[], "head -c 100000 /dev/zero | tr '\\0' x; echo; printf unfinished");
    t.docker(&["wait", &id]).ok();
    let out = t.docker(&["logs", &id]);
    assert_eq!(out.ok().len(), 100_000 + 1 + "unfinished".len());
    assert!(out.stdout.ends_with("unfinished"));
}

#[test]
fn bytes_that_are_no_text_do_not_break_the_log() {
    let t = Scope::new();
    let id = t.detached(&[], "printf 'a<b>&\\t\"\\\\ \\303\\244\\n\\377\\376\\n'; echo after");
    t.docker(&["wait", &id]).ok();
    let text = t.docker(&["logs", &id]).ok().to_owned();
    assert!(text.starts_with("a<b>&\t\"\\ ä\n"), "{text:?}");
    assert!(text.ends_with("after"), "{text:?}");
}

#[test]
fn the_log_file_is_dockers_json() {
    let t = Scope::new();
    let id = t.detached(&[], "echo out; echo err >&2");
    t.docker(&["wait", &id]).ok();
    let path = t.inspect(&id)["LogPath"].as_str().unwrap().to_owned();
    assert!(path.ends_with(&format!("{id}-json.log")), "{path}");
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    let out = lines.iter().find(|l| l["stream"] == "stdout").unwrap();
    assert_eq!(out["log"], "out\n");
    assert!(out["time"].as_str().unwrap().ends_with('Z'));
    assert_eq!(lines.iter().find(|l| l["stream"] == "stderr").unwrap()["log"], "err\n");
}

#[test]
fn rotation_keeps_the_newest() {
    let t = Scope::new();
    let id = t.detached(&["--log-opt", "max-size=10k", "--log-opt", "max-file=3"], "seq 1 5000");
    t.docker(&["wait", &id]).ok();
    let path = t.inspect(&id)["LogPath"].as_str().unwrap().to_owned();
    let dir = std::path::Path::new(&path).parent().unwrap();
    let mut sizes: Vec<u64> = std::fs::read_dir(dir)
        .unwrap()
        .flatten()
        .filter(|e| e.file_name().to_string_lossy().contains("-json.log"))
        .map(|e| e.metadata().unwrap().len())
        .collect();
    sizes.sort_unstable();
    assert_eq!(sizes.len(), 3, "{sizes:?}");
    assert!(*sizes.last().unwrap() < 12_000, "{sizes:?}");
    let out = t.docker(&["logs", &id]);
    let lines = out.lines();
    assert_eq!(lines.last(), Some(&"5000"));
    let first: u32 = lines[0].parse().unwrap();
    let expected: Vec<String> = (first..=5000).map(|n| n.to_string()).collect();
    assert_eq!(lines, expected, "no gap across the files");
}

#[test]
fn bad_log_options_are_refused() {
    let t = Scope::new();
    for (options, expected) in [
        (r#"{"max-size":"nonsense"}"#, "invalid"),
        (r#"{"nonsense":"1"}"#, "unknown log opt 'nonsense' for json-file log driver"),
        (r#"{"max-file":"0","max-size":"1k"}"#, "max-file cannot be less than 1"),
        (r#"{"max-file":"3"}"#, "max-file"),
    ] {
        let body =
            format!("{{\"Image\":\"busybox\",\"HostConfig\":{{\"LogConfig\":{{\"Type\":\"json-file\",\"Config\":{options}}}}}}}");
        let mut answer = t.daemon.http("POST", "/containers/create", Some(&body));
        if answer.status == 201 {
            // Some of these dockerd tells only at the start.
            let id = answer.json()["Id"].as_str().unwrap().to_owned();
            answer = t.daemon.http("POST", &format!("/containers/{id}/start"), None);
            t.daemon.http("DELETE", &format!("/containers/{id}?force=1"), None);
            if answer.status == 204 {
                assert!(options.contains("max-file\":\"3"), "{options} was accepted");
                continue;
            }
        }
        assert!(answer.status >= 400 && answer.text().contains(expected), "{options}: {}", answer.text());
    }
}

#[test]
fn the_none_driver_keeps_nothing() {
    let t = Scope::new();
    let id = t.detached(&["--log-driver", "none"], "echo lost");
    t.docker(&["wait", &id]).ok();
    let out = t.docker(&["logs", &id]);
    assert!(out.fails(1).contains("configured logging driver does not support reading"), "{}", out.stderr);
}

#[test]
fn follow_of_a_fast_writer_misses_nothing() {
    let t = Scope::new();
    let id = t.docker(&["create", "--network", "none", "busybox", "seq", "1", "300000"]).ok().to_owned();
    t.docker(&["start", &id]).ok();
    let out = t.docker(&["logs", "-f", &id]);
    let lines = out.lines();
    assert_eq!(lines.len(), 300_000);
    assert!(lines.iter().enumerate().all(|(n, l)| *l == (n + 1).to_string()), "in order, none twice");
}

#[test]
fn headers_come_before_the_first_line() {
    let t = Scope::new();
    let id = t.detached(&["-i"], "read x; echo late");
    let mut client = http::Client::connect(&t.daemon.socket).unwrap();
    client.send("GET", &format!("/containers/{id}/logs?stdout=1&follow=1"), &[], None).unwrap();
    let head = client.head().expect("headers at once");
    assert_eq!(head.status, 200);
    t.docker_with_input(&["attach", &id], b"\n");
    assert_eq!(http::stream_of(&client.body("GET", &head).unwrap(), 1), "late\n");
}

#[test]
fn never_started_has_an_empty_log() {
    let t = Scope::new();
    let id = t.docker(&["create", "busybox"]).ok().to_owned();
    assert_eq!(t.docker(&["logs", &id]).ok(), "");
}
