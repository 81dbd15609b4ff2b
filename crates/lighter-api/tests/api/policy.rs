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
        ("GET", "/info"),
        ("POST", "/commit?container=mine"),
        ("POST", "/containers/prune"),
        ("GET", "/lighter/v1/store/backup"),
        ("POST", "/networks/prune"),
        ("POST", "/volumes/prune"),
        ("POST", "/images/create?fromImage=busybox"),
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
    refused(&make(&of_shop(&endpoint)), "another network than the default and its own");
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

#[test]
fn a_stack_has_networks_and_volumes_of_its_own_and_sees_no_others() {
    let mut api = Api::start();
    let own = json!({"com.docker.compose.project": "shop"});
    api.post("/networks/create", &json!({"Name": "bank_default"}).to_string());
    api.post("/volumes/create", &json!({"Name": "bank_data"}).to_string());
    api.post("/volumes/create", &json!({"Name": "shop_old", "Labels": {"com.docker.compose.project": "bank"}}).to_string());
    api.create("other", &json!({"Image": "busybox", "Volumes": {"/v": {}}}));
    let anonymous = api.get("/containers/other/json").json()["Mounts"][0]["Name"].as_str().unwrap().to_owned();
    let main = api.switch(&api.policy_socket(shop()));
    let post = |path: &str, body: Value| api.post(path, &body.to_string());

    let network = post("/networks/create", json!({"Name": "shop_back", "Labels": own, "Internal": true}));
    assert_eq!(network.status, 201, "{}", network.text());
    for (body, why) in [
        (json!({"Name": "shop_x"}), "a network needs the label"),
        (json!({"Name": "bank_x", "Labels": own}), "begins with shop_"),
        (json!({"Name": "shop", "Labels": own}), "begins with shop_"),
        (json!({"Name": "shop_x", "Labels": own, "Driver": "macvlan"}), "another driver"),
        (json!({"Name": "shop_x", "Labels": own, "IPAM": {"Config": [{"Subnet": "8.8.8.0/24"}]}}), "addresses of its choice"),
        (json!({"Name": "shop_x", "Labels": own, "Options": {"com.docker.network.bridge.name": "eth0"}}), "options that reach"),
        (json!({"Name": "shop_x", "Labels": own, "ConfigOnly": true}), "a wider scope"),
    ] {
        refused(&post("/networks/create", body), why);
    }
    let volume = json!({"Name": "shop_data", "Labels": own});
    assert_eq!(post("/volumes/create", volume.clone()).status, 201);
    assert_eq!(post("/volumes/create", volume).status, 201, "its own may be there");
    for (body, why) in [
        (json!({"Name": "shop_x"}), "a volume needs the label"),
        (json!({"Name": "bank_data", "Labels": own}), "begins with shop_"),
        (json!({"Name": "shop_old", "Labels": own}), "is another's"),
        (
            json!({"Name": "shop_x", "Labels": own, "DriverOpts": {"type": "none", "o": "bind", "device": "/etc"}}),
            "options of it",
        ),
    ] {
        refused(&post("/volumes/create", body), why);
    }

    let names = |path: &str, list: &str| -> Vec<String> {
        let told = api.get(path).json();
        let all = if list.is_empty() { &told } else { &told[list] };
        all.as_array().unwrap().iter().map(|one| one["Name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("/networks", ""), ["shop_back"]);
    assert_eq!(names("/volumes", "Volumes"), ["shop_data"]);
    assert_eq!((api.get("/networks/shop_back").status, api.get("/volumes/shop_data").status), (200, 200));
    // What is another's and what is nobody's are one answer: clients go on from it and make their own.
    for path in ["/networks/bank_default", "/networks/none-such", "/networks/bridge", "/volumes/bank_data", "/volumes/none-such"]
    {
        for method in ["GET", "DELETE"] {
            let hidden = api.send(method, path, "");
            assert_eq!(hidden.status, 404, "{method} {path}");
            assert!(hidden.message().ends_with("not found: this socket is for the stack shop"), "{}", hidden.message());
        }
    }

    let make = |extra: &Value| post("/containers/create", of_shop(extra));
    let fine = json!({
        "HostConfig": {"NetworkMode": "shop_back", "Binds": ["shop_data:/d:ro"], "Mounts": [
            {"Type": "volume", "Source": "shop_data", "Target": "/e"}, {"Type": "volume", "Target": "/f"}, {"Type": "tmpfs", "Target": "/g"}]},
        "Volumes": {"/h": {}}, "NetworkingConfig": {"EndpointsConfig": {"shop_back": {"Aliases": ["web"]}}}
    });
    let made = make(&fine);
    assert_eq!(made.status, 201, "{}", made.text());
    let id = made.json()["Id"].as_str().unwrap().to_owned();
    // Compose gives a service's next container the volumes that its last one had.
    let mounts = api.get(&format!("/containers/{id}/json")).json()["Mounts"].as_array().unwrap().clone();
    let nameless = mounts.iter().find(|m| m["Destination"] == "/h").unwrap()["Name"].as_str().unwrap().to_owned();
    assert_eq!(make(&json!({"HostConfig": {"Binds": [format!("{nameless}:/h")]}})).status, 201);
    // What is in images is no secret.
    let image = json!({"HostConfig": {"Mounts": [{"Type": "image", "Source": "busybox", "Target": "/i"}]}});
    assert_eq!(make(&image).status, 201);
    for (host, why) in [
        (json!({"Binds": ["bank_data:/d"]}), "bank_data is no volume of it"),
        (json!({"Binds": ["new-one:/d"]}), "new-one is no volume of it: make it first"),
        (json!({"Binds": [format!("{anonymous}:/d")]}), "is no volume of it"),
        (json!({"Mounts": [{"Type": "volume", "Source": "shop_old", "Target": "/d"}]}), "shop_old is no volume of it"),
        (json!({"NetworkMode": "bank_default"}), "another network"),
        (json!({"Binds": ["/etc:/d"]}), "paths of the host"),
    ] {
        refused(&make(&json!({"HostConfig": host})), why);
    }
    let linked = json!({"NetworkingConfig": {"EndpointsConfig": {"shop_back": {"Links": ["other:o"]}}}});
    refused(&make(&linked), "must not have links");

    let connect = |network: &str, container: &str| post(&format!("/networks/{network}/connect"), json!({"Container": container}));
    let second = make(&json!({})).json()["Id"].as_str().unwrap().to_owned();
    assert_eq!(connect("shop_back", &second).status, 200);
    assert_eq!(connect("bank_default", &second).status, 404);
    refused(&connect("shop_back", "other"), "other is not of it");
    refused(&post("/networks/shop_back/disconnect", json!({"Container": "other", "Force": true})), "other is not of it");
    assert_eq!(post("/networks/shop_back/disconnect", json!({"Container": second})).status, 200);
    assert_eq!(api.send("DELETE", &format!("/containers/{id}?v=1"), "").status, 204);
    assert_eq!(api.send("DELETE", "/volumes/shop_data", "").status, 204);
    assert_eq!(api.send("DELETE", "/networks/shop_back", "").status, 204);
    let told = api.get(&format!("/events?since=1&until={}", time::OffsetDateTime::now_utc().unix_timestamp() + 1)).text();
    assert!(told.contains(&id) && told.lines().all(|line| line.contains("\"com.docker.compose.project\":\"shop\"")), "{told}");
    api.switch(&main);
    assert_eq!(api.get("/volumes/bank_data").status, 200);
}
