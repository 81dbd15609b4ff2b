//! From an engine's stream of log output to lines: frames taken apart, stamps read, pieces of a long line put together.

use lighter_domain::LogSource;
use lighter_engine::ByteStream;
use lighter_engine::stdcopy::{HEADER, Stream, parse_header};
use std::io;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

/// The longest line that the store keeps, in bytes; of longer ones the beginning.
pub(super) const LINE_BYTES: usize = 16 << 10;
/// A line with its stamp.
const STAMPED: usize = LINE_BYTES + 64;
const BUFFER: usize = 64 << 10;

/// One line as it was printed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RawLine {
    pub at: OffsetDateTime,
    pub source: LogSource,
    pub text: String,
}

/// Lines of a stream that was asked for with stamps.
pub(super) struct Lines {
    stream: BufReader<ByteStream>,
    /// Of a terminal there are no frames, and one stream.
    tty: bool,
    body: Vec<u8>,
    /// The beginnings of lines whose end has not come, of standard output and standard error.
    begun: [Option<(OffsetDateTime, Vec<u8>)>; 2],
}

impl Lines {
    pub fn new(stream: ByteStream, tty: bool) -> Self {
        Self { stream: BufReader::with_capacity(BUFFER, stream), tty, body: Vec::new(), begun: [None, None] }
    }

    /// The next line; what has no stamp is no line. A line whose end is not there yet is not given.
    pub async fn next(&mut self) -> io::Result<Option<RawLine>> {
        loop {
            let found = if self.tty { self.line_of_terminal().await? } else { self.frame().await? };
            let Some(source) = found else { return Ok(None) };
            let Some((at, text)) = stamped(&self.body) else { continue };
            let ended = text.ends_with(b"\n");
            let begun = &mut self.begun[usize::from(source == LogSource::Stderr)];
            let (at, whole) = match begun.take() {
                Some((at, mut before)) => {
                    before.extend_from_slice(&text[..text.len().min(LINE_BYTES.saturating_sub(before.len()))]);
                    (at, before)
                }
                None => (at, text[..text.len().min(LINE_BYTES)].to_vec()),
            };
            if !ended {
                *begun = Some((at, whole));
                continue;
            }
            let text = String::from_utf8_lossy(&whole);
            return Ok(Some(RawLine { at, source, text: text.trim_end_matches(['\r', '\n']).to_owned() }));
        }
    }

    /// Reads one frame into `body`, as much of it as is kept.
    async fn frame(&mut self) -> io::Result<Option<LogSource>> {
        let mut head = [0; HEADER];
        match self.stream.read_exact(&mut head).await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        };
        let Some((stream, len)) = parse_header(head) else {
            return Err(io::Error::other("the engine's log has a frame that is none"));
        };
        let len = len as usize;
        self.body.resize(len.min(STAMPED), 0);
        self.stream.read_exact(&mut self.body).await?;
        let mut left = len - self.body.len();
        if left > 0 {
            let mut waste = [0; 1];
            // Its last byte tells whether the line ends here.
            while left > 0 {
                let piece = self.stream.fill_buf().await?;
                let n = piece.len().min(left);
                if n == 0 {
                    return Ok(None);
                }
                waste[0] = piece[n - 1];
                self.stream.consume(n);
                left -= n;
            }
            self.body.extend_from_slice(&waste);
        }
        Ok(Some(if stream == Stream::Stderr { LogSource::Stderr } else { LogSource::Stdout }))
    }

    /// Reads up to a line's end into `body`.
    async fn line_of_terminal(&mut self) -> io::Result<Option<LogSource>> {
        self.body.clear();
        loop {
            let piece = self.stream.fill_buf().await?;
            if piece.is_empty() {
                return Ok(None);
            }
            let end = piece.iter().position(|b| *b == b'\n');
            let n = end.map_or(piece.len(), |n| n + 1);
            let room = STAMPED.saturating_sub(self.body.len());
            self.body.extend_from_slice(&piece[..n.min(room)]);
            if end.is_some() && n > room {
                self.body.push(b'\n');
            }
            self.stream.consume(n);
            if end.is_some() {
                return Ok(Some(LogSource::Stdout));
            }
        }
    }
}

/// `<RFC 3339 time> <text>`
fn stamped(line: &[u8]) -> Option<(OffsetDateTime, &[u8])> {
    let at = line.iter().take(40).position(|b| *b == b' ')?;
    let time = OffsetDateTime::parse(std::str::from_utf8(&line[..at]).ok()?, &Rfc3339).ok()?;
    Some((time, &line[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lighter_engine::stdcopy::header;

    async fn all(bytes: Vec<u8>, tty: bool) -> Vec<(LogSource, String)> {
        let mut lines = Lines::new(Box::pin(std::io::Cursor::new(bytes)), tty);
        let mut out = Vec::new();
        while let Ok(Some(line)) = lines.next().await {
            out.push((line.source, line.text));
        }
        out
    }

    fn frames(all: &[(Stream, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (stream, text) in all {
            out.extend_from_slice(&header(*stream, u32::try_from(text.len()).unwrap()));
            out.extend_from_slice(text.as_bytes());
        }
        out
    }

    #[tokio::test]
    async fn frames_become_lines() {
        let long = format!("2026-01-02T03:04:07Z {}\n", "x".repeat(40_000));
        let bytes = frames(&[
            (Stream::Stdout, "2026-01-02T03:04:05.6Z one\n"),
            (Stream::Stdout, "2026-01-02T03:04:05.7Z begun "),
            (Stream::Stderr, "2026-01-02T03:04:06Z two words\r\n"),
            (Stream::Stdout, "2026-01-02T03:04:06Z and ended\n"),
            (Stream::Stdout, "no stamp\n"),
            (Stream::Stdout, &long),
            (Stream::Stdout, "2026-01-02T03:04:08Z after it\n"),
            (Stream::Stdout, "2026-01-02T03:04:08Z without an end"),
        ]);
        let cut = "x".repeat(LINE_BYTES);
        let wanted = [
            (LogSource::Stdout, "one"),
            (LogSource::Stderr, "two words"),
            (LogSource::Stdout, "begun and ended"),
            (LogSource::Stdout, &cut),
            (LogSource::Stdout, "after it"),
        ];
        assert_eq!(all(bytes, false).await, wanted.map(|(s, l)| (s, l.to_owned())));
        assert!(all(vec![7; 20], false).await.is_empty());
    }

    #[tokio::test]
    async fn lines_of_a_terminal() {
        let text =
            format!("2026-01-02T03:04:05Z a\r\nodd\n2026-01-02T03:04:06Z {}\r\n2026-01-02T03:04:07Z b\n", "y".repeat(70_000));
        let lines = all(text.into_bytes(), true).await;
        assert_eq!(lines.iter().map(|(_, l)| l.len()).collect::<Vec<_>>(), [1, LINE_BYTES, 1]);
    }
}
