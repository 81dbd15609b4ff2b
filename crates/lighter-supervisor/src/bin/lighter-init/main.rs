//! `lighter-init -- program args...`: the first process of a container that was started with `--init`.
//!
//! A first process gets no default signal handling from the kernel and inherits every orphan. Programs that expect neither
//! are run as its child: signals are passed on, zombies reaped, and it ends with the child's status. Bind-mounted read-only
//! into containers as `/sbin/docker-init`, so it must be static.

mod sys;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::io::{ErrorKind, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1).peekable();
    args.next_if(|arg| arg == "--");
    let Some(program) = args.next() else { return complain("usage: lighter-init -- program args...", 2) };
    let waited = all_signals();
    if let Err(errno) = waited.thread_block() {
        return complain(&format!("cannot take signals: {errno}"), 1);
    }
    // The child starts with no signal blocked and leads a group of its own, so that a terminal's Ctrl-C reaches it once.
    let mut command = Command::new(&program);
    sys::with_no_signal_blocked(command.args(args).process_group(0));
    let child = match command.spawn() {
        Ok(child) => Pid::from_raw(child.id().cast_signed()),
        Err(error) => {
            let code = if error.kind() == ErrorKind::NotFound { 127 } else { 126 };
            return complain(&format!("exec {} failed: {error}", program.to_string_lossy()), code);
        }
    };
    give_terminal(child);
    loop {
        match waited.wait() {
            Ok(Signal::SIGCHLD) => {
                if let Some(code) = reap(child) {
                    return ExitCode::from(code);
                }
            }
            // For stopping a background process that touches the terminal; it is not meant for the child.
            Ok(Signal::SIGTTIN | Signal::SIGTTOU) | Err(_) => {}
            Ok(signal) => {
                let _ = kill(child, signal);
            }
        }
    }
}

/// All that can be waited for and are not raised by a fault of our own.
fn all_signals() -> SigSet {
    let mut set = SigSet::all();
    for fault in
        [Signal::SIGFPE, Signal::SIGILL, Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGABRT, Signal::SIGTRAP, Signal::SIGSYS]
    {
        set.remove(fault);
    }
    set
}

/// Makes the child the one that the terminal, if there is one, talks to.
fn give_terminal(child: Pid) {
    if nix::unistd::tcsetpgrp(std::io::stdin(), child).is_ok() {
        // It may have asked for input before it was allowed to, and been stopped for that.
        let _ = kill(child, Signal::SIGCONT);
    }
}

/// Reaps all that have ended; the status if the child was among them.
fn reap(child: Pid) -> Option<u8> {
    let mut ended = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == child => ended = Some(code as u8),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => ended = Some(128 + signal as u8),
            Ok(WaitStatus::StillAlive) => return ended,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return ended,
        }
    }
}

fn complain(message: &str, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "lighter-init: {message}");
    ExitCode::from(code)
}
