//! Leaving HTTP: attach and exec turn the connection into a byte stream in both directions.
//!
//! The handler prepares a [`TakeOver`] and gives it to its connection through [`Line`]; the connection's task (in `server`)
//! takes the socket out of hyper, with the bytes that came after the request, and calls [`run`]. hyper's own upgrade is not used,
//! since it knows only clients that ask for one: Docker's also hijack after a plain `200 OK`, and a status line of
//! `101 UPGRADED` is what its clients expect.

use crate::call::Call;
use crate::sys;
use crate::version::{API_VERSION, LIGHTER_VERSION};
use bytes::Bytes;
use http::header;
use lighter_core::Detector;
use lighter_engine::{ByteSink, ByteStream, Session};
use std::io;
use std::pin::Pin;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

/// Bytes that are moved at a time.
const PIECE: usize = 32 << 10;

/// How long a client may take to read the head before its stream goes on, and how often it is looked.
const HEAD_PATIENCE: Duration = Duration::from_secs(1);
const HEAD_LOOK: Duration = Duration::from_millis(1);

type Step = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What becomes of a connection that leaves HTTP.
pub struct TakeOver {
    /// The answer's status line and headers.
    head: Vec<u8>,
    /// Comes about after the head is sent.
    plan: Planning,
    /// Goes on as a websocket; `Some(true)`: what comes is in frames.
    websocket: Option<bool>,
}

pub type Planning = Pin<Box<dyn Future<Output = Plan> + Send>>;

/// What is moved over the connection.
#[derive(Default)]
pub struct Plan {
    /// Sent first.
    pub past: Option<ByteStream>,
    pub session: Option<Session>,
    /// Looks for the keys that detach; only with a terminal.
    pub detector: Option<Detector>,
    /// After the client has detached by keys.
    pub detached: Option<Step>,
    /// To wait for between the end of the output and the end of the connection.
    pub finished: Option<Step>,
}

/// A request's way to its own connection.
#[derive(Clone)]
pub struct Line(mpsc::Sender<TakeOver>);

impl Line {
    pub fn new() -> (Self, mpsc::Receiver<TakeOver>) {
        let (tx, rx) = mpsc::channel(1);
        (Self(tx), rx)
    }
}

/// Hands the connection of `call` over to `plan`. Records the request first; never returns, for there is no HTTP answer: the
/// connection's task drops this future.
pub async fn take_over(
    call: &Call,
    tty: bool,
    durable: bool,
    plan: impl Future<Output = Plan> + Send + 'static,
) -> crate::call::Answer {
    let upgrade = call.headers.contains_key(header::UPGRADE);
    let multiplexed = upgrade && !tty && call.shapes.multiplexed_type;
    call.ticket.close(if upgrade { 101 } else { 200 }, None, durable).await;
    hand_over(call, TakeOver { head: head(upgrade, multiplexed), plan: Box::pin(plan), websocket: None }).await
}

/// As [`take_over`], for a websocket whose handshake is answered with `head`.
pub async fn take_over_as_websocket(call: &Call, tty: bool, head: Vec<u8>, plan: Plan) -> crate::call::Answer {
    call.ticket.close(101, None, true).await;
    hand_over(call, TakeOver { head, plan: Box::pin(std::future::ready(plan)), websocket: Some(!tty) }).await
}

async fn hand_over(call: &Call, take_over: TakeOver) -> crate::call::Answer {
    if call.line.0.send(take_over).await.is_err() {
        tracing::debug!("the connection was gone before it was taken over");
    }
    std::future::pending().await
}

fn head(upgrade: bool, multiplexed: bool) -> Vec<u8> {
    let (status, switch) = if upgrade { ("101 UPGRADED", "Connection: Upgrade\r\nUpgrade: tcp\r\n") } else { ("200 OK", "") };
    let kind = if multiplexed { "multiplexed" } else { "raw" };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/vnd.docker.{kind}-stream\r\n{switch}\
         Api-Version: {API_VERSION}\r\nDocker-Experimental: false\r\nOstype: linux\r\n\
         Server: Lighter/{LIGHTER_VERSION} (linux)\r\n\r\n"
    )
    .into_bytes()
}

/// How a direction came to its end.
enum End {
    /// The process's output is over.
    Output,
    /// The client detached by keys.
    Detached,
    /// The client is gone.
    Gone,
}

/// Moves bytes until the output ends, the client detaches, or the client is gone. `early` is what came with the request.
pub async fn run(stream: UnixStream, early: Bytes, take_over: TakeOver) {
    let TakeOver { head, plan, websocket } = take_over;
    if let Some(framed) = websocket {
        return crate::websocket::run(stream, early, &head, plan, framed).await;
    }
    let (reading, mut writing) = stream.into_split();
    let answered = writing.write_all(&head).await;
    // Also for a client that is gone already: what it asked for is done.
    let Plan { past, session, detector, detached, finished } = plan.await;
    if let Err(error) = answered {
        tracing::debug!(%error, "a client was gone before its stream began");
        return;
    }
    let (output, input) = session.map_or((None, None), |s| (Some(s.output), s.input));
    let end = {
        let out = send(&mut writing, past, output);
        let inp = receive(reading, early, input, detector);
        tokio::pin!(out, inp);
        tokio::select! {
            sent = &mut out => if sent.is_ok() { End::Output } else { End::Gone },
            end = &mut inp => end,
        }
    };
    match end {
        End::Output => {
            if let Some(finished) = finished {
                finished.await;
            }
        }
        End::Detached => {
            if let Some(detached) = detached {
                detached.await;
            }
        }
        End::Gone => tracing::debug!("a client went away from its stream"),
    }
    // The client may be gone already.
    let _ = writing.shutdown().await;
}

async fn send(to: &mut OwnedWriteHalf, past: Option<ByteStream>, output: Option<ByteStream>) -> io::Result<()> {
    head_taken(to.as_ref()).await;
    for mut from in past.into_iter().chain(output) {
        copy(&mut from, to).await?;
    }
    Ok(())
}

/// Waits until the client has read the head, for a second at most: docker-py takes what arrives together with the head for a part of
/// it, and loses it. A client that is busy may find an exec that has long ended.
async fn head_taken(stream: &UnixStream) {
    let _ = tokio::time::timeout(HEAD_PATIENCE, async {
        while sys::unread(stream) {
            tokio::time::sleep(HEAD_LOOK).await;
        }
    })
    .await;
}

/// Ends well at the end of `from`, also when reading fails; with an error when writing fails.
async fn copy(from: &mut (impl AsyncRead + Unpin), to: &mut OwnedWriteHalf) -> io::Result<()> {
    let mut buffer = vec![0; PIECE];
    loop {
        match from.read(&mut buffer).await {
            Ok(0) => return Ok(()),
            Ok(n) => to.write_all(&buffer[..n]).await?,
            Err(error) => {
                tracing::warn!(%error, "a process's output could not be read further");
                return Ok(());
            }
        }
    }
}

/// Feeds what the client sends to the process. The client's half-close is the process's end of input, no more: this goes on
/// until the client is gone altogether or has detached.
async fn receive(mut from: OwnedReadHalf, early: Bytes, mut to: Option<ByteSink>, mut detector: Option<Detector>) -> End {
    let mut buffer = vec![0; PIECE];
    let mut typed = Vec::new();
    let mut piece = early;
    loop {
        if !piece.is_empty() {
            typed.clear();
            let seen = match detector.as_mut() {
                Some(detector) => detector.feed(&piece, &mut typed),
                None => {
                    typed.extend_from_slice(&piece);
                    false
                }
            };
            if let Some(sink) = to.as_mut()
                && (sink.write_all(&typed).await.is_err() || sink.flush().await.is_err())
            {
                // The process reads no more; what the client still sends is thrown away.
                to = None;
            }
            if seen {
                return End::Detached;
            }
        }
        match from.read(&mut buffer).await {
            Ok(0) => break,
            Ok(n) => piece = Bytes::copy_from_slice(&buffer[..n]),
            Err(_) => return End::Gone,
        }
    }
    if let Some(mut sink) = to.take() {
        // A process that is gone needs no end of input.
        let _ = sink.shutdown().await;
    }
    hung_up(from.as_ref()).await;
    End::Gone
}

/// Resolves when the client has closed its end altogether. A registration of its own, for the stream's readiness belongs to
/// the writer; without one (out of descriptors) it waits for ever, and the writer notices.
#[expect(deprecated, reason = "the replacement is unsafe, and what is registered is a descriptor of our own that lives as long")]
async fn hung_up(stream: &UnixStream) {
    use std::os::fd::AsFd as _;
    let watched = stream.as_fd().try_clone_to_owned().and_then(|fd| AsyncFd::with_interest(fd, Interest::WRITABLE));
    let Ok(watched) = watched else { return std::future::pending().await };
    while let Ok(mut guard) = watched.writable().await {
        if guard.ready().is_write_closed() {
            return;
        }
        guard.clear_ready();
    }
}
