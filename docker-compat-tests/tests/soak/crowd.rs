//! Containers on a network, each with a published port, come and go; what the daemon and the machine hold for them does not grow.
//!
//! Twenty-four at a time; `make soak` takes 200 (`LIGHTER_SOAK_CROWD`).

use docker_compat_tests::daemon::scratch;
use docker_compat_tests::estate::{self, Estate};
use docker_compat_tests::{Daemon, eventually, leaks};
use serde_json::json;
use std::sync::Mutex;

const CLIENTS: usize = 4;
const ROUNDS: usize = 3;
/// Memory in KiB that may come on top of what one crowd took: pages of the store, what the allocator keeps.
const SPARE_MEMORY: u64 = 16 * 1024;
/// Connections that the store keeps open.
const SPARE_DESCRIPTORS: usize = 4;

#[derive(Debug)]
struct Held {
    descriptors: usize,
    /// KiB, shared pages by their share.
    memory: u64,
    rules: usize,
    mounts: usize,
}

impl Held {
    fn by(daemon: &Daemon) -> Self {
        let roots = daemon.roots.as_ref().unwrap();
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", daemon.pid())).unwrap();
        let memory = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        Self {
            descriptors: daemon.descriptors().unwrap(),
            memory: memory.trim().trim_end_matches("kB").trim().parse().unwrap(),
            rules: estate::rules(roots),
            mounts: mounts.matches(&roots.display().to_string()).count(),
        }
    }

    fn is_within(&self, first: &Self) -> bool {
        self.descriptors <= first.descriptors + SPARE_DESCRIPTORS
            && self.memory <= first.memory + SPARE_MEMORY
            && (self.rules, self.mounts) == (first.rules, first.mounts)
    }
}

/// Starts so many, and gives their ids.
fn come(daemon: &Daemon, count: usize) -> Vec<String> {
    let (next, ids) = (Mutex::new(0..count), Mutex::new(Vec::new()));
    let body = json!({
        "Image": "busybox",
        "Cmd": ["sleep", "1000"],
        "ExposedPorts": {"80/tcp": {}},
        "HostConfig": {"NetworkMode": "crowd", "PortBindings": {"80/tcp": [{"HostPort": ""}]}},
    });
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while next.lock().unwrap().next().is_some() {
                    let made = daemon.http("POST", "/containers/create", Some(&body.to_string()));
                    assert_eq!(made.status, 201, "{}", made.text());
                    let id = made.json()["Id"].as_str().unwrap().to_owned();
                    let started = daemon.http("POST", &format!("/containers/{id}/start"), None);
                    assert_eq!(started.status, 204, "{}", started.text());
                    ids.lock().unwrap().push(id);
                }
            });
        }
    });
    ids.into_inner().unwrap()
}

/// Removes them, and waits until nothing of them is left.
fn go(daemon: &Daemon, ids: &[String]) {
    std::thread::scope(|scope| {
        for part in ids.chunks(ids.len().div_ceil(CLIENTS)) {
            scope.spawn(move || {
                for id in part {
                    let gone = daemon.http("DELETE", &format!("/containers/{id}?force=1"), None);
                    assert_eq!(gone.status, 204, "{}", gone.text());
                }
            });
        }
    });
    leaks::assert_gone(daemon, ids);
    Estate::assert_as_told(daemon);
}

#[test]
fn a_crowd_comes_and_goes() {
    if std::env::var("LIGHTER_COMPAT_HOST").is_ok_and(|h| !h.is_empty()) {
        eprintln!("left out on the reference daemon: its own books are not ours to audit");
        return;
    }
    let count = usize::try_from(super::number("LIGHTER_SOAK_CROWD", 24)).unwrap();
    let roots = scratch("crowd");
    let daemon = Daemon::start_in(&roots, &[]).with_busybox();
    // Room for one crowd and hardly more: an address that is lost is missed.
    let prefix = 32 - (count + 4).next_power_of_two().ilog2();
    daemon.docker(&["network", "create", "--subnet", &format!("10.76.0.0/{prefix}"), "crowd"]).ok();
    // Once for what stays for good: pools, caches, pages.
    go(&daemon, &come(&daemon, count));
    let first = Held::by(&daemon);
    println!("{count} containers: {first:?}");
    for round in 1..=ROUNDS {
        let ids = come(&daemon, count);
        assert_eq!(ids.len(), count);
        Estate::assert_as_told(&daemon);
        let there = Estate::on_the_machine(&roots);
        assert_eq!((there.endpoints.len(), there.ports.len()), (count, count));
        go(&daemon, &ids);
        println!("round {round}: {:?}", Held::by(&daemon));
        eventually("the daemon holds no more than after the first round", || Held::by(&daemon).is_within(&first).then_some(()));
    }
    daemon.docker(&["network", "rm", "crowd"]).ok();
    daemon.terminate();
    Estate::assert_nothing_left(&roots);
}
