//! Attaching over a websocket: for clients (browsers) that cannot hijack a connection.
//!
//! The opening handshake is one request and its headers; after it the connection is taken out of HTTP like any hijacked one
//! (`hijack`), and each piece of output becomes one binary message. Output is never multiplexed here, as with dockerd: frames
//! of a container without a terminal are taken apart.

use crate::failure::Failure;
use crate::hijack::{Plan, Planning};
use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, header};
use lighter_core::Detector;
use lighter_engine::stdcopy::Unframer;
use lighter_engine::{ByteSink, ByteStream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

/// Bytes of one message of output, and about what is read of the process at a time.
const PIECE: usize = 32 << 10;
/// The most bytes of one message of a client's.
const MOST_INPUT: usize = 1 << 20;

type Sink = futures::stream::SplitSink<WebSocketStream<UnixStream>, Message>;
type Source = futures::stream::SplitStream<WebSocketStream<UnixStream>>;

/// The answer's status line and headers, for a request that is an opening handshake.
pub fn handshake(headers: &HeaderMap) -> Result<Vec<u8>, Failure> {
    let has = |name: header::HeaderName, word: &str| {
        let values = headers.get_all(name).into_iter().filter_map(|v| v.to_str().ok());
        values.flat_map(|v| v.split(',')).any(|v| v.trim().eq_ignore_ascii_case(word))
    };
    if !has(header::UPGRADE, "websocket") || !has(header::CONNECTION, "upgrade") {
        return Err(Failure::bad_request("not websocket protocol"));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| !key.is_empty());
    let key = key.ok_or_else(|| Failure::bad_request("mismatch challenge/response"))?;
    if !has(header::SEC_WEBSOCKET_VERSION, "13") {
        return Err(Failure::bad_request("missing or bad WebSocket Version"));
    }
    let accept = derive_accept_key(key.as_bytes());
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    Ok(head.into_bytes())
}

/// Moves messages until the output ends, the client detaches, or the client is gone. `early` is what came with the request.
pub async fn run(mut stream: UnixStream, early: Bytes, head: &[u8], plan: Planning, framed: bool) {
    let answered = stream.write_all(head).await;
    let Plan { past, session, detector, detached, finished: _ } = plan.await;
    if let Err(error) = answered {
        tracing::debug!(%error, "a client was gone before its stream began");
        return;
    }
    let config = WebSocketConfig::default().max_message_size(Some(MOST_INPUT)).max_frame_size(Some(MOST_INPUT));
    let socket = WebSocketStream::from_partially_read(stream, early.to_vec(), Role::Server, Some(config)).await;
    let (mut sink, source) = socket.split();
    let (output, input) = session.map_or((None, None), |s| (Some(s.output), s.input));
    let by_keys = {
        let out = async {
            for from in past.into_iter().chain(output) {
                let sent = if framed { send_content(from, &mut sink).await } else { send(from, &mut sink).await };
                if sent.is_none() {
                    break;
                }
            }
        };
        tokio::select! {
            () = out => false,
            by_keys = receive(source, input, detector) => by_keys,
        }
    };
    if by_keys && let Some(detached) = detached {
        detached.await;
    }
    // The client may be gone already.
    let _ = sink.close().await;
}

/// `None` when the client is gone. What cannot be read further has ended.
async fn send(mut from: ByteStream, sink: &mut Sink) -> Option<()> {
    let mut piece = vec![0; PIECE];
    loop {
        match from.read(&mut piece).await {
            Ok(n) if n > 0 => sink.send(Message::Binary(Bytes::copy_from_slice(&piece[..n]))).await.ok()?,
            _ => return Some(()),
        }
    }
}

/// As [`send`], of a stream in frames.
async fn send_content(from: ByteStream, sink: &mut Sink) -> Option<()> {
    let mut content = Unframer::new(from);
    let mut piece = vec![0; PIECE];
    loop {
        match content.read(&mut piece).await {
            Ok(n) if n > 0 => sink.send(Message::Binary(Bytes::copy_from_slice(&piece[..n]))).await.ok()?,
            _ => return Some(()),
        }
    }
}

/// Feeds messages to the process until the client is gone. True: it detached by keys.
async fn receive(mut from: Source, mut to: Option<ByteSink>, mut detector: Option<Detector>) -> bool {
    let mut typed = Vec::new();
    while let Some(Ok(message)) = from.next().await {
        if !(message.is_binary() || message.is_text()) {
            continue;
        }
        let bytes = message.into_data();
        typed.clear();
        let seen = match detector.as_mut() {
            Some(detector) => detector.feed(&bytes, &mut typed),
            None => {
                typed.extend_from_slice(&bytes);
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
            return true;
        }
    }
    if let Some(mut sink) = to.take() {
        // A process that is gone needs no end of input.
        let _ = sink.shutdown().await;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).collect()
    }

    #[test]
    fn handshakes() {
        let full = [
            ("upgrade", "WebSocket"),
            ("connection", "keep-alive, Upgrade"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-version", "13"),
        ];
        let head = String::from_utf8(handshake(&headers(&full)).unwrap()).unwrap();
        // The example of RFC 6455.
        assert!(head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{head}");
        let refusals = [
            "not websocket protocol",
            "not websocket protocol",
            "mismatch challenge/response",
            "missing or bad WebSocket Version",
        ];
        for (left_out, words) in refusals.into_iter().enumerate() {
            let some: Vec<_> = full.iter().enumerate().filter(|(n, _)| *n != left_out).map(|(_, h)| *h).collect();
            assert_eq!(handshake(&headers(&some)).unwrap_err().message, words);
        }
    }
}
