//! version, info, ping, system df, and the negotiation of versions.

use docker_compat_tests::{Daemon, Scope, http};
use serde_json::json;

#[test]
fn ping_get_and_head() {
    let t = Scope::new();
    for path in ["/_ping", "/v1.44/_ping", "/v1.24/_ping"] {
        let get = t.daemon.http("GET", path, None);
        assert_eq!((get.status, get.text().as_str()), (200, "OK"));
        let head = t.daemon.http("HEAD", path, None);
        assert_eq!((head.status, head.text().as_str()), (200, ""));
        for answer in [&get, &head] {
            assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
            assert_eq!(answer.header("ostype"), Some("linux"));
            assert_eq!(answer.header("docker-experimental"), Some("false"));
            assert_eq!(answer.header("swarm"), Some("inactive"));
            assert_eq!(answer.header("cache-control"), Some("no-cache, no-store, must-revalidate"));
            assert_eq!(answer.header("pragma"), Some("no-cache"));
            assert!(answer.header("api-version").is_some_and(|v| v.starts_with("1.")));
            assert!(answer.header("server").is_some());
        }
        assert_eq!(head.header("content-length"), Some("0"));
    }
}

#[test]
fn every_answer_names_the_version() {
    let t = Scope::new();
    for path in ["/version", "/containers/json", "/containers/no-such/json"] {
        let answer = t.daemon.http("GET", path, None);
        assert!(answer.header("api-version").is_some(), "{path}");
        assert!(answer.header("server").is_some(), "{path}");
        assert_eq!(answer.header("ostype"), Some("linux"), "{path}");
    }
}

#[test]
fn versions_from_1_24_to_the_newest() {
    let t = Scope::new();
    let (major, newest) = t.daemon.api_version();
    assert_eq!(major, 1);
    for minor in 24..=newest {
        let answer = t.daemon.http("GET", &format!("/v1.{minor}/containers/json"), None);
        assert_eq!(answer.status, 200, "1.{minor}");
    }
    let message = t.daemon.http("GET", &format!("/v1.{}/version", newest + 1), None).error(400);
    assert_eq!(message, format!("client version 1.{} is too new. Maximum supported API version is 1.{newest}", newest + 1));
    let old = t.daemon.http("GET", "/v1.23/version", None);
    assert_eq!(old.status, 400);
    assert!(
        old.text().contains(
            "client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version"
        ),
        "{}",
        old.text()
    );
}

#[test]
fn lighter_serves_1_56() {
    let t = Scope::new();
    if t.daemon.is_lighter("its own newest version") {
        assert_eq!(t.daemon.api_version(), (1, 56));
    }
}

#[test]
fn the_cli_can_be_told_its_version() {
    let daemon = Daemon::get();
    for version in ["1.24", "1.40", "1.44"] {
        let mut command = std::process::Command::new(docker_compat_tests::cli::program());
        command.args(["version", "--format", "{{.Client.APIVersion}} {{.Server.MinAPIVersion}}"]);
        docker_compat_tests::cli::set_environment(&mut command, daemon);
        command.env("DOCKER_API_VERSION", version);
        let out = docker_compat_tests::cli::start(command, format!("version of {version}")).wait();
        assert_eq!(out.ok(), format!("{version} 1.24"));
    }
}

#[test]
fn version() {
    let t = Scope::new();
    let version = t.daemon.http("GET", "/version", None).json();
    assert_eq!(version["MinAPIVersion"], "1.24");
    assert_eq!(version["Os"], "linux");
    assert!(version["Arch"].is_string() && version["KernelVersion"].is_string() && version["Version"].is_string());
    let components = version["Components"].as_array().unwrap();
    assert_eq!(components[0]["Name"], "Engine");
    assert_eq!(components[0]["Details"]["ApiVersion"], version["ApiVersion"]);
    // Tools parse it as a semantic version, and want at least 25.
    let number = version["Version"].as_str().unwrap();
    let major: u32 = number.split('.').next().unwrap().parse().expect("a number");
    assert!(major >= 25, "{number}");
    let out = t.docker(&["version"]);
    assert!(out.ok().contains("Server:"), "{}", out.stdout);
}

#[test]
fn info() {
    let t = Scope::new();
    let running = t.sleeper(&[]);
    let info = t.daemon.http("GET", "/info", None).json();
    assert!(info["ContainersRunning"].as_i64().unwrap() >= 1);
    let sum =
        ["ContainersRunning", "ContainersPaused", "ContainersStopped"].iter().map(|k| info[k].as_i64().unwrap()).sum::<i64>();
    assert_eq!(info["Containers"].as_i64().unwrap(), sum);
    assert!(info["Images"].as_i64().unwrap() >= 1);
    assert!(info["NCPU"].as_u64().unwrap() >= 1);
    assert!(info["MemTotal"].as_u64().unwrap() > 1 << 20);
    for key in [
        "ID",
        "Driver",
        "KernelVersion",
        "OperatingSystem",
        "OSType",
        "Architecture",
        "Name",
        "ServerVersion",
        "DockerRootDir",
        "CgroupDriver",
        "CgroupVersion",
        "DefaultRuntime",
    ] {
        assert!(info[key].as_str().is_some_and(|v| !v.is_empty()), "{key}: {}", info[key]);
    }
    for key in ["MemoryLimit", "PidsLimit", "CPUShares", "CPUSet", "IPv4Forwarding"] {
        assert!(info[key].is_boolean(), "{key}");
    }
    assert!(info["Plugins"]["Network"].as_array().unwrap().contains(&json!("bridge")));
    assert!(info["Plugins"]["Log"].as_array().unwrap().contains(&json!("json-file")));
    assert_eq!(info["Swarm"]["LocalNodeState"], "inactive");
    assert!(info["SecurityOptions"].as_array().unwrap().iter().any(|o| o.as_str().unwrap().starts_with("name=seccomp")));
    assert!(info["Runtimes"].is_object());
    let out = t.docker(&["info"]);
    assert!(out.ok().contains("Server Version:"), "{}", out.stdout);
    assert_eq!(t.docker(&["info", "-f", "{{.OSType}}"]).ok(), "linux");
    let _ = running;
}

#[test]
fn system_df() {
    let t = Scope::new();
    let id = t.detached(&[], "head -c 3000000 /dev/zero >/file");
    t.docker(&["wait", &id]).ok();
    let df = t.daemon.http("GET", "/v1.44/system/df", None).json();
    let mine = df["Containers"].as_array().unwrap().iter().find(|c| c["Id"] == id.as_str()).expect("the container is listed");
    assert!(mine["SizeRw"].as_i64().unwrap() >= 3_000_000, "{mine}");
    assert!(df["LayersSize"].as_i64().unwrap() > 1_000_000);
    assert!(
        df["Images"]
            .as_array()
            .unwrap()
            .iter()
            .any(|i| i["RepoTags"].as_array().is_some_and(|tags| tags.contains(&json!("busybox:latest"))))
    );
    let out = t.docker(&["system", "df"]);
    for kind in ["Images", "Containers", "Local Volumes", "Build Cache"] {
        assert!(out.ok().contains(kind), "{}", out.stdout);
    }
    t.docker(&["system", "df", "-v"]).ok();
    assert_eq!(t.daemon.http("GET", "/system/df?type=x", None).error(400), "unknown object type: x");
}

#[test]
fn unversioned_and_versioned_paths_agree() {
    let t = Scope::new();
    let id = t.docker(&["create", "busybox"]).ok().to_owned();
    let (major, minor) = t.daemon.api_version();
    let plain = t.daemon.http("GET", &format!("/containers/{id}/json"), None).json();
    let newest = t.daemon.http("GET", &format!("/v{major}.{minor}/containers/{id}/json"), None).json();
    assert_eq!(plain, newest);
}

#[test]
fn swarm_is_refused_in_dockers_words() {
    let t = Scope::new();
    for path in ["/nodes", "/services", "/tasks", "/secrets", "/configs", "/swarm"] {
        let answer = t.daemon.http("GET", path, None);
        assert_eq!(answer.status, 503, "{path}: {}", answer.text());
        let message = answer.error(503);
        assert!(message.starts_with("This node is not a swarm manager."), "{path}: {message}");
    }
}

#[test]
fn head_of_a_get_is_answered() {
    let t = Scope::new();
    let head = t.daemon.http("HEAD", "/containers/json", None);
    // dockerd routes HEAD for some paths only; whatever the status, no body may follow.
    assert!(matches!(head.status, 200 | 404 | 405), "{head:?}");
    let mut client = http::Client::connect(&t.daemon.socket).unwrap();
    client.request("HEAD", "/_ping", &[], None).unwrap();
    assert_eq!(client.get("/_ping").unwrap().text(), "OK", "the connection is in step after a HEAD");
}
