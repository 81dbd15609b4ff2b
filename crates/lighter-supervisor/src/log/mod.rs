//! The container's log in Docker's json-file format: lines found in what the container prints, each a JSON record with its
//! stream and time, in files that rotate. Called by the event loop with each piece it reads; the records of one piece are
//! written at once and carry the time of its reading. Each record can go to a log of the machine's, too.

mod escape;
mod file;
mod journald;
mod remote;
mod syslog;

use crate::clock::Formatter;
use file::LogFile;
use lighter_supervisor_proto as proto;
use remote::Remote;
use std::io;

/// A longer line is split into records of this size, all but the last without a line end: dockerd's copy buffer.
const MAX_RECORD: usize = 16 * 1024;
/// Formatted records are handed to the kernel in pieces of about this size.
const FLUSH_AT: usize = 256 * 1024;

/// Which of the container's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// What is known of a stream's unfinished line.
#[derive(Default)]
struct Tail {
    /// Read, but without line end so far; less than [`MAX_RECORD`].
    pending: Vec<u8>,
    /// When the first record of a line that is being split was read: all its records carry that time.
    split_since: Option<i64>,
}

/// The log of one container.
pub struct Log {
    /// `None`: nothing is kept here.
    file: Option<LogFile>,
    remote: Option<Remote>,
    /// `,"attrs":{...}` or nothing.
    attrs: String,
    clock: Formatter,
    tails: [Tail; 2],
    buffer: Vec<u8>,
    latest: i64,
}

impl Log {
    /// Opens or continues the file, and connects; `None` when nobody wants the output.
    pub fn open(settings: Option<&proto::LogFile>, to: Option<&proto::LogTo>) -> io::Result<Option<Self>> {
        if settings.is_none() && to.is_none() {
            return Ok(None);
        }
        let attrs = match settings.filter(|s| !s.attrs.is_empty()) {
            None => String::new(),
            Some(settings) => format!(",\"attrs\":{}", serde_json::to_string(&settings.attrs)?),
        };
        let file = settings.map(|s| LogFile::open(&s.path, s.max_size, s.max_file)).transpose()?;
        let remote = to.map(Remote::open).transpose()?;
        let (clock, tails) = (Formatter::default(), Default::default());
        Ok(Some(Self { file, remote, attrs, clock, tails, buffer: Vec::new(), latest: 0 }))
    }

    /// Adds what was read at `now`. The outcome of writing is told by [`Log::trouble`]; the container must never notice.
    pub fn append(&mut self, stream: Stream, data: &[u8], now: i64) {
        // A clock that was set back must not make the log go back: readers search it by time.
        self.latest = self.latest.max(now);
        let endings = self.endings(stream, self.latest);
        let mut tail = std::mem::take(&mut self.tails[stream as usize]);
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', data) {
            let line = &data[start..end];
            start = end + 1;
            if tail.pending.is_empty() && line.len() < MAX_RECORD && tail.split_since.is_none() {
                self.record(line, &endings, true);
            } else {
                self.extend(stream, &mut tail, line, &endings);
                self.finish_line(stream, &mut tail, &endings);
            }
        }
        self.extend(stream, &mut tail, &data[start..], &endings);
        self.tails[stream as usize] = tail;
        self.flush();
    }

    /// The end of a stream: an unfinished line is written as it is.
    pub fn finish(&mut self, stream: Stream, now: i64) {
        self.latest = self.latest.max(now);
        let tail = std::mem::take(&mut self.tails[stream as usize]);
        if !tail.pending.is_empty() {
            let endings = self.endings(stream, tail.split_since.unwrap_or(self.latest));
            self.record(&tail.pending, &endings, false);
        }
        self.flush();
    }

    /// Gives back what heavy traffic needed.
    pub fn shrink(&mut self) {
        self.buffer = Vec::new();
        for tail in &mut self.tails {
            tail.pending.shrink_to_fit();
        }
    }

    /// A change in the log's fortunes since the last call, in words for our own log.
    pub fn trouble(&mut self) -> Option<String> {
        let of_file = self.file.as_mut().and_then(LogFile::trouble);
        of_file.or_else(|| self.remote.as_mut().and_then(Remote::trouble))
    }

    /// Whether records wait for somebody slow.
    pub fn is_waiting(&self) -> bool {
        self.remote.as_ref().is_some_and(Remote::is_waiting)
    }

    /// Tries again what waits.
    pub fn retry(&mut self) {
        if let Some(remote) = &mut self.remote {
            remote.retry();
        }
    }

    /// The end of the container: a last try.
    pub fn close(&mut self) {
        if let Some(remote) = &mut self.remote {
            remote.close();
        }
    }

    /// Adds bytes of a line that does not end here, writing full records.
    fn extend(&mut self, stream: Stream, tail: &mut Tail, mut bytes: &[u8], endings: &Endings) {
        while tail.pending.len() + bytes.len() >= MAX_RECORD {
            let (now, later) = bytes.split_at(MAX_RECORD - tail.pending.len());
            bytes = later;
            tail.pending.extend_from_slice(now);
            let since = *tail.split_since.get_or_insert(self.latest);
            if since == self.latest {
                self.record(&tail.pending, endings, false);
            } else {
                let of_start = self.endings(stream, since);
                self.record(&tail.pending, &of_start, false);
            }
            tail.pending.clear();
        }
        tail.pending.extend_from_slice(bytes);
    }

    fn finish_line(&mut self, stream: Stream, tail: &mut Tail, endings: &Endings) {
        match tail.split_since.take() {
            Some(since) if since != self.latest => {
                let of_start = self.endings(stream, since);
                self.record(&tail.pending, &of_start, true);
            }
            _ => self.record(&tail.pending, endings, true),
        }
        tail.pending.clear();
    }

    #[inline]
    fn record(&mut self, text: &[u8], endings: &Endings, ends: bool) {
        if let Some(remote) = &mut self.remote {
            remote.send(endings.stream, text, ends, endings.time);
        }
        let Some(file) = &mut self.file else { return };
        if file.is_full(self.buffer.len()) {
            file.write(&self.buffer);
            self.buffer.clear();
            file.rotate();
        }
        self.buffer.extend_from_slice(b"{\"log\":\"");
        escape::append(text, &mut self.buffer);
        self.buffer.extend_from_slice(if ends { &endings.line } else { &endings.part });
        if self.buffer.len() >= FLUSH_AT {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if let Some(file) = self.file.as_mut().filter(|_| !self.buffer.is_empty()) {
            file.write(&self.buffer);
            self.buffer.clear();
        }
    }

    fn endings(&mut self, stream: Stream, time: i64) -> Endings {
        let mut part = format!("\",\"stream\":\"{}\"{},\"time\":\"", stream.name(), self.attrs).into_bytes();
        self.clock.append(time, &mut part);
        part.extend_from_slice(b"\"}\n");
        let mut line = b"\\n".to_vec();
        line.extend_from_slice(&part);
        Endings { line, part, stream, time }
    }
}

/// What follows the text in a record: for a line that ends there, and for a part of one.
struct Endings {
    line: Vec<u8>,
    part: Vec<u8>,
    stream: Stream,
    /// Nanoseconds since the epoch.
    time: i64,
}

#[cfg(test)]
mod tests;
