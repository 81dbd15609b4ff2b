//! `docker update`: limits at once, the restart policy, what is refused, and that it is remembered; checkpoints, which are not.

use docker_compat_tests::Scope;
use serde_json::{Value, json};

fn update(t: &Scope, id: &str, body: &Value) -> docker_compat_tests::http::Response {
    t.daemon.http("POST", &format!("/containers/{id}/update"), Some(&body.to_string()))
}

#[track_caller]
fn fine(t: &Scope, id: &str, body: &Value) {
    let answer = update(t, id, body);
    assert_eq!(answer.status, 200, "{body}: {}", answer.text());
    assert_eq!(answer.json()["Warnings"], Value::Null, "{body}");
}

/// What the kernel says of one of the container's limits; `None` where it has no such file.
fn limit(t: &Scope, id: &str, v1: &str, v2: &str) -> Option<String> {
    let pid = t.inspect(id)["State"]["Pid"].as_u64().unwrap();
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let controller = v1.split('.').next().unwrap();
    let read = |dir: String, file: &str| std::fs::read_to_string(format!("{dir}/{file}")).ok().map(|s| s.trim().to_owned());
    text.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        match controllers {
            "" => read(format!("/sys/fs/cgroup{path}"), v2),
            list if list.split(',').any(|c| c == controller) => read(format!("/sys/fs/cgroup/{list}{path}"), v1),
            _ => None,
        }
    })
}

#[test]
fn limits_change_at_once() {
    let t = Scope::new();
    let id = t.sleeper(&["-m", "64m"]);
    fine(&t, &id, &json!({"Memory": 32 << 20}));
    assert_eq!(limit(&t, &id, "memory.limit_in_bytes", "memory.max").unwrap(), (32 << 20).to_string());
    // Up beyond the limit of memory and swap together, which must grow first.
    fine(&t, &id, &json!({"Memory": 512 << 20, "MemorySwap": 600 << 20}));
    assert_eq!(limit(&t, &id, "memory.limit_in_bytes", "memory.max").unwrap(), (512 << 20).to_string());
    fine(&t, &id, &json!({"Memory": 64 << 20, "MemorySwap": 128 << 20}));
    assert_eq!(limit(&t, &id, "memory.limit_in_bytes", "memory.max").unwrap(), (64 << 20).to_string());
    fine(&t, &id, &json!({"PidsLimit": 50}));
    assert_eq!(limit(&t, &id, "pids.max", "pids.max").unwrap(), "50");
    fine(&t, &id, &json!({"PidsLimit": -1}));
    assert_eq!(limit(&t, &id, "pids.max", "pids.max").unwrap(), "max");
    fine(&t, &id, &json!({"CpuShares": 512}));
    let shares = limit(&t, &id, "cpu.shares", "cpu.weight").unwrap();
    assert!(["512", "20"].contains(&shares.as_str()), "{shares}");
    fine(&t, &id, &json!({"NanoCpus": 500_000_000}));
    let quota = limit(&t, &id, "cpu.cfs_quota_us", "cpu.max").unwrap();
    assert!(["50000", "50000 100000"].contains(&quota.as_str()), "{quota}");
    fine(&t, &id, &json!({"CpusetCpus": "0"}));
    assert_eq!(limit(&t, &id, "cpuset.cpus", "cpuset.cpus").unwrap(), "0");
    let host = t.inspect(&id)["HostConfig"].clone();
    assert_eq!(host["Memory"], 64 << 20);
    assert_eq!(host["MemorySwap"], 128 << 20);
    assert_eq!((&host["PidsLimit"], &host["CpuShares"], &host["NanoCpus"]), (&0.into(), &512.into(), &500_000_000.into()));
    assert_eq!(host["CpusetCpus"], "0");
}

#[test]
fn by_the_cli_several_at_once_and_of_one_that_does_not_run() {
    let t = Scope::new();
    let running = t.sleeper(&[]);
    let created = t.docker(&["create", "busybox", "sh", "-c", "sleep 1000"]).ok().to_owned();
    let out = t.docker(&["update", "-m", "100m", "--memory-swap", "200m", "--pids-limit", "77", &running, &created]);
    assert_eq!(out.lines(), [running.as_str(), created.as_str()]);
    for id in [&running, &created] {
        assert_eq!(t.inspect(id)["HostConfig"]["Memory"], 100 << 20);
    }
    t.docker(&["start", &created]).ok();
    assert_eq!(limit(&t, &created, "pids.max", "pids.max").unwrap(), "77", "with its next start");
    assert_eq!(limit(&t, &created, "memory.limit_in_bytes", "memory.max").unwrap(), (100 << 20).to_string());
}

#[test]
fn the_restart_policy() {
    let t = Scope::new();
    let id = t.detached(&[], "while [ ! -e /go ]; do sleep 0.05; done; exit 3");
    t.docker(&["update", "--restart", "on-failure:2", &id]).ok();
    assert_eq!(t.inspect(&id)["HostConfig"]["RestartPolicy"], json!({"Name": "on-failure", "MaximumRetryCount": 2}));
    // The container may end, and take it along, before it does.
    let told = t.docker(&["exec", &id, "touch", "/go"]);
    assert!([0, 137].contains(&told.code), "{}: {}", told.code, told.stderr);
    docker_compat_tests::eventually("it is given up", || {
        let now = t.inspect(&id);
        (now["RestartCount"] == 2 && now["State"]["Status"] == "exited").then_some(())
    });
    let removed = t.sleeper(&["--rm"]);
    let refused = update(&t, &removed, &json!({"RestartPolicy": {"Name": "always"}})).error(409);
    let words = "Restart policy cannot be updated because AutoRemove is enabled for the container";
    assert_eq!(refused, format!("Cannot update container {removed}: {words}"));
    for (policy, words) in [
        (json!({"Name": "bogus"}), "unknown policy 'bogus'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"),
        (json!({"Name": "always", "MaximumRetryCount": 3}), "maximum retry count can only be used with 'on-failure'"),
    ] {
        let refused = update(&t, &removed, &json!({"RestartPolicy": policy})).error(400);
        assert_eq!(refused, format!("invalid restart policy: {words}"));
    }
}

#[test]
fn what_is_refused_and_changes_nothing() {
    let t = Scope::new();
    let id = t.sleeper(&["-m", "64m", "--cpus", "1"]);
    let before = t.inspect(&id)["HostConfig"].clone();
    for (body, words) in [
        (json!({"Memory": 1000}), "Minimum memory limit allowed is 6MB"),
        (
            json!({"Memory": 33_554_432, "MemorySwap": 1_000_000}),
            "Minimum memoryswap limit should be larger than memory limit, see usage",
        ),
        (json!({"CpuPeriod": 5}), "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"),
        (
            json!({"Memory": "x"}),
            "invalid JSON: json: cannot unmarshal string into Go struct field UpdateConfig.Memory of type int64",
        ),
    ] {
        assert_eq!(update(&t, &id, &body).error(400), words);
    }
    let refused = update(&t, &id, &json!({"CpusetCpus": "x"})).error(400);
    assert!(refused.starts_with("Invalid value x for cpuset cpus"), "{refused}");
    for (body, words) in [
        (
            json!({"Memory": 1 << 30}),
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
        ),
        (json!({"CpuQuota": 50_000}), "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set"),
        (json!({"CpuPeriod": 100_000}), "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set"),
    ] {
        assert_eq!(update(&t, &id, &body).error(409), format!("Cannot update container {id}: {words}"));
    }
    assert_eq!(update(&t, "nosuch", &json!({})).error(404), "No such container: nosuch");
    for nothing in [json!({}), Value::Null] {
        fine(&t, &id, &nothing);
    }
    assert_eq!(t.inspect(&id)["HostConfig"], before);
}

#[test]
fn its_event() {
    let t = Scope::new();
    let since = crate::events::Since::now(&t);
    let id = t.sleeper(&[]);
    t.docker(&["update", "--cpu-shares", "300", &id]).ok();
    assert_eq!(since.actions(&t, &[]), ["create", "start", "update"]);
}

#[test]
fn checkpoints_are_an_experiment() {
    let t = Scope::new();
    let id = t.sleeper(&[]);
    let words =
        "This experimental feature is disabled by default. Start the Docker daemon in experimental mode in order to enable it.";
    let path = format!("/containers/{id}/checkpoints");
    for (method, path, body) in [
        ("GET", path.clone(), None),
        ("POST", path.clone(), Some(r#"{"CheckpointID":"x"}"#)),
        ("DELETE", format!("{path}/x"), None),
    ] {
        assert_eq!(t.daemon.http(method, &path, body).error(501), words, "{method}");
    }
    let created = t.docker(&["create", "busybox", "true"]).ok().to_owned();
    let refused = t.daemon.http("POST", &format!("/containers/{created}/start?checkpoint=x"), None).error(400);
    assert_eq!(refused, "checkpoint is only supported in experimental mode");
    let path = format!("{id}/nonsense/x");
    let refused = t.daemon.http("DELETE", &format!("/containers/{path}"), None).error(404);
    assert_eq!(refused, format!("No such container: {path}"), "a name may have slashes");
    let by_cli = t.docker(&["checkpoint", "ls", &id]).fails(1).to_owned();
    assert!(by_cli.contains("experimental"), "{by_cli}");
}
