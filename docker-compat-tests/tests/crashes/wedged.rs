//! One supervisor does not answer: its clients are told in time, and nothing else suffers. And a daemon without descriptors.

use docker_compat_tests::daemon::{alive, scratch};
use docker_compat_tests::http::Client;
use docker_compat_tests::{Daemon, eventually, leaks};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

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
    let open = daemon.descriptors().unwrap() as u64;
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
        let now = daemon.descriptors().unwrap() as u64;
        (now >= open + 8).then_some(())
    });
    assert!(alive(daemon.pid()));
    drop(followers);
    eventually("it recovers as clients leave", || {
        let now = daemon.descriptors().unwrap() as u64;
        (now <= open + 4).then_some(())
    });
    assert_eq!(daemon.docker(&["exec", "kept", "echo", "still here"]).ok(), "still here");
    prlimit(Some(pid), Resource::Nofile, before).unwrap();
    daemon.docker(&["run", "--rm", "--network", "none", "busybox", "true"]).ok();
    assert_eq!(daemon.http("GET", "/containers/kept/json", None).json()["State"]["Running"], true);
    daemon.docker(&["rm", "-f", "kept"]).ok();
    leaks::assert_gone(&daemon, &[id]);
}

/// However many descriptors are missing and whoever misses them: what is said to run runs, and what has ended has its own exit code.
#[test]
fn a_few_descriptors_left() {
    if reference() {
        return;
    }
    let daemon = Daemon::start_in(&scratch("few-files"), &[]).with_busybox();
    daemon.docker(&["run", "-d", "--network", "none", "--name", "kept", "busybox", "sleep", "1000"]).ok();
    let pid = Pid::from_raw(i32::try_from(daemon.pid()).unwrap()).unwrap();
    let maximum = getrlimit(Resource::Nofile).maximum;
    let mut client = Client::connect(&daemon.socket).unwrap();
    let mut ask =
        |method: &str, path: &str, body: Option<&str>| client.request(method, path, &[], body.map(str::as_bytes)).unwrap();
    let (mut codes, mut starts) = (0, 0);
    let mut ids = Vec::new();
    for spare in 0..24 {
        let exec = ask("POST", "/containers/kept/exec", Some(r#"{"Cmd":["sh","-c","exit 7"]}"#));
        let exec = exec.json()["Id"].as_str().unwrap().to_owned();
        let body = r#"{"Image":"busybox","Cmd":["sh","-c","sleep 0.05; exit 7"],"HostConfig":{"NetworkMode":"none"}}"#;
        let id = ask("POST", "/containers/create", Some(body)).json()["Id"].as_str().unwrap().to_owned();
        let open = daemon.descriptors().unwrap() as u64;
        let before = prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some(open + spare), maximum }).unwrap();
        let relief = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            prlimit(Some(pid), Resource::Nofile, before).unwrap();
        });
        let executed = ask("POST", &format!("/exec/{exec}/start"), Some(r#"{"Detach":true}"#)).status;
        let started = ask("POST", &format!("/containers/{id}/start"), None);
        eprintln!("with {spare} to spare: {} {}", started.status, started.text());
        relief.join().unwrap();
        if executed == 200 {
            codes += 1;
            let state = eventually("the exec has ended", || {
                let state = ask("GET", &format!("/exec/{exec}/json"), None).json();
                (state["Running"] == false).then_some(state)
            });
            assert_eq!(state["ExitCode"], 7, "with {spare} to spare: {state}");
        }
        if started.status == 204 {
            starts += 1;
            let end = ask("POST", &format!("/containers/{id}/wait"), None).json();
            assert_eq!(end["StatusCode"], 7, "with {spare} to spare: {end}");
        }
        assert_eq!(ask("GET", "/containers/kept/json", None).json()["State"]["Running"], true, "with {spare} to spare");
        ids.push(id);
    }
    assert!(codes > 0 && starts > 0, "{codes} execs and {starts} containers ran");
    let mut all = vec!["rm", "-f", "kept"];
    all.extend(ids.iter().map(String::as_str));
    daemon.docker(&all).ok();
    leaks::assert_gone(&daemon, &ids);
}

/// No more requests.
const OVER: u64 = u64::MAX;

/// The process that makes a container or an exec is killed at any moment of its short life, or the supervisor whose it is: the client
/// is told, and what was half made is gone.
#[test]
fn killed_in_the_middle_of_making() {
    if reference() {
        return;
    }
    let daemon = Daemon::start_in(&scratch("helpers"), &[]).with_busybox();
    let roots = daemon.roots.as_ref().unwrap().display().to_string();
    // One death for each request: whoever was to be killed next may be who ends the wait.
    let turn = Arc::new(AtomicU64::new(0));
    let killer = std::thread::spawn({
        let turn = turn.clone();
        move || {
            let (mut last, mut killed) = (0, 0_u64);
            loop {
                match turn.load(Ordering::SeqCst) {
                    OVER => return killed,
                    now if now == last => std::thread::sleep(Duration::from_micros(100)),
                    now => {
                        let Some((supervisor, helper)) = helpers(&roots).pop() else { continue };
                        std::thread::sleep(Duration::from_micros(now * 700 % 9000));
                        let victim = if now % 3 == 0 { supervisor } else { helper };
                        killed += u64::from(kill_process(victim, Signal::KILL).is_ok());
                        last = now;
                    }
                }
            }
        }
    });
    let body = r#"{"Image":"busybox","Cmd":["sleep","1000"],"HostConfig":{"NetworkMode":"none"}}"#;
    let mut ids = Vec::new();
    let mut refused = 0;
    for _ in 0..25 {
        let id = daemon.http("POST", "/containers/create", Some(body)).json()["Id"].as_str().unwrap().to_owned();
        turn.fetch_add(1, Ordering::SeqCst);
        let started = daemon.http("POST", &format!("/containers/{id}/start"), None).status;
        refused += usize::from(started != 204);
        let exec = daemon.http("POST", &format!("/containers/{id}/exec"), Some(r#"{"Cmd":["true"],"AttachStdout":true}"#));
        if exec.status == 201 {
            let exec = exec.json()["Id"].as_str().unwrap().to_owned();
            turn.fetch_add(1, Ordering::SeqCst);
            daemon.http("POST", &format!("/exec/{exec}/start"), Some(r#"{"Detach":false}"#));
            let state = daemon.http("GET", &format!("/exec/{exec}/json"), None);
            // Those of a container that has ended are forgotten.
            assert!(state.status == 404 || state.json()["Running"] == false, "{}", state.text());
        }
        ids.push(id);
    }
    turn.store(OVER, Ordering::SeqCst);
    let killed = killer.join().unwrap();
    assert!(killed > 0 && refused > 0, "{killed} helpers killed, {refused} starts refused");
    for id in &ids {
        let state = daemon.http("GET", &format!("/containers/{id}/json"), None).json()["State"].clone();
        let pid = u32::try_from(state["Pid"].as_u64().unwrap()).unwrap();
        assert_eq!(state["Running"] == true, pid != 0 && alive(pid), "{state}");
        // What could not be started can be, once nobody kills any more.
        let again = daemon.http("POST", &format!("/containers/{id}/start"), None);
        assert!([204, 304].contains(&again.status), "{}: {}", again.status, again.text());
        daemon.docker(&["rm", "-f", id]).ok();
    }
    leaks::assert_gone(&daemon, &ids);
}

/// Supervisors below `roots` with their helpers: what has a supervisor's command line and a parent with the same.
fn helpers(roots: &str) -> Vec<(Pid, Pid)> {
    let ours = |pid: i32| {
        std::fs::read_to_string(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| line.starts_with("lighter-supervisor") && line.contains(roots))
    };
    let children = |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let all = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut found = Vec::new();
    for supervisor in all.filter(|pid| ours(*pid)) {
        let helpers =
            children(supervisor).split(' ').filter_map(|pid| pid.parse().ok()).filter(|pid| ours(*pid)).collect::<Vec<_>>();
        found.extend(helpers.into_iter().filter_map(|helper| Some((Pid::from_raw(supervisor)?, Pid::from_raw(helper)?))));
    }
    found
}
