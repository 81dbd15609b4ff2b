//! Nothing stays of what has ended: counted with the daemon held alone.

use docker_compat_tests::{Scope, cli, http, leaks};

/// Runs `work` on a quiet daemon twice: once to warm up what stays for good
/// (pools, caches, the bridge), then again with everything counted.
fn leaves_nothing(work: impl Fn(&Scope)) {
    let _quiet = leaks::alone();
    let t = Scope::unshared();
    if !t.daemon.is_lighter("its own books are not ours to audit") {
        return;
    }
    work(&t);
    remove_all(&t);
    let before = settled(&t);
    work(&t);
    remove_all(&t);
    before.assert_restored(t.daemon, 3);
}

fn remove_all(t: &Scope) {
    for id in t.containers() {
        t.docker(&["rm", "-f", "-v", &id]).ok();
    }
}

/// Waits until two looks in a row agree: clean-up goes on behind the answers.
fn settled(t: &Scope) -> leaks::Snapshot {
    let mut last = leaks::Snapshot::take(t.daemon);
    docker_compat_tests::eventually("the daemon is at rest", || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        let now = leaks::Snapshot::take(t.daemon);
        let same = now == last;
        last = now.clone();
        same.then_some(now)
    })
}

#[test]
fn runs() {
    leaves_nothing(|t| {
        let runs: Vec<_> = (0..8).map(|_| t.spawn(&["run", "--rm", "--network", "none", "busybox", "true"])).collect();
        for run in runs {
            run.wait().ok();
        }
        for _ in 0..4 {
            t.docker(&["run", "--rm", "busybox", "true"]).ok();
        }
    });
}

#[test]
fn failed_starts() {
    leaves_nothing(|t| {
        for network in ["none", "bridge"] {
            t.docker(&["run", "--rm", "--network", network, "busybox", "no-such-program"]).fails(127);
            t.docker(&["run", "--rm", "--network", network, "-u", "ghost", "busybox", "true"]).fails(125);
            t.docker(&["run", "--rm", "--network", network, "--device", "/dev/no-such", "busybox", "true"]).fails(127);
        }
    });
}

#[test]
fn execs_and_terminals() {
    leaves_nothing(|t| {
        let id = t.sleeper(&[]);
        for _ in 0..5 {
            t.docker(&["exec", &id, "true"]).ok();
            t.docker(&["exec", "-t", &id, "true"]).ok();
            t.docker(&["exec", &id, "no-such-program"]).fails(127);
        }
        t.docker(&["run", "--rm", "-t", "--network", "none", "busybox", "true"]).ok();
    });
}

#[test]
fn vanished_clients() {
    leaves_nothing(|t| {
        let id = t
            .docker(&["run", "-di", "--network", "none", "busybox", "sh", "-c", "while :; do echo line; sleep 0.05; done"])
            .ok()
            .to_owned();
        cli::wait_state(t.daemon, &id, "running");
        for _ in 0..10 {
            let mut attach = http::Client::connect(&t.daemon.socket).unwrap();
            attach.hijack(&format!("/containers/{id}/attach?stream=1&stdin=1&stdout=1&stderr=1"), None).unwrap();
            let mut wait = http::Client::connect(&t.daemon.socket).unwrap();
            wait.send("POST", &format!("/containers/{id}/wait"), &[], None).unwrap();
            wait.head().unwrap();
            for path in [format!("/containers/{id}/logs?stdout=1&follow=1"), "/events".to_owned()] {
                let mut client = http::Client::connect(&t.daemon.socket).unwrap();
                client.send("GET", &path, &[], None).unwrap();
                client.head().unwrap();
            }
        }
        // With the container still there: the clients' own share must go.
        let during = leaks::Snapshot::take(t.daemon);
        docker_compat_tests::eventually("the daemon lets go of the clients", || {
            (leaks::Snapshot::take(t.daemon).descriptors + 30 < during.descriptors || during.descriptors < 60).then_some(())
        });
    });
}

#[test]
fn bad_requests_and_archives() {
    leaves_nothing(|t| {
        for _ in 0..20 {
            t.daemon.http("POST", "/containers/create", Some("{"));
            t.daemon.http("GET", "/containers/no-such/json", None);
            t.daemon.http("POST", "/images/load", Some("no archive"));
        }
    });
}
