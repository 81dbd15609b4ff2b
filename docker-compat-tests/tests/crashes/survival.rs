//! kill -9 of the daemon in the middle of things, and a new one on its roots.

use std::path::PathBuf;

use docker_compat_tests::daemon::{alive, scratch};
use docker_compat_tests::{Daemon, cli, eventually, leaks};
use serde_json::Value;

/// A daemon to be killed, its containers gone at the end whatever happens.
pub struct Subject {
    pub roots: PathBuf,
}

impl Subject {
    pub fn new(name: &str) -> (Self, Daemon) {
        let roots = scratch(name);
        let daemon = Daemon::start_in(&roots, &[]).with_busybox();
        (Self { roots }, daemon)
    }

    /// A new daemon where the old one died.
    pub fn again(&self) -> Daemon {
        Daemon::start_in(&self.roots, &[])
    }
}

pub fn reference() -> bool {
    let pointed = std::env::var("LIGHTER_COMPAT_HOST").is_ok_and(|h| !h.is_empty());
    if pointed {
        eprintln!("left out on the reference daemon: it is not ours to kill");
    }
    pointed
}

/// The process that looks after a container: the parent of the container's own.
pub fn supervisor_of(daemon: &Daemon, id: &str) -> rustix::process::Pid {
    let pid = inspect(daemon, id)["State"]["Pid"].as_u64().unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let parent = stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap();
    assert_ne!(parent, 1, "{stat}");
    rustix::process::Pid::from_raw(parent).unwrap()
}

pub fn inspect(daemon: &Daemon, id: &str) -> Value {
    let answer = daemon.http("GET", &format!("/containers/{id}/json"), None);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

pub fn run(daemon: &Daemon, flags: &[&str], script: &str) -> String {
    let mut args = vec!["run", "-d", "--network", "none"];
    args.extend(flags);
    args.extend(["busybox", "sh", "-c", script]);
    daemon.docker(&args).ok().to_owned()
}

#[test]
fn a_sleeping_container_never_notices() {
    if reference() {
        return;
    }
    let (subject, first) = Subject::new("sleep");
    let id = run(&first, &["--name", "kept"], "trap 'exit 23' USR1; echo up; while :; do sleep 0.1; done");
    let before = inspect(&first, &id)["State"].clone();
    first.kill_nine();
    assert!(alive(before["Pid"].as_u64().unwrap() as u32), "it runs without a daemon");
    let second = subject.again();
    let after = inspect(&second, &id)["State"].clone();
    assert_eq!(before, after, "the same process, the same times");
    assert_eq!(inspect(&second, "kept")["Id"], id.as_str());
    let wait = second.spawn(&["wait", &id]);
    second.docker(&["kill", "-s", "USR1", &id]).ok();
    assert_eq!(wait.wait().ok(), "23");
    assert_eq!(inspect(&second, &id)["State"]["ExitCode"], 23);
    second.docker(&["rm", &id]).ok();
    leaks::assert_gone(&second, &[id]);
}

#[test]
fn an_exit_without_a_daemon_is_not_lost() {
    if reference() {
        return;
    }
    let (subject, first) = Subject::new("exit");
    let id = run(&first, &["-i"], "while [ ! -e /go ]; do sleep 0.05; done; echo last words; exit 37");
    let pid = inspect(&first, &id)["State"]["Pid"].as_u64().unwrap() as u32;
    first.kill_nine();
    // Through its root: nobody else is there to tell it.
    std::fs::write(format!("/proc/{pid}/root/go"), "").unwrap();
    eventually("the program ends", || (!alive(pid)).then_some(()));
    let second = subject.again();
    cli::wait_state(&second, &id, "exited");
    let state = inspect(&second, &id)["State"].clone();
    assert_eq!(state["ExitCode"], 37);
    assert!(state["StartedAt"].as_str() < state["FinishedAt"].as_str(), "{state}");
    assert_eq!(second.docker(&["wait", &id]).ok(), "37");
    assert_eq!(second.docker(&["logs", &id]).ok(), "last words");
    assert_eq!(second.docker(&["start", &id]).ok(), id, "it can be started again");
}

#[test]
fn no_log_line_is_missing() {
    if reference() {
        return;
    }
    let (subject, first) = Subject::new("lines");
    let id = run(&first, &[], "n=0; while [ ! -e /stop ]; do n=$((n+1)); echo line $n; done; echo end $n");
    let pid = inspect(&first, &id)["State"]["Pid"].as_u64().unwrap() as u32;
    eventually("it writes", || (first.docker(&["logs", "--tail", "1", &id]).stdout.len() > "line 1000".len()).then_some(()));
    first.kill_nine();
    // Lines written with no daemon there are the ones in danger.
    let log = std::fs::metadata(log_path(&subject, &id)).map(|m| m.len()).unwrap_or(0);
    eventually("the log grows without a daemon", || {
        (std::fs::metadata(log_path(&subject, &id)).map(|m| m.len()).unwrap_or(0) > log).then_some(())
    });
    let second = subject.again();
    let follow = second.spawn(&["logs", "-f", &id]);
    follow.wait_for("line 1000\n");
    std::fs::write(format!("/proc/{pid}/root/stop"), "").unwrap();
    assert_eq!(second.docker(&["wait", &id]).ok(), "0");
    let followed = follow.wait();
    for out in [&followed, &second.docker(&["logs", &id])] {
        let lines = out.lines();
        let (last, body) = lines.split_last().unwrap();
        assert_eq!(*last, format!("end {}", body.len()));
        assert!(body.iter().enumerate().all(|(n, l)| *l == format!("line {}", n + 1)), "in order, none missing, none twice");
    }
}

fn log_path(subject: &Subject, id: &str) -> PathBuf {
    // Found by name, not by the daemon, which may be dead.
    fn find(dir: &std::path::Path, name: &str) -> Option<PathBuf> {
        for entry in std::fs::read_dir(dir).ok()?.flatten() {
            if entry.file_name() == name {
                return Some(entry.path());
            }
            let down = entry.file_type().is_ok_and(|t| t.is_dir()) && !entry.path().ends_with("merged");
            if let Some(found) = down.then(|| find(&entry.path(), name)).flatten() {
                return Some(found);
            }
        }
        None
    }
    find(&subject.roots.join("data"), &format!("{id}-json.log")).expect("the log file")
}

#[test]
fn an_exec_runs_on() {
    if reference() {
        return;
    }
    let (subject, first) = Subject::new("exec");
    let id = run(&first, &[], "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done");
    let exec = first.spawn(&["exec", &id, "sh", "-c", "echo begun; sleep 1; echo finished >/done; exit 6"]);
    exec.wait_for("begun");
    first.kill_nine();
    drop(exec);
    let second = subject.again();
    assert_eq!(inspect(&second, &id)["State"]["Status"], "running");
    eventually("the exec finishes its work", || {
        (second.docker(&["exec", &id, "cat", "/done"]).stdout == "finished\n").then_some(())
    });
    assert_eq!(second.docker(&["exec", &id, "sh", "-c", "exit 4"]).code, 4, "and new ones work");
}

#[test]
fn killed_in_the_middle_of_runs() {
    if reference() {
        return;
    }
    let (subject, first) = Subject::new("storm");
    // Many runs in all stages; the daemon dies as soon as the first is up.
    let runs: Vec<_> = (0..6)
        .map(|n| first.spawn(&["run", "-d", "--network", "none", "--name", &format!("storm{n}"), "busybox", "sleep", "1000"]))
        .collect();
    eventually("one is running", || {
        (first.docker(&["ps", "-q"]).lines().len() == 1 || first.docker(&["ps", "-q"]).lines().len() > 1).then_some(())
    });
    first.kill_nine();
    drop(runs);
    let second = subject.again();
    let list = second.http("GET", "/containers/json?all=1", None).json();
    for container in list.as_array().unwrap() {
        let id = container["Id"].as_str().unwrap();
        let state = inspect(&second, id)["State"].clone();
        match state["Status"].as_str().unwrap() {
            "running" => assert!(alive(state["Pid"].as_u64().unwrap() as u32), "{state}"),
            "created" | "exited" => assert_eq!(state["Pid"], 0, "{state}"),
            other => panic!("a container in the state {other}"),
        }
        second.docker(&["rm", "-f", id]).ok();
        leaks::assert_gone(&second, &[id.to_owned()]);
    }
    // Half-made ones are no obstacle to the same names.
    for n in 0..6 {
        second.docker(&["run", "--rm", "--network", "none", "--name", &format!("storm{n}"), "busybox", "true"]).ok();
    }
}

#[test]
fn auto_removal_is_made_up_for() {
    if reference() {
        return;
    }
    let (subject, first) = Subject::new("autorm");
    let id = run(&first, &["--rm"], "while [ ! -e /go ]; do sleep 0.05; done");
    let pid = inspect(&first, &id)["State"]["Pid"].as_u64().unwrap() as u32;
    first.kill_nine();
    std::fs::write(format!("/proc/{pid}/root/go"), "").unwrap();
    eventually("the program ends", || (!alive(pid)).then_some(()));
    let second = subject.again();
    eventually("it is removed after all", || {
        (second.http("GET", &format!("/containers/{id}/json"), None).status == 404).then_some(())
    });
    leaks::assert_gone(&second, &[id]);
}

#[test]
fn events_are_replayed_from_before() {
    if reference() {
        return;
    }
    let (subject, first) = Subject::new("events");
    let id = first.docker(&["create", "--name", "old", "busybox"]).ok().to_owned();
    first.kill_nine();
    let second = subject.again();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 1;
    let out = second.docker(&[
        "events",
        "--since",
        "1",
        "--until",
        &now.to_string(),
        "--filter",
        "type=container",
        "--format",
        "{{.Action}} {{.ID}}",
    ]);
    assert_eq!(out.ok(), format!("create {id}"));
    assert_eq!(second.docker(&["images", "-q"]).lines().len(), 1, "images are kept too");
}
