//! Requests made so that whoever watches sees something else than what is done. What is recorded is what was executed, and
//! nothing more than was asked is done.

use crate::support::{Api, eventually};

const JSON: &str = "Content-Type: application/json\r\n";

/// Sends bytes as they are, and gives all that comes back until the daemon closes.
fn raw(api: &Api, bytes: &[u8]) -> String {
    let mut conn = api.connect();
    conn.write(bytes);
    String::from_utf8_lossy(&conn.drain()).into_owned()
}

/// The same, with nothing to follow.
fn raw_and_no_more(api: &Api, bytes: &[u8]) -> String {
    let mut conn = api.connect();
    conn.write(bytes);
    conn.half_close();
    String::from_utf8_lossy(&conn.drain()).into_owned()
}

fn answers(text: &str) -> usize {
    text.matches("HTTP/1.1 ").count()
}

fn containers(api: &Api) -> Vec<String> {
    let list = api.get("/containers/json?all=1").json();
    list.as_array().unwrap().iter().map(|c| c["Names"][0].as_str().unwrap().to_owned()).collect()
}

fn kinds(api: &Api) -> Vec<String> {
    api.recorded().into_iter().map(|e| e.kind.into_owned()).collect()
}

#[test]
fn a_length_of_zero_hides_no_body() {
    let api = Api::start();
    let body = "{\"Image\":\"busybox\"}\r\n\r\n";
    let hidden = format!("POST /containers/create?name=hidden HTTP/1.1\r\nHost: d\r\n{JSON}Content-Length: 0\r\n\r\n{body}");
    let text = raw(&api, hidden.as_bytes());
    // The bytes are the beginning of another request, and no good one.
    assert!(text.starts_with("HTTP/1.1 400 "), "{text}");
    eventually("the record of what followed", || kinds(&api) == ["ContainerCreate", "Malformed"]);
    assert!(containers(&api).is_empty());
}

#[test]
fn chunks_are_one_body() {
    let api = Api::start();
    let head = format!(
        "POST /containers/create?name=chunked HTTP/1.1\r\nHost: d\r\n{JSON}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    );
    let chunks = "9\r\n{\"Image\":\r\nb\r\n\"busybox\"} \r\n0\r\n\r\n";
    let text = raw(&api, format!("{head}{chunks}").as_bytes());
    assert!(text.starts_with("HTTP/1.1 201 "), "{text}");
    let event = api.recorded().into_iter().find(|e| e.kind == "ContainerCreate").unwrap();
    assert_eq!((event.image.as_deref(), event.http_status), (Some("busybox"), Some(201)));
    // An end that never comes is no body.
    let text = raw_and_no_more(&api, format!("{}9\r\n{{\"Image\":\r\n", head.replace("chunked HTTP", "cut HTTP")).as_bytes());
    assert!(!text.contains(" 201 "), "{text}");
    assert_eq!(containers(&api), ["/chunked"]);
    // Two codings, an unknown one, a doubled length.
    for headers in [
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Content-Length: 19\r\nContent-Length: 3\r\n",
        "Content-Length: 19\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: +19\r\n",
        "Content-Length: -1\r\n",
    ] {
        let head = format!("POST /containers/create?name=odd HTTP/1.1\r\nHost: d\r\n{JSON}{headers}Connection: close\r\n\r\n");
        let text = raw_and_no_more(&api, format!("{head}{{\"Image\":\"busybox\"}}").as_bytes());
        assert!(!text.contains(" 201 ") && answers(&text) <= 1, "{headers}: {text}");
    }
    assert_eq!(containers(&api), ["/chunked"]);
}

#[test]
fn of_doubled_names_the_record_has_the_one_that_counts() {
    let api = Api::start();
    for (name, body, image) in [
        ("d1", r#"{"Image":"other","Image":"busybox"}"#, "busybox"),
        ("d2", r#"{"Image":"other","image":"busybox"}"#, "busybox"),
        ("d3", r#"{"IMAGE":"other","imAge":"busybox:latest"}"#, "busybox:latest"),
    ] {
        let reply = api.post(&format!("/containers/create?name={name}"), body);
        assert_eq!(reply.status, 201, "{}", reply.text());
        let event = api.recorded().pop().unwrap();
        assert_eq!(event.image.as_deref(), Some(image), "{body}");
        assert_eq!(api.get(&format!("/containers/{name}/json")).json()["Config"]["Image"], image);
    }
    // A later list takes the place of an earlier one; what is shown is what is done.
    let body = r#"{"Image":"busybox","HostConfig":{"Binds":["/etc:/a"],"binds":["/usr:/b"]},"hostConfig":{"privileged":false}}"#;
    assert_eq!(api.post("/containers/create?name=d4", body).status, 201);
    let shown = api.get("/containers/d4/json").json();
    assert_eq!(shown["HostConfig"]["Binds"], serde_json::json!(["/usr:/b"]));
    assert_eq!(shown["Mounts"].as_array().unwrap().len(), 1);
    assert_eq!(api.recorded().iter().rfind(|e| e.kind == "ContainerCreate").unwrap().host_paths, ["/usr"]);
}

#[test]
fn packed_and_foreign_bodies_are_not_guessed_at() {
    let api = Api::start();
    let gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03";
    for (headers, status) in [
        (format!("{JSON}Content-Encoding: gzip\r\n"), 400),
        ("Content-Type: application/gzip\r\n".to_owned(), 400),
        ("Content-Type: application/x-www-form-urlencoded\r\n".to_owned(), 400),
        ("Content-Type: application/json\r\nContent-Type: text/plain\r\n".to_owned(), 400),
    ] {
        let reply = api.send_with("POST", "/containers/create?name=packed", &headers, gzip);
        assert_eq!(reply.status, status, "{headers}");
    }
    assert!(containers(&api).is_empty());
}

#[test]
fn odd_paths_are_one_route_or_none() {
    let api = Api::start();
    let id = api.running("victim");
    let before = api.recorded().len();
    for (method, path, status) in [
        ("GET", "//v1.40/../containers/json", 301),
        ("GET", "/v1.44//containers/json", 301),
        ("DELETE", "/v1.44/containers/../containers/victim", 301),
        ("POST", "/containers/x/../victim/kill", 301),
        ("GET", "/containers%2fjson", 404),
        ("GET", "/containers/victim%2fjson", 404),
        ("GET", "/containers/%2e%2e/info", 404),
        ("POST", "/containers/victim%2fkill", 404),
        ("DELETE", "/%63ontainers/victim?force=1", 404),
        ("GET", "/v999.0/containers/json", 400),
        ("GET", "/v1.99999999999999999999/containers/json", 400),
        ("GET", "/v1.1/containers/json", 400),
        ("GET", "/v1.44/v1.44/containers/json", 404),
        ("GET", "/V1.44/containers/json", 404),
        ("HEAD", "/containers/victim/kill", 404),
        ("OPTIONS", "/containers/victim/kill", 200),
        ("TRACE", "/containers/json", 404),
        ("post", "/containers/victim/kill", 404),
        ("GET", "/containers/json/", 404),
        ("GET", "/containers/victim/json%00", 404),
        ("GET", "http://elsewhere/containers/json", 200),
    ] {
        let reply = api.send(method, path, "");
        assert_eq!(reply.status, status, "{method} {path}: {}", String::from_utf8_lossy(&reply.body));
    }
    assert_eq!(api.get(&format!("/containers/{id}/json")).json()["State"]["Running"], true);
    let recorded = api.recorded();
    // Each of them is one row; what led nowhere says so.
    assert_eq!(recorded.len(), before + 22);
    assert!(recorded[before..].iter().filter(|e| e.http_status == Some(404)).all(|e| e.error.is_some()));
    assert!(recorded.iter().all(|e| !matches!(e.kind.as_ref(), "ContainerKill" | "ContainerDelete")), "{recorded:?}");
}

#[test]
fn what_follows_a_hijacked_connection_is_input_and_no_request() {
    let api = Api::start();
    api.create("cat", &serde_json::json!({"Image": "busybox", "Cmd": ["cat"], "OpenStdin": true, "StdinOnce": true}));
    let smuggled = "DELETE /containers/cat?force=1 HTTP/1.1\r\nHost: d\r\n\r\n";
    let mut conn = api.connect();
    let attach = "POST /containers/cat/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\
                  Content-Length: 0\r\n\r\n";
    // In one piece with the request, before there is an answer.
    conn.write(format!("{attach}{smuggled}").as_bytes());
    assert!(conn.head().starts_with("HTTP/1.1 101 "));
    assert_eq!(api.post("/containers/cat/start", "").status, 204);
    conn.half_close();
    let back = String::from_utf8_lossy(&conn.drain()).into_owned();
    assert!(back.contains("DELETE /containers/cat?force=1"), "{back}");
    assert_eq!(api.get("/containers/cat/json").status, 200);
    assert!(!kinds(&api).contains(&"ContainerDelete".to_owned()));
}

#[test]
fn pipelined_requests_are_each_recorded() {
    let api = Api::start();
    let one = "GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n";
    let last = "GET /version HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n";
    let text = raw(&api, format!("{one}{one}{last}").as_bytes());
    assert_eq!(answers(&text), 3, "{text}");
    assert_eq!(kinds(&api), ["SystemPing", "SystemPing", "SystemVersion"]);
}

#[test]
fn a_path_of_the_host_is_recorded_by_whatever_field_it_is_asked_for() {
    let api = Api::start();
    let create = |name: &str, host: serde_json::Value| {
        let body = serde_json::json!({"Image": "busybox", "HostConfig": host});
        let status = api.post(&format!("/containers/create?name={name}"), &body.to_string()).status;
        let event = api.recorded().into_iter().rfind(|e| e.kind == "ContainerCreate").unwrap();
        assert_eq!(event.peer_uid, Some(rustix::process::getuid().as_raw()));
        assert_eq!(event.peer_pid, Some(std::process::id()));
        (status, event.host_paths)
    };
    let secret = vec!["/host/secret".to_owned()];
    for (name, host) in [
        ("binds", serde_json::json!({"Binds": ["/host/secret:/a:ro"]})),
        ("mounts", serde_json::json!({"Mounts": [{"Type": "bind", "Source": "/host/secret", "Target": "/a"}]})),
        (
            "both",
            serde_json::json!({"binds": ["/host/secret:/a"], "Mounts": [{"Type": "bind", "Source": "/host/secret", "Target": "/b"}]}),
        ),
        ("devices", serde_json::json!({"Devices": [{"PathOnHost": "/host/secret", "PathInContainer": "/dev/x"}]})),
    ] {
        assert_eq!(create(name, host), (201, secret.clone()), "{name}");
    }
    // Refused, and recorded all the same.
    let twice = serde_json::json!({"Binds": ["/host/secret:/a", "/host/secret:/a"]});
    assert_eq!(create("refused", twice), (400, secret));
}
