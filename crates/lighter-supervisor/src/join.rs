//! Execs: processes that join the running container. The runtime library would read the container's state and specification
//! again for each and fork three times (2.3 ms); the namespaces of a process are one call away, and the rest is [`Program`]'s.

use crate::error::SetupError;
use crate::helper::Site;
use crate::program::NEVER_RAN;
use crate::spec::Program;
use crate::sys;
use crate::wiring::{FIRST_OWN_FD, NOTES_FD, Note, Wiring};
use libcontainer::oci_spec::runtime::{PosixRlimit, Process};
use libcontainer::syscall::syscall::create_syscall;
use libcontainer::{apparmor, tty};
use nix::sched::{CloneFlags, setns};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::Value;
use std::os::fd::{AsFd, BorrowedFd, RawFd};

/// In the new process, until its program is executed: the container's process.
const MAIN_FD: RawFd = FIRST_OWN_FD;
/// The same for the connection that the terminal is sent on.
const CONSOLE_FD: RawFd = FIRST_OWN_FD + 1;

/// The container may be at its limit of processes.
const COUNT_LATE: bool = true;

/// A process to be made.
pub struct Joining {
    program: Program,
    limits: Vec<PosixRlimit>,
    apparmor_profile: Option<String>,
    /// Without the container's filter.
    unconfined: bool,
}

impl Joining {
    /// From an OCI `Process` object.
    pub fn new(site: &Site, process: Value, unconfined: bool) -> Result<Self, SetupError> {
        let process: Process =
            serde_json::from_value(process).map_err(|source| SetupError::Json { what: "read the process", source })?;
        let program = Program::of(&process, &site.launch.id)?;
        let limits = process.rlimits().clone().unwrap_or_default();
        Ok(Self { program, limits, apparmor_profile: process.apparmor_profile().clone(), unconfined })
    }

    /// Forks it; its pid. `main` is the container's process, a child that is not reaped yet.
    ///
    /// From now on children of this process are born in the container's process namespace, and all that come are execs.
    pub fn start(mut self, site: &Site, main: i32, wiring: &Wiring<'_>) -> Result<i32, SetupError> {
        wiring.complete(&mut self.program, site, self.unconfined, COUNT_LATE);
        let main = Pid::from_raw(main).ok_or(SetupError::Spec("process id"))?;
        let main = pidfd_open(main, PidfdFlags::empty()).map_err(SetupError::io("find the container's process"))?;
        setns(&main, CloneFlags::CLONE_NEWPID).map_err(SetupError::io("join the container's process namespace"))?;
        if let Some(pid) = sys::fork_into(site.groups.birth()).map_err(SetupError::io("make the process"))? {
            return Ok(pid);
        }
        let failed = match self.join(site, main.as_fd(), wiring) {
            Ok(()) => self.program.become_program(),
            Err(error) => error.failure(),
        };
        Note::Failed(failed).send(sys::borrow(NOTES_FD));
        sys::exit_now(NEVER_RAN)
    }

    /// In the new process: everything up to the program's own part.
    fn join(&self, site: &Site, main: BorrowedFd<'_>, wiring: &Wiring<'_>) -> Result<(), SetupError> {
        nix::unistd::setsid().map_err(SetupError::io("make a session"))?;
        let console = wiring.connect_console()?;
        wiring.arrange(site, &[Some(main), console], COUNT_LATE)?;
        if let Some(profile) = &self.apparmor_profile {
            apparmor::apply_profile(profile)?;
        }
        let all = CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWCGROUP;
        setns(sys::borrow(MAIN_FD), all).map_err(SetupError::io("join the container's namespaces"))?;
        if console.is_some() {
            tty::setup_console(create_syscall().as_ref(), CONSOLE_FD, false)?;
        }
        Ok(self.limits.iter().try_for_each(|limit| create_syscall().set_rlimit(limit))?)
    }
}
