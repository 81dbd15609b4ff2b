//! Start, requests, end.

use crate::support::{Container, can_run, wait_until};
use lighter_supervisor_proto::{Exited, Ready, Reply, Request, files};
use std::fs;
use std::io::Read;

#[test]
fn a_container_runs_and_its_end_is_kept() {
    if !can_run() {
        return;
    }
    let mut container = Container::new(&["sh", "-c", "echo out; echo err >&2; exit 7"]);
    let ready = container.start();
    let Ready::Started { started_at, .. } = ready else { panic!("{ready:?}") };
    let exited = container.exited();
    assert_eq!((exited.code, exited.oom_killed), (7, false));
    assert!(exited.finished_at > started_at);
    let mut log = container.log();
    log.sort();
    assert_eq!(log, [("stderr".to_owned(), "err\n".to_owned()), ("stdout".to_owned(), "out\n".to_owned())]);
    let kept: Ready = serde_json::from_slice(&fs::read(container.launch.run_dir.join(files::READY)).unwrap()).unwrap();
    assert_eq!(kept, ready);
    assert_eq!(container.journal(), "");
}

#[test]
fn requests_are_answered_one_after_the_other() {
    if !can_run() {
        return;
    }
    let mut container = Container::new(&["sh", "-c", "trap 'exit 5' USR1; echo ready; while :; do sleep 0.01; done"]);
    let pid = container.started();
    assert!(wait_until(|| container.log_text() == "ready\n"));
    let mut waiting = container.connect();
    waiting.send(&Request::Wait);
    let mut session = container.connect();
    assert!(matches!(session.ask(&Request::Status), Reply::Status { pid: p, .. } if p == pid));
    assert!(matches!(session.ask(&Request::Resize { exec: None, rows: 1, cols: 1 }), Reply::Error { .. }));
    assert!(matches!(session.ask(&Request::ExecWait { exec: "x".into() }), Reply::Error { errno: Some(libc::ENOENT), .. }));
    assert!(matches!(session.ask(&Request::Signal { number: 0xffff }), Reply::Error { .. }));
    assert_eq!(session.ask(&Request::Signal { number: libc::SIGUSR1 }), Reply::Ok);
    let Reply::Exited(Exited { code: 5, .. }) = waiting.reply() else { panic!("no exit") };
    assert_eq!(container.exited().code, 5);
}

#[test]
fn a_killed_container_has_the_code_of_the_signal() {
    if !can_run() {
        return;
    }
    let mut container = Container::new(&["sleep", "1000"]);
    container.started();
    assert_eq!(container.connect().ask(&Request::Signal { number: libc::SIGKILL }), Reply::Ok);
    let exited = container.exited();
    assert_eq!((exited.code, exited.oom_killed), (137, false));
}

#[test]
fn a_malformed_request_ends_the_connection_only() {
    if !can_run() {
        return;
    }
    let mut container = Container::new(&["sleep", "1000"]);
    container.started();
    use std::io::Write;
    for garbage in [&b"\xff\xff\xff\xff"[..], b"\x02\0\0\0{}", b"\x03\0\0\0abc"] {
        let mut session = container.connect();
        session.0.write_all(garbage).unwrap();
        assert!(matches!(session.reply(), Reply::Error { .. }));
        assert_eq!(session.0.read(&mut [0]).unwrap(), 0);
    }
    assert!(matches!(container.connect().ask(&Request::Status), Reply::Status { .. }));
    container.connect().ask(&Request::Signal { number: 9 });
    container.exited();
}

#[test]
fn without_the_word_nothing_is_started() {
    if !can_run() {
        return;
    }
    let mut container = Container::new(&["true"]);
    drop(container.spawn_waiting());
    assert!(container.ended().success());
    let left = |name| container.launch.run_dir.join(name).exists();
    assert!(!left(files::READY) && !left(files::EXIT) && !left(files::SCRATCH));
}

#[test]
fn it_outlives_the_one_who_started_it_and_its_signals() {
    if !can_run() {
        return;
    }
    let mut container = Container::new(&["sh", "-c", "sleep 0.3; echo still here"]);
    // Our end of the pair goes at once, as with a daemon that was killed.
    drop(container.spawn());
    let supervisor = container.supervisor_pid();
    let ready = container.launch.run_dir.join(files::READY);
    assert!(wait_until(|| ready.exists()));
    let pid = nix::unistd::Pid::from_raw(supervisor.cast_signed());
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGTERM, libc::SIGPIPE, libc::SIGQUIT, libc::SIGUSR1] {
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::try_from(signal).unwrap()).unwrap();
    }
    let status = fs::read_to_string(format!("/proc/{supervisor}/stat")).unwrap();
    let session = status.rsplit(')').next().unwrap().split_ascii_whitespace().nth(3).unwrap().to_owned();
    assert_eq!(session, supervisor.to_string(), "a session of its own");
    for stream in 0..3 {
        assert_eq!(fs::read_link(format!("/proc/{supervisor}/fd/{stream}")).unwrap().to_str(), Some("/dev/null"));
    }
    assert_eq!(container.exited().code, 0);
    assert_eq!(container.log_text(), "still here\n");
}

#[test]
fn the_host_sees_none_of_its_mounts_and_it_is_in_no_group_of_the_container() {
    if !can_run() {
        return;
    }
    let mut container = Container::new(&["sleep", "1000"]);
    let pid = container.started();
    let rootfs = container.launch.run_dir.to_str().unwrap().to_owned();
    assert!(!fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&rootfs));
    let groups = container.launch.cgroups.clone();
    for group in groups.v1.iter().chain(&groups.v2) {
        // The helper leaves when it has done its work.
        let alone = || fs::read_to_string(group.join("cgroup.procs")).unwrap() == format!("{pid}\n");
        assert!(wait_until(alone), "{}: {:?}", group.display(), fs::read_to_string(group.join("cgroup.procs")));
    }
    container.connect().ask(&Request::Signal { number: 9 });
    container.exited();
}

#[test]
fn death_for_want_of_memory_is_told() {
    if !can_run() {
        return;
    }
    let mut container = Container::new(&["sh", "-c", "head -c 200m /dev/zero | tail"]);
    let groups = container.launch.cgroups.clone();
    let v1 = groups.v1.iter().find(|group| group.join("memory.limit_in_bytes").exists());
    let limit = v1.map(|group| group.join("memory.limit_in_bytes")).or(groups.v2.map(|group| group.join("memory.max")));
    let Some(limit) = limit.filter(|limit| limit.exists()) else {
        eprintln!("SKIPPED: no memory controller");
        return;
    };
    fs::write(limit, "20000000").unwrap();
    container.started();
    assert!(container.exited().oom_killed);
}

#[test]
fn without_a_process_namespace_of_its_own_it_leaves_nobody_behind() {
    if !can_run() {
        return;
    }
    let mut container = Container::new(&["sh", "-c", "sleep 1000 & setsid sleep 1000 & echo done; exit 2"]);
    container.spec["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != "pid");
    let groups = container.launch.cgroups.clone();
    container.started();
    assert_eq!(container.exited().code, 2);
    assert_eq!(container.log_text(), "done\n");
    let group = groups.v1.first().or(groups.v2.as_ref()).unwrap();
    assert_eq!(fs::read_to_string(group.join("cgroup.procs")).unwrap(), "");
}
