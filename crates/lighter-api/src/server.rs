//! Sockets and connections: accepting, hyper, the hand-over of hijacked connections, and stopping.

use crate::dispatch::Dispatch;
use crate::hijack::{self, Line};
use crate::policy::Policy;
use crate::record::{Open, Peer, Source};
use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use lighter_core::Daemon;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a client may take for a request's head, and a connection may idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(120);
/// The most bytes of a request's head, and of what hyper holds for a connection in each direction.
const MOST_BUFFERED: usize = 128 << 10;
/// How long, and how many bytes, a request that was answered already may go on.
const LINGER: Duration = Duration::from_secs(2);
const MOST_LINGERED: usize = 16 << 20;
/// Until the next try when the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// Whether requests are recorded. Off only for measuring.
    pub record: bool,
    /// How long running requests may go on after the shutdown began. Streams are ended at once.
    pub grace: Duration,
    /// Told of each request.
    pub activity: Arc<Notify>,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self { record: true, grace: Duration::from_secs(10), activity: Arc::default() }
    }
}

/// A socket, and what may be asked on it.
#[derive(Debug)]
pub struct Listening {
    pub socket: UnixListener,
    pub policy: Arc<Policy>,
}

/// Everything may be asked.
impl From<UnixListener> for Listening {
    fn from(socket: UnixListener) -> Self {
        Self { socket, policy: Arc::default() }
    }
}

/// Serves the API on `listeners` until `shutdown`, then lets running requests end. Returns when all connections are closed
/// or the grace is over; the daemon is left running.
pub async fn serve(daemon: Daemon, config: ApiConfig, listeners: Vec<impl Into<Listening>>, shutdown: CancellationToken) {
    let connections = TaskTracker::new();
    let abort = CancellationToken::new();
    let dispatch = Dispatch {
        source: config.record.then(|| Arc::new(Source { daemon: daemon.clone(), peer: Peer::default() })),
        daemon,
        activity: config.activity,
        shutdown: shutdown.clone(),
        policy: Arc::default(),
    };
    let accepting: Vec<_> = listeners
        .into_iter()
        .map(|listener| {
            let Listening { socket, policy } = listener.into();
            let dispatch = Dispatch { policy, ..dispatch.clone() };
            tokio::spawn(accept(socket, dispatch, connections.clone(), abort.clone()))
        })
        .collect();
    for task in accepting {
        if let Err(error) = task.await {
            tracing::error!(%error, "a listener failed");
        }
    }
    connections.close();
    if tokio::time::timeout(config.grace, connections.wait()).await.is_err() {
        tracing::warn!(open = connections.len(), "requests are cut off");
        abort.cancel();
        connections.wait().await;
    }
}

async fn accept(listener: UnixListener, dispatch: Dispatch, connections: TaskTracker, abort: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = dispatch.shutdown.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let peer = Peer::of(&stream);
                let source = dispatch.source.as_ref().map(|all| Arc::new(Source { daemon: all.daemon.clone(), peer }));
                let connection = connection(stream, Dispatch { source, ..dispatch.clone() });
                let abort = abort.clone();
                connections.spawn(async move {
                    tokio::select! {
                        () = connection => {}
                        () = abort.cancelled() => {}
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: UnixStream, dispatch: Dispatch) {
    let (line, mut taken) = Line::new();
    let hold_eof = Arc::new(AtomicBool::new(false));
    let socket = Socket { stream, hold_eof: hold_eof.clone() };
    let service = {
        let dispatch = dispatch.clone();
        service_fn(move |request: Request<Incoming>| {
            let answer = dispatch.clone().answer(request, line.clone(), hold_eof.clone());
            Box::pin(async move { Ok::<Response<Body>, Infallible>(answer.await) })
        })
    };
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MOST_BUFFERED);
    let mut connection = http.serve_connection(TokioIo::new(socket), service);
    let mut stopping = false;
    let take_over = loop {
        tokio::select! {
            biased;
            Some(take_over) = taken.recv() => break take_over,
            result = &mut connection => {
                if let Err(error) = result {
                    failed(&dispatch, &error).await;
                }
                return linger(connection.into_parts().io.into_inner().stream).await;
            }
            () = dispatch.shutdown.cancelled(), if !stopping => {
                stopping = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    let parts = connection.into_parts();
    tokio::select! {
        () = hijack::run(parts.io.into_inner().stream, parts.read_buf, take_over) => {}
        () = dispatch.shutdown.cancelled() => {}
    }
}

/// The answer may be out before the request is in: who is refused half-way through a body must be able to send the rest, or
/// gets a broken pipe instead of the refusal. So what still comes is taken, for a while.
async fn linger(mut stream: UnixStream) {
    let mut waste = [0; 4096];
    let rest = async {
        let mut left = MOST_LINGERED;
        while let Ok(n @ 1..) = stream.read(&mut waste).await {
            left = left.saturating_sub(n);
            if left == 0 {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(LINGER, rest).await;
}

/// What hyper could not read as a request is recorded; a client that went away is not news.
async fn failed(dispatch: &Dispatch, error: &hyper::Error) {
    tracing::debug!(%error, "a connection ended badly");
    if error.is_parse()
        && let Some(source) = &dispatch.source
    {
        let status = if error.is_parse_too_large() { 431 } else { 400 };
        Open::malformed(Arc::clone(source)).close(status, Some(&error.to_string()), false).await;
    }
}

/// A connection's socket. While a request that will be hijacked is being answered, the end of what the client sends is kept
/// from hyper, which would take it for the end of the client; the hijack finds it again.
struct Socket {
    stream: UnixStream,
    hold_eof: Arc<AtomicBool>,
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        let ended = matches!(polled, Poll::Ready(Ok(()))) && buf.filled().len() == before;
        if ended && self.hold_eof.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        polled
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
