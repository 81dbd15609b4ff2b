//! What clients should not send: each gets Docker's status and words, and the daemon goes on.

use crate::support::Api;
use serde_json::json;

const JSON: &str = "Content-Type: application/json\r\n";

#[test]
fn bodies_are_refused_in_dockerds_words() {
    let api = Api::start();
    let create = |body: &str| {
        let reply = api.send_with("POST", "/containers/create", JSON, body.as_bytes());
        (reply.status, reply.message())
    };
    for (body, words) in [
        ("", "invalid JSON: got EOF while reading request body"),
        ("{", "invalid JSON: unexpected EOF"),
        ("x", "invalid JSON: invalid character 'x' looking for beginning of value"),
        ("{}x", "unexpected content after JSON"),
        (r#"{"Image":"busybox"}{"Image":"other"}"#, "unexpected content after JSON"),
        ("{}", "config cannot be empty in order to create a container"),
        ("null", "config cannot be empty in order to create a container"),
        ("[]", "invalid JSON: json: cannot unmarshal array into Go value of type container.CreateRequest"),
        (r#"{"Image":5}"#, "invalid JSON: json: cannot unmarshal number into Go struct field .Image of type string"),
        (
            r#"{"Image":"busybox","HostConfig":{"Memory":"x"}}"#,
            "invalid JSON: json: cannot unmarshal string into Go struct field .HostConfig.Memory of type int64",
        ),
        (
            r#"{"Image":"busybox","HostConfig":{"RestartPolicy":{"Name":"foo"}}}"#,
            "invalid restart policy: unknown policy 'foo'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'",
        ),
        (
            r#"{"Image":"busybox","HostConfig":{"Mounts":[{"Type":"foo","Target":"/x"}]}}"#,
            "invalid mount config for type \"foo\": mount type unknown",
        ),
    ] {
        assert_eq!(create(body), (400, words.to_owned()), "{body}");
    }
    assert_eq!(create(r#"{"Image":"nope"}"#), (404, "No such image: nope:latest".to_owned()));
    assert_eq!(api.get("/containers/json?all=1").json(), json!([]));
}

#[test]
fn a_body_must_be_declared_as_json() {
    let api = Api::start();
    let create = |kind: &str| api.send_with("POST", "/containers/create", kind, b"{}").message();
    assert_eq!(create(""), "malformed Content-Type header (): mime: no media type");
    assert_eq!(
        create("Content-Type: text/plain\r\n"),
        "unsupported Content-Type header (text/plain): must be 'application/json'"
    );
    assert_eq!(
        create("Content-Type: application/json; foo\r\n"),
        "malformed Content-Type header (application/json; foo): mime: invalid media parameter"
    );
    assert!(create("Content-Type: application/json; charset=utf-8\r\n").contains("config cannot be empty"));
}

#[test]
fn what_dockerd_accepts_is_accepted() {
    let api = Api::start();
    api.create(
        "lenient",
        &json!({
            "image": "busybox", "cmd": "true", "Nonsense": {"a": [1]}, "Env": null, "Labels": null, "Entrypoint": null,
            "hostconfig": {"Binds": null, "PortBindings": null, "Devices": null, "LogConfig": null, "Unknown": 1},
            "NetworkingConfig": {"EndpointsConfig": null}
        }),
    );
    let shown = api.get("/containers/lenient/json").json();
    assert_eq!(shown["Config"]["Cmd"], json!(["true"]));
    assert_eq!(shown["HostConfig"]["LogConfig"]["Type"], "json-file");
}

#[test]
fn queries_are_refused_in_dockerds_words() {
    let api = Api::start();
    for (method, path, status, words) in [
        ("GET", "/containers/json?limit=abc", 400, r#"strconv.Atoi: parsing "abc": invalid syntax"#),
        ("GET", "/containers/json?filters=abc", 400, "invalid filter"),
        ("GET", "/containers/json?filters=%7B%22foo%22:[%22a%22]%7D", 400, "invalid filter 'foo'"),
        ("GET", "/events?since=abc", 400, r#"strconv.ParseInt: parsing "abc": invalid syntax"#),
        ("GET", "/events?since=10&until=5", 400, "`since` time (10) cannot be after `until` time (5)"),
        ("POST", "/containers/nope/wait?condition=foo", 400, r#"invalid condition: "foo""#),
        ("POST", "/containers/nope/resize?h=a&w=1", 400, r#"invalid resize height "a": invalid syntax"#),
        ("POST", "/exec/nope/resize?h=1", 400, r#"invalid resize width "": invalid syntax"#),
        ("GET", "/containers/nope/json", 404, "No such container: nope"),
        ("DELETE", "/containers/nope", 404, "No such container: nope"),
        ("POST", "/containers/nope/start", 404, "No such container: nope"),
        ("POST", "/containers/nope/wait", 404, "No such container: nope"),
        ("POST", "/containers/nope/attach", 404, "No such container: nope"),
        ("GET", "/exec/nope/json", 404, "No such exec instance: nope"),
        ("POST", "/exec/nope/start", 404, "No such exec instance: nope"),
        ("GET", "/networks/nope", 404, "network nope not found"),
        ("DELETE", "/networks/bridge", 403, "bridge is a pre-defined network and cannot be removed"),
        ("GET", "/volumes/nope", 404, "get nope: no such volume"),
        ("DELETE", "/volumes/nope", 404, "get nope: no such volume"),
    ] {
        let reply = api.send(method, path, "");
        assert_eq!((reply.status, reply.message().as_str()), (status, words), "{method} {path}");
    }
}

#[test]
fn the_bounds_hold() {
    let api = Api::start();
    let huge = vec![b' '; (4 << 20) + 1];
    assert_eq!(api.send_with("POST", "/containers/create", JSON, &huge).status, 413);
    assert_eq!(api.get(&format!("/images/{}/json", "a/".repeat(5000) + "b")).status, 414);
    let header = format!("X-Big: {}\r\n", "x".repeat(300 << 10));
    let mut conn = api.connect();
    // The daemon answers before it has read it all, so that writing may fail.
    let big = format!("GET /_ping HTTP/1.1\r\nHost: d\r\n{header}\r\n");
    conn.write_what_is_taken(big.as_bytes());
    assert!(conn.head().starts_with("HTTP/1.1 431"));
    let deep = format!("{{\"Image\":\"busybox\",\"X\":{}", "[".repeat(200_000));
    assert_eq!(api.post("/containers/create", &deep).status, 400);
    assert_eq!(api.get("/_ping").status, 200);
}

#[test]
fn what_is_no_http_is_refused() {
    let api = Api::start();
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"hello\r\n\r\n",
        b"GET /\x01 HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut conn = api.connect();
        conn.write(bytes);
        let answer = conn.drain();
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{:?}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(api.get("/_ping").status, 200);
}

#[test]
fn conflicting_lengths_smuggle_nothing() {
    let api = Api::start();
    let mut conn = api.connect();
    let inner = "GET /version HTTP/1.1\r\nHost: d\r\n\r\n";
    conn.write(
        format!("POST /containers/nope/start HTTP/1.1\r\nHost: d\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n{inner}").as_bytes(),
    );
    let all = String::from_utf8(conn.drain()).unwrap();
    assert_eq!(all.matches("HTTP/1.1 ").count(), 1, "{all}");
}
