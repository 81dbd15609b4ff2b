//! Conversations with a supervisor: one request and its reply, and the raw streams that may follow.

use super::socket;
use lighter_engine::Session;
use lighter_supervisor_proto::{self as proto, Reply, Request};
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// Sends a request on a new connection and reads its reply.
pub(crate) async fn ask(dir: &Path, request: &Request) -> io::Result<Reply> {
    let mut connection = say(dir, request).await?;
    hear(&mut connection).await
}

/// Sends a request on a new connection.
pub(crate) async fn say(dir: &Path, request: &Request) -> io::Result<UnixStream> {
    let mut connection = socket::connect(dir).await?;
    connection.write_all(&proto::encode(request)?).await?;
    Ok(connection)
}

/// Reads one reply, and no byte more.
pub(crate) async fn hear(connection: &mut (impl AsyncRead + Unpin)) -> io::Result<Reply> {
    let len = connection.read_u32_le().await?;
    if len > proto::MAX_FRAME {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("frame of {len} bytes")));
    }
    let mut body = vec![0; len as usize];
    connection.read_exact(&mut body).await?;
    Ok(serde_json::from_slice(&body)?)
}

/// Makes a session of a connection. With `reply_first` its `Ok` is still to come: the container does not run yet.
pub(crate) fn session(connection: UnixStream, stdin: bool, reply_first: bool) -> Session {
    let (read, write) = connection.into_split();
    let (input, kept) = if stdin { (Some(write), None) } else { (None, Some(write)) };
    let head = reply_first.then(Vec::new);
    Session {
        output: Box::pin(Output { read, head, _write: kept }),
        input: input.map(|write| Box::pin(write) as lighter_engine::ByteSink),
    }
}

/// The output half. A supervisor that is gone is the end.
struct Output {
    read: OwnedReadHalf,
    /// While the reply is awaited: what was read of it.
    head: Option<Vec<u8>>,
    /// Kept open, for its closing would be taken for the end of input.
    _write: Option<OwnedWriteHalf>,
}

impl Output {
    /// Reads the reply away. False: there is none, or it is a refusal, and nothing will follow.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        while let Some(head) = &mut self.head {
            let wanted = match head.split_first_chunk::<4>() {
                None => 4,
                Some((len, _)) => 4 + u32::from_le_bytes(*len).min(proto::MAX_FRAME) as usize,
            };
            if head.len() == wanted {
                let reply = proto::decode::<Reply>(head)?;
                self.head = None;
                return Poll::Ready(Ok(matches!(reply, Some((Reply::Ok, _)))));
            }
            let mut space = [0; 256];
            let take = (wanted - head.len()).min(space.len());
            let mut buffer = ReadBuf::new(&mut space[..take]);
            ready!(Pin::new(&mut self.read).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(false));
            }
            head.extend_from_slice(buffer.filled());
        }
        Poll::Ready(Ok(true))
    }
}

impl AsyncRead for Output {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let outcome = match ready!(self.poll_head(cx)) {
            Ok(false) => Ok(()),
            Ok(true) => ready!(Pin::new(&mut self.read).poll_read(cx, buffer)),
            Err(e) => Err(e),
        };
        Poll::Ready(match outcome {
            Err(e) if socket::is_gone(&e) => Ok(()),
            other => other,
        })
    }
}
