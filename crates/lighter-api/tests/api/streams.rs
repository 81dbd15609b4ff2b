//! What goes on after the headers: attach, exec, wait, logs, events.

use crate::support::{Api, Conn, demultiplexed, unchunked};
use serde_json::{Value, json};

const MULTIPLEXED: &str = "Content-Type: application/vnd.docker.multiplexed-stream\r\n";
const RAW: &str = "Content-Type: application/vnd.docker.raw-stream\r\n";

fn cat(tty: bool) -> Value {
    json!({"Image": "busybox", "Cmd": ["cat"], "OpenStdin": true, "StdinOnce": true, "AttachStdin": true, "Tty": tty})
}

fn attach(api: &Api, version: &str, name: &str) -> (Conn, String) {
    let mut conn = api.connect();
    let head = conn.hijack(&format!("{version}/containers/{name}/attach?stream=1&stdin=1&stdout=1&stderr=1"), "");
    (conn, head)
}

fn start(api: &Api, name: &str) {
    assert_eq!(api.post(&format!("/containers/{name}/start"), "").status, 204);
}

fn exit_code(api: &Api, name: &str) -> i64 {
    let reply = api.post(&format!("/containers/{name}/wait"), "");
    reply.json()["StatusCode"].as_i64().unwrap()
}

#[test]
fn attach_before_start_sees_everything_and_ends_with_the_process() {
    let api = Api::start();
    api.create("a1", &json!({"Image": "busybox", "Cmd": ["sh", "-c", "echo out; echo err >&2; exit 3"]}));
    let (mut conn, head) = attach(&api, "", "a1");
    assert!(head.starts_with("HTTP/1.1 101 UPGRADED\r\n"), "{head}");
    assert!(head.contains("Connection: Upgrade\r\n") && head.contains("Upgrade: tcp\r\n"), "{head}");
    assert!(head.contains(MULTIPLEXED), "{head}");
    start(&api, "a1");
    assert_eq!(demultiplexed(&conn.drain()), ("out\n".to_owned(), "err\n".to_owned()));
    assert_eq!(exit_code(&api, "a1"), 3);
}

#[test]
fn the_stream_is_named_by_version_and_terminal() {
    let api = Api::start();
    api.create("plain", &cat(false));
    api.create("tty", &cat(true));
    assert!(attach(&api, "/v1.42", "plain").1.contains(MULTIPLEXED));
    assert!(attach(&api, "/v1.41", "plain").1.contains(RAW));
    assert!(attach(&api, "", "tty").1.contains(RAW));
}

#[test]
fn the_clients_half_close_is_the_end_of_input_while_output_goes_on() {
    let api = Api::start();
    api.create("c1", &cat(false));
    let (mut conn, _) = attach(&api, "", "c1");
    start(&api, "c1");
    conn.write(b"hello\n");
    conn.half_close();
    assert_eq!(demultiplexed(&conn.drain()).0, "hello\n");
    assert_eq!(exit_code(&api, "c1"), 0);
}

#[test]
fn input_sent_along_with_the_request_is_not_lost() {
    let api = Api::start();
    api.create("c1", &cat(false));
    let mut conn = api.connect();
    let request = "POST /containers/c1/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\nearly\nGET /_ping HTTP/1.1\r\n\r\n";
    conn.write(request.as_bytes());
    conn.half_close();
    assert!(conn.head().starts_with("HTTP/1.1 101"));
    start(&api, "c1");
    // What looks like a second request is input, too.
    assert_eq!(demultiplexed(&conn.drain()).0, "early\nGET /_ping HTTP/1.1\r\n\r\n");
}

#[test]
fn a_client_that_asks_for_no_upgrade_gets_the_raw_connection_after_200() {
    let api = Api::start();
    api.create("c1", &cat(false));
    let mut conn = api.connect();
    conn.request("POST", "/containers/c1/attach?stream=1&stdin=1&stdout=1", "", b"");
    let head = conn.head();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains(RAW), "{head}");
    assert!(!head.to_lowercase().contains("chunked") && !head.contains("Upgrade"), "{head}");
    start(&api, "c1");
    conn.write(b"hi\n");
    conn.half_close();
    assert_eq!(demultiplexed(&conn.drain()).0, "hi\n");
}

#[test]
fn detach_keys_end_the_attachment_and_nothing_else() {
    let api = Api::start();
    api.create("t1", &cat(true));
    let (mut conn, _) = attach(&api, "", "t1");
    start(&api, "t1");
    conn.write(b"x\x10");
    conn.write(b"\x11");
    let seen = conn.drain();
    assert!(!seen.contains(&0x11), "{seen:?}");
    assert_eq!(api.get("/containers/t1/json").json()["State"]["Running"], true);
    let until = time::OffsetDateTime::now_utc().unix_timestamp() + 1;
    let told = api.get(&format!("/events?since=1&until={until}&filters=%7B%22event%22:[%22detach%22]%7D"));
    assert_eq!(told.text().lines().count(), 1, "{}", told.text());
}

fn exec(api: &Api, container: &str, body: &Value) -> String {
    let reply = api.post(&format!("/containers/{container}/exec"), &body.to_string());
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()["Id"].as_str().unwrap().to_owned()
}

#[test]
fn an_execs_code_can_be_read_when_its_stream_has_ended() {
    let api = Api::start();
    api.running("c1");
    for (cmd, out, code) in [(json!(["sh", "-c", "echo hi; exit 7"]), "hi\n", 7), (json!(["true"]), "", 0)] {
        let id = exec(&api, "c1", &json!({"Cmd": cmd, "AttachStdout": true, "AttachStderr": true}));
        assert_eq!(api.get(&format!("/exec/{id}/json")).json()["ExitCode"], Value::Null);
        let mut conn = api.connect();
        let head = conn.hijack(&format!("/exec/{id}/start"), r#"{"Detach":false,"Tty":false}"#);
        assert!(head.starts_with("HTTP/1.1 101 UPGRADED\r\n") && head.contains(MULTIPLEXED), "{head}");
        assert_eq!(demultiplexed(&conn.drain()).0, out);
        let shown = api.get(&format!("/exec/{id}/json")).json();
        assert_eq!((&shown["ExitCode"], &shown["Running"]), (&json!(code), &json!(false)));
    }
}

#[test]
fn an_exec_of_what_is_not_there_ends_with_127_and_says_so_on_the_stream() {
    let api = Api::start();
    api.running("c1");
    for (program, code) in [("nosuch", 127), ("/etc/passwd", 126)] {
        let id = exec(&api, "c1", &json!({"Cmd": [program], "AttachStdout": true}));
        let mut conn = api.connect();
        conn.hijack(&format!("/exec/{id}/start"), "{}");
        let (out, err) = demultiplexed(&conn.drain());
        assert!(format!("{out}{err}").contains(program), "{out}{err}");
        assert_eq!(api.get(&format!("/exec/{id}/json")).json()["ExitCode"], code);
    }
}

#[test]
fn the_body_of_an_exec_start_does_not_leak_into_its_input() {
    let api = Api::start();
    api.running("c1");
    let id = exec(&api, "c1", &json!({"Cmd": ["cat"], "AttachStdin": true, "AttachStdout": true}));
    let mut conn = api.connect();
    conn.hijack(&format!("/exec/{id}/start"), r#"{"Detach":false,"Tty":false}"#);
    conn.write(b"mine");
    conn.half_close();
    assert_eq!(demultiplexed(&conn.drain()).0, "mine");
}

#[test]
fn an_exec_runs_once_and_only_in_a_running_container() {
    let api = Api::start();
    api.running("c1");
    let id = exec(&api, "c1", &json!({"Cmd": ["true"]}));
    let detached = || api.post(&format!("/exec/{id}/start"), r#"{"Detach":true}"#);
    assert_eq!(detached().status, 200);
    assert_eq!(detached().status, 409);
    api.create("idle", &json!({"Image": "busybox"}));
    let refused = api.post("/containers/idle/exec", r#"{"Cmd":["true"]}"#);
    assert_eq!(refused.status, 409);
    assert!(refused.message().ends_with("is not running"));
}

#[test]
fn the_headers_of_a_wait_come_before_the_exit() {
    let api = Api::start();
    api.create("w1", &json!({"Image": "busybox", "Cmd": ["sh", "-c", "exit 5"]}));
    let mut conn = api.connect();
    conn.request("POST", "/containers/w1/wait?condition=next-exit", "Connection: close\r\n", b"");
    let head = conn.head();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("application/json"), "{head}");
    start(&api, "w1");
    assert_eq!(unchunked(&conn.drain()), b"{\"StatusCode\":5}\n");
}

#[test]
fn every_condition_of_a_wait_gives_the_true_code() {
    let api = Api::start();
    api.create("w1", &json!({"Image": "busybox", "Cmd": ["sh", "-c", "exit 4"], "HostConfig": {"AutoRemove": true}}));
    let mut waits: Vec<Conn> = ["next-exit", "removed"]
        .map(|condition| {
            let mut conn = api.connect();
            conn.request("POST", &format!("/containers/w1/wait?condition={condition}"), "Connection: close\r\n", b"");
            conn.head();
            conn
        })
        .into();
    start(&api, "w1");
    for conn in &mut waits {
        assert_eq!(unchunked(&conn.drain()), b"{\"StatusCode\":4}\n");
    }
    assert_eq!(api.get("/containers/w1/json").status, 404);
}

#[test]
fn logs_follow_to_the_exit() {
    let api = Api::start();
    api.create("l1", &json!({"Image": "busybox", "Cmd": ["sh", "-c", "echo one; echo two >&2; sleep 1000"]}));
    start(&api, "l1");
    let mut conn = api.connect();
    conn.request("GET", "/containers/l1/logs?stdout=1&stderr=1&follow=1", "Connection: close\r\n", b"");
    let head = conn.head();
    assert!(head.to_lowercase().contains("content-type: application/vnd.docker.multiplexed-stream"), "{head}");
    conn.until("two\n");
    assert_eq!(api.post("/containers/l1/kill", "").status, 204);
    conn.drain();
    let all = api.get("/containers/l1/logs?stdout=1&stderr=1");
    assert_eq!(demultiplexed(&all.body), ("one\n".to_owned(), "two\n".to_owned()));
    assert_eq!(demultiplexed(&api.get("/containers/l1/logs?stdout=1&stderr=1&tail=1").body).1, "two\n");
    assert_eq!(demultiplexed(&api.get("/containers/l1/logs?stdout=1").body), ("one\n".to_owned(), String::new()));
    assert_eq!(api.get("/containers/l1/logs").message(), "Bad parameters: you must choose at least one stream");
}

#[test]
fn logs_flush_their_headers_before_the_first_line() {
    let api = Api::start();
    api.running("silent");
    let mut conn = api.connect();
    conn.request("GET", "/containers/silent/logs?stdout=1&follow=1", "", b"");
    assert!(conn.head().starts_with("HTTP/1.1 200 OK"));
}

#[test]
fn events_flush_their_headers_and_go_live_after_replay() {
    let api = Api::start();
    api.create("before", &json!({"Image": "busybox"}));
    let mut conn = api.connect();
    conn.request("GET", "/v1.51/events?since=1&filters=%7B%22type%22:%7B%22container%22:true%7D%7D", "", b"");
    let head = conn.head();
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.to_lowercase().contains("content-type: application/json"), "{head}");
    conn.until(r#""name":"before"}"#);
    api.create("after", &json!({"Image": "busybox", "Labels": {"k": "<&>"}}));
    let live = String::from_utf8(conn.until(r#""name":"after"}"#)).unwrap();
    assert!(live.contains(r#""status":"create""#) && live.contains(r#""from":"busybox""#), "{live}");
    assert!(live.contains(r#""k":"<&>""#), "{live}");
}

#[test]
fn events_end_at_until_and_have_the_shape_of_the_version() {
    let api = Api::start();
    let id = api.create("e1", &json!({"Image": "busybox"}));
    let lines = |version: &str| -> Vec<Value> {
        let reply = api.get(&format!("/{version}/events?since=1&until={}", time::OffsetDateTime::now_utc().unix_timestamp() + 1));
        reply.text().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    };
    for (version, old) in [("v1.51", true), ("v1.52", false)] {
        let events = lines(version);
        let create = events.iter().find(|e| e["Action"] == "create").unwrap();
        assert_eq!(create["Actor"]["ID"], id.as_str());
        assert_eq!(create["scope"], "local");
        assert!(create["timeNano"].as_i64().unwrap() / 1_000_000_000 == create["time"].as_i64().unwrap());
        assert_eq!(create.get("status").is_some(), old, "{create}");
        assert_eq!(create.get("id").is_some(), old);
        assert_eq!(create.get("from").is_some(), old);
    }
}
