//! One connection of the daemon's: frames first, and after `Attach` or `Exec` a raw stream in both directions.

use crate::log::Stream;
use crate::outbox::{self, Outbox};
use crate::poll::Ready;
use lighter_supervisor_proto::{self as proto, Reply};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// What a connection is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Sends requests.
    Commands,
    /// Streams of a process: what it wants of it.
    Attached { process: u32, stdin: bool, stdout: bool, stderr: bool },
}

pub struct Client {
    pub fd: OwnedFd,
    pub role: Role,
    /// Received, but not a whole frame yet.
    pub input: Vec<u8>,
    output: Outbox,
    /// The client sends no more.
    pub input_ended: bool,
    /// To be closed when it has taken everything.
    pub finishing: bool,
    /// Reading waits until the process takes its input.
    pub held: bool,
    /// The events that are asked for.
    pub registered: Ready,
    /// Sent since the last look, for noticing clients that are stuck.
    pub progress: bool,
}

impl Client {
    pub fn new(fd: OwnedFd) -> Self {
        Self {
            fd,
            role: Role::Commands,
            input: Vec::new(),
            output: Outbox::default(),
            input_ended: false,
            finishing: false,
            held: false,
            registered: Ready::IN,
            progress: false,
        }
    }

    /// The events that matter now.
    pub fn interest(&self) -> Ready {
        let mut interest = Ready::empty();
        if !self.input_ended && !self.held {
            interest |= Ready::IN;
        }
        if !self.output.is_empty() {
            interest |= Ready::OUT;
        }
        interest
    }

    /// Whether there is nothing more to do for it.
    pub fn is_done(&self) -> bool {
        self.finishing && self.output.is_empty()
    }

    pub fn reply(&mut self, reply: &Reply, dir: &Path) -> io::Result<()> {
        let frame = proto::encode(reply)?;
        self.send(&[&frame], dir)
    }

    /// Output of its process: with Docker's header (stream number, length) unless it is a terminal's.
    pub fn stream(&mut self, stream: Stream, tty: bool, data: &[u8], dir: &Path) -> io::Result<()> {
        let Role::Attached { stdout, stderr, .. } = self.role else { return Ok(()) };
        if tty {
            return if stdout || stderr { self.send(&[data], dir) } else { Ok(()) };
        }
        let (wanted, number) = match stream {
            Stream::Stdout => (stdout, 1),
            Stream::Stderr => (stderr, 2),
        };
        if !wanted {
            return Ok(());
        }
        let len = u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes();
        let header = [number, 0, 0, 0, len[0], len[1], len[2], len[3]];
        self.send(&[&header, data], dir)
    }

    /// Writes at once what can be written, and keeps the rest.
    fn send(&mut self, pieces: &[&[u8]], dir: &Path) -> io::Result<()> {
        for piece in pieces {
            let mut rest = *piece;
            if self.output.is_empty() {
                let n = outbox::write_now(&self.fd, rest)?;
                self.progress |= n > 0;
                rest = &rest[n..];
            }
            if !rest.is_empty() {
                self.output.push(rest, dir)?;
            }
        }
        Ok(())
    }

    /// Sends more of what was kept.
    pub fn flush(&mut self) -> io::Result<()> {
        let n = self.output.flush(&self.fd)?;
        self.progress |= n > 0;
        Ok(())
    }
}
