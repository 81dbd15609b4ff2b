//! Starting a child with descriptors under fixed numbers.
#![expect(unsafe_code, reason = "pre_exec")]

use std::os::fd::RawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Has `command` started with `fds[0]` as 3, `fds[1]` as 4 and so on, in a session of its own.
pub fn with_descriptors(command: &mut Command, fds: Vec<RawFd>) {
    // SAFETY: only async-signal-safe calls; dup'ing above 20 first keeps the sources clear of the targets.
    unsafe {
        command.pre_exec(move || {
            libc::setsid();
            let mut lifted = [0; 8];
            for (slot, fd) in lifted.iter_mut().zip(&fds) {
                *slot = libc::fcntl(*fd, libc::F_DUPFD_CLOEXEC, 20);
            }
            for (index, _) in fds.iter().enumerate() {
                libc::dup2(lifted[index], 3 + index as i32);
            }
            Ok(())
        });
    }
}
