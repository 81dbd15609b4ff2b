//! A process that the supervisor made: the container's own, or an exec. Its streams, its end, and who waits for it.

use crate::log::Stream;
use crate::wiring::Note;
use lighter_supervisor_proto::Failure;
use rustix::fs::{Mode, OFlags};
use rustix::pipe::PipeFlags;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

/// The container's own process.
pub const MAIN: u32 = 0;

/// Bytes of input that wait for the process; more is not read from its clients.
const MAX_INPUT: usize = 64 * 1024;

/// The writing side of a process's standard input.
pub struct Input {
    pub fd: OwnedFd,
    waiting: Vec<u8>,
    /// Close when the rest is written.
    ending: bool,
    /// Registered for readiness.
    pub watched: bool,
}

impl Input {
    pub fn new(fd: OwnedFd) -> Self {
        Self { fd, waiting: Vec::new(), ending: false, watched: false }
    }

    /// Takes bytes from a client. Bytes after the end are dropped.
    pub fn push(&mut self, bytes: &[u8]) {
        if !self.ending {
            self.waiting.extend_from_slice(bytes);
        }
    }

    pub fn end(&mut self) {
        self.ending = true;
    }

    pub fn is_full(&self) -> bool {
        self.waiting.len() >= MAX_INPUT
    }

    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Writes what the process takes. `false`: it is at its end, or nobody reads it any more.
    pub fn flush(&mut self) -> bool {
        let mut done = 0;
        while done < self.waiting.len() {
            match crate::outbox::write_now(&self.fd, &self.waiting[done..]) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(_) => return false,
            }
        }
        self.waiting.drain(..done);
        if self.waiting.is_empty() {
            self.waiting.shrink_to(0);
        }
        !(self.ending && self.waiting.is_empty())
    }
}

/// Who makes a process.
pub enum Maker {
    /// A helper with this pid, which tells that of the process.
    Helper(i32),
    /// The process, which has this pid.
    Itself(i32),
}

/// A process on its way to run.
pub struct Launching {
    pub maker: Maker,
    /// The helper was killed before its work was done.
    pub orphaned: bool,
    /// The reading side of its notes.
    pub notes: OwnedFd,
    /// Where its terminal arrives.
    pub console: Option<OwnedFd>,
    /// Asked for by this client (an exec).
    pub client: Option<u32>,
}

pub struct Process {
    /// Name of an exec.
    pub id: String,
    pub tty: bool,
    pub pid: Option<i32>,
    pub launching: Option<Launching>,
    pub started_at: i64,
    pub input: Option<Input>,
    /// Standard output and error; a terminal has only the first.
    pub outputs: [Option<OwnedFd>; 2],
    /// Whether its input ends with a client's.
    pub input_once: bool,
    /// Rows, columns.
    pub size: Option<(u16, u16)>,
    /// 128 + signal for a killed one.
    pub exit: Option<i32>,
    /// When to stop waiting for the end of the outputs of a process that has ended.
    pub drain_until: Option<Instant>,
    /// Clients that wait for its end.
    pub waiters: Vec<u32>,
}

impl Process {
    pub fn new(id: String, tty: bool) -> Self {
        Self {
            id,
            tty,
            pid: None,
            launching: None,
            started_at: 0,
            input: None,
            outputs: [None, None],
            input_once: false,
            size: None,
            exit: None,
            drain_until: None,
            waiters: Vec::new(),
        }
    }

    pub fn outputs_ended(&self) -> bool {
        self.outputs.iter().all(Option::is_none)
    }

    pub fn is_running(&self) -> bool {
        self.launching.is_none() && self.pid.is_some() && self.exit.is_none()
    }
}

/// What the notes said in the end.
pub struct Outcome {
    /// From a helper.
    pub pid: Option<i32>,
    pub failure: Option<Failure>,
    /// Whether it got as far as its program.
    pub executing: bool,
}

/// Reads all lines of a notes pipe that has ended.
pub fn outcome(text: &[u8]) -> Outcome {
    let mut outcome = Outcome { pid: None, failure: None, executing: false };
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice(line) {
            Ok(Note::Pid(pid)) => outcome.pid = Some(pid),
            Ok(Note::Executing) => outcome.executing = true,
            // The first is the cause, later ones its consequences.
            Ok(Note::Failed(failure)) => outcome.failure = outcome.failure.or(Some(failure)),
            Err(_) => {}
        }
    }
    outcome
}

/// Both ends of the three standard streams; ours do not block.
pub struct Pipes {
    pub theirs: [OwnedFd; 3],
    pub stdin: Option<OwnedFd>,
    pub outputs: [Option<OwnedFd>; 2],
}

impl Pipes {
    /// Pipes where asked for, the null device elsewhere.
    pub fn open(stdin: bool, stdout: bool, stderr: bool) -> io::Result<Self> {
        let (in_theirs, in_ours) =
            if stdin { split(rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?, true)? } else { (null()?, None) };
        let (out_theirs, out_ours) = output(stdout)?;
        let (err_theirs, err_ours) = output(stderr)?;
        Ok(Self { theirs: [in_theirs, out_theirs, err_theirs], stdin: in_ours, outputs: [out_ours, err_ours] })
    }

    pub fn theirs(&self) -> [BorrowedFd<'_>; 3] {
        [self.theirs[0].as_fd(), self.theirs[1].as_fd(), self.theirs[2].as_fd()]
    }
}

fn output(wanted: bool) -> io::Result<(OwnedFd, Option<OwnedFd>)> {
    if wanted { split(rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?, false) } else { Ok((null()?, None)) }
}

/// Theirs, ours.
fn split((read, write): (OwnedFd, OwnedFd), we_write: bool) -> io::Result<(OwnedFd, Option<OwnedFd>)> {
    let (theirs, ours) = if we_write { (read, write) } else { (write, read) };
    rustix::io::ioctl_fionbio(&ours, true)?;
    Ok((theirs, Some(ours)))
}

fn null() -> io::Result<OwnedFd> {
    Ok(rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?)
}

/// The stream with this number among the outputs.
pub fn output_stream(index: usize) -> Stream {
    if index == 0 { Stream::Stdout } else { Stream::Stderr }
}
