//! `docker inspect`: every field a client reads, and null / empty / absent as
//! dockerd has them.

use docker_compat_tests::Scope;
use serde_json::{Value, json};

#[test]
fn a_plain_container() {
    let t = Scope::new();
    let name = t.name("plain");
    let id = t.docker(&["create", "--name", &name, "busybox", "echo", "a", "b"]).ok().to_owned();
    let shown = t.inspect(&id);
    assert_eq!(shown["Id"], id.as_str());
    assert_eq!(shown["Name"], format!("/{name}"));
    assert_eq!(shown["Path"], "echo");
    assert_eq!(shown["Args"], json!(["a", "b"]));
    assert_eq!(shown["Image"].as_str().map(str::len), Some(71));
    assert_eq!(shown["RestartCount"], 0);
    assert_eq!(shown["Platform"], "linux");
    assert_eq!(shown["AppArmorProfile"], "");
    assert_eq!(shown["MountLabel"], "");
    assert_eq!(shown["ProcessLabel"], "");
    assert_eq!(shown["ExecIDs"], Value::Null);
    assert_eq!(shown["Mounts"], json!([]));
    assert!(shown["Driver"].is_string());
    let created = shown["Created"].as_str().unwrap();
    assert!(created.ends_with('Z') && created.len() >= 28 && created.contains('.'), "RFC 3339 with fractions: {created}");
    let state = shown["State"].as_object().unwrap();
    for key in
        ["Status", "Running", "Paused", "Restarting", "OOMKilled", "Dead", "Pid", "ExitCode", "Error", "StartedAt", "FinishedAt"]
    {
        assert!(state.contains_key(key), "State.{key}");
    }
    assert!(!state.contains_key("Health"), "no health check, no Health");
}

#[test]
fn config_fields() {
    let t = Scope::new();
    let id = t.docker(&["create", "busybox"]).ok().to_owned();
    let config = t.inspect(&id)["Config"].clone();
    assert_eq!(config["Image"], "busybox");
    assert_eq!(config["Cmd"], json!(["sh"]));
    assert_eq!(config["Entrypoint"], Value::Null);
    assert_eq!(config["Volumes"], Value::Null);
    assert_eq!(config["OnBuild"], Value::Null);
    assert_eq!(config["User"], "");
    assert_eq!(config["WorkingDir"], "");
    assert_eq!(config["Domainname"], "");
    assert_eq!(config["Hostname"], id[..12]);
    assert_eq!(config["Env"], json!(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]));
    for (key, value) in [
        ("AttachStdin", false),
        ("AttachStdout", true),
        ("AttachStderr", true),
        ("Tty", false),
        ("OpenStdin", false),
        ("StdinOnce", false),
    ] {
        assert_eq!(config[key], value, "{key}");
    }
    assert!(config.get("ExposedPorts").is_none() && config.get("Healthcheck").is_none(), "{config}");
}

#[test]
fn host_config_fields() {
    let t = Scope::new();
    let id = t.docker(&["create", "busybox"]).ok().to_owned();
    let host = t.inspect(&id)["HostConfig"].clone();
    let null = [
        "Binds",
        "CapAdd",
        "CapDrop",
        "GroupAdd",
        "SecurityOpt",
        "VolumesFrom",
        "ExtraHosts",
        "Links",
        "DeviceRequests",
        "DeviceCgroupRules",
    ];
    for key in null {
        assert_eq!(host[key], Value::Null, "{key}");
        assert!(host.get(key).is_some(), "{key} is there and null");
    }
    for key in ["Dns", "DnsOptions", "DnsSearch", "Devices", "Ulimits", "BlkioWeightDevice"] {
        assert!(host[key] == json!([]) || host[key].is_null(), "{key}: {}", host[key]);
    }
    for key in [
        "Memory",
        "MemorySwap",
        "MemoryReservation",
        "NanoCpus",
        "CpuShares",
        "CpuPeriod",
        "CpuQuota",
        "BlkioWeight",
        "OomScoreAdj",
    ] {
        assert_eq!(host[key], 0, "{key}");
    }
    for key in [
        "CpusetCpus",
        "CpusetMems",
        "ContainerIDFile",
        "UTSMode",
        "UsernsMode",
        "Cgroup",
        "PidMode",
        "CgroupParent",
        "VolumeDriver",
        "Isolation",
    ] {
        assert_eq!(host[key], "", "{key}");
    }
    for key in ["Privileged", "ReadonlyRootfs", "AutoRemove", "PublishAllPorts"] {
        assert_eq!(host[key], false, "{key}");
    }
    assert_eq!(host["ShmSize"], 67_108_864);
    assert_eq!(host["IpcMode"], "private");
    assert_eq!(host["CgroupnsMode"].as_str().map(|m| m == "host" || m == "private"), Some(true));
    assert_eq!(host["NetworkMode"].as_str().map(|m| m == "bridge" || m == "default"), Some(true));
    assert_eq!(host["RestartPolicy"], json!({"Name": "no", "MaximumRetryCount": 0}));
    assert_eq!(host["LogConfig"], json!({"Type": "json-file", "Config": {}}));
    assert_eq!(host["PortBindings"], json!({}));
    assert_eq!(host["ConsoleSize"].as_array().map(Vec::len), Some(2));
    assert_eq!(host["PidsLimit"], Value::Null);
    assert!(!host["OomKillDisable"].as_bool().unwrap_or(false));
    assert_eq!(host["Runtime"], "runc");
    assert_eq!(host["MaskedPaths"][1], json!("/proc/acpi"));
    assert!(host["MaskedPaths"].as_array().unwrap().contains(&json!("/proc/kcore")));
    assert_eq!(host["ReadonlyPaths"], json!(["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]));
    assert!(host.get("Init").is_none(), "absent unless asked for");
}

#[test]
fn network_settings_of_a_created_container() {
    let t = Scope::new();
    let id = t.docker(&["create", "--network", "none", "busybox"]).ok().to_owned();
    let net = t.inspect(&id)["NetworkSettings"].clone();
    assert_eq!(net["SandboxID"], "");
    assert_eq!(net["Ports"], json!({}));
    let none = &net["Networks"]["none"];
    for key in ["IPAMConfig", "Links", "Aliases", "DriverOpts", "DNSNames"] {
        assert!(none.get(key).is_some() && none[key].is_null(), "{key}: {none}");
    }
    for key in ["IPAddress", "Gateway", "MacAddress", "EndpointID", "IPv6Gateway", "GlobalIPv6Address"] {
        assert_eq!(none[key], "", "{key}");
    }
    assert_eq!(none["IPPrefixLen"], 0);
}

#[test]
fn paths_of_a_started_container() {
    let t = Scope::new();
    let id = t.sleeper(&[]);
    let shown = t.inspect(&id);
    for (key, end) in
        [("ResolvConfPath", "resolv.conf"), ("HostnamePath", "hostname"), ("HostsPath", "hosts"), ("LogPath", "-json.log")]
    {
        let path = shown[key].as_str().unwrap();
        assert!(path.ends_with(end) && std::path::Path::new(path).exists(), "{key}: {path}");
    }
    assert_eq!(std::fs::read_to_string(shown["HostnamePath"].as_str().unwrap()).unwrap().trim(), &id[..12]);
}

#[test]
fn create_from_what_inspect_shows() {
    let t = Scope::new();
    // Tools that replace containers do this; nothing may be lost on the way.
    let id = t
        .docker(&[
            "create",
            "-e",
            "A=1",
            "-u",
            "app",
            "-w",
            "/tmp",
            "-m",
            "64m",
            "--cap-drop",
            "CHOWN",
            "--tmpfs",
            "/t",
            "--read-only",
            "--init",
            "--restart",
            "on-failure:2",
            "-v",
            "/tmp:/data:ro",
            "--ulimit",
            "nofile=99",
            "--dns",
            "10.1.1.1",
            "--network",
            "none",
            "--stop-signal",
            "USR1",
            "busybox",
            "sh",
            "-c",
            "true",
        ])
        .ok()
        .to_owned();
    let first = t.inspect(&id);
    let mut body = first["Config"].clone();
    body["HostConfig"] = first["HostConfig"].clone();
    body["NetworkingConfig"] = json!({"EndpointsConfig": first["NetworkSettings"]["Networks"]});
    let answer = t.daemon.http("POST", "/containers/create", Some(&body.to_string()));
    assert_eq!(answer.status, 201, "{}", answer.text());
    let second = t.inspect(answer.json()["Id"].as_str().unwrap());
    assert_eq!(first["HostConfig"], second["HostConfig"]);
    assert_eq!(first["Config"], second["Config"]);
}

#[test]
fn the_clis_inspect() {
    let t = Scope::new();
    let name = t.name("fmt");
    let id = t.docker(&["create", "--name", &name, "-l", "a=b", "busybox"]).ok().to_owned();
    assert_eq!(
        t.docker(&["inspect", "-f", "{{.Id}} {{.Name}} {{index .Config.Labels \"a\"}}", &name]).ok(),
        format!("{id} /{name} b")
    );
    assert_eq!(t.docker(&["inspect", "--type", "container", &name]).json()[0]["Id"], id.as_str());
    assert!(t.docker(&["inspect", "-s", &name]).json()[0]["SizeRootFs"].as_i64().unwrap() > 1_000_000);
    assert!(t.docker(&["inspect", &name]).json()[0].get("SizeRw").is_none());
    let out = t.docker(&["inspect", "no-such-thing"]);
    assert_eq!(out.fails(1), "Error: No such object: no-such-thing");
    assert_eq!(out.stdout, "[]\n");
    let out = t.docker(&["inspect", "--type", "container", "no-such-thing"]);
    assert!(out.fails(1).contains("No such container: no-such-thing"), "{}", out.stderr);
    assert_eq!(t.docker(&["inspect", "busybox"]).json()[0]["RepoTags"], json!(["busybox:latest"]));
}

#[test]
fn a_command_given_as_text_is_a_list() {
    let t = Scope::new();
    let body = format!(r#"{{"Image":"busybox","Cmd":"one two","Labels":{{"lighter.compat":"{}"}}}}"#, t.mark);
    let answer = t.daemon.http("POST", "/containers/create", Some(&body));
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(t.inspect(answer.json()["Id"].as_str().unwrap())["Config"]["Cmd"], json!(["one two"]));
}

#[test]
fn html_characters_are_not_escaped() {
    let t = Scope::new();
    let id = t.docker(&["create", "-e", "X=<a>&'b'", "busybox"]).ok().to_owned();
    let text = t.daemon.http("GET", &format!("/containers/{id}/json"), None).text();
    assert!(text.contains("X=<a>&'b'"), "{text}");
}
