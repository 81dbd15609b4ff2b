//! No request goes unrecorded, and none tells a secret.

use crate::support::{Api, eventually};
use lighter_domain::ShimStatus;
use serde_json::json;

#[test]
fn every_request_is_one_row() {
    let api = Api::start();
    let wanted = [
        ("GET", "/_ping", "SystemPing", 200),
        ("HEAD", "/v1.40/_ping", "SystemPingHead", 200),
        ("GET", "/nothing", "Unknown", 404),
        ("OPTIONS", "/containers/json", "Unknown", 200),
        ("GET", "//x", "Unknown", 301),
        ("GET", "/v1.99/_ping", "Unknown", 400),
        ("POST", "/build", "ImageBuild", 501),
        ("GET", "/nodes", "NodeList", 503),
        ("GET", "/containers/json?filters=x", "ContainerList", 400),
        ("POST", "/containers/nope/start", "ContainerStart", 404),
        ("POST", "/containers/nope/attach", "ContainerAttach", 404),
        ("POST", "/containers/create", "ContainerCreate", 400),
    ];
    for (method, path, ..) in wanted {
        api.send_with(method, path, "User-Agent: tester/1\r\n", b"");
    }
    let recorded = api.recorded();
    assert_eq!(recorded.len(), wanted.len());
    let mut ids = std::collections::HashSet::new();
    for (event, (method, path, kind, status)) in recorded.iter().zip(wanted) {
        assert_eq!((event.method.as_ref(), event.path.as_str(), event.kind.as_ref()), (method, path, kind));
        assert_eq!(event.http_status, Some(status), "{path}");
        assert_eq!(event.status, ShimStatus::of_http(status));
        assert_eq!(event.client.as_deref(), Some("tester/1"));
        assert_eq!(event.error.is_some(), status >= 400, "{path}");
        assert!(event.duration_micros > 0 && ids.insert(&event.request_id));
    }
    assert_eq!(recorded[1].api_version.as_deref(), Some("1.40"));
    assert_eq!(recorded[0].api_version, None);
    assert_eq!(recorded[9].error.as_deref(), Some("No such container: nope"));
}

#[test]
fn a_container_and_its_image_are_named_even_when_the_request_removes_it() {
    let api = Api::start();
    let id = api.running("c1");
    let exec =
        api.post("/containers/c1/exec", r#"{"Cmd":["true"],"AttachStdout":true}"#).json()["Id"].as_str().unwrap().to_owned();
    let mut conn = api.connect();
    conn.hijack(&format!("/exec/{exec}/start"), "{}");
    conn.drain();
    let short = &id[..12];
    api.get(&format!("/containers/{short}/json"));
    api.send("DELETE", "/containers/c1?force=1", "");
    let recorded = api.recorded();
    let kinds: Vec<_> = recorded.iter().map(|e| e.kind.as_ref()).collect();
    assert_eq!(kinds, ["ContainerCreate", "ContainerStart", "ContainerExec", "ExecStart", "ContainerInspect", "ContainerDelete"]);
    for event in &recorded {
        assert_eq!(event.container_id.as_deref(), Some(id.as_str()), "{}", event.kind);
        assert_eq!(event.image.as_deref(), Some("busybox"), "{}", event.kind);
    }
    assert_eq!(recorded[3].http_status, Some(101));
}

#[test]
fn a_change_is_committed_before_its_answer() {
    let api = Api::start();
    for n in 0..20 {
        api.create(&format!("c{n}"), &json!({"Image": "busybox"}));
        assert_eq!(api.committed().len(), n + 1);
    }
}

#[test]
fn what_is_stored_with_its_change_is_recorded_once_and_whole() {
    let api = Api::start();
    let created = r#"{"Image":"busybox","Cmd":["sleep","1000"],"HostConfig":{"Binds":["/srv:/x"],"Devices":[]}}"#;
    let steps = [
        ("POST", "/containers/create?name=c1", created, "ContainerCreate", 201),
        ("POST", "/containers/c1/start", "", "ContainerStart", 204),
        // Nothing is changed by these, and no change is there to be stored with.
        ("POST", "/containers/c1/start", "", "ContainerStart", 304),
        ("POST", "/containers/create?name=c1", created, "ContainerCreate", 409),
        ("POST", "/containers/c1/exec", r#"{"Cmd":["true"]}"#, "ContainerExec", 201),
        ("DELETE", "/containers/c1", "", "ContainerDelete", 409),
        ("DELETE", "/containers/c1?force=1", "", "ContainerDelete", 204),
    ];
    let mut id = None;
    for (n, (method, path, body, _, status)) in steps.into_iter().enumerate() {
        let reply = api.send(method, path, body);
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
        assert_eq!(api.committed().len(), n + 1, "{method} {path}");
        id = id.or_else(|| Some(reply.json()["Id"].as_str().unwrap().to_owned()));
    }
    let recorded = api.recorded();
    assert_eq!(recorded.len(), steps.len());
    for (event, (method, path, _, kind, status)) in recorded.iter().zip(steps) {
        assert_eq!((event.kind.as_ref(), event.http_status), (kind, Some(status)), "{method} {path}");
        assert_eq!(event.status, ShimStatus::of_http(status));
        assert_eq!(event.error.is_some(), status >= 400);
        assert!(event.duration_micros > 0);
        if (kind, status) != ("ContainerCreate", 409) {
            assert_eq!((&event.container_id, event.image.as_deref()), (&id, Some("busybox")), "{method} {path}");
        }
    }
    assert_eq!(recorded[0].host_paths, ["/srv"]);
}

#[test]
fn what_cannot_be_read_as_http_is_recorded_as_malformed() {
    let api = Api::start();
    let mut conn = api.connect();
    conn.write(b"nonsense\r\n\r\n");
    conn.drain();
    eventually("the record of a malformed request", || {
        api.recorded().iter().any(|e| e.kind == "Malformed" && e.http_status == Some(400) && e.error.is_some())
    });
}

#[test]
fn secrets_never_reach_the_record() {
    let api = Api::start();
    let canary = "hunter2-canary";
    api.create("s1", &json!({"Image": "busybox", "Env": [format!("TOKEN={canary}")]}));
    let auth = format!("X-Registry-Auth: {canary}\r\nX-Registry-Config: {canary}\r\n");
    api.send_with("POST", "/images/create?fromImage=x", &auth, b"");
    api.send_with("POST", &format!("/build?buildargs={canary}&remote=http://u:{canary}@h"), &auth, b"");
    api.post("/auth", &json!({"password": canary}).to_string());
    api.post(&format!("/images/create?fromSrc=-&changes=ENV+A={canary}"), "");
    api.post("/containers/s1/exec", &json!({"Cmd": ["x"], "Env": [canary]}).to_string());
    let recorded = api.recorded();
    assert_eq!(recorded.len(), 6);
    for event in recorded {
        assert!(!format!("{event:?}").contains(canary), "{event:?}");
    }
    // The environment is there where `inspect` must find it, and nowhere else; nothing of the rest is in the file at all.
    let other = Api::start();
    other.running("s2");
    let canary = "hunter3-canary";
    let auth = format!("X-Registry-Auth: {canary}\r\nX-Registry-Config: {canary}\r\n");
    other.send_with("POST", &format!("/images/create?fromImage=x&unknown={canary}"), &auth, b"");
    other.send_with("POST", &format!("/build?buildargs={canary}"), &auth, b"");
    other.post("/auth", &json!({"username": canary, "password": canary}).to_string());
    other.post("/containers/s2/exec", &json!({"Cmd": ["true"], "Env": [format!("A={canary}")]}).to_string());
    assert_eq!(other.recorded().len(), 6);
    for file in ["lighter.db", "lighter.db-wal"] {
        let bytes = std::fs::read(other.dir.path().join(file)).unwrap();
        assert!(!bytes.windows(canary.len()).any(|w| w == canary.as_bytes()), "{file}");
    }
}

#[test]
fn names_are_stored_inertly() {
    let api = Api::start();
    api.get("/containers/'%3B%20DROP%20TABLE%20shimEvents%3B--%1b[31m%e2%80%ae/json");
    api.send_with("GET", "/_ping", "User-Agent: \t\u{fc}'\"\r\n", b"");
    let recorded = api.recorded();
    assert_eq!(recorded.len(), 2);
    assert_eq!(recorded[0].path, "/containers/'%3B%20DROP%20TABLE%20shimEvents%3B--%1b[31m%e2%80%ae/json");
}

#[test]
fn many_at_once_are_all_recorded() {
    let api = Api::start();
    std::thread::scope(|s| {
        for _ in 0..8 {
            s.spawn(|| {
                let mut conn = api.connect();
                for _ in 0..250 {
                    conn.request("GET", "/_ping", "", b"");
                    conn.until("\r\n\r\nOK");
                }
            });
        }
    });
    assert_eq!(api.recorded().len(), 2000);
}
