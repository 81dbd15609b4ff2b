//! One supervisor does not answer: its clients are told in time, and nothing else suffers. And a daemon without descriptors.

use docker_compat_tests::daemon::{alive, scratch};
use docker_compat_tests::http::Client;
use docker_compat_tests::{Daemon, eventually, leaks};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};

use super::survival::{reference, supervisor_of};

#[test]
fn a_supervisor_that_is_stopped() {
    if reference() {
        return;
    }
    let daemon = Daemon::start_in(&scratch("wedged"), &["--engine-timeout", "1"]).with_busybox();
    let run = |name: &str| {
        let out = daemon.docker(&["run", "-d", "--network", "none", "--name", name, "busybox", "sleep", "1000"]);
        out.ok().to_owned()
    };
    let (stuck, other) = (run("stuck"), run("other"));
    let supervisor = supervisor_of(&daemon, &stuck);
    kill_process(supervisor, Signal::STOP).unwrap();
    for (path, body) in [("kill", None), ("exec", Some(r#"{"Cmd":["true"]}"#))] {
        let mut answer = daemon.http("POST", &format!("/containers/stuck/{path}"), body);
        if path == "exec" {
            let id = answer.json()["Id"].as_str().unwrap().to_owned();
            answer = daemon.http("POST", &format!("/exec/{id}/start"), Some(r#"{"Detach":true}"#));
        }
        assert_eq!(answer.status, 504, "{path}: {}", answer.text());
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains("the engine did not answer within 1 s"), "{message}");
        assert_eq!(daemon.docker(&["exec", "other", "echo", "fine"]).ok(), "fine", "another container does not notice");
    }
    assert_eq!(daemon.http("GET", "/containers/stuck/json", None).json()["State"]["Status"], "running");
    assert_eq!(daemon.docker(&["ps", "-q"]).lines().len(), 2);
    kill_process(supervisor, Signal::CONT).unwrap();
    // The signal that was given up was sent all the same: that it may still happen is what 504 says.
    assert_eq!(daemon.docker(&["wait", "stuck"]).ok(), "137");
    daemon.docker(&["rm", "-f", "stuck", "other"]).ok();
    leaks::assert_gone(&daemon, &[stuck, other]);
}

#[test]
fn no_descriptors_left() {
    if reference() {
        return;
    }
    let daemon = Daemon::start_in(&scratch("emfile"), &[]).with_busybox();
    let id = daemon.docker(&["run", "-d", "--network", "none", "--name", "kept", "busybox", "sleep", "1000"]).ok().to_owned();
    let pid = Pid::from_raw(i32::try_from(daemon.pid()).unwrap()).unwrap();
    let open = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count() as u64;
    // The hard limit was inherited from us, and stays.
    let maximum = getrlimit(Resource::Nofile).maximum;
    let before = prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some(open + 8), maximum }).unwrap();
    let followers: Vec<_> = (0..40)
        .map(|_| {
            let mut client = Client::connect(&daemon.socket).unwrap();
            client.send("GET", "/events", &[], None).unwrap();
            client
        })
        .collect();
    eventually("the daemon has used up its descriptors", || {
        let now = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count() as u64;
        (now >= open + 8).then_some(())
    });
    assert!(alive(daemon.pid()));
    drop(followers);
    assert_eq!(daemon.docker(&["exec", "kept", "echo", "still here"]).ok(), "still here", "it recovers as clients leave");
    prlimit(Some(pid), Resource::Nofile, before).unwrap();
    daemon.docker(&["run", "--rm", "--network", "none", "busybox", "true"]).ok();
    assert_eq!(daemon.http("GET", "/containers/kept/json", None).json()["State"]["Running"], true);
    daemon.docker(&["rm", "-f", "kept"]).ok();
    leaks::assert_gone(&daemon, &[id]);
}
