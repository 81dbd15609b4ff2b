//! The event loop: one thread that waits for the container's output, its clients, its children and its helpers, and never
//! blocks on any of them.
//!
//! [`launching`] makes processes, [`streams`] moves bytes, [`clients`] answers requests, [`ending`] reaps and finishes.

mod clients;
mod ending;
mod launching;
mod streams;

use crate::client::Client;
use crate::error::SetupError;
use crate::helper::Site;
use crate::log::Log;
use crate::poll::{Poll, Ready, Token};
use crate::process::{MAIN, Process};
use crate::{journal, sys};
use lighter_supervisor_proto::{self as proto, Exited, Failure, files};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Quiet for so long: memory is given back. Who asks again before that does not wait for it to be mapped once more.
const TRIM_AFTER: Duration = Duration::from_secs(2);
/// A receiver of log records that is slow is asked again after this.
const SLOW_LOG: Duration = Duration::from_millis(50);
/// Clients that take nothing for so long after the container's end are given up.
const LAST_FLUSH: Duration = Duration::from_secs(10);

/// Where the container is.
enum Phase {
    /// Being made.
    Starting,
    Running,
    /// It could not be made.
    Failed(Failure),
    /// Its process has ended, its output is not all read.
    Draining {
        code: i32,
        finished_at: i64,
    },
    /// All is written; the clients take the rest.
    Done(Exited),
}

pub struct Server {
    site: Site,
    poll: Poll,
    listener: OwnedFd,
    signals: SignalFd,
    ready: Option<OwnedFd>,
    log: Option<Log>,
    /// Where slow clients' output goes.
    spill_dir: PathBuf,
    phase: Phase,
    processes: BTreeMap<u32, Process>,
    clients: BTreeMap<u32, Client>,
    /// Exit codes of execs that nobody asked for yet, oldest first.
    ended: VecDeque<(String, i32)>,
    /// Ends of children that may turn out to be processes whose notes are not read yet.
    unclaimed: Vec<(i32, i32)>,
    next: u32,
    /// For reading outputs and clients.
    buffer: Vec<u8>,
    /// Whether the container prints so much that its pipes were widened.
    busy: bool,
    trim_at: Option<Instant>,
    /// Since when no client took anything, after the end.
    stuck_since: Instant,
}

/// The signals that the loop takes in turn: children, and what would end a process that has no terminal to obey.
pub fn block_signals() -> io::Result<SignalFd> {
    let mut set = SigSet::empty();
    let all = [Signal::SIGCHLD, Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM, Signal::SIGQUIT, Signal::SIGPIPE];
    let more = [Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGALRM, Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU];
    all.into_iter().chain(more).for_each(|signal| set.add(signal));
    set.thread_block()?;
    Ok(SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?)
}

impl Server {
    pub fn new(site: Site, listener: OwnedFd, ready: OwnedFd, signals: SignalFd) -> Result<Self, SetupError> {
        let what = || SetupError::io("set up the event loop");
        let poll = Poll::new().map_err(what())?;
        rustix::io::ioctl_fionbio(&listener, true).map_err(SetupError::io("prepare the socket"))?;
        poll.add(&listener, Token::Listener, Ready::IN).map_err(what())?;
        poll.add(&signals, Token::Signals, Ready::IN).map_err(what())?;
        let settings = site.launch.log.as_ref();
        let log = Log::open(settings, site.launch.log_to.as_ref()).map_err(SetupError::Log)?;
        let beside_log = settings.and_then(|log| log.path.parent());
        let spill_dir = beside_log.unwrap_or(&site.launch.run_dir).to_owned();
        Ok(Self {
            site,
            poll,
            listener,
            signals,
            ready: Some(ready),
            log,
            spill_dir,
            phase: Phase::Starting,
            processes: BTreeMap::new(),
            clients: BTreeMap::new(),
            ended: VecDeque::new(),
            unclaimed: Vec::new(),
            next: MAIN + 1,
            buffer: Vec::new(),
            busy: false,
            trim_at: None,
            stuck_since: Instant::now(),
        })
    }

    /// Runs the container to its end.
    pub fn run(mut self) {
        // Attachments that were made before the start wait in the backlog: they must see the first byte.
        self.accept();
        for client in self.clients.keys().copied().collect::<Vec<_>>() {
            self.on_client(client, Ready::IN);
        }
        self.launch_container();
        while !self.is_over() {
            let events = match self.poll.wait(self.timeout()) {
                Ok(events) => events,
                Err(error) => return journal::note(&format!("cannot wait for events: {error}")),
            };
            self.on_quiet(events.is_empty());
            for (token, ready) in events {
                match token {
                    Token::Listener => self.accept(),
                    Token::Signals => self.on_signals(),
                    Token::Client(client) => self.on_client(client, ready),
                    Token::Notes(process) => self.on_notes(process),
                    Token::Stream(process, 0) => self.flush_input(process),
                    Token::Stream(process, stream) => {
                        self.on_output(process, usize::from(stream) - 1);
                    }
                }
            }
            self.check_deadlines();
        }
    }

    /// How long the loop may sleep.
    fn timeout(&self) -> Option<Duration> {
        let drains = self.processes.values().filter_map(|process| process.drain_until);
        let last = matches!(self.phase, Phase::Done(_) | Phase::Failed(_)).then(|| self.stuck_since + LAST_FLUSH);
        let slow = self.log.as_ref().filter(|log| log.is_waiting()).map(|_| Instant::now() + SLOW_LOG);
        let next = drains.chain(self.trim_at).chain(last).chain(slow).min()?;
        Some(next.saturating_duration_since(Instant::now()) + Duration::from_millis(1))
    }

    fn check_deadlines(&mut self) {
        if let Some(log) = self.log.as_mut().filter(|log| log.is_waiting()) {
            log.retry();
        }
        let now = Instant::now();
        let due = self.processes.iter().filter(|(_, process)| process.drain_until.is_some_and(|until| until <= now));
        for number in due.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.stop_draining(number);
        }
        if self.clients.values_mut().map(|client| std::mem::take(&mut client.progress)).fold(false, |a, b| a | b) {
            self.stuck_since = now;
        }
    }

    fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Done(_) | Phase::Failed(_))
            && (self.clients.is_empty() || self.stuck_since.elapsed() > LAST_FLUSH)
    }

    /// Memory goes back once after each burst of work.
    fn on_quiet(&mut self, quiet: bool) {
        let now = Instant::now();
        match self.trim_at {
            Some(due) if due <= now && quiet => {
                self.trim_at = None;
                self.buffer = Vec::new();
                self.narrow_pipes();
                if let Some(log) = &mut self.log {
                    log.shrink();
                }
                sys::trim_memory();
            }
            _ if !quiet => self.trim_at = Some(now + TRIM_AFTER),
            _ => {}
        }
    }

    /// For a client or a process, never the same twice: an event that was waiting for one that is gone must not hit another.
    fn number(&mut self) -> u32 {
        let number = self.next;
        self.next = self.next.wrapping_add(1).max(MAIN + 1);
        number
    }

    /// Tells the daemon whether the container runs.
    fn announce(&mut self, ready: &proto::Ready) {
        let Ok(mut line) = serde_json::to_vec(ready) else { return };
        line.push(b'\n');
        if let Some(fd) = self.ready.take() {
            // A daemon that is gone reads the file when it comes back.
            let _ = std::fs::File::from(fd).write_all(&line);
            // It may have been woken to run after us, and what it does now somebody waits for.
            rustix::thread::sched_yield();
        }
        let path = self.site.launch.run_dir.join(files::READY);
        if let Err(error) = write_atomically(&path, &line) {
            journal::note(&format!("cannot write {}: {error}", path.display()));
        }
    }
}

/// All of it or nothing, for a reader at any time.
fn write_atomically(path: &std::path::Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    std::fs::write(&temporary, content)?;
    std::fs::rename(&temporary, path)
}
