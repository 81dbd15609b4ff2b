//! `lighter-init` as the first process of a container. It is only static, and so usable there, in the release build: the
//! tests run it on the host.

use crate::support::wait_until;
use std::process::{Command, Output, Stdio};

fn init() -> Command {
    Command::new(env!("CARGO_BIN_EXE_lighter-init"))
}

fn run(args: &[&str]) -> Output {
    init().args(args).output().unwrap()
}

#[test]
fn the_status_is_the_childs() {
    assert_eq!(run(&["--", "sh", "-c", "exit 6"]).status.code(), Some(6));
    assert_eq!(run(&["--", "sh", "-c", "kill -9 $$"]).status.code(), Some(137));
    assert_eq!(run(&["sh", "-c", "exit 0"]).status.code(), Some(0));
    assert_eq!(run(&["--", "/nosuch"]).status.code(), Some(127));
    assert_eq!(run(&["--", "/etc/passwd"]).status.code(), Some(126));
    assert_eq!(run(&[]).status.code(), Some(2));
}

#[test]
fn signals_are_passed_on_and_none_is_blocked_in_the_child() {
    let script = "trap 'exit 12' TERM; grep ^SigBlk /proc/self/status; while :; do sleep 0.01; done";
    let mut child = init().args(["--", "sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    assert_eq!(line.trim_end(), "SigBlk:\t0000000000000000");
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    let mut status = None;
    assert!(wait_until(|| {
        status = child.try_wait().unwrap();
        status.is_some()
    }));
    assert_eq!(status.unwrap().code(), Some(12));
}
