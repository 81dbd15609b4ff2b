//! Further processes in a running container.

use super::Fixture;
use super::support::{SLEEP, drop_after, left_out, raw, text};
use crate::{ExecSession, StartFailure};
use lighter_domain::id::random_hex64;
use lighter_domain::{Container, ExecConfig, Signal};
use std::sync::Arc;
use tokio::io::AsyncWriteExt as _;

fn config(argv: &[&str]) -> ExecConfig {
    ExecConfig {
        attach_stdout: true,
        attach_stderr: true,
        cmd: argv.iter().map(|a| (*a).to_owned()).collect(),
        ..ExecConfig::default()
    }
}

async fn exec(f: &Fixture, container: &Container, config: &ExecConfig) -> Result<ExecSession, StartFailure> {
    f.engine.exec().expect("asked before").exec(container, &random_hex64(), config).await
}

/// A container to be entered; `None` where there is no exec.
async fn host(f: &Fixture) -> Option<Container> {
    if f.engine.exec().is_none() {
        left_out(f, "exec");
        return None;
    }
    let container = f.container(&SLEEP);
    f.start(&container).await;
    Some(container)
}

pub async fn output_and_exit_code(f: Arc<Fixture>) {
    let Some(container) = host(&f).await else { return };
    let started = exec(&f, &container, &config(&["sh", "-c", "echo out; echo err >&2; exit 3"])).await.expect("exec");
    assert!(started.pid > 0);
    let session = started.session.expect("it was asked for");
    assert!(session.input.is_none());
    assert_eq!(text(session.output).await, ("out\n".to_owned(), "err\n".to_owned()));
    assert_eq!(started.exit.await.expect("exit"), 3);
    assert!(f.is_running(&container.id).await);
}

pub async fn exit_codes_of_execs(f: Arc<Fixture>) {
    let Some(container) = host(&f).await else { return };
    for (argv, code) in [(&["true"][..], 0), (&["false"], 1), (&["sh", "-c", "exit 42"], 42)] {
        let started = exec(&f, &container, &config(argv)).await.expect("exec");
        assert_eq!(started.exit.await.expect("exit"), code, "{argv:?}");
    }
}

async fn fails(f: &Fixture, program: &str, code: i32, words: &str) {
    let Some(container) = host(f).await else { return };
    let failure = exec(f, &container, &config(&[program])).await.expect_err("it cannot start");
    assert_eq!(failure.exit_code, code, "{}", failure.error);
    assert!(failure.error.message().contains(words), "{}", failure.error);
    assert!(f.is_running(&container.id).await);
}

pub async fn a_missing_program_in_exec_is_127(f: Arc<Fixture>) {
    fails(&f, "nosuch", 127, "executable file not found in $PATH").await;
}

pub async fn a_program_in_exec_that_is_not_executable_is_126(f: Arc<Fixture>) {
    fails(&f, "/etc/passwd", 126, "permission denied").await;
}

pub async fn input_of_an_exec(f: Arc<Fixture>) {
    let Some(container) = host(&f).await else { return };
    let config = ExecConfig { attach_stdin: true, ..config(&["cat"]) };
    let started = exec(&f, &container, &config).await.expect("exec");
    let session = started.session.expect("it was asked for");
    let mut input = session.input.expect("it was asked for");
    input.write_all(b"there and back").await.expect("write");
    input.shutdown().await.expect("shutdown");
    assert_eq!(text(session.output).await.0, "there and back");
    assert_eq!(started.exit.await.expect("exit"), 0);
}

pub async fn an_exec_without_streams(f: Arc<Fixture>) {
    let Some(container) = host(&f).await else { return };
    let config = ExecConfig { attach_stdout: false, attach_stderr: false, ..config(&["sh", "-c", "echo unheard; exit 6"]) };
    let started = exec(&f, &container, &config).await.expect("exec");
    assert!(started.session.is_none());
    assert_eq!(started.exit.await.expect("exit"), 6);
}

pub async fn an_exec_on_a_terminal(f: Arc<Fixture>) {
    let Some(container) = host(&f).await else { return };
    let config = ExecConfig { tty: true, console_size: Some((24, 80)), ..config(&["echo", "hello"]) };
    let started = exec(&f, &container, &config).await.expect("exec");
    assert_eq!(raw(started.session.expect("it was asked for").output).await, "hello\r\n");
    assert_eq!(started.exit.await.expect("exit"), 0);
}

pub async fn execs_end_with_the_container(f: Arc<Fixture>) {
    let Some(container) = host(&f).await else { return };
    let started = exec(&f, &container, &config(&SLEEP)).await.expect("exec");
    f.kill(&container).await;
    assert_eq!(text(started.session.expect("it was asked for").output).await, (String::new(), String::new()));
    assert_eq!(started.exit.await.expect("exit"), 137);
}

pub async fn an_exec_needs_a_running_container(f: Arc<Fixture>) {
    let Some(container) = host(&f).await else { return };
    f.kill(&container).await;
    exec(&f, &container, &config(&["true"])).await.expect_err("it does not run");
}

pub async fn resize_of_an_unknown_exec_is_refused(f: Arc<Fixture>) {
    let Some(container) = host(&f).await else { return };
    let engine = f.engine.exec().expect("asked before");
    engine.resize_exec(&container.id, &random_hex64(), 24, 80).await.expect_err("no such exec");
}

pub async fn a_client_may_leave_an_exec(f: Arc<Fixture>) {
    let Some(container) = host(&f).await else { return };
    // More than once: whoever connects in the moment in which another goes must not be taken for it.
    for _ in 0..5 {
        let started = exec(&f, &container, &config(&["sh", "-c", "seq 10000; exit 8"])).await.expect("exec");
        drop(started.session);
        assert_eq!(started.exit.await.expect("exit"), 8);
    }
    let mut started = exec(&f, &container, &config(&SLEEP)).await.expect("exec");
    assert!(!drop_after(5, &mut started.exit).await);
    drop(started);
    assert!(f.is_running(&container.id).await);
    assert_eq!(f.kill(&container).await.code, 137);
}

pub async fn a_signal_ends_an_exec_and_nothing_else(f: Arc<Fixture>) {
    let Some(container) = host(&f).await else { return };
    let engine = f.engine.exec().expect("asked before");
    let id = random_hex64();
    let started = engine.exec(&container, &id, &config(&SLEEP)).await.expect("exec");
    engine.signal_exec(&container.id, &id, Signal::KILL).await.expect("it runs");
    assert_eq!(started.exit.await.expect("exit"), 137);
    engine.signal_exec(&container.id, &id, Signal::KILL).await.expect_err("it has ended");
    engine.signal_exec(&container.id, &random_hex64(), Signal::KILL).await.expect_err("no such exec");
    assert!(f.is_running(&container.id).await);
}

pub async fn twenty_execs_at_once(f: Arc<Fixture>) {
    let Some(container) = host(&f).await else { return };
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let (f, container) = (Arc::clone(&f), container.clone());
            tokio::spawn(async move {
                let script = format!("echo {n}; exit {n}");
                let started = exec(&f, &container, &config(&["sh", "-c", &script])).await.expect("exec");
                assert_eq!(text(started.session.expect("it was asked for").output).await.0, format!("{n}\n"));
                assert_eq!(started.exit.await.expect("exit"), n);
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
}
