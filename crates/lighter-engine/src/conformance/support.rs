//! What the suite's tests share: reading streams, waiting for conditions, dropping futures half-way.

use super::Fixture;
use crate::stdcopy::{self, Stream};
use crate::{AttachOptions, FoundState, Session, Started};
use lighter_domain::{Container, ContainerId, Exit, Signal};
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _};

pub(super) const OUTPUT: AttachOptions = AttachOptions { stdin: false, stdout: true, stderr: true };
pub(super) const ALL: AttachOptions = AttachOptions { stdin: true, stdout: true, stderr: true };
/// Runs until a signal that it catches, or KILL, ends it.
pub(super) const SLEEP: [&str; 2] = ["sleep", "3600"];

impl Fixture {
    pub(super) async fn start(&self, container: &Container) -> Started {
        self.engine.create(container).await.expect("create");
        self.engine.start(container).await.expect("start")
    }

    /// Creates and starts it with a client that sees all its output and may write.
    pub(super) async fn start_attached(&self, container: &Container) -> Session {
        self.engine.create(container).await.expect("create");
        let session = self.attach(container).await;
        self.engine.start(container).await.expect("start");
        session
    }

    pub(super) async fn attach(&self, container: &Container) -> Session {
        let attach = self.engine.attach().expect("this test needs attach");
        attach.attach(container, if container.config.open_stdin { ALL } else { OUTPUT }).await.expect("attach")
    }

    pub(super) async fn wait(&self, container: &Container) -> Exit {
        self.engine.wait(&container.id).await.expect("wait")
    }

    /// From nothing to its exit code.
    pub(super) async fn run(&self, container: &Container) -> Exit {
        self.start(container).await;
        self.wait(container).await
    }

    pub(super) async fn kill(&self, container: &Container) -> Exit {
        self.engine.signal(&container.id, Signal::KILL).await.expect("kill");
        self.wait(container).await
    }

    pub(super) async fn found(&self, id: &ContainerId) -> Option<FoundState> {
        let list = self.engine.list().await.expect("list");
        list.into_iter().find(|f| f.id == *id).map(|f| f.state)
    }

    pub(super) async fn is_running(&self, id: &ContainerId) -> bool {
        matches!(self.found(id).await, Some(FoundState::Running { .. }))
    }
}

/// Says that a test is left out; for engines without the capability that it needs.
pub(super) fn left_out(fixture: &Fixture, feature: &str) {
    eprintln!("left out: the engine {} does not offer {feature}", fixture.engine.describe().name);
}

/// Standard output and standard error of a stream in frames, read to its end.
pub(super) async fn demultiplex(mut stream: impl AsyncRead + Unpin) -> (Vec<u8>, Vec<u8>) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    while let Some((from, bytes)) = frame(&mut stream).await {
        match from {
            Stream::Stdout => out.extend(bytes),
            Stream::Stderr => err.extend(bytes),
            Stream::Stdin => panic!("a frame of standard input"),
        }
    }
    (out, err)
}

/// The same as text.
pub(super) async fn text(stream: impl AsyncRead + Unpin) -> (String, String) {
    let (out, err) = demultiplex(stream).await;
    (String::from_utf8(out).expect("UTF-8"), String::from_utf8(err).expect("UTF-8"))
}

/// One frame; `None` at the end of the stream, which must be between frames.
pub(super) async fn frame(stream: &mut (impl AsyncRead + Unpin)) -> Option<(Stream, Vec<u8>)> {
    let mut header = [0; stdcopy::HEADER];
    let n = stream.read(&mut header).await.expect("read");
    if n == 0 {
        return None;
    }
    stream.read_exact(&mut header[n..]).await.expect("a whole header");
    let (from, length) = stdcopy::parse_header(header).expect("a frame's header");
    let mut bytes = vec![0; length as usize];
    stream.read_exact(&mut bytes).await.expect("a whole frame");
    Some((from, bytes))
}

/// Reads frames until standard output has shown `wanted`.
pub(super) async fn until(stream: &mut (impl AsyncRead + Unpin), wanted: &str) {
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(wanted) {
        let (_, bytes) = frame(stream).await.unwrap_or_else(|| panic!("the stream ended before {wanted:?}; it had {seen:?}"));
        seen.extend(bytes);
    }
}

pub(super) async fn raw(mut stream: impl AsyncRead + Unpin) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("read");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether `condition` holds within `limit`; asked again and again.
pub(super) async fn within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = tokio::time::Instant::now() + limit;
    while !condition() {
        if tokio::time::Instant::now() > end {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    true
}

/// Polls a future at most `polls` times, letting others run in between, and drops it. True if it was done by then.
pub(super) async fn drop_after<F: Future>(polls: usize, future: F) -> bool {
    let mut future = pin!(future);
    for _ in 0..polls {
        let done = std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx).is_ready())).await;
        if done {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}
