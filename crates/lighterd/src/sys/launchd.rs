//! The sockets that launchd holds for this process. macOS only, and with nothing of ours or of other crates in it, so that it
//! can be checked where the rest is not compiled: `rustc --crate-type lib --emit metadata --target aarch64-apple-darwin`.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::ptr;

unsafe extern "C" {
    /// launchd's `launch.h`, in libSystem: 0, or an errno (ESRCH: not started by launchd; ENOENT: its plist names no such
    /// sockets; EALREADY: asked twice).
    fn launch_activate_socket(name: *const c_char, fds: *mut *mut c_int, count: *mut usize) -> c_int;
    fn free(what: *mut c_void);
}

/// Those that the plist has under `name`; none where launchd did not start this process.
pub fn sockets(name: &CStr) -> Vec<OwnedFd> {
    let (mut fds, mut count) = (ptr::null_mut(), 0);
    // SAFETY: the name ends with a zero, and both places can be written to for as long as the call takes.
    let failed = unsafe { launch_activate_socket(name.as_ptr(), &raw mut fds, &raw mut count) } != 0;
    if failed || fds.is_null() {
        return Vec::new();
    }
    // SAFETY: launchd gave `count` descriptors there, which are this process's and nobody else's in it.
    let sockets = (0..count).map(|n| unsafe { OwnedFd::from_raw_fd(fds.add(n).read()) }).collect();
    // SAFETY: the array is the caller's to free, with malloc's counterpart, and is not used any more.
    unsafe { free(fds.cast()) };
    sockets
}
