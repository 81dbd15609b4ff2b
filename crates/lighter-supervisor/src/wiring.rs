//! How a process to be made is connected: its streams, and the notes pipe on which it and its maker report.
//!
//! The pipe carries one JSON [`Note`] a line. Its end means: who made it has ended, and the program was executed (the pipe is
//! close-on-exec) or the process that was to become it is dead.

use crate::cgroup;
use crate::error::SetupError;
use crate::helper::Site;
use crate::spec::Program;
use crate::sys;
use lighter_supervisor_proto::Failure;
use nix::sys::resource::{Resource, setrlimit};
use serde::{Deserialize, Serialize};
use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

/// In a process that is made, until its program is executed: the notes pipe.
pub const NOTES_FD: RawFd = 3;
/// The same for `tasks` of the group that counts processes, where that is joined last.
pub const COUNTING_FD: RawFd = 4;
/// From here on are descriptors that only one kind of process has.
pub const FIRST_OWN_FD: RawFd = 5;
/// Longer texts are cut: a note is one write that must not be split.
const MAX_MESSAGE: usize = 3000;

/// One line on the notes pipe.
#[derive(Debug, Serialize, Deserialize)]
pub enum Note {
    /// The helper's: what it made.
    Pid(i32),
    Failed(Failure),
    /// Nothing is left to be done but to execute the program.
    Executing,
}

impl Note {
    /// Writes the line; a reader that is gone does not matter.
    pub fn send(mut self, to: BorrowedFd<'_>) {
        if let Self::Failed(failure) = &mut self {
            let cut = failure.message.floor_char_boundary(MAX_MESSAGE);
            failure.message.truncate(cut);
        }
        if let Ok(mut line) = serde_json::to_vec(&self) {
            line.push(b'\n');
            let _ = rustix::io::write(to, &line);
        }
    }
}

pub struct Wiring<'a> {
    /// Input, output, error.
    pub stdio: [BorrowedFd<'a>; 3],
    pub notes: BorrowedFd<'a>,
    /// Name of the console socket in the run directory, for a terminal.
    pub console: Option<PathBuf>,
    pub console_size: Option<(u16, u16)>,
}

impl Wiring<'_> {
    /// In the new process: descriptors, signals, limits and control groups as it is to find them. What is in `own` gets the numbers from
    /// [`FIRST_OWN_FD`] on; nothing else of the supervisor may travel, not the sockets and pipes of others.
    pub fn arrange(&self, site: &Site, own: &[Option<BorrowedFd<'_>>], count_late: bool) -> Result<(), SetupError> {
        sys::reset_signals();
        site.groups.join()?;
        let counting = site.groups.counting();
        if let Some(tasks) = counting.filter(|_| !count_late) {
            cgroup::join(tasks)?;
        }
        let [stdin, stdout, stderr] = self.stdio.map(Some);
        let shared = [stdin, stdout, stderr, Some(self.notes), counting.filter(|_| count_late)];
        // First out of the way of the fixed numbers, then onto them.
        let lifted = shared.iter().chain(own).map(|fd| fd.map(|fd| sys::dup_above(fd.as_raw_fd(), 16)).transpose());
        let lifted = lifted.collect::<Result<Vec<_>, _>>().map_err(SetupError::io("arrange descriptors"))?;
        for (target, fd) in (0..).zip(&lifted) {
            match fd {
                Some(fd) => sys::dup_to(*fd, target).map_err(SetupError::io("arrange descriptors"))?,
                None => sys::close_range(target, target),
            }
        }
        let end = lifted.len() as RawFd;
        sys::close_range(end, i32::MAX);
        for fd in NOTES_FD..end {
            let _ = sys::set_cloexec(fd, true);
        }
        let (soft, hard) = site.open_files;
        let _ = setrlimit(Resource::RLIMIT_NOFILE, soft, hard);
        // Inherited by the program; the supervisor's own score protects it from being chosen.
        fs::write("/proc/self/oom_score_adj", site.launch.oom_score_adj.unwrap_or(0).to_string())
            .map_err(SetupError::io("set the out-of-memory score"))
    }

    /// What only the container and this wiring know of a program.
    pub fn complete(&self, program: &mut Program, site: &Site, unconfined: bool, count_late: bool) {
        program.joins_counting = site.groups.counting().is_some() && count_late;
        program.seccomp = site.seccomp.clone().filter(|_| !unconfined);
        program.console_size = self.console.as_ref().and(self.console_size);
    }

    /// In the new process: a connection to the console socket, which the terminal is to be sent on.
    pub fn connect_console(&self) -> Result<Option<BorrowedFd<'static>>, SetupError> {
        let Some(name) = &self.console else { return Ok(None) };
        let connection = UnixStream::connect(name).map_err(SetupError::io("connect to the console socket"))?;
        // By number from now on: it goes with the process.
        Ok(Some(sys::borrow(connection.into_raw_fd())))
    }
}
