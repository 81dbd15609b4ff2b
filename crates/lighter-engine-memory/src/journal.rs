//! The kept output of one container, bounded, and the reader that formats it for `docker logs`.
//!
//! Held inside [`crate::process::Process`]; the newest lines win when the bound is reached.

use crate::process::Process;
use lighter_engine::LogQuery;
use lighter_engine::stdcopy::{self, Stream};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use tokio::io::{AsyncRead, ReadBuf};

/// Bytes of output kept per container.
const KEPT: usize = 1 << 20;
/// The longest piece of a line that is one entry, as in Docker's json-file.
const PIECE: usize = 16 * 1024;
/// Nine digits of a second, always, as Docker writes it.
const STAMP: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:9]Z");

struct Line {
    at: OffsetDateTime,
    stream: Stream,
    /// With its newline, if it has one.
    text: Vec<u8>,
}

/// The kept lines; `first` is the number of the oldest one.
#[derive(Default)]
pub(crate) struct Journal {
    lines: VecDeque<Line>,
    first: u64,
    bytes: usize,
    /// Unfinished lines of standard output and standard error.
    partial: [Vec<u8>; 2],
    followers: Vec<Waker>,
}

impl Journal {
    pub(crate) fn write(&mut self, stream: Stream, mut bytes: &[u8]) {
        let which = usize::from(stream == Stream::Stderr);
        while !bytes.is_empty() {
            let room = PIECE - self.partial[which].len();
            let end = bytes.iter().position(|b| *b == b'\n').map_or(bytes.len(), |n| n + 1).min(room);
            let (piece, rest) = bytes.split_at(end);
            self.partial[which].extend_from_slice(piece);
            bytes = rest;
            if piece.ends_with(b"\n") || self.partial[which].len() == PIECE {
                self.finish_line(stream);
            }
        }
        self.wake();
    }

    /// The run has ended: what is left is a line, and who follows shall look.
    pub(crate) fn end(&mut self) {
        self.finish_line(Stream::Stdout);
        self.finish_line(Stream::Stderr);
        self.wake();
    }

    fn finish_line(&mut self, stream: Stream) {
        let text = std::mem::take(&mut self.partial[usize::from(stream == Stream::Stderr)]);
        if text.is_empty() {
            return;
        }
        self.bytes += text.len();
        self.lines.push_back(Line { at: OffsetDateTime::now_utc(), stream, text });
        while self.bytes > KEPT {
            let Some(line) = self.lines.pop_front() else { break };
            self.bytes -= line.text.len();
            self.first += 1;
        }
    }

    fn wake(&mut self) {
        self.followers.drain(..).for_each(Waker::wake);
    }

    fn end_number(&self) -> u64 {
        self.first + self.lines.len() as u64
    }
}

/// Reads a container's journal from some line on.
pub(crate) struct LogReader {
    process: Arc<Process>,
    query: LogQuery,
    tty: bool,
    next: u64,
    /// Where to stop without `follow`.
    end: u64,
    ready: Vec<u8>,
    read: usize,
}

impl LogReader {
    pub(crate) fn new(process: Arc<Process>, query: LogQuery, tty: bool) -> Self {
        let (next, end) = process.with_journal(|journal, _| {
            let end = journal.end_number();
            (query.tail.map_or(journal.first, |n| end.saturating_sub(n).max(journal.first)), end)
        });
        Self { process, query, tty, next, end, ready: Vec::new(), read: 0 }
    }

    /// Formats the next wanted line into `ready`. Ready(false) is the end.
    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let process = Arc::clone(&self.process);
        process.with_journal(|journal, live| {
            loop {
                self.next = self.next.max(journal.first);
                if !self.query.follow && self.next >= self.end {
                    return Poll::Ready(false);
                }
                let index = usize::try_from(self.next - journal.first).unwrap_or(usize::MAX);
                let Some(line) = journal.lines.get(index) else {
                    let over = self.query.until.is_some_and(|until| until <= OffsetDateTime::now_utc());
                    if !self.query.follow || !live || over {
                        return Poll::Ready(false);
                    }
                    if !journal.followers.iter().any(|w| w.will_wake(cx.waker())) {
                        journal.followers.push(cx.waker().clone());
                    }
                    return Poll::Pending;
                };
                if self.query.until.is_some_and(|until| line.at > until) {
                    return Poll::Ready(false);
                }
                self.next += 1;
                let wanted = if line.stream == Stream::Stderr { self.query.stderr } else { self.query.stdout };
                if wanted && self.query.since.is_none_or(|since| line.at >= since) {
                    self.format(line);
                    return Poll::Ready(true);
                }
            }
        })
    }

    fn format(&mut self, line: &Line) {
        let mut text = Vec::with_capacity(line.text.len() + 32);
        if self.query.timestamps {
            // Formatting into a String with these components cannot fail.
            text.extend_from_slice(line.at.format(STAMP).unwrap_or_default().as_bytes());
            text.push(b' ');
        }
        if self.query.details {
            text.push(b' ');
        }
        text.extend_from_slice(&line.text);
        self.ready.clear();
        self.read = 0;
        if !self.tty {
            self.ready.extend_from_slice(&stdcopy::header(line.stream, u32::try_from(text.len()).unwrap_or(u32::MAX)));
        }
        self.ready.extend_from_slice(&text);
    }
}

impl AsyncRead for LogReader {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let before = buf.remaining();
        loop {
            if self.read == self.ready.len() {
                match self.advance(cx) {
                    Poll::Ready(true) => {}
                    Poll::Pending if buf.remaining() == before => return Poll::Pending,
                    Poll::Pending | Poll::Ready(false) => return Poll::Ready(Ok(())),
                }
            }
            let n = buf.remaining().min(self.ready.len() - self.read);
            buf.put_slice(&self.ready[self.read..self.read + n]);
            self.read += n;
            if buf.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_newest_and_counts_on() {
        let mut journal = Journal::default();
        for n in 0..3 {
            journal.write(Stream::Stdout, &vec![b'0' + n; KEPT / 2 + 1]);
            journal.write(Stream::Stdout, b"\n");
        }
        assert!(journal.bytes <= KEPT);
        assert!(journal.first > 0);
        assert_eq!(journal.lines.back().map(|l| l.text[0]), Some(b'2'));
        assert!(journal.lines.iter().all(|l| l.text.len() <= PIECE));
    }

    #[test]
    fn a_line_may_come_in_pieces_and_needs_no_newline() {
        let mut journal = Journal::default();
        journal.write(Stream::Stdout, b"a");
        journal.write(Stream::Stderr, b"err\n");
        journal.write(Stream::Stdout, b"b\nc");
        journal.end();
        let lines: Vec<&[u8]> = journal.lines.iter().map(|l| l.text.as_slice()).collect();
        assert_eq!(lines, [&b"err\n"[..], b"ab\n", b"c"]);
    }
}
