//! What a socket tells that no safe wrapper asks for.
#![cfg_attr(target_os = "linux", expect(unsafe_code, reason = "the request has no safe wrapper"))]

use tokio::net::UnixStream;

/// Whether something that was sent is not read yet.
#[cfg(target_os = "linux")]
pub fn unread(stream: &UnixStream) -> bool {
    use rustix::ioctl::{Getter, Opcode, ioctl};
    /// `SIOCOUTQ` of Linux's `sockios.h`, the same number as `TIOCOUTQ`.
    const OUT_QUEUE: Opcode = 0x5411;
    // SAFETY: the request writes one int, and only reads the socket's state.
    let bytes = unsafe { ioctl(stream, Getter::<OUT_QUEUE, std::ffi::c_int>::new()) };
    bytes.is_ok_and(|bytes| bytes > 0)
}

/// Elsewhere nobody tells.
#[cfg(not(target_os = "linux"))]
pub fn unread(_: &UnixStream) -> bool {
    false
}
