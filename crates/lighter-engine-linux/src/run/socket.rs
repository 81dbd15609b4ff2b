//! A container's socket, by a path that is always short enough: through the descriptor of its directory.

use lighter_supervisor_proto::files;
use nix::libc::{EMFILE, ENFILE};
use rustix::fs::{Mode, OFlags};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixStream;

/// Connections that may wait for a supervisor that is starting.
const BACKLOG: i32 = 512;
/// Pauses between two tries while that many wait already, or no descriptor is free.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const MAX_PAUSE: Duration = Duration::from_millis(50);

fn open_dir(dir: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Binds the socket of a run directory, in place of an old one.
pub(crate) fn bind(dir: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(dir.join(files::SOCKET)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let dir = open_dir(dir)?;
    let listener = UnixListener::bind(format!("/proc/self/fd/{}/{}", dir.as_raw_fd(), files::SOCKET))?;
    rustix::net::listen(&listener, BACKLOG)?;
    Ok(listener)
}

/// Connects to it. A full backlog and a daemon without descriptors are waited for, as long as the caller does: neither says anything
/// of the supervisor. One that is gone is `ConnectionRefused` or `NotFound`.
pub(crate) async fn connect(dir: &Path) -> io::Result<UnixStream> {
    let mut pause = FIRST_PAUSE;
    loop {
        match try_connect(dir).await {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock || lacks_descriptors(&e) => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(MAX_PAUSE);
            }
            other => return other,
        }
    }
}

async fn try_connect(dir: &Path) -> io::Result<UnixStream> {
    let dir = open_dir(dir)?;
    UnixStream::connect(format!("/proc/self/fd/{}/{}", dir.as_raw_fd(), files::SOCKET)).await
}

/// Whether this process, or the machine, has as many files open as it may.
pub(crate) fn lacks_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(EMFILE | ENFILE))
}

/// Whether an error of [`connect`] or of a conversation means that the supervisor is gone.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, NotFound, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionRefused | ConnectionReset | NotFound | UnexpectedEof)
}
