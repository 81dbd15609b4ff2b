//! What a container can and cannot reach.

use crate::support::{Container, can_run, demultiplex, spec};
use lighter_supervisor_proto::{ExecRequest, Ready, Reply, Request, Stage};
use serde_json::json;
use std::fs;

/// A program of seccomp: `mkdir` and `mkdirat` fail with EPERM, all else is allowed.
fn no_mkdir() -> Vec<u8> {
    let code = |code: u16, jt: u8, jf: u8, k: u32| {
        let mut bytes = code.to_ne_bytes().to_vec();
        bytes.extend_from_slice(&[jt, jf]);
        bytes.extend_from_slice(&k.to_ne_bytes());
        bytes
    };
    [
        code(0x20, 0, 0, 0),
        code(0x15, 2, 0, libc::SYS_mkdirat as u32),
        code(0x15, 1, 0, libc::SYS_mkdir as u32),
        code(0x06, 0, 0, 0x7fff_0000),
        code(0x06, 0, 0, 0x0005_0000 | libc::EPERM as u32),
    ]
    .concat()
}

fn run(container: &mut Container) -> String {
    container.started();
    container.exited();
    container.log_text()
}

const LOOK: &str =
    "grep -E '^(CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp|Uid|Gid|Groups|SigBlk|SigIgn):' /proc/self/status";

#[test]
fn capabilities_filter_and_signals_are_as_the_specification_says() {
    if !can_run() {
        return;
    }
    let script = format!("{LOOK}; umask; mkdir /x 2>&1");
    let mut container = Container::new(&["sh", "-c", &script]);
    let filter = container.launch.run_dir.join("filter");
    fs::write(&filter, no_mkdir()).unwrap();
    container.launch.seccomp = Some(filter);
    let text = run(&mut container).replace('\t', " ");
    for line in [
        "CapInh: 0000000000000000",
        "CapPrm: 00000000a80425fb",
        "CapEff: 00000000a80425fb",
        "CapBnd: 00000000a80425fb",
        "CapAmb: 0000000000000000",
        "NoNewPrivs: 0",
        "Seccomp: 2",
        "SigBlk: 0000000000000000",
        "SigIgn: 0000000000000000",
        "0022",
        "mkdir: can't create directory '/x': Operation not permitted",
    ] {
        assert!(text.lines().any(|l| l == line), "{line:?} in {text}");
    }
}

#[test]
fn another_user_without_new_privileges() {
    if !can_run() {
        return;
    }
    let mut container = Container::new(&["sh", "-c", &format!("{LOOK}; id -u; echo more > /proc/self/fd/1")]);
    let filter = container.launch.run_dir.join("filter");
    fs::write(&filter, no_mkdir()).unwrap();
    container.launch.seccomp = Some(filter);
    container.spec["process"]["user"] = json!({ "uid": 1000, "gid": 1001, "additionalGids": [1001, 7] });
    container.spec["process"]["noNewPrivileges"] = json!(true);
    let text = run(&mut container).replace('\t', " ");
    for line in [
        "Uid: 1000 1000 1000 1000",
        "Gid: 1001 1001 1001 1001",
        "Groups: 7 1001 ",
        "CapPrm: 0000000000000000",
        "CapEff: 0000000000000000",
        "NoNewPrivs: 1",
        "Seccomp: 2",
        "1000",
        "more",
    ] {
        assert!(text.lines().any(|l| l == line), "{line:?} in {text}");
    }
}

#[test]
fn only_the_three_streams_reach_a_program() {
    if !can_run() {
        return;
    }
    // `ls` itself holds the directory that it lists.
    let census = ["sh", "-c", "for fd in /proc/self/fd/*; do echo ${fd##*/}; done; exec sleep 1000"];
    let mut container = Container::new(&census);
    container.launch.open_stdin = true;
    let pid = container.started();
    let fds = |pid: u32| {
        let mut names: Vec<String> =
            fs::read_dir(format!("/proc/{pid}/fd")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(fds(pid), ["0", "1", "2"]);
    let mut session = container.connect();
    let exec = ExecRequest {
        id: "c".to_owned(),
        process: spec::process(&["sleep", "1000"]),
        tty: true,
        stdin: true,
        stdout: true,
        stderr: true,
        console_size: None,
        unconfined: false,
    };
    let Reply::ExecStarted { pid } = session.ask(&Request::Exec(Box::new(exec))) else { panic!("not started") };
    assert_eq!(fds(pid), ["0", "1", "2"]);
    container.connect().ask(&Request::Signal { number: 9 });
    container.exited();
}

#[test]
fn a_working_directory_through_a_descriptor_is_refused() {
    if !can_run() {
        return;
    }
    let mut running = Container::new(&["sleep", "1000"]);
    running.started();
    for number in 0..32 {
        let cwd = format!("/proc/self/fd/{number}");
        let mut container = Container::new(&["true"]);
        container.spec["process"]["cwd"] = json!(cwd);
        let Ready::Failed(failure) = container.start() else { panic!("{cwd} was entered") };
        assert_eq!(failure.stage, Stage::WorkingDir);
        let mut exec = ExecRequest {
            id: "c".to_owned(),
            process: spec::process(&["true"]),
            tty: false,
            stdin: false,
            stdout: true,
            stderr: true,
            console_size: None,
            unconfined: false,
        };
        exec.process["cwd"] = json!(cwd);
        let Reply::Failed(failure) = running.connect().ask(&Request::Exec(Box::new(exec))) else { panic!("{cwd} was entered") };
        assert_eq!(failure.stage, Stage::WorkingDir);
    }
    running.connect().ask(&Request::Signal { number: 9 });
    running.exited();
}

#[test]
fn an_exec_has_the_filter_unless_it_is_unconfined() {
    if !can_run() {
        return;
    }
    let mut container = Container::new(&["sleep", "1000"]);
    let filter = container.launch.run_dir.join("filter");
    fs::write(&filter, no_mkdir()).unwrap();
    container.launch.seccomp = Some(filter);
    container.started();
    for unconfined in [false, true] {
        let exec = ExecRequest {
            id: "s".to_owned(),
            process: spec::process(&[
                "sh",
                "-c",
                "mkdir /made && echo made; grep ^CapEff: /proc/self/status; readlink /proc/self/fd/0",
            ]),
            tty: false,
            stdin: false,
            stdout: true,
            stderr: true,
            console_size: None,
            unconfined,
        };
        let mut session = container.connect();
        assert!(matches!(session.ask(&Request::Exec(Box::new(exec))), Reply::ExecStarted { .. }));
        let out = String::from_utf8(demultiplex(&session.rest()).0).unwrap();
        assert_eq!(out.contains("made\n"), unconfined, "{out}");
        assert!(out.contains("CapEff:\t00000000a80425fb\n"), "{out}");
        assert!(out.ends_with("/dev/null\n"), "{out}");
        assert!(matches!(container.connect().ask(&Request::ExecWait { exec: "s".into() }), Reply::ExecExited { .. }));
    }
    container.connect().ask(&Request::Signal { number: 9 });
    container.exited();
}

#[test]
fn its_own_groups_are_visible_and_cannot_be_written() {
    if !can_run() {
        return;
    }
    let script = "cat /sys/fs/cgroup/memory/cgroup.procs /sys/fs/cgroup/cgroup.procs 2>/dev/null; \
                  echo 1 > /sys/fs/cgroup/memory/memory.limit_in_bytes; mkdir /sys/fs/cgroup/x; mkdir /sys/fs/cgroup/memory/x; \
                  mount -o remount,rw /sys/fs/cgroup; mount -o remount,rw,bind /sys/fs/cgroup/memory; \
                  find /sys/fs/cgroup -name 'x'; cut -d: -f3 /proc/self/cgroup | sort -u";
    let mut container = Container::new(&["sh", "-c", script]);
    container.started();
    container.exited();
    let out: String = container.log().into_iter().filter(|(stream, _)| stream == "stdout").map(|(_, text)| text).collect();
    // The shell, `cat`, and the root of each hierarchy: nothing was made.
    assert_eq!(out.split_whitespace().next(), Some("1"), "{out}");
    assert_eq!(out.split_whitespace().next_back(), Some("/"), "{out}");
    assert!(!out.contains("/x"), "{out}");
    for line in fs::read_to_string("/proc/self/mountinfo").unwrap().lines() {
        assert!(!line.contains(container.launch.run_dir.to_str().unwrap()));
    }
}

#[test]
fn the_supervisor_cannot_be_inspected() {
    if !can_run() {
        return;
    }
    let mut container = Container::new(&["sleep", "1000"]);
    container.started();
    use std::os::unix::fs::MetadataExt;
    let own = format!("/proc/{}", container.supervisor_pid());
    // An undumpable process belongs to root whoever runs it; as root that shows in nothing but the flag's effects.
    assert_eq!(fs::metadata(&own).unwrap().uid(), 0);
    let init = fs::read_to_string(format!(
        "/proc/{}/oom_score_adj",
        fs::read_to_string(
            container.launch.cgroups.v1.first().or(container.launch.cgroups.v2.as_ref()).unwrap().join("cgroup.procs")
        )
        .unwrap()
        .lines()
        .next()
        .unwrap()
    ));
    assert_eq!(init.unwrap().trim(), "0");
    container.connect().ask(&Request::Signal { number: 9 });
    container.exited();
}
