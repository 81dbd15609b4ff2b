//! Attach: what a client sees and says.

use super::Fixture;
use super::support::{self, OUTPUT, SLEEP, left_out, raw, text, until};
use crate::{AttachOptions, Session};
use lighter_domain::Container;
use std::sync::Arc;
use tokio::io::AsyncWriteExt as _;

const BOTH: [&str; 3] = ["sh", "-c", "echo out; echo err >&2"];

/// With an open standard input, as `docker run -i` asks for it.
fn interactive(f: &Fixture, argv: &[&str]) -> Container {
    f.container_with(argv, |c| {
        c.config.open_stdin = true;
        c.config.stdin_once = true;
        c.config.attach_stdin = true;
    })
}

fn on_a_terminal(f: &Fixture, argv: &[&str]) -> Container {
    f.container_with(argv, |c| c.config.tty = true)
}

async fn say(session: &mut Session, words: &str) {
    let input = session.input.as_mut().expect("an input");
    input.write_all(words.as_bytes()).await.expect("write");
    input.flush().await.expect("flush");
}

async fn hang_up(session: &mut Session) {
    session.input.as_mut().expect("an input").shutdown().await.expect("shutdown");
}

pub async fn attach_before_start_sees_everything(f: Arc<Fixture>) {
    if f.engine.attach().is_none() {
        return left_out(&f, "attach");
    }
    for _ in 0..5 {
        let container = f.container(&BOTH);
        let session = f.start_attached(&container).await;
        assert!(session.input.is_none(), "none was asked for");
        assert_eq!(text(session.output).await, ("out\n".to_owned(), "err\n".to_owned()));
        assert_eq!(f.wait(&container).await.code, 0);
    }
}

pub async fn only_the_streams_asked_for(f: Arc<Fixture>) {
    let Some(attach) = f.engine.attach() else { return left_out(&f, "attach") };
    for (stdout, stderr) in [(true, false), (false, true)] {
        let container = f.container(&BOTH);
        f.engine.create(&container).await.expect("create");
        let options = AttachOptions { stdin: false, stdout, stderr };
        let session = attach.attach(&container, options).await.expect("attach");
        f.engine.start(&container).await.expect("start");
        let expected = |wanted: bool, words: &str| if wanted { words.to_owned() } else { String::new() };
        assert_eq!(text(session.output).await, (expected(stdout, "out\n"), expected(stderr, "err\n")));
        f.wait(&container).await;
    }
}

pub async fn no_output_is_an_empty_stream(f: Arc<Fixture>) {
    if f.engine.attach().is_none() {
        return left_out(&f, "attach");
    }
    let container = f.container(&["true"]);
    let session = f.start_attached(&container).await;
    assert_eq!(text(session.output).await, (String::new(), String::new()));
}

pub async fn input_is_read_to_its_end(f: Arc<Fixture>) {
    if f.engine.attach().is_none() {
        return left_out(&f, "attach");
    }
    let container = interactive(&f, &["cat"]);
    let mut session = f.start_attached(&container).await;
    say(&mut session, "one\n").await;
    until(&mut session.output, "one\n").await;
    say(&mut session, "two").await;
    hang_up(&mut session).await;
    // The other half stays open.
    assert_eq!(text(session.output).await.0, "two");
    assert_eq!(f.wait(&container).await.code, 0);
}

pub async fn a_megabyte_through_cat(f: Arc<Fixture>) {
    if f.engine.attach().is_none() {
        return left_out(&f, "attach");
    }
    let container = interactive(&f, &["cat"]);
    let session = f.start_attached(&container).await;
    let sent: Vec<u8> = (0..1_048_576u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut input = session.input.expect("an input");
    let writer = {
        let sent = sent.clone();
        tokio::spawn(async move {
            input.write_all(&sent).await.expect("write");
            input.shutdown().await.expect("shutdown");
        })
    };
    let (received, errors) = support::demultiplex(session.output).await;
    writer.await.expect("no panic");
    assert!(received == sent, "{} bytes came back of {}", received.len(), sent.len());
    assert!(errors.is_empty());
    assert_eq!(f.wait(&container).await.code, 0);
}

pub async fn closed_input_ends_at_once(f: Arc<Fixture>) {
    let container = f.container(&["cat"]);
    assert_eq!(f.run(&container).await.code, 0);
}

pub async fn input_outlives_a_client_unless_once(f: Arc<Fixture>) {
    if f.engine.attach().is_none() {
        return left_out(&f, "attach");
    }
    let container = f.container_with(&["cat"], |c| c.config.open_stdin = true);
    let mut first = f.start_attached(&container).await;
    say(&mut first, "first\n").await;
    until(&mut first.output, "first\n").await;
    drop(first);
    let mut second = f.attach(&container).await;
    say(&mut second, "second\n").await;
    until(&mut second.output, "second\n").await;
    assert!(f.is_running(&container.id).await);
    assert_eq!(f.kill(&container).await.code, 137);
}

pub async fn a_terminal_is_raw(f: Arc<Fixture>) {
    if f.engine.attach().is_none() {
        return left_out(&f, "attach");
    }
    let container = on_a_terminal(&f, &["sh", "-c", "echo out; echo err >&2"]);
    let session = f.start_attached(&container).await;
    assert_eq!(raw(session.output).await, "out\r\nerr\r\n");
    assert_eq!(f.wait(&container).await.code, 0);
}

pub async fn a_terminal_can_be_resized(f: Arc<Fixture>) {
    let Some(attach) = f.engine.attach() else { return left_out(&f, "attach") };
    let container = on_a_terminal(&f, &SLEEP);
    f.start(&container).await;
    attach.resize(&container.id, 40, 132).await.expect("resize");
    f.kill(&container).await;
}

pub async fn two_clients_see_the_same(f: Arc<Fixture>) {
    if f.engine.attach().is_none() {
        return left_out(&f, "attach");
    }
    let container = f.container(&["sh", "-c", "seq 1000"]);
    f.engine.create(&container).await.expect("create");
    let [first, second] = [f.attach(&container).await, f.attach(&container).await];
    f.engine.start(&container).await.expect("start");
    let (first, second) = tokio::join!(text(first.output), text(second.output));
    let expected: String = (1..=1000).map(|n| format!("{n}\n")).collect();
    assert_eq!(first.0, expected);
    assert_eq!(second.0, expected);
    f.wait(&container).await;
}

pub async fn a_client_that_vanishes_is_not_missed(f: Arc<Fixture>) {
    if f.engine.attach().is_none() {
        return left_out(&f, "attach");
    }
    let container = f.container(&["sh", "-c", "seq 100000; exit 5"]);
    let mut session = f.start_attached(&container).await;
    until(&mut session.output, "1\n").await;
    drop(session);
    assert_eq!(f.wait(&container).await.code, 5);
}

pub async fn a_failed_start_ends_the_clients(f: Arc<Fixture>) {
    if f.engine.attach().is_none() {
        return left_out(&f, "attach");
    }
    let container = f.container(&["nosuch"]);
    f.engine.create(&container).await.expect("create");
    let session = f.attach(&container).await;
    f.engine.start(&container).await.expect_err("no such program");
    f.engine.cleanup(&container.id).await.expect("cleanup");
    assert_eq!(text(session.output).await, (String::new(), String::new()));
}

pub async fn a_restart_serves_new_clients(f: Arc<Fixture>) {
    let Some(attach) = f.engine.attach() else { return left_out(&f, "attach") };
    let container = f.container(&BOTH);
    for _ in 0..2 {
        f.engine.create(&container).await.expect("create");
        let session = attach.attach(&container, OUTPUT).await.expect("attach");
        f.engine.start(&container).await.expect("start");
        assert_eq!(text(session.output).await, ("out\n".to_owned(), "err\n".to_owned()));
        f.wait(&container).await;
        f.engine.cleanup(&container.id).await.expect("cleanup");
    }
}
