//! What was printed, read back.

use super::Fixture;
use super::support::{frame, left_out, raw, text, until};
use crate::{ByteStream, LogQuery};
use lighter_domain::Container;
use std::sync::Arc;
use time::OffsetDateTime;
use tokio::io::AsyncWriteExt as _;

const EVERYTHING: LogQuery = LogQuery {
    stdout: true,
    stderr: true,
    follow: false,
    timestamps: false,
    details: false,
    since: None,
    until: None,
    tail: None,
};

async fn read(f: &Fixture, container: &Container, query: LogQuery) -> ByteStream {
    f.engine.logs().expect("asked before").logs(container, query).await.expect("logs")
}

/// A container that has printed, and ended.
async fn after(f: &Fixture, script: &str) -> Container {
    let container = f.container(&["sh", "-c", script]);
    f.run(&container).await;
    container
}

pub async fn both_streams_are_kept(f: Arc<Fixture>) {
    if f.engine.logs().is_none() {
        return left_out(&f, "logs");
    }
    let container = after(&f, "echo out; echo err >&2; echo more").await;
    assert_eq!(text(read(&f, &container, EVERYTHING).await).await, ("out\nmore\n".to_owned(), "err\n".to_owned()));
}

pub async fn all_is_kept_when_wait_answers(f: Arc<Fixture>) {
    if f.engine.logs().is_none() {
        return left_out(&f, "logs");
    }
    let container = after(&f, "seq 5000").await;
    let (out, _) = text(read(&f, &container, EVERYTHING).await).await;
    assert_eq!(out.lines().count(), 5000);
    assert_eq!(out.lines().next_back(), Some("5000"));
}

pub async fn tail(f: Arc<Fixture>) {
    if f.engine.logs().is_none() {
        return left_out(&f, "logs");
    }
    let container = after(&f, "seq 10").await;
    for (lines, expected) in [(0, ""), (1, "10\n"), (3, "8\n9\n10\n"), (99, "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n")] {
        let query = LogQuery { tail: Some(lines), ..EVERYTHING };
        assert_eq!(text(read(&f, &container, query).await).await.0, expected, "{lines}");
    }
}

pub async fn the_extent_tells_whether_something_was_printed(f: Arc<Fixture>) {
    let container = f.container(&["sh", "-c", "echo a"]);
    let extent = || f.engine.logs().and_then(|logs| logs.extent(&container));
    let Some(before) = extent() else { return left_out(&f, "the extent of logs") };
    f.run(&container).await;
    let after = extent();
    assert!(after.is_some_and(|after| after != before), "{after:?}");
    text(read(&f, &container, EVERYTHING).await).await;
    assert_eq!(extent(), after, "reading changes nothing");
}

pub async fn timestamps_and_details(f: Arc<Fixture>) {
    if f.engine.logs().is_none() {
        return left_out(&f, "logs");
    }
    let before = OffsetDateTime::now_utc();
    let container = after(&f, "echo a; echo b >&2").await;
    let query = LogQuery { timestamps: true, ..EVERYTHING };
    let (out, err) = text(read(&f, &container, query).await).await;
    for (line, word) in [(out, "a\n"), (err, "b\n")] {
        let (stamp, rest) = line.split_once(' ').expect("a stamp, a space, the line");
        assert_eq!(rest, word);
        assert_eq!(stamp.len(), "2006-01-02T15:04:05.000000000Z".len(), "{stamp}");
        let at = OffsetDateTime::parse(stamp, &time::format_description::well_known::Rfc3339).expect("RFC 3339");
        assert!(at >= before && at <= OffsetDateTime::now_utc(), "{at}");
    }
    let query = LogQuery { details: true, ..EVERYTHING };
    assert_eq!(text(read(&f, &container, query).await).await.0, " a\n", "no attributes, but their space");
}

pub async fn since_and_until(f: Arc<Fixture>) {
    if f.engine.logs().is_none() || f.engine.attach().is_none() {
        return left_out(&f, "logs and attach");
    }
    let container = f.container_with(&["cat"], |c| {
        c.config.open_stdin = true;
        c.config.stdin_once = true;
    });
    let mut session = f.start_attached(&container).await;
    let mut input = session.input.take().expect("an input");
    input.write_all(b"early\n").await.expect("write");
    until(&mut session.output, "early\n").await;
    let between = OffsetDateTime::now_utc();
    input.write_all(b"late\n").await.expect("write");
    input.shutdown().await.expect("shutdown");
    f.wait(&container).await;
    let read_out = async |query| text(read(&f, &container, query).await).await.0;
    assert_eq!(read_out(LogQuery { since: Some(between), ..EVERYTHING }).await, "late\n");
    assert_eq!(read_out(LogQuery { until: Some(between), ..EVERYTHING }).await, "early\n");
    assert_eq!(read_out(LogQuery { since: Some(OffsetDateTime::now_utc()), ..EVERYTHING }).await, "");
}

pub async fn one_stream_alone(f: Arc<Fixture>) {
    if f.engine.logs().is_none() {
        return left_out(&f, "logs");
    }
    let container = after(&f, "echo out; echo err >&2").await;
    let query = LogQuery { stdout: false, ..EVERYTHING };
    assert_eq!(text(read(&f, &container, query).await).await, (String::new(), "err\n".to_owned()));
}

pub async fn follow_ends_with_the_container(f: Arc<Fixture>) {
    if f.engine.logs().is_none() || f.engine.attach().is_none() {
        return left_out(&f, "logs and attach");
    }
    let container = f.container_with(&["cat"], |c| {
        c.config.open_stdin = true;
        c.config.stdin_once = true;
    });
    let mut session = f.start_attached(&container).await;
    let mut input = session.input.take().expect("an input");
    input.write_all(b"old\n").await.expect("write");
    until(&mut session.output, "old\n").await;
    let mut followed = read(&f, &container, LogQuery { follow: true, ..EVERYTHING }).await;
    until(&mut followed, "old\n").await;
    for word in ["new\n", "newer\n"] {
        input.write_all(word.as_bytes()).await.expect("write");
        assert_eq!(frame(&mut followed).await.expect("a line").1, word.as_bytes());
    }
    input.write_all(b"last\n").await.expect("write");
    input.shutdown().await.expect("shutdown");
    assert_eq!(text(followed).await.0, "last\n");
    f.wait(&container).await;
    let query = LogQuery { follow: true, tail: Some(1), ..EVERYTHING };
    assert_eq!(text(read(&f, &container, query).await).await.0, "last\n", "nothing to wait for");
}

pub async fn runs_follow_each_other(f: Arc<Fixture>) {
    if f.engine.logs().is_none() {
        return left_out(&f, "logs");
    }
    let container = after(&f, "echo again").await;
    f.engine.cleanup(&container.id).await.expect("cleanup");
    f.run(&container).await;
    assert_eq!(text(read(&f, &container, EVERYTHING).await).await.0, "again\nagain\n");
}

pub async fn a_terminal_is_kept_raw(f: Arc<Fixture>) {
    if f.engine.logs().is_none() {
        return left_out(&f, "logs");
    }
    let container = f.container_with(&["echo", "hello"], |c| c.config.tty = true);
    f.run(&container).await;
    assert_eq!(raw(read(&f, &container, EVERYTHING).await).await, "hello\r\n");
}

pub async fn an_unfinished_line_is_kept(f: Arc<Fixture>) {
    if f.engine.logs().is_none() {
        return left_out(&f, "logs");
    }
    let container = after(&f, "echo whole; echo -n half").await;
    assert_eq!(text(read(&f, &container, EVERYTHING).await).await.0, "whole\nhalf");
}

pub async fn a_reader_may_leave(f: Arc<Fixture>) {
    if f.engine.logs().is_none() {
        return left_out(&f, "logs");
    }
    let container = f.container(&["sh", "-c", "echo before; sleep 3600"]);
    f.start(&container).await;
    let mut followed = read(&f, &container, LogQuery { follow: true, ..EVERYTHING }).await;
    until(&mut followed, "before\n").await;
    drop(followed);
    assert_eq!(f.kill(&container).await.code, 137);
    assert_eq!(text(read(&f, &container, EVERYTHING).await).await.0, "before\n");
}
