//! Clients that go away, and a daemon that does: nothing is left behind, nothing hangs.

use crate::support::{Api, Conn, eventually};
use lighter_domain::ShimStatus;
use serde_json::json;
use std::time::Duration;

/// Opens one of each kind of stream that would not end by itself.
fn streams(api: &Api) -> Vec<Conn> {
    ["/events", "/containers/c1/logs?stdout=1&follow=1"]
        .iter()
        .map(|path| ("GET", *path, ""))
        .chain([
            ("POST", "/containers/c1/wait", ""),
            ("POST", "/containers/c1/attach?stream=1&stdout=1&stdin=1", "Connection: Upgrade\r\nUpgrade: tcp\r\n"),
        ])
        .map(|(method, path, headers)| {
            let mut conn = api.connect();
            conn.request(method, path, headers, b"");
            let head = conn.head();
            assert!(head.starts_with("HTTP/1.1 200") || head.starts_with("HTTP/1.1 101"), "{head}");
            conn
        })
        .collect()
}

/// The daemon's ends of its connections. Descriptors would be those of the whole process, and other tests run beside this one.
fn connections(api: &Api) -> usize {
    let sockets = std::fs::read_to_string("/proc/net/unix").unwrap();
    let path = api.socket_path();
    let listener = 1;
    sockets.lines().filter(|l| l.ends_with(&path)).count() - listener
}

#[test]
fn clients_that_vanish_leave_nothing() {
    let api = Api::start();
    api.create("c1", &json!({"Image": "busybox", "Cmd": ["sleep", "1000"], "OpenStdin": true}));
    api.post("/containers/c1/start", "");
    eventually("it is quiet", || connections(&api) == 0);
    let open: Vec<Vec<Conn>> = (0..10).map(|_| streams(&api)).collect();
    assert!(connections(&api) >= 40);
    assert_eq!(api.get("/info").json()["NEventsListener"], 10);
    drop(open);
    eventually("all connections are closed", || connections(&api) == 0);
    eventually("no listener is left", || api.get("/info").json()["NEventsListener"] == 0);
    assert_eq!(api.get("/containers/c1/json").json()["State"]["Running"], true);
}

#[test]
fn a_client_that_half_closes_and_then_vanishes_is_noticed() {
    let api = Api::start();
    api.running("c1");
    eventually("it is quiet", || connections(&api) == 0);
    let mut conn = api.connect();
    conn.hijack("/containers/c1/attach?stream=1&stdout=1", "");
    conn.half_close();
    assert!(connections(&api) > 0);
    drop(conn);
    eventually("the connection is closed", || connections(&api) == 0);
}

#[test]
fn a_change_is_carried_through_although_its_client_is_gone() {
    let api = Api::start();
    api.create("slow", &json!({"Image": "busybox", "Cmd": ["sh", "-c", "trap '' TERM; sleep 1000 & wait"]}));
    api.post("/containers/slow/start", "");
    let mut conn = api.connect();
    conn.request("POST", "/containers/slow/stop?t=1", "", b"");
    eventually("the stop is under way", || api.get("/_ping").status == 200);
    drop(conn);
    eventually("the container is stopped", || api.get("/containers/slow/json").json()["State"]["Running"] == false);
    eventually("the stop is recorded", || {
        api.recorded().iter().any(|e| e.kind == "ContainerStop" && e.status == ShimStatus::Ok && e.http_status == Some(204))
    });
}

#[test]
fn half_a_load_leaves_no_image_and_a_record() {
    let api = Api::start();
    let mut conn = api.connect();
    conn.write(b"POST /images/load HTTP/1.1\r\nHost: d\r\nContent-Type: application/x-tar\r\nContent-Length: 100000\r\n\r\nabc");
    drop(conn);
    eventually("the load is recorded", || api.recorded().iter().any(|e| e.kind == "ImageLoad"));
    let load = api.recorded().into_iter().find(|e| e.kind == "ImageLoad").unwrap();
    assert_ne!(load.status, ShimStatus::Ok, "{load:?}");
    assert_eq!(api.get("/images/json").json().as_array().unwrap().len(), 1);
}

#[test]
fn a_client_that_stops_reading_holds_up_only_itself() {
    let api = Api::start();
    api.create("c1", &json!({"Image": "busybox", "Cmd": ["seq", "300000"]}));
    let mut idle = api.connect();
    idle.hijack("/containers/c1/attach?stream=1&stdout=1", "");
    api.post("/containers/c1/start", "");
    assert_eq!(api.get("/_ping").status, 200);
    assert_eq!(api.get("/containers/json").status, 200);
    drop(idle);
    eventually("it ends although nobody read", || api.get("/containers/c1/json").json()["State"]["Status"] == "exited");
}

#[test]
fn open_streams_do_not_hold_up_the_daemons_end() {
    let mut api = Api::start();
    api.create("c1", &json!({"Image": "busybox", "Cmd": ["sleep", "1000"], "OpenStdin": true}));
    api.post("/containers/c1/start", "");
    let mut open = streams(&api);
    let mut kept = api.connect();
    kept.request("GET", "/_ping", "", b"");
    kept.until("\r\n\r\nOK");
    let took = api.stop();
    assert!(took < Duration::from_secs(5), "{took:?}");
    for conn in open.iter_mut().chain([&mut kept]) {
        conn.drain();
    }
}

#[test]
fn who_is_refused_before_a_small_body_keeps_the_connection() {
    let api = Api::start();
    let mut conn = api.connect();
    let small = vec![b' '; 200 << 10];
    for path in ["/containers/nobody/archive?path=/", "/nowhere", "/v1.99/containers/x/archive"] {
        conn.write(format!("PUT {path} HTTP/1.1\r\nHost: d\r\nContent-Length: {}\r\n\r\n", small.len()).as_bytes());
        let head = conn.head();
        assert!(head.starts_with("HTTP/1.1 40"), "{path}: {head}");
        conn.until("}\n");
        conn.write(&small);
        conn.request("GET", "/_ping", "", b"");
        conn.until("\r\n\r\nOK");
    }
    // In pieces, whose number nobody knows.
    conn.write(b"PUT /containers/nobody/archive?path=/ HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert!(conn.head().starts_with("HTTP/1.1 404 "));
    conn.until("}\n");
    conn.write(b"3\r\nabc\r\n0\r\n\r\n");
    conn.request("GET", "/_ping", "", b"");
    conn.until("\r\n\r\nOK");
}

#[test]
fn a_large_body_after_a_refusal_costs_the_connection() {
    let api = Api::start();
    let put = "PUT /containers/nobody/archive?path=/ HTTP/1.1\r\nHost: d\r\n";
    // By far: the last that had come when the patience was over is taken, too.
    let large = 2 << 20;
    for length in [format!("Content-Length: {large}\r\n\r\n"), format!("Transfer-Encoding: chunked\r\n\r\n{large:x}\r\n")] {
        let mut conn = api.connect();
        conn.write(format!("{put}{length}").as_bytes());
        assert!(conn.head().starts_with("HTTP/1.1 404 "));
        conn.until("}\n");
        // It may be gone by now.
        conn.write_what_is_taken(&vec![b' '; large]);
        conn.write_what_is_taken(b"\r\n0\r\n\r\nGET /_ping HTTP/1.1\r\nHost: d\r\n\r\n");
        assert_eq!(String::from_utf8_lossy(&conn.drain()), "");
    }
    // Who waits to be asked for the body is not.
    let mut conn = api.connect();
    conn.write(format!("{put}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n").as_bytes());
    assert!(conn.head().starts_with("HTTP/1.1 404 "));
    conn.until("}\n");
    conn.half_close();
    assert_eq!(String::from_utf8_lossy(&conn.drain()), "");
}

#[test]
fn who_is_refused_half_way_through_a_body_can_send_the_rest() {
    const SIZE: usize = 3 << 20;
    let api = Api::start();
    let mut conn = api.connect();
    conn.write(format!("POST /swarm/update HTTP/1.1\r\nHost: d\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes());
    let head = conn.head();
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    // Fails with a broken pipe if nobody takes it.
    conn.write(&vec![b' '; SIZE]);
    conn.half_close();
    assert!(String::from_utf8_lossy(&conn.drain()).contains("swarm manager"));
}
