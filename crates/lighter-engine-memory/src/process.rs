//! One make-believe process: a container's init or an exec.
//!
//! No task and no thread stands behind it. Whatever could let it go on (its start, input, a reader that made room, a
//! signal) calls [`Inner::advance`] under the one lock, so ten thousand sleeping containers cost ten thousand small structs.

use crate::journal::Journal;
use crate::program::{self, NotStarted, Step};
use lighter_domain::{Exit, Signal};
use lighter_engine::stdcopy::{self, Stream};
use lighter_engine::{AttachOptions, Session};
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use time::OffsetDateTime;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

/// Bytes that an attached client may be behind before the process waits for it.
const OUTPUT_ROOM: usize = 256 * 1024;
/// Bytes of input that wait for the process to read them.
const INPUT_ROOM: usize = 64 * 1024;

/// Where a process is in its life. `Gone`: its container was removed, nothing will ever come of it.
#[derive(Debug, Clone)]
pub(crate) enum Phase {
    Idle,
    Running { pid: u32, started_at: OffsetDateTime },
    Ended(Exit),
    Gone,
}

/// How its standard streams are set up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Streams {
    pub tty: bool,
    pub open_stdin: bool,
    /// The end of the first client's input is the end of all input.
    pub stdin_once: bool,
    /// Its output is kept for `docker logs`.
    pub logged: bool,
}

pub(crate) struct Process {
    inner: Mutex<Inner>,
    phase: watch::Sender<Phase>,
}

struct Inner {
    streams: Streams,
    steps: VecDeque<Step>,
    traps: Vec<(Signal, i32)>,
    status: i32,
    running: bool,
    paused: bool,
    /// Signals that arrived while it was frozen.
    held: Vec<Signal>,
    /// Counts runs, so that a client of an ended run cannot write into the next.
    run: u64,
    input: VecDeque<u8>,
    input_ended: bool,
    writers: Vec<Waker>,
    readers: BTreeMap<u64, Reader>,
    next_reader: u64,
    journal: Journal,
}

struct Reader {
    options: AttachOptions,
    buffer: VecDeque<u8>,
    ended: bool,
    waker: Option<Waker>,
}

impl Process {
    pub(crate) fn new(streams: Streams) -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::new(Inner {
                streams,
                steps: VecDeque::new(),
                traps: Vec::new(),
                status: 0,
                running: false,
                paused: false,
                held: Vec::new(),
                run: 0,
                input: VecDeque::new(),
                input_ended: false,
                writers: Vec::new(),
                readers: BTreeMap::new(),
                next_reader: 0,
                journal: Journal::default(),
            }),
            phase: watch::Sender::new(Phase::Idle),
        })
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase.borrow().clone()
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    pub(crate) fn paused(&self) -> bool {
        self.inner.lock().paused
    }

    /// Runs `path args` as `pid`. The caller has made sure that it does not run.
    pub(crate) fn start(&self, path: &str, args: &[String], pid: u32) -> Result<OffsetDateTime, NotStarted> {
        let mut inner = self.inner.lock();
        match program::interpret(path, args) {
            Ok(steps) => inner.steps = steps,
            Err(why) => {
                inner.end_streams();
                return Err(why);
            }
        }
        inner.traps.clear();
        inner.status = 0;
        inner.running = true;
        inner.paused = false;
        inner.input_ended |= !inner.streams.open_stdin;
        let started_at = OffsetDateTime::now_utc();
        self.phase.send_replace(Phase::Running { pid, started_at });
        self.advance(&mut inner);
        Ok(started_at)
    }

    /// True if it was running.
    pub(crate) fn signal(&self, signal: Signal) -> bool {
        let mut inner = self.inner.lock();
        if !inner.running {
            return false;
        }
        if inner.paused && signal != Signal::KILL {
            inner.held.push(signal);
        } else if let Some(code) = inner.fate(signal) {
            self.end(&mut inner, code);
        }
        true
    }

    /// True if it was running and not in that state already.
    pub(crate) fn set_paused(&self, paused: bool) -> bool {
        let mut inner = self.inner.lock();
        if !inner.running || inner.paused == paused {
            return false;
        }
        inner.paused = paused;
        if !paused {
            let held = std::mem::take(&mut inner.held);
            match held.into_iter().find_map(|s| inner.fate(s)) {
                Some(code) => self.end(&mut inner, code),
                None => self.advance(&mut inner),
            }
        }
        true
    }

    /// Nothing will come of it any more: its container is being removed.
    pub(crate) fn discard(&self) {
        self.inner.lock().end_streams();
        self.phase.send_replace(Phase::Gone);
    }

    pub(crate) fn attach(self: &Arc<Self>, options: AttachOptions) -> Session {
        let mut inner = self.inner.lock();
        let key = inner.next_reader;
        inner.next_reader += 1;
        inner.readers.insert(key, Reader { options, buffer: VecDeque::new(), ended: false, waker: None });
        let run = inner.run;
        let input = options.stdin && inner.streams.open_stdin;
        Session {
            output: Box::pin(Output { process: Arc::clone(self), key }),
            input: input.then(|| Box::pin(Input { process: Arc::clone(self), run }) as _),
        }
    }

    /// Runs `f` on the journal; its second argument is whether more may come.
    pub(crate) fn with_journal<T>(&self, f: impl FnOnce(&mut Journal, bool) -> T) -> T {
        let mut inner = self.inner.lock();
        let running = inner.running;
        f(&mut inner.journal, running)
    }

    fn advance(&self, inner: &mut Inner) {
        if let Some(code) = inner.advance() {
            self.end(inner, code);
        }
    }

    fn end(&self, inner: &mut Inner, code: i32) {
        inner.running = false;
        inner.paused = false;
        inner.steps.clear();
        inner.held.clear();
        inner.end_streams();
        self.phase.send_replace(Phase::Ended(Exit { code, oom_killed: false, finished_at: OffsetDateTime::now_utc() }));
    }
}

impl Inner {
    /// Does what can be done now; the exit code once there is nothing more to do.
    fn advance(&mut self) -> Option<i32> {
        while self.running && !self.paused && self.has_room() {
            let Some(step) = self.steps.pop_front() else { return Some(self.status) };
            match step {
                Step::Print(stream, bytes) => self.print(stream, &bytes),
                Step::Count { next, last } => self.count(next, last),
                Step::Status(code) => self.status = code,
                Step::Trap(signal, code) => self.traps.push((signal, code)),
                Step::Exit(code) => return Some(code.unwrap_or(self.status)),
                Step::Copy if !self.input.is_empty() => {
                    let bytes: Vec<u8> = self.take_input(self.input.len());
                    self.print(Stream::Stdout, &bytes);
                    self.steps.push_front(Step::Copy);
                }
                Step::Shell if self.line_end().is_some() => {
                    let line = self.take_input(self.line_end().unwrap_or_default());
                    self.steps.push_front(Step::Shell);
                    for step in program::script(&String::from_utf8_lossy(&line)).into_iter().rev() {
                        self.steps.push_front(step);
                    }
                }
                Step::Copy | Step::Shell if self.input_ended => {}
                Step::Copy | Step::Shell | Step::Sleep => {
                    self.steps.push_front(step);
                    return None;
                }
            }
        }
        None
    }

    /// What a signal does: the exit code, or nothing.
    fn fate(&self, signal: Signal) -> Option<i32> {
        if let Some((_, code)) = self.traps.iter().rev().find(|(s, _)| *s == signal) {
            return Some(*code);
        }
        // CHLD, CONT, STOP, TSTP, TTIN, TTOU, URG and WINCH end nothing.
        (!matches!(signal.number(), 17..=23 | 28)).then(|| 128 + signal.number())
    }

    fn count(&mut self, next: u64, last: u64) {
        let stop = last.min(next.saturating_add(1000));
        let lines: String = (next..=stop).map(|n| format!("{n}\n")).collect();
        self.print(Stream::Stdout, lines.as_bytes());
        if stop < last {
            self.steps.push_front(Step::Count { next: stop + 1, last });
        }
    }

    fn has_room(&self) -> bool {
        self.readers.values().all(|r| r.ended || r.buffer.len() < OUTPUT_ROOM)
    }

    /// Bytes up to and with the next newline of the input, or all of it after its end.
    fn line_end(&self) -> Option<usize> {
        let newline = self.input.iter().position(|b| matches!(b, b'\n' | b'\r')).map(|n| n + 1);
        let full = self.input_ended || self.input.len() >= INPUT_ROOM;
        newline.or_else(|| (full && !self.input.is_empty()).then_some(self.input.len()))
    }

    fn take_input(&mut self, n: usize) -> Vec<u8> {
        self.writers.drain(..).for_each(Waker::wake);
        self.input.drain(..n).collect()
    }

    fn print(&mut self, stream: Stream, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let raw = if self.streams.tty { with_carriage_returns(bytes) } else { Vec::new() };
        let (stream, bytes) = if self.streams.tty { (Stream::Stdout, raw.as_slice()) } else { (stream, bytes) };
        if self.streams.logged {
            self.journal.write(stream, bytes);
        }
        let header = stdcopy::header(stream, u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        for reader in self.readers.values_mut().filter(|r| !r.ended) {
            let wanted = if stream == Stream::Stderr { reader.options.stderr } else { reader.options.stdout };
            if wanted {
                if !self.streams.tty {
                    reader.buffer.extend(header);
                }
                reader.buffer.extend(bytes);
                reader.waker.take().into_iter().for_each(Waker::wake);
            }
        }
    }

    /// A run is over (or could not begin): every client of it sees the end.
    fn end_streams(&mut self) {
        self.run += 1;
        self.input.clear();
        self.input_ended = false;
        self.journal.end();
        self.writers.drain(..).for_each(Waker::wake);
        for reader in self.readers.values_mut() {
            reader.ended = true;
            reader.waker.take().into_iter().for_each(Waker::wake);
        }
    }
}

fn with_carriage_returns(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 8);
    for b in bytes {
        if *b == b'\n' {
            out.push(b'\r');
        }
        out.push(*b);
    }
    out
}

/// A client's reading end.
struct Output {
    process: Arc<Process>,
    key: u64,
}

impl AsyncRead for Output {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.process.inner.lock();
        let Some(reader) = inner.readers.get_mut(&self.key) else { return Poll::Ready(Ok(())) };
        if reader.buffer.is_empty() {
            if reader.ended {
                return Poll::Ready(Ok(()));
            }
            reader.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let (front, _) = reader.buffer.as_slices();
        let n = front.len().min(buf.remaining());
        buf.put_slice(&front[..n]);
        reader.buffer.drain(..n);
        self.process.advance(&mut inner);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let mut inner = self.process.inner.lock();
        inner.readers.remove(&self.key);
        self.process.advance(&mut inner);
    }
}

/// A client's writing end.
struct Input {
    process: Arc<Process>,
    run: u64,
}

impl Input {
    fn close(&self) {
        let mut inner = self.process.inner.lock();
        if inner.run == self.run && inner.streams.stdin_once && !inner.streams.tty {
            inner.input_ended = true;
            self.process.advance(&mut inner);
        }
    }
}

impl AsyncWrite for Input {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut inner = self.process.inner.lock();
        if inner.run != self.run || inner.input_ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let n = bytes.len().min(INPUT_ROOM - inner.input.len().min(INPUT_ROOM));
        if n == 0 && !bytes.is_empty() {
            inner.writers.push(cx.waker().clone());
            return Poll::Pending;
        }
        let mut bytes = &bytes[..n];
        let mut fate = None;
        if inner.streams.tty {
            // What a terminal does with Ctrl-C and Ctrl-D, and its echo.
            if let Some(at) = bytes.iter().position(|b| matches!(b, 3 | 4)) {
                match bytes[at] {
                    3 => fate = inner.fate(Signal::INT),
                    _ => inner.input_ended = true,
                }
                bytes = &bytes[..at];
            }
            inner.print(Stream::Stdout, bytes);
        }
        inner.input.extend(bytes);
        match fate {
            Some(code) if inner.running => self.process.end(&mut inner, code),
            _ => self.process.advance(&mut inner),
        }
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.close();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.close();
    }
}
