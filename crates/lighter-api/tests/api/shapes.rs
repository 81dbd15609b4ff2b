//! Null, empty and absent, and what differs between versions: as a real dockerd 28.5 answered the same requests.

use crate::support::Api;
use serde_json::{Value, json};

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[track_caller]
fn same(what: &Value, wanted: &[(&str, Value)]) {
    for (pointer, value) in wanted {
        assert_eq!(what.pointer(pointer), Some(value), "{pointer}");
    }
}

#[test]
fn inspect_of_a_created_container() {
    let api = Api::start();
    let id = api.create("made", &json!({"Image": "busybox", "Cmd": ["true"], "HostConfig": {"Memory": 67_108_864}}));
    let shown = api.get("/v1.51/containers/made/json").json();
    same(
        &shown,
        &[
            ("/Id", json!(id)),
            ("/Name", json!("/made")),
            ("/Path", json!("true")),
            ("/Args", json!([])),
            ("/State/Status", json!("created")),
            ("/State/Running", json!(false)),
            ("/State/Pid", json!(0)),
            ("/State/StartedAt", json!("0001-01-01T00:00:00Z")),
            ("/State/FinishedAt", json!("0001-01-01T00:00:00Z")),
            ("/ExecIDs", Value::Null),
            ("/Mounts", json!([])),
            ("/Platform", json!("linux")),
            ("/AppArmorProfile", json!("")),
            ("/Config/Cmd", json!(["true"])),
            ("/Config/Entrypoint", Value::Null),
            ("/Config/Volumes", Value::Null),
            ("/Config/OnBuild", Value::Null),
            ("/Config/Labels", json!({})),
            ("/Config/Hostname", json!(&id[..12])),
            ("/Config/Image", json!("busybox")),
            ("/HostConfig/Binds", Value::Null),
            ("/HostConfig/PortBindings", json!({})),
            ("/HostConfig/CapAdd", Value::Null),
            ("/HostConfig/CapDrop", Value::Null),
            ("/HostConfig/VolumesFrom", Value::Null),
            ("/HostConfig/Dns", json!([])),
            ("/HostConfig/DnsOptions", json!([])),
            ("/HostConfig/DnsSearch", json!([])),
            ("/HostConfig/ExtraHosts", Value::Null),
            ("/HostConfig/GroupAdd", Value::Null),
            ("/HostConfig/Links", Value::Null),
            ("/HostConfig/SecurityOpt", Value::Null),
            ("/HostConfig/Devices", json!([])),
            ("/HostConfig/DeviceRequests", Value::Null),
            ("/HostConfig/DeviceCgroupRules", Value::Null),
            ("/HostConfig/BlkioWeightDevice", json!([])),
            ("/HostConfig/Ulimits", json!([])),
            ("/HostConfig/PidsLimit", Value::Null),
            ("/HostConfig/MemorySwappiness", Value::Null),
            ("/HostConfig/ConsoleSize", json!([0, 0])),
            ("/HostConfig/LogConfig", json!({"Type": "json-file", "Config": {}})),
            ("/HostConfig/RestartPolicy", json!({"Name": "no", "MaximumRetryCount": 0})),
            ("/HostConfig/ShmSize", json!(67_108_864)),
            ("/HostConfig/MemorySwap", json!(134_217_728)),
            ("/HostConfig/NetworkMode", json!("bridge")),
            ("/HostConfig/IpcMode", json!("private")),
            ("/HostConfig/Runtime", json!("runc")),
            ("/NetworkSettings/Ports", json!({})),
        ],
    );
    for absent in ["Tmpfs", "Mounts", "Sysctls", "StorageOpt", "Annotations", "Init", "KernelMemory"] {
        assert!(shown["HostConfig"].get(absent).is_none(), "{absent}");
    }
    for absent in ["ExposedPorts", "Healthcheck", "MacAddress", "StopSignal", "StopTimeout", "Shell", "NetworkDisabled"] {
        assert!(shown["Config"].get(absent).is_none(), "{absent}");
    }
    assert!(shown.get("SizeRw").is_none() && shown["State"].get("Health").is_none());
}

#[test]
fn what_was_asked_is_given_back() {
    let api = Api::start();
    let host = json!({
        "Binds": ["/tmp:/a:ro"], "ExtraHosts": ["a:1.2.3.4"], "CapAdd": ["NET_ADMIN"], "SecurityOpt": ["no-new-privileges"],
        "Ulimits": [{"Name": "nofile", "Hard": 20, "Soft": 10}], "Init": true, "Annotations": {"a": "b"}, "Tmpfs": {"/y": ""},
        "Mounts": [{"Type": "tmpfs", "Target": "/z"}], "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
        "NanoCpus": 500_000_000, "ReadonlyRootfs": true, "GroupAdd": ["x"], "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}}
    });
    let asked = json!({
        "Image": "busybox", "Entrypoint": ["/bin/sh", "-c"], "Cmd": ["a b"], "Labels": {"k": "<&>"}, "StopSignal": "SIGINT",
        "StopTimeout": 5, "ExposedPorts": {"80/tcp": {}}, "Healthcheck": {"Test": ["NONE"]}, "HostConfig": host
    });
    api.create("full", &asked);
    let reply = api.get("/containers/full/json");
    assert!(reply.text().contains(r#""k":"<&>""#), "not escaped");
    let shown = reply.json();
    for (key, value) in asked["HostConfig"].as_object().unwrap() {
        assert_eq!(&shown["HostConfig"][key], value, "{key}");
    }
    for key in ["Entrypoint", "Cmd", "Labels", "StopSignal", "StopTimeout", "ExposedPorts", "Healthcheck"] {
        assert_eq!(shown["Config"][key], asked[key], "{key}");
    }
    // What inspect gives can be sent back as it is.
    let mut again = shown["Config"].clone();
    again["HostConfig"] = shown["HostConfig"].clone();
    api.create("copy", &again);
    let copy = api.get("/containers/copy/json").json();
    assert_eq!(copy["HostConfig"], shown["HostConfig"]);
    assert_eq!(copy["Config"], shown["Config"]);
}

#[test]
fn network_settings_lost_their_old_half_with_1_52() {
    let api = Api::start();
    api.running("net");
    let of = |version: &str| api.get(&format!("/{version}/containers/net/json")).json()["NetworkSettings"].clone();
    assert_eq!(keys(&of("v1.52")), ["Networks", "Ports", "SandboxID", "SandboxKey"]);
    let old = of("v1.51");
    for key in ["Bridge", "HairpinMode", "SecondaryIPAddresses", "IPAddress", "Gateway", "MacAddress", "EndpointID"] {
        assert!(old.get(key).is_some(), "{key}");
    }
    assert_eq!(old["SecondaryIPAddresses"], Value::Null);
    let bridge = &old["Networks"]["bridge"];
    assert_eq!(bridge["IPAddress"], old["IPAddress"]);
    same(
        bridge,
        &[
            ("/IPAMConfig", Value::Null),
            ("/Links", Value::Null),
            ("/Aliases", Value::Null),
            ("/DriverOpts", Value::Null),
            ("/DNSNames", Value::Null),
        ],
    );
}

#[test]
fn the_mac_address_is_in_config_before_1_44() {
    let api = Api::start();
    api.create("mac", &json!({"Image": "busybox", "MacAddress": "02:42:ac:11:00:09"}));
    let of = |version: &str| api.get(&format!("/{version}/containers/mac/json")).json()["Config"].get("MacAddress").cloned();
    assert_eq!(of("v1.43"), Some(json!("02:42:ac:11:00:09")));
    assert_eq!(of("v1.44"), None);
}

#[test]
fn rows_of_ps() {
    let api = Api::start();
    assert_eq!(api.get("/containers/json?all=1").text(), "[]\n");
    let id = api.create("one", &json!({"Image": "busybox", "Cmd": ["sh", "-c", "exit 3"], "ExposedPorts": {"80/tcp": {}}}));
    let row = |query: &str| api.get(&format!("/containers/json{query}")).json()[0].clone();
    let made = row("?all=1");
    assert_eq!(made["Status"], "Created");
    same(
        &made,
        &[
            ("/Id", json!(id)),
            ("/Names", json!(["/one"])),
            ("/Image", json!("busybox")),
            ("/Command", json!("sh -c 'exit 3'")),
            ("/Ports", json!([])),
            ("/Labels", json!({})),
            ("/State", json!("created")),
            ("/HostConfig", json!({"NetworkMode": "bridge"})),
            ("/Mounts", json!([])),
        ],
    );
    assert!(made["Created"].is_i64() && made.get("SizeRw").is_none() && made.get("SizeRootFs").is_none());
    api.post("/containers/one/start", "");
    api.post("/containers/one/wait", "");
    let ended = row("?all=1");
    assert_eq!(ended["State"], "exited");
    let status = ended["Status"].as_str().unwrap();
    assert!(status.starts_with("Exited (3) ") && status.ends_with(" ago"), "{status}");
    let second = api.running("two");
    let up = row("");
    assert_eq!(up["Id"], second.as_str());
    assert!(up["Status"].as_str().unwrap().starts_with("Up "));
    api.post("/containers/two/pause", "");
    assert!(row("")["Status"].as_str().unwrap().ends_with(" (Paused)"));
}

#[test]
fn images_by_version() {
    let api = Api::start();
    let list = |v: &str| api.get(&format!("/{v}/images/json")).json()[0].clone();
    assert_eq!(list("v1.51")["Containers"], 0);
    assert_eq!(list("v1.51")["SharedSize"], -1);
    assert_eq!(list("v1.51")["RepoTags"], json!(["busybox:latest"]));
    assert!(list("v1.51").get("VirtualSize").is_none());
    assert_eq!(list("v1.43")["Containers"], -1);
    assert_eq!(list("v1.43")["VirtualSize"], list("v1.43")["Size"]);
    let one = |v: &str| api.get(&format!("/{v}/images/busybox/json")).json();
    let (newest, modern, old) = (one("v1.56"), one("v1.51"), one("v1.43"));
    assert!(newest.get("Parent").is_none() && newest.get("DockerVersion").is_none());
    assert_eq!((&modern["Parent"], &modern["Config"]["Entrypoint"]), (&json!(""), &Value::Null));
    assert!(modern["Config"].get("Hostname").is_none() && modern.get("ContainerConfig").is_none());
    assert_eq!(modern["RootFS"]["Type"], "layers");
    assert_eq!(old["Config"]["Hostname"], "");
    assert!(old.get("ContainerConfig").is_some() && old.get("VirtualSize").is_some());
    assert!(api.get("/images/busybox/history").json().is_array());
    assert_eq!(api.get("/images/nope/json").message(), "No such image: nope:latest");
}

#[test]
fn system_df_by_version() {
    let api = Api::start();
    let df = |path: &str| api.get(path).json();
    assert_eq!(keys(&df("/v1.51/system/df")), ["BuildCache", "Containers", "Images", "LayersSize", "Volumes"]);
    assert_eq!(keys(&df("/v1.56/system/df")), ["BuildCacheUsage", "ContainerUsage", "ImageUsage", "VolumeUsage"]);
    assert_eq!(keys(&df("/v1.51/system/df?type=container")), ["Containers"]);
    assert_eq!(df("/v1.51/system/df")["Containers"], json!([]));
}

#[test]
fn empty_answers() {
    let api = Api::start();
    for (method, path, body) in [
        ("GET", "/volumes", json!({"Volumes": [], "Warnings": null})),
        ("GET", "/plugins", json!([])),
        ("POST", "/containers/prune", json!({"ContainersDeleted": null, "SpaceReclaimed": 0})),
        ("POST", "/images/prune", json!({"ImagesDeleted": null, "SpaceReclaimed": 0})),
        ("POST", "/networks/prune", json!({"NetworksDeleted": null})),
        ("POST", "/volumes/prune", json!({"VolumesDeleted": [], "SpaceReclaimed": 0})),
        ("POST", "/build/prune", json!({"CachesDeleted": null, "SpaceReclaimed": 0})),
    ] {
        assert_eq!(api.send(method, path, "").json(), body, "{path}");
    }
}

#[test]
fn create_warns_with_a_list_and_names_what_exists() {
    let api = Api::start();
    let reply = api.post("/containers/create?name=twice", r#"{"Image":"busybox"}"#);
    let json = reply.json();
    assert_eq!(json["Warnings"], json!([]));
    let id = json["Id"].as_str().unwrap();
    assert_eq!(id.len(), 64);
    let again = api.post("/containers/create?name=twice", r#"{"Image":"busybox"}"#);
    assert_eq!(again.status, 409);
    assert_eq!(
        again.message(),
        format!(
            "Conflict. The container name \"/twice\" is already in use by container \"{id}\". You have to remove (or rename) that container to be able to reuse that name."
        )
    );
}

#[test]
fn nothing_to_do_is_304_without_a_body() {
    let api = Api::start();
    api.running("idem");
    let again = api.post("/containers/idem/start", "");
    assert_eq!((again.status, again.body.as_slice()), (304, &b""[..]));
    api.post("/containers/idem/kill", "");
    api.post("/containers/idem/wait", "");
    assert_eq!(api.post("/containers/idem/stop", "").status, 304);
    let kill = api.post("/containers/idem/kill", "");
    assert_eq!(kill.status, 409);
    assert!(kill.message().starts_with("cannot kill container: idem: ") && kill.message().ends_with("is not running"));
}

#[test]
fn networks_as_dockerd_shows_them() {
    let api = Api::start();
    let id = api.running("on");
    let list = api.get("/networks").json();
    let names: Vec<_> = list.as_array().unwrap().iter().map(|n| n["Name"].as_str().unwrap()).collect();
    for wanted in ["bridge", "host", "none"] {
        assert!(names.contains(&wanted), "{names:?}");
    }
    let bridge = api.get("/networks/bridge").json();
    same(
        &bridge,
        &[
            ("/Scope", json!("local")),
            ("/Driver", json!("bridge")),
            ("/Internal", json!(false)),
            ("/ConfigFrom", json!({"Network": ""})),
            ("/IPAM/Driver", json!("default")),
            ("/IPAM/Options", Value::Null),
            ("/Labels", json!({})),
        ],
    );
    assert_eq!(bridge["Containers"][&id]["Name"], "on");
}

#[test]
fn info_and_version_have_what_tools_read() {
    let api = Api::start();
    let info = api.get("/info").json();
    for key in [
        "ID",
        "NCPU",
        "MemTotal",
        "ServerVersion",
        "OperatingSystem",
        "CgroupDriver",
        "CgroupVersion",
        "Driver",
        "Runtimes",
        "Name",
    ] {
        assert!(!info[key].is_null(), "{key}");
    }
    assert_eq!(info["Swarm"]["LocalNodeState"], "inactive");
    assert!(info["Warnings"].to_string().contains("memory") || !info["Warnings"].is_null());
    let version = api.get("/version").json();
    let major: u32 = version["Version"].as_str().unwrap().split('.').next().unwrap().parse().unwrap();
    assert!(major >= 25);
    assert_eq!(version["Components"][0]["Name"], "Engine");
    assert_eq!(version["Version"], info["ServerVersion"]);
}
