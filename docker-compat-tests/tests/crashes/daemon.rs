//! The life of the daemon itself: one per root, a polite end, nothing left.

use docker_compat_tests::daemon::{alive, scratch};
use docker_compat_tests::{Daemon, leaks};

fn reference() -> bool {
    std::env::var("LIGHTER_COMPAT_HOST").is_ok_and(|h| !h.is_empty())
}

#[test]
fn a_second_one_on_the_same_roots_is_refused() {
    if reference() {
        return;
    }
    let roots = scratch("second");
    let first = Daemon::start_in(&roots, &[]);
    let other = roots.join("other");
    std::fs::create_dir_all(&other).unwrap();
    let data = roots.join("data");
    let out = std::process::Command::new(docker_compat_tests::daemon::lighterd())
        .args(["-H", &format!("unix://{}", other.join("docker.sock").display())])
        .args(["--data-root", data.to_str().unwrap(), "--exec-root", other.join("exec").to_str().unwrap()])
        .args(["--pidfile", other.join("pid").to_str().unwrap(), "--engine", "linux"])
        .output()
        .unwrap();
    assert!(!out.status.success());
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(text.contains(data.to_str().unwrap()), "it names the directory: {text}");
    assert_eq!(first.http("GET", "/_ping", None).status, 200, "the first is unharmed");
}

#[test]
fn sigterm_leaves_containers_running() {
    if reference() {
        return;
    }
    let roots = scratch("term");
    let first = Daemon::start_in(&roots, &[]).with_busybox();
    let id = first.docker(&["run", "-d", "--network", "none", "busybox", "sleep", "1000"]).ok().to_owned();
    let pid = first.http("GET", &format!("/containers/{id}/json"), None).json()["State"]["Pid"].as_u64().unwrap() as u32;
    first.terminate();
    assert!(!first.socket.exists(), "the socket is taken away");
    assert!(alive(pid), "the container runs on");
    let second = Daemon::start_in(&roots, &[]);
    assert_eq!(second.http("GET", &format!("/containers/{id}/json"), None).json()["State"]["Pid"], pid);
}

#[test]
fn sigterm_ends_streams_and_answers_what_is_under_way() {
    if reference() {
        return;
    }
    let roots = scratch("drain");
    let daemon = Daemon::start_in(&roots, &[]).with_busybox();
    // From the beginning: nothing tells when it listens.
    let events = daemon.spawn(&["events", "--since", "1"]);
    let id = daemon.docker(&["run", "-d", "--network", "none", "busybox", "sleep", "1000"]).ok().to_owned();
    events.wait_for(&id[..12]);
    let started = std::time::Instant::now();
    daemon.terminate();
    assert!(started.elapsed() < std::time::Duration::from_secs(15), "an open stream does not hold it up");
    events.wait();
}

#[test]
fn a_whole_life_leaves_nothing() {
    if reference() {
        return;
    }
    let roots = scratch("life");
    let daemon = Daemon::start_in(&roots, &[]).with_busybox();
    daemon.docker(&["run", "--rm", "busybox", "true"]).ok();
    let id = daemon.docker(&["run", "-d", "busybox", "sleep", "1000"]).ok().to_owned();
    daemon.docker(&["exec", &id, "true"]).ok();
    daemon.docker(&["rm", "-f", &id]).ok();
    leaks::assert_gone(&daemon, &[id]);
    daemon.terminate();
    leaks::assert_roots_unused(&roots);
}

#[test]
fn the_socket_is_private() {
    if reference() {
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    let roots = scratch("mode");
    let daemon = Daemon::start_in(&roots, &[]);
    let mode = std::fs::metadata(&daemon.socket).unwrap().permissions().mode() & 0o777;
    let group = std::fs::read_to_string("/etc/group").unwrap().lines().any(|l| l.starts_with("docker:"));
    assert_eq!(mode, if group { 0o660 } else { 0o600 });
    assert_eq!(std::fs::read_to_string(roots.join("lighterd.pid")).unwrap().trim(), daemon.pid().to_string());
}
