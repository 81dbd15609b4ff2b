//! What the command does without a daemon: says so, and does what needs none.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::process::{Command, Output};

fn lighter(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lighter"));
    command.args(args).env_remove("DOCKER_HOST").env("LIGHTER_HOST", "unix:///nonexistent/docker.sock");
    command.output().unwrap()
}

#[test]
fn an_absent_daemon_is_named() {
    for args in [&["events"][..], &["explain", "web"], &["ports", "--json"], &["store", "check"]] {
        let out = lighter(args);
        let said = String::from_utf8(out.stderr).unwrap();
        assert_eq!((out.status.code(), out.stdout.len()), (Some(1), 0), "{args:?}");
        assert!(said.starts_with("lighter: cannot reach the daemon at /nonexistent/docker.sock; is lighterd running?"), "{said}");
    }
    assert_eq!(lighter(&["-H", "tcp://localhost:2375", "ports"]).status.code(), Some(1));
    assert_eq!(lighter(&["no-such-command"]).status.code(), Some(2));
}

#[test]
fn a_backup_that_fails_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("copy.db");
    assert_eq!(lighter(&["store", "backup", file.to_str().unwrap()]).status.code(), Some(1));
    assert!(!file.exists());
}
