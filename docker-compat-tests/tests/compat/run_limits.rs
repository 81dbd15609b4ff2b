//! `docker run`: limits, seen from inside and in the control group.

use docker_compat_tests::{Scope, eventually};

/// Reads a control group file of the container, by its name on cgroup v1 or v2.
fn cgroup_file(v1: &str, v2: &str) -> String {
    format!("cat /sys/fs/cgroup/{v1} 2>/dev/null || cat /sys/fs/cgroup/{v2}")
}

fn on_v2() -> bool {
    std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

#[test]
fn memory_limit() {
    let t = Scope::new();
    let read = cgroup_file("memory/memory.limit_in_bytes", "memory.max");
    assert_eq!(t.sh(&["-m", "64m"], &read), "67108864");
    let id = t.docker(&["create", "-m", "64m", "--memory-reservation", "32m", "busybox"]).ok().to_owned();
    let host = t.inspect(&id)["HostConfig"].clone();
    assert_eq!(host["Memory"], 67_108_864);
    assert_eq!(host["MemoryReservation"], 33_554_432);
    // Docker's default: as much swap again.
    assert_eq!(host["MemorySwap"], 134_217_728);
}

#[test]
fn memory_limit_below_the_minimum_is_refused() {
    let t = Scope::new();
    let out = t.docker(&["create", "-m", "1m", "busybox"]);
    let text = out.fails(1);
    assert!(text.contains("Minimum memory limit allowed is 6MB"), "{text}");
    let out = t.docker(&["create", "-m", "64m", "--memory-swap", "32m", "busybox"]);
    let text = out.fails(1);
    assert!(text.contains("Minimum memoryswap limit should be larger than memory limit, see usage"), "{text}");
}

#[test]
fn out_of_memory_is_seen() {
    let t = Scope::new();
    let id = t
        .docker(&[
            "create",
            "-m",
            "16m",
            "--memory-swap",
            "16m",
            "--network",
            "none",
            "busybox",
            "sh",
            "-c",
            "x=a; while :; do x=$x$x; done",
        ])
        .ok()
        .to_owned();
    t.docker(&["start", "-a", &id]).fails(137);
    // dockerd learns of it by an event that may come after the end.
    if t.daemon.is_lighter("it may learn of it later") {
        assert_eq!(t.inspect(&id)["State"]["OOMKilled"], true);
    }
    eventually("the end is known to be for want of memory", || (t.inspect(&id)["State"]["OOMKilled"] == true).then_some(()));
    assert_eq!(t.inspect(&id)["State"]["ExitCode"], 137);
}

#[test]
fn cpus_and_shares() {
    let t = Scope::new();
    if on_v2() {
        assert_eq!(t.sh(&["--cpus", "1.5"], "cat /sys/fs/cgroup/cpu.max"), "150000 100000");
    } else {
        let quota = t.sh(&["--cpus", "1.5"], "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us");
        assert_eq!(quota, "150000\n100000");
        assert_eq!(t.sh(&["-c", "512"], "cat /sys/fs/cgroup/cpu/cpu.shares"), "512");
        assert_eq!(t.sh(&["--cpu-period", "50000", "--cpu-quota", "20000"], "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us"), "20000");
    }
    assert_eq!(t.sh(&["--cpuset-cpus", "0"], "grep Cpus_allowed_list /proc/self/status | tr -d '\\t '"), "Cpus_allowed_list:0");
}

#[test]
fn more_cpus_than_there_are_is_refused() {
    let t = Scope::new();
    let out = t.docker(&["create", "--cpus", "4096", "busybox"]);
    let text = out.fails(1);
    assert!(text.contains("range of CPUs is from 0.01 to"), "{text}");
    assert!(text.contains("as there are only"), "{text}");
}

#[test]
fn pids_limit() {
    let t = Scope::new();
    let read = cgroup_file("pids/pids.max", "pids.max");
    assert_eq!(t.sh(&["--pids-limit", "37"], &read), "37");
    assert_eq!(t.sh(&[], &read), "max");
    assert_eq!(t.sh(&["--pids-limit", "-1"], &read), "max");
    // It bites: the forks beyond it fail.
    let out = t.docker(&[
        "run",
        "--rm",
        "--network",
        "none",
        "--pids-limit",
        "5",
        "busybox",
        "sh",
        "-c",
        "for i in 1 2 3 4 5 6 7 8; do sleep 5 & done",
    ]);
    assert!(out.stderr.contains("can't fork"), "{out:?}");
}

#[test]
fn ulimits() {
    let t = Scope::new();
    assert_eq!(t.sh(&["--ulimit", "nofile=1234:2345"], "ulimit -n; ulimit -Hn"), "1234\n2345");
    assert_eq!(
        t.sh(&["--ulimit", "core=0", "--ulimit", "fsize=40960"], "ulimit -c; grep 'Max file size' /proc/self/limits | tr -s ' '"),
        "0\nMax file size 40960 40960 bytes "
    );
    let out = t.docker(&["create", "--ulimit", "nonsense=1", "busybox"]);
    let text = out.fails(125);
    assert!(text.contains("nonsense"), "{text}");
    let answer = t.daemon.http(
        "POST",
        "/containers/create",
        Some(r#"{"Image":"busybox","HostConfig":{"Ulimits":[{"Name":"nonsense","Soft":1,"Hard":1}]}}"#),
    );
    assert!(matches!(answer.status, 201 | 400), "dockerd accepts and fails at start, we may refuse: {}", answer.text());
    if answer.status == 201 {
        let id = answer.json()["Id"].as_str().unwrap().to_owned();
        assert!(t.daemon.http("POST", &format!("/containers/{id}/start"), None).status >= 400);
        t.daemon.http("DELETE", &format!("/containers/{id}?force=1"), None);
    }
}

#[test]
fn oom_score_shm_size_and_sysctl() {
    let t = Scope::new();
    assert_eq!(t.sh(&["--oom-score-adj", "321"], "cat /proc/self/oom_score_adj"), "321");
    assert_eq!(t.sh(&["--shm-size", "8m"], "df -k /dev/shm | awk 'END{print $2}'"), "8192");
    assert_eq!(t.sh(&[], "df -k /dev/shm | awk 'END{print $2}'"), "65536");
    assert_eq!(
        t.sh(&["--sysctl", "net.ipv4.ip_unprivileged_port_start=77"], "cat /proc/sys/net/ipv4/ip_unprivileged_port_start"),
        "77"
    );
}

#[test]
fn limits_in_inspect() {
    let t = Scope::new();
    let id = t
        .docker(&[
            "create",
            "--cpus",
            "1.5",
            "--pids-limit",
            "9",
            "--ulimit",
            "nofile=10:20",
            "--oom-kill-disable=false",
            "--blkio-weight",
            "0",
            "busybox",
        ])
        .ok()
        .to_owned();
    let host = t.inspect(&id)["HostConfig"].clone();
    assert_eq!(host["NanoCpus"], 1_500_000_000u64);
    assert_eq!(host["PidsLimit"], 9);
    assert_eq!(host["Ulimits"], serde_json::json!([{"Name": "nofile", "Soft": 10, "Hard": 20}]));
}

#[test]
fn the_limited_container_cannot_raise_its_limits() {
    let t = Scope::new();
    let write = "echo 1000 >/sys/fs/cgroup/pids/pids.max 2>&1 || echo 1000 >/sys/fs/cgroup/pids.max 2>&1; cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids.max";
    let out = t.sh(&["--pids-limit", "50"], write);
    assert_eq!(out.lines().last(), Some("50"), "{out}");
}

#[test]
fn the_smallest_limits_of_processes() {
    let t = Scope::new();
    let max = "file=/sys/fs/cgroup/pids/pids.max; [ -e $file ] || file=/sys/fs/cgroup/pids.max; exec cat $file";
    for limit in ["1", "2", "3"] {
        // The program sees its limit from its first moment on.
        assert_eq!(t.sh(&["--pids-limit", limit], max), limit);
    }
    let refused =
        t.docker(&["run", "--rm", "--network", "none", "--pids-limit", "1", "busybox", "sh", "-c", "true & wait; echo on"]);
    assert!(refused.stderr.contains("can't fork"), "{}", refused.stderr);
    // One more can be looked in with, whatever the limit.
    let id = t.detached(&["--pids-limit", "1"], "exec sleep 1000");
    assert_eq!(t.docker(&["exec", &id, "echo", "inside"]).ok(), "inside");
    assert!(t.docker(&["exec", &id, "sh", "-c", "(echo forked); :"]).stderr.contains("can't fork"));
}

#[test]
fn open_files_of_a_container_are_the_daemons_most() {
    let t = Scope::new();
    let limits = t.sh(&[], "ulimit -Sn; ulimit -Hn");
    let (soft, hard) = limits.split_once('\n').unwrap();
    assert_eq!(soft, hard, "the soft limit is raised");
    assert_eq!(t.sh(&["--ulimit", "nofile=100:200"], "ulimit -Sn; ulimit -Hn"), "100\n200");
}
