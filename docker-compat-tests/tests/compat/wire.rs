//! The wire: keep-alive, pipelining, hijacks, framing, chunking, slow and
//! vanishing clients.

use docker_compat_tests::{Scope, eventually, http};
use std::io::Read as _;

#[test]
fn many_requests_on_one_connection() {
    let t = Scope::new();
    let mut client = http::Client::connect(&t.daemon.socket).unwrap();
    for _ in 0..50 {
        assert_eq!(client.get("/_ping").unwrap().text(), "OK");
        assert_eq!(client.get("/containers/no-such/json").unwrap().status, 404);
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let t = Scope::new();
    let mut client = http::Client::connect(&t.daemon.socket).unwrap();
    client.write(b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\nGET /containers/no-such/json HTTP/1.1\r\nHost: d\r\n\r\nGET /_ping HTTP/1.1\r\nHost: d\r\n\r\n").unwrap();
    let statuses: Vec<u16> = (0..3).map(|_| client.answer("GET").unwrap().status).collect();
    assert_eq!(statuses, [200, 404, 200]);
}

#[test]
fn old_http_and_closing_connections() {
    let t = Scope::new();
    let mut client = http::Client::connect(&t.daemon.socket).unwrap();
    client.write(b"GET /_ping HTTP/1.0\r\n\r\n").unwrap();
    let text = String::from_utf8(client.rest().unwrap()).unwrap();
    assert!(text.starts_with("HTTP/1.0 200") || text.starts_with("HTTP/1.1 200"), "{text}");
    assert!(text.ends_with("OK"), "{text}");
    let mut client = http::Client::connect(&t.daemon.socket).unwrap();
    client.write(b"GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n").unwrap();
    assert!(String::from_utf8(client.rest().unwrap()).unwrap().ends_with("OK"));
}

#[test]
fn a_chunked_request_body() {
    let t = Scope::new();
    let body = format!(r#"{{"Image":"busybox","Labels":{{"lighter.compat":"{}"}}}}"#, t.mark);
    let (left, right) = body.split_at(10);
    let mut client = http::Client::connect(&t.daemon.socket).unwrap();
    let request = format!(
        "POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{left}\r\n{:x}\r\n{right}\r\n0\r\n\r\n",
        left.len(),
        right.len()
    );
    client.write(request.as_bytes()).unwrap();
    assert_eq!(client.answer("POST").unwrap().status, 201);
}

#[test]
fn expect_continue() {
    let t = Scope::new();
    let body = format!(r#"{{"Image":"busybox","Labels":{{"lighter.compat":"{}"}}}}"#, t.mark);
    let mut client = http::Client::connect(&t.daemon.socket).unwrap();
    let head = format!(
        "POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.write(head.as_bytes()).unwrap();
    assert_eq!(client.head().unwrap().status, 100);
    client.write(body.as_bytes()).unwrap();
    assert_eq!(client.answer("POST").unwrap().status, 201);
}

#[test]
fn exec_hijack_framing_and_half_close() {
    let t = Scope::new();
    let id = t.sleeper(&[]);
    let body = r#"{"Cmd":["sh","-c","cat; echo err >&2; echo out"],"AttachStdin":true,"AttachStdout":true,"AttachStderr":true}"#;
    let exec = t.daemon.http("POST", &format!("/containers/{id}/exec"), Some(body)).json()["Id"].as_str().unwrap().to_owned();
    let mut client = http::Client::connect(&t.daemon.socket).unwrap();
    let head = client.hijack(&format!("/v1.44/exec/{exec}/start"), Some(r#"{"Detach":false,"Tty":false}"#)).unwrap();
    assert_eq!(head.status, 101);
    assert_eq!(head.header("content-type"), Some("application/vnd.docker.multiplexed-stream"));
    client.write(b"in\n").unwrap();
    client.half_close().unwrap();
    let bytes = client.rest().unwrap();
    assert_eq!(http::stream_of(&bytes, 1), "in\nout\n");
    assert_eq!(http::stream_of(&bytes, 2), "err\n");
}

/// docker-py loses what arrives together with the head. A client that is slow to read finds the head alone, though the exec has ended.
#[test]
fn an_exec_waits_until_its_head_is_read() {
    let t = Scope::new();
    if !t.daemon.is_lighter("dockerd does not wait") {
        return;
    }
    let id = t.sleeper(&[]);
    let body = r#"{"Cmd":["echo","plain"],"AttachStdout":true}"#;
    let exec = t.daemon.http("POST", &format!("/containers/{id}/exec"), Some(body)).json()["Id"].as_str().unwrap().to_owned();
    let mut client = http::Client::connect(&t.daemon.socket).unwrap();
    client.send("POST", &format!("/exec/{exec}/start"), &[], Some(b"{}")).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(200));
    let mut first = [0; 4096];
    let n = client.stream.get_mut().read(&mut first).unwrap();
    assert!(first[..n].ends_with(b"\r\n\r\n"), "{}", String::from_utf8_lossy(&first[..n]));
    assert_eq!(http::stream_of(&client.rest().unwrap(), 1), "plain\n");
    // One that does not read at all for longer is not waited for, and loses nothing.
    let exec = t.daemon.http("POST", &format!("/containers/{id}/exec"), Some(body)).json()["Id"].as_str().unwrap().to_owned();
    let mut client = http::Client::connect(&t.daemon.socket).unwrap();
    client.send("POST", &format!("/exec/{exec}/start"), &[], Some(b"{}")).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert_eq!(client.head().unwrap().status, 200);
    assert_eq!(http::stream_of(&client.rest().unwrap(), 1), "plain\n");
}

#[test]
fn exec_without_upgrade_headers() {
    let t = Scope::new();
    let id = t.sleeper(&[]);
    let body = r#"{"Cmd":["echo","plain"],"AttachStdout":true}"#;
    let exec = t.daemon.http("POST", &format!("/containers/{id}/exec"), Some(body)).json()["Id"].as_str().unwrap().to_owned();
    let mut client = http::Client::connect(&t.daemon.socket).unwrap();
    client.send("POST", &format!("/exec/{exec}/start"), &[], Some(b"{}")).unwrap();
    let head = client.head().unwrap();
    assert_eq!(head.status, 200);
    assert_eq!(http::stream_of(&client.rest().unwrap(), 1), "plain\n");
}

#[test]
fn exec_with_a_terminal_is_raw() {
    let t = Scope::new();
    let id = t.sleeper(&[]);
    let body =
        r#"{"Cmd":["sh","-c","stty size; echo done"],"AttachStdout":true,"AttachStderr":true,"Tty":true,"ConsoleSize":[21,43]}"#;
    let exec =
        t.daemon.http("POST", &format!("/v1.44/containers/{id}/exec"), Some(body)).json()["Id"].as_str().unwrap().to_owned();
    let mut client = http::Client::connect(&t.daemon.socket).unwrap();
    let head = client
        .hijack(&format!("/v1.44/exec/{exec}/start"), Some(r#"{"Detach":false,"Tty":true,"ConsoleSize":[21,43]}"#))
        .unwrap();
    assert_eq!(head.header("content-type"), Some("application/vnd.docker.raw-stream"));
    assert_eq!(String::from_utf8(client.rest().unwrap()).unwrap(), "21 43\r\ndone\r\n");
}

#[test]
fn detached_exec_answers_at_once() {
    let t = Scope::new();
    let id = t.sleeper(&[]);
    let exec = t.daemon.http("POST", &format!("/containers/{id}/exec"), Some(r#"{"Cmd":["sleep","100"]}"#)).json()["Id"]
        .as_str()
        .unwrap()
        .to_owned();
    let started = std::time::Instant::now();
    let answer = t.daemon.http("POST", &format!("/exec/{exec}/start"), Some(r#"{"Detach":true}"#));
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert!(started.elapsed() < std::time::Duration::from_secs(10));
}

#[test]
fn bytes_come_as_they_are_written() {
    let t = Scope::new();
    let id =
        t.docker(&["create", "-i", "--network", "none", "busybox", "sh", "-c", "while read x; do echo $x; done"]).ok().to_owned();
    let mut client = http::Client::connect(&t.daemon.socket).unwrap();
    client.hijack(&format!("/containers/{id}/attach?stream=1&stdin=1&stdout=1"), None).unwrap();
    t.docker(&["start", &id]).ok();
    use std::io::Read;
    for n in 0..20 {
        // Each answer before the next question: nothing may be held back in a buffer.
        client.write(format!("{n}\n").as_bytes()).unwrap();
        let mut header = [0; 8];
        client.stream.read_exact(&mut header).unwrap();
        let mut line = vec![0; u32::from_be_bytes(header[4..].try_into().unwrap()) as usize];
        client.stream.read_exact(&mut line).unwrap();
        assert_eq!(line, format!("{n}\n").as_bytes());
    }
}

#[test]
fn a_client_that_stops_reading_holds_up_nobody_else() {
    let t = Scope::new();
    let id = t.detached(&[], "while :; do echo a line that fills the pipe of the slow client, sooner or later; done");
    let mut slow = http::Client::connect(&t.daemon.socket).unwrap();
    slow.send("GET", &format!("/containers/{id}/logs?stdout=1&follow=1"), &[], None).unwrap();
    slow.head().unwrap();
    let mut stuck = http::Client::connect(&t.daemon.socket).unwrap();
    stuck.hijack(&format!("/containers/{id}/attach?stream=1&stdout=1"), None).unwrap();
    // Neither reads on. The daemon answers others, and the log goes on.
    let size = |_: ()| t.daemon.http("GET", &format!("/containers/{id}/logs?stdout=1&tail=1&timestamps=1"), None).body;
    let first = size(());
    assert_eq!(t.daemon.http("GET", "/_ping", None).status, 200);
    if t.daemon.is_lighter("a client that stops reading an attach stops the container's output on dockerd") {
        eventually("the log still grows", || (size(()) != first).then_some(()));
    }
    drop(stuck);
    drop(slow);
    t.docker(&["rm", "-f", &id]).ok();
}

#[test]
fn an_idle_connection_costs_others_nothing() {
    let t = Scope::new();
    let idle: Vec<_> = (0..100).map(|_| http::Client::connect(&t.daemon.socket).unwrap()).collect();
    let mut half: Vec<_> = (0..20).map(|_| http::Client::connect(&t.daemon.socket).unwrap()).collect();
    for client in &mut half {
        client.write(b"POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Le").unwrap();
    }
    assert_eq!(t.daemon.http("GET", "/_ping", None).status, 200);
    drop((idle, half));
}
