//! A container's socket, by a path that is always short enough: through the descriptor of its directory.

use lighter_supervisor_proto::files;
use rustix::fs::{Mode, OFlags};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixStream;

/// Connections that may wait for a supervisor that is starting.
const BACKLOG: i32 = 512;
/// How often to try again when that many wait already, a millisecond apart.
const TRIES: u32 = 2000;

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

/// Connects to it. A full backlog is waited for; a supervisor that is gone is `ConnectionRefused` or `NotFound`.
pub(crate) async fn connect(dir: &Path) -> io::Result<UnixStream> {
    let dir = open_dir(dir)?;
    let path = format!("/proc/self/fd/{}/{}", dir.as_raw_fd(), files::SOCKET);
    let mut tries = 0;
    loop {
        match UnixStream::connect(&path).await {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock && tries < TRIES => {
                tries += 1;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            other => return other,
        }
    }
}

/// Whether an error of [`connect`] or of a conversation means that the supervisor is gone.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, NotFound, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionRefused | ConnectionReset | NotFound | UnexpectedEof)
}
