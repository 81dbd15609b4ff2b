//! Sockets with a policy: what they refuse, that it is recorded, and that no trick makes the policy see another request than
//! the handler.

use crate::support::{Api, Reply};
use lighter_api::Policy;
use lighter_api::routes::{Kind, ROUTES};
use serde_json::{Value, json};

fn read_only() -> Policy {
    Policy { read_only: true, ..Policy::default() }
}

fn shop() -> Policy {
    Policy { stack: Some("shop".into()), ..Policy::default() }
}

fn of_shop(extra: &Value) -> Value {
    let mut body = json!({"Image": "busybox", "Cmd": ["sleep", "1000"], "Labels": {"com.docker.compose.project": "shop"}});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

#[track_caller]
fn refused(reply: &Reply, why: &str) {
    assert_eq!(reply.status, 403, "{}", reply.text());
    assert!(reply.message().contains(why), "{}", reply.message());
}

#[test]
fn reading_changes_nothing() {
    let mut api = Api::start();
    let id = api.running("web");
    let main = api.switch(&api.policy_socket(read_only()));
    for path in ["/_ping", "/version", "/info", "/containers/json", "/containers/web/json", "/images/json", "/lighter/v1/events"]
    {
        assert_eq!(api.get(path).status, 200, "{path}");
    }
    for (method, path) in
        [("POST", "/containers/web/stop"), ("DELETE", "/containers/web?force=1"), ("POST", "/lighter/v1/gc?keepDuration=1h")]
    {
        refused(&api.send(method, path, ""), "this socket is read-only");
    }
    refused(&api.post("/containers/create", &json!({"Image": "busybox"}).to_string()), "ContainerCreate is not allowed");
    refused(&api.post("/containers/web/attach?stream=1&stdin=1", ""), "ContainerAttach is not allowed");
    refused(&api.post("/containers/web/exec", &json!({"Cmd": ["true"]}).to_string()), "ContainerExec is not allowed");
    api.switch(&main);
    assert_eq!(api.get("/containers/web/json").json()["State"]["Running"], true);
    let events = api.get("/lighter/v1/events?status=refused&container=web").json();
    let kinds: Vec<_> = events["items"].as_array().unwrap().iter().map(|e| e["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["ContainerExec", "ContainerAttach", "ContainerDelete", "ContainerStop"], "the refused are recorded");
    assert_eq!(events["items"][0]["containerId"], json!(id));
}

/// Whoever adds a route that reads by another method than GET must say here that it does.
#[test]
fn what_counts_as_reading_is_known() {
    let odd: Vec<&str> = ROUTES
        .iter()
        .filter(|r| matches!(r.kind, Kind::Read(_)) && r.method != "GET" && r.method != "HEAD")
        .map(|r| r.operation)
        .collect();
    assert_eq!(odd, ["SystemAuth", "ContainerWait", "CheckpointCreate", "CheckpointDelete"]);
}

#[test]
fn operations_are_those_of_the_list() {
    let mut api = Api::start();
    api.running("web");
    let some = ["ContainerList", "ContainerRestart"].map(str::to_owned).into();
    api.switch(&api.policy_socket(Policy { operations: Some(some), ..Policy::default() }));
    assert_eq!(api.get("/_ping").status, 200);
    assert_eq!(api.get("/v1.45/containers/json").status, 200);
    assert_eq!(api.post("/containers/web/restart?t=0", "").status, 204);
    refused(&api.get("/containers/web/json"), "this socket does not allow ContainerInspect");
    refused(&api.get("/info"), "SystemInfo");
    // Another spelling of a path is no other route: it is sent back, or it is none.
    assert_eq!(api.get("//v1.40/../containers/web/json").status, 301);
    assert_eq!(api.get("/containers%2Fweb/json").status, 404);
}

#[test]
fn a_stack_is_alone_on_its_socket() {
    let mut api = Api::start();
    let mine = api.create("mine", &of_shop(&json!({})));
    api.create("other", &json!({"Image": "busybox", "Cmd": ["sleep", "1000"]}));
    api.post("/containers/other/start", "");
    let exec =
        api.post("/containers/other/exec", &json!({"Cmd": ["true"]}).to_string()).json()["Id"].as_str().unwrap().to_owned();
    api.switch(&api.policy_socket(shop()));
    assert_eq!(api.post("/containers/mine/start", "").status, 204);
    let listed = |query: &str| -> Vec<String> {
        let all = api.get(&format!("/containers/json?all=1{query}")).json();
        all.as_array().unwrap().iter().map(|c| c["Id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(listed(""), [mine.as_str()]);
    assert_eq!(listed("&filters=%7B%22name%22%3A%5B%22other%22%5D%7D"), [""; 0]);
    assert_eq!(listed("&filters=%7B%22label%22%3A%5B%22none%22%5D%7D&filters=%7B%7D"), [""; 0], "the first counts");
    for (method, path) in [
        ("GET", "/containers/other/json"),
        ("GET", "/containers/never-was/json"),
        ("POST", "/containers/other/stop"),
        ("GET", "/containers/other/logs?stdout=1"),
        ("POST", &format!("/exec/{exec}/start")),
        ("GET", &format!("/exec/{exec}/json")),
        ("GET", "/images/json"),
        ("GET", "/events"),
        ("GET", "/info"),
        ("POST", "/commit?container=mine"),
        ("POST", "/containers/prune"),
        ("GET", "/lighter/v1/store/backup"),
        ("GET", "/networks"),
        ("POST", "/containers/mine/update"),
    ] {
        refused(&api.send(method, path, ""), "this socket is for the stack shop");
    }
    let plain = json!({"Cmd": ["true"]});
    assert_eq!(api.post("/containers/mine/exec", &plain.to_string()).status, 201);
    refused(&api.post("/containers/mine/exec", r#"{"Cmd": ["true"], "Privileged": true}"#), "must not be privileged");
    // As the decoder reads it: keys in another case, the last of two.
    refused(
        &api.post("/containers/mine/exec", r#"{"Cmd": ["true"], "privileged": false, "PRIVILEGED": true}"#),
        "must not be privileged",
    );
}

#[test]
fn what_a_stack_makes_stays_within_it() {
    let mut api = Api::start();
    let main = api.switch(&api.policy_socket(shop()));
    let make = |body: &Value| api.post("/containers/create", &body.to_string());
    refused(&make(&json!({"Image": "busybox"})), "needs the label com.docker.compose.project=shop");
    refused(&make(&json!({"Image": "busybox", "Labels": {"com.docker.compose.project": "bank"}})), "needs the label");
    let fine = json!({"HostConfig": {"Memory": 67_108_864, "NetworkMode": "none", "RestartPolicy": {"Name": "always"},
        "PortBindings": {}, "Tmpfs": {"/tmp": ""}, "CapDrop": ["ALL"], "ShmSize": 1_048_576}});
    assert_eq!(make(&of_shop(&fine)).status, 201);
    // The same path of the host, whichever way it is asked for.
    for host_config in [
        json!({"Binds": ["/etc:/x"]}),
        json!({"Mounts": [{"Type": "bind", "Source": "/etc", "Target": "/x"}]}),
        json!({"Mounts": [{"Type": "volume", "Source": "v", "Target": "/x",
            "VolumeOptions": {"DriverConfig": {"Name": "local", "Options": {"type": "none", "o": "bind", "device": "/etc"}}}}]}),
        json!({"VolumesFrom": ["other"]}),
        json!({"Privileged": true}),
        json!({"CapAdd": ["SYS_ADMIN"]}),
        json!({"PidMode": "host"}),
        json!({"IpcMode": "container:other"}),
        json!({"UTSMode": "host"}),
        json!({"NetworkMode": "host"}),
        json!({"NetworkMode": "container:other"}),
        json!({"Devices": [{"PathOnHost": "/dev/sda", "PathInContainer": "/dev/sda", "CgroupPermissions": "rwm"}]}),
        json!({"DeviceCgroupRules": ["a *:* rwm"]}),
        json!({"SecurityOpt": ["seccomp=unconfined"]}),
        json!({"Sysctls": {"kernel.msgmax": "1"}}),
        json!({"CgroupParent": "/"}),
        json!({"UsernsMode": "host"}),
        json!({"MaskedPaths": []}),
        json!({"LogConfig": {"Type": "syslog", "Config": {"syslog-address": "udp://10.0.0.1:514"}}}),
    ] {
        refused(&make(&of_shop(&json!({"HostConfig": host_config}))), "must not have");
    }
    let endpoint = json!({"NetworkingConfig": {"EndpointsConfig": {"other": {}}}});
    refused(&make(&of_shop(&endpoint)), "join the default network or none");
    // The body that is judged is the one that is used.
    let twice = r#"{"Image": "busybox", "Labels": {"com.docker.compose.project": "shop"}, "HostConfig": {}, "hostconfig": {"Binds": ["/etc:/x"]}}"#;
    refused(&api.post("/containers/create", twice), "paths of the host");
    let huge =
        format!(r#"{{"Image": "busybox", "Labels": {{"com.docker.compose.project": "shop", "x": "{}"}}}}"#, "y".repeat(5 << 20));
    assert_eq!(api.post("/containers/create", &huge).status, 413);
    api.switch(&main);
    let events = api.get("/lighter/v1/events?status=refused&kind=ContainerCreate").json();
    let paths: usize = events["items"].as_array().unwrap().iter().filter(|e| e["hostPaths"] == json!(["/etc"])).count();
    assert_eq!(paths, 4, "the path that was asked for is recorded whichever way it was");
}
