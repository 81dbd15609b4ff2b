//! Docker's multiplexed stream: an 8-byte header (stream, three zeroes, big-endian length) before each piece of output.

use crate::ByteStream;
use std::io;
use tokio::io::AsyncReadExt as _;

/// Which of a process's streams a frame belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdin = 0,
    Stdout = 1,
    Stderr = 2,
}

/// Bytes of a frame's header.
pub const HEADER: usize = 8;

/// The header of a frame of `len` bytes.
pub fn header(stream: Stream, len: u32) -> [u8; HEADER] {
    let [a, b, c, d] = len.to_be_bytes();
    [stream as u8, 0, 0, 0, a, b, c, d]
}

/// `text` as a client reads it: as it is with a terminal, else as one frame.
pub fn text(stream: Stream, text: &str, tty: bool) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + text.len());
    if !tty {
        bytes.extend_from_slice(&header(stream, u32::try_from(text.len()).unwrap_or(u32::MAX)));
    }
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// Splits a header into stream and length; `None` for a header that no Docker daemon sends.
pub fn parse_header(h: [u8; HEADER]) -> Option<(Stream, u32)> {
    let stream = match h[0] {
        0 => Stream::Stdin,
        1 => Stream::Stdout,
        2 => Stream::Stderr,
        _ => return None,
    };
    Some((stream, u32::from_be_bytes([h[4], h[5], h[6], h[7]])))
}

/// The content of a framed stream, both outputs as they come.
pub struct Unframer {
    from: ByteStream,
    /// Of the present frame.
    left: usize,
}

impl Unframer {
    pub fn new(from: ByteStream) -> Self {
        Self { from, left: 0 }
    }

    /// Reads some content; 0 at the end. What is no frame is an error.
    pub async fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        while self.left == 0 {
            let mut header = [0; HEADER];
            match self.from.read_exact(&mut header).await {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                Err(error) => return Err(error),
            }
            let (_, len) = parse_header(header).ok_or(io::ErrorKind::InvalidData)?;
            self.left = len as usize;
        }
        let most = piece.len().min(self.left);
        let n = self.from.read(&mut piece[..most]).await?;
        self.left -= n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_are_taken_apart() {
        let mut bytes = text(Stream::Stdout, "ab", false);
        bytes.extend(text(Stream::Stdout, "", false));
        bytes.extend(text(Stream::Stderr, "cde", false));
        let mut content = Unframer::new(Box::pin(io::Cursor::new(bytes)));
        let mut seen = Vec::new();
        let mut piece = [0; 2];
        while let n @ 1.. = content.read(&mut piece).await.unwrap() {
            seen.extend_from_slice(&piece[..n]);
        }
        assert_eq!(seen, b"abcde");
        assert!(Unframer::new(Box::pin(io::Cursor::new([9; 20]))).read(&mut piece).await.is_err());
    }

    #[test]
    fn round_trip() {
        for (s, n) in [(Stream::Stdout, 0), (Stream::Stderr, 1), (Stream::Stdin, u32::MAX)] {
            assert_eq!(parse_header(header(s, n)), Some((s, n)));
        }
        assert_eq!(header(Stream::Stderr, 0x0102_0304), [2, 0, 0, 0, 1, 2, 3, 4]);
        assert_eq!(parse_header([9, 0, 0, 0, 0, 0, 0, 0]), None);
    }
}
