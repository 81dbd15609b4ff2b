//! What `lighter-init` has to do between fork and exec.
#![expect(unsafe_code, reason = "a hook between fork and exec cannot be set safely")]

use nix::sys::signal::SigSet;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The standard library leaves the signal mask to the child as it is.
pub fn with_no_signal_blocked(command: &mut Command) {
    // SAFETY: changing the signal mask is async-signal-safe and allocates nothing.
    unsafe {
        command.pre_exec(|| Ok(SigSet::empty().thread_set_mask()?));
    }
}
