//! Starting supervisors: from a sealed copy of their program, so that nobody can reach the file through `/proc/self/exe`.

use crate::fail::Context as _;
use crate::sys;
use lighter_domain::Result;
use lighter_supervisor_proto::{DAEMON_FD, LISTENER_FD};
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// The supervisor's program in sealed memory, shared by all that run.
pub(crate) struct Program {
    file: OwnedFd,
    null: OwnedFd,
}

impl Program {
    /// Reads the program once. Blocking.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let seal = || -> io::Result<OwnedFd> {
            let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
            // Kernels before 6.3 know no EXEC flag and need none.
            let file = rustix::fs::memfd_create("lighter-supervisor", flags | MemfdFlags::EXEC)
                .or_else(|_| rustix::fs::memfd_create("lighter-supervisor", flags))?;
            let mut target = std::fs::File::from(file);
            io::copy(&mut std::fs::File::open(path)?, &mut target)?;
            rustix::fs::fcntl_add_seals(&target, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
            // A descriptor for reading: one for writing makes execve fail.
            let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&target));
            Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
        };
        let file = seal().at("cannot load the supervisor's program", path)?;
        let null =
            rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).context("cannot open /dev/null")?;
        Ok(Self { file, null })
    }

    /// Starts a supervisor, which waits to be told to go on; its pid. It must be reaped with [`reap`].
    pub(crate) fn start(&self, launch: &Path, listener: BorrowedFd<'_>, daemon: BorrowedFd<'_>) -> Result<u32> {
        use std::os::unix::ffi::OsStrExt as _;
        let path = CString::new(launch.as_os_str().as_bytes()).context("a path with a null byte")?;
        let args = [c"lighter-supervisor".to_owned(), path];
        let null = self.null.as_fd();
        let fds = [(null, 0), (null, 1), (null, 2), (listener, LISTENER_FD), (daemon, DAEMON_FD)];
        sys::spawn(self.file.as_fd(), &args, &[], &fds).context("cannot start the supervisor")
    }
}

/// Waits for the end of a child, so that it does not stay a zombie. Needs no thread.
pub(crate) async fn reap(pid: u32) {
    let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) else { return };
    if let Ok(fd) = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())
        && let Ok(fd) = sys::readable(fd)
    {
        let _ = fd.readable().await;
        let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG);
        return;
    }
    // Without a pidfd (out of descriptors) a thread has to wait.
    let _ = tokio::task::spawn_blocking(move || rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty())).await;
}
