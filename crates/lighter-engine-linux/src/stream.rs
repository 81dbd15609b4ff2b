//! What a blocking writer writes, as a stream for a client: at the client's pace, with a bounded amount in between.

use bytes::Bytes;
use lighter_engine::ByteStream;
use std::io::{self, Write};
use tokio::sync::mpsc;
use tokio_util::io::StreamReader;

/// Bytes handed on at once.
const PIECE: usize = 128 << 10;

/// Runs `write` on a blocking thread. Its error is the stream's; a reader that goes away is a broken pipe to it.
pub(crate) fn of_writer(write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static) -> ByteStream {
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(4);
    tokio::task::spawn_blocking(move || {
        let mut writer = ToChannel { sender: sender.clone(), piece: Vec::with_capacity(PIECE) };
        if let Err(e) = write(&mut writer).and_then(|()| writer.flush()) {
            let _ = sender.blocking_send(Err(e));
        }
    });
    let pieces = futures::stream::unfold(receiver, |mut r| async move { r.recv().await.map(|piece| (piece, r)) });
    Box::pin(StreamReader::new(Box::pin(pieces)))
}

/// Gathers small writes, and fails when the reader is gone.
struct ToChannel {
    sender: mpsc::Sender<io::Result<Bytes>>,
    piece: Vec<u8>,
}

impl Write for ToChannel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        self.sender.blocking_send(Ok(piece.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
