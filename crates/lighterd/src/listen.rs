//! The sockets that the API is served on.
//!
//! A socket is root's power in a file, so: what is at its path is replaced only if it is a socket that nobody listens on;
//! its mode is right from the moment it exists (the kernel makes it under our umask); its group is set without following
//! links. Called by `main` before there is a second thread, for the umask is the whole process's.

use crate::config::{Group, Host};
use crate::record_config::PolicySocket;
use lighter_api::Policy;
use rustix::fs::Mode;
use std::fs::DirBuilder;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, lchown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A listening socket, not blocking.
#[derive(Debug)]
pub struct Listener {
    pub socket: UnixListener,
    /// `None` for a socket that was handed to us.
    pub file: Option<SocketFile>,
    /// What may be asked on it.
    pub policy: Arc<Policy>,
}

/// A socket's file that we made. Dropping it removes it.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode: something else at the path by then is not ours to remove.
    identity: (u64, u64),
}

/// Why there is nothing to listen on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("{} exists and is not a socket: it is left alone", .0.display())]
    NotASocket(PathBuf),
    #[error("{} can be changed by everybody: whoever does could put another socket in the place of ours", .0.display())]
    OpenDirectory(PathBuf),
    #[error("something already listens on {}", .0.display())]
    InUse(PathBuf),
    #[error("cannot listen on {}", path.display())]
    Bind { path: PathBuf, source: io::Error },
    #[error("the group \"{0}\" does not exist")]
    NoGroup(String),
    #[error("no sockets were passed to this process: fd:// needs socket activation by systemd or launchd")]
    NotActivated,
    #[error("a descriptor that was passed to this process is not a listening Unix stream socket")]
    WrongSocket,
}

/// Opens all of them, or none.
pub fn open(hosts: &[Host], group: &Group, mut passed: Vec<OwnedFd>) -> Result<Vec<Listener>, ListenError> {
    let gid = group_id(group)?;
    let mut listeners = Vec::new();
    for host in hosts {
        match host {
            Host::Unix(path) => listeners.push(bind(path, gid)?),
            Host::Activation => {
                let sockets = std::mem::take(&mut passed);
                if sockets.is_empty() {
                    return Err(ListenError::NotActivated);
                }
                for socket in sockets {
                    listeners.push(adopt(socket)?);
                }
            }
        }
    }
    Ok(listeners)
}

/// The sockets with a policy; who may use one is its own group's affair, else that of the main ones.
pub fn open_policies(policies: &[PolicySocket], group: &Group) -> Result<Vec<Listener>, ListenError> {
    let open = |PolicySocket { path, group: own, policy }: &PolicySocket| {
        let gid = group_id(&own.clone().map_or_else(|| group.clone(), Group::Named))?;
        Ok(Listener { policy: Arc::new(policy.clone()), ..bind(path, gid)? })
    };
    policies.iter().map(open).collect()
}

fn group_id(group: &Group) -> Result<Option<u32>, ListenError> {
    let (name, required) = match group {
        Group::Named(name) => (name.as_str(), true),
        Group::Default => ("docker", false),
        Group::Nobody => return Ok(None),
    };
    let found = nix::unistd::Group::from_name(name).ok().flatten().map(|g| g.gid.as_raw());
    match found.or_else(|| name.parse().ok()) {
        None if required => Err(ListenError::NoGroup(name.to_owned())),
        gid => Ok(gid),
    }
}

fn bind(path: &Path, gid: Option<u32>) -> Result<Listener, ListenError> {
    let fail = |source| ListenError::Bind { path: path.to_owned(), source };
    if let Some(dir) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(dir).map_err(fail)?;
    }
    check_place(path)?;
    make_way(path)?;
    let before = rustix::process::umask(Mode::from_bits_retain(if gid.is_some() { 0o117 } else { 0o177 }));
    let bound = UnixListener::bind(path);
    rustix::process::umask(before);
    let socket = bound.map_err(fail)?;
    let meta = std::fs::symlink_metadata(path).map_err(fail)?;
    let file = SocketFile { path: path.to_owned(), identity: (meta.dev(), meta.ino()) };
    if let Some(gid) = gid {
        lchown(path, None, Some(gid)).map_err(fail)?;
    }
    socket.set_nonblocking(true).map_err(fail)?;
    Ok(Listener { socket, file: Some(file), policy: Arc::default() })
}

/// A directory that everybody can write is no place for the socket, unless its files stay their owners' (`/tmp`).
fn check_place(path: &Path) -> Result<(), ListenError> {
    const STICKY: u32 = 0o1000;
    const OTHERS_WRITE: u32 = 0o002;
    for dir in path.ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty()) {
        let meta = std::fs::metadata(dir).map_err(|source| ListenError::Bind { path: path.to_owned(), source })?;
        if meta.mode() & OTHERS_WRITE != 0 && meta.mode() & STICKY == 0 {
            return Err(ListenError::OpenDirectory(dir.to_owned()));
        }
    }
    Ok(())
}

/// Removes the socket that a dead daemon left; refuses anything else.
fn make_way(path: &Path) -> Result<(), ListenError> {
    let fail = |source| ListenError::Bind { path: path.to_owned(), source };
    let meta = match std::fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(fail(e)),
    };
    if !meta.file_type().is_socket() {
        return Err(ListenError::NotASocket(path.to_owned()));
    }
    match UnixStream::connect(path) {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path).map_err(fail),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        // A full backlog (EAGAIN) or another kind of socket (EPROTOTYPE) are signs of life, too.
        Ok(_) | Err(_) => Err(ListenError::InUse(path.to_owned())),
    }
}

fn adopt(fd: OwnedFd) -> Result<Listener, ListenError> {
    use rustix::net::{AddressFamily, SocketType, sockopt};
    let fits = sockopt::socket_domain(&fd).is_ok_and(|d| d == AddressFamily::UNIX)
        && sockopt::socket_type(&fd).is_ok_and(|t| t == SocketType::STREAM)
        && sockopt::socket_acceptconn(&fd).unwrap_or(false);
    if !fits {
        return Err(ListenError::WrongSocket);
    }
    let fail = |e: rustix::io::Errno| ListenError::Bind { path: "fd://".into(), source: e.into() };
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC).map_err(fail)?;
    rustix::io::ioctl_fionbio(&fd, true).map_err(fail)?;
    Ok(Listener { socket: UnixListener::from(fd), file: None, policy: Arc::default() })
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if std::fs::symlink_metadata(&self.path).is_ok_and(|m| (m.dev(), m.ino()) == self.identity) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Mutex, MutexGuard};

    /// The umask is the process's: tests that bind do it one after the other.
    static UMASK: Mutex<()> = Mutex::new(());

    fn alone() -> MutexGuard<'static, ()> {
        UMASK.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn mode(path: &Path) -> u32 {
        std::fs::symlink_metadata(path).unwrap().mode() & 0o777
    }

    fn open_one(path: &Path) -> Result<Listener, ListenError> {
        Ok(open(&[Host::Unix(path.to_owned())], &Group::Nobody, Vec::new())?.remove(0))
    }

    #[test]
    fn a_socket_is_never_open_to_the_world_and_goes_with_its_listener() {
        let _alone = alone();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/docker.sock");
        let listener = open_one(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        assert!(UnixStream::connect(&path).is_ok());
        drop(listener);
        assert!(!path.exists());
        let gid = bind(&path, Some(rustix::process::getgid().as_raw())).unwrap();
        assert_eq!(mode(&path), 0o660);
        drop(gid);
    }

    #[test]
    fn a_directory_that_everybody_can_change_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let _alone = alone();
        let dir = tempfile::tempdir().unwrap();
        let open = |mode| {
            std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            open_one(&dir.path().join("sock"))
        };
        assert!(matches!(open(0o777), Err(ListenError::OpenDirectory(_))));
        std::fs::create_dir(dir.path().join("inner")).unwrap();
        assert!(matches!(open_one(&dir.path().join("inner/sock")), Err(ListenError::OpenDirectory(_))));
        assert!(open(0o1777).is_ok());
        assert!(open(0o755).is_ok());
    }

    #[test]
    fn what_is_not_a_socket_is_left_alone() {
        let _alone = alone();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "precious").unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let dangling = dir.path().join("dangling");
        std::os::unix::fs::symlink(dir.path().join("victim"), &dangling).unwrap();
        for path in [&file, &link, &dangling, &dir.path().to_owned()] {
            assert!(matches!(open_one(path), Err(ListenError::NotASocket(_))), "{}", path.display());
        }
        assert_eq!(std::fs::read_to_string(&link).unwrap(), "precious");
        assert!(!dir.path().join("victim").exists());
    }

    #[test]
    fn a_link_to_a_stale_socket_is_left_alone() {
        let _alone = alone();
        let dir = tempfile::tempdir().unwrap();
        let [target, link] = ["target", "link"].map(|n| dir.path().join(n));
        drop(UnixListener::bind(&target).unwrap());
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(matches!(open_one(&link), Err(ListenError::NotASocket(_))));
        assert!(target.exists());
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let _alone = alone();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("docker.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let live = open_one(&path).unwrap();
        assert!(matches!(open_one(&path), Err(ListenError::InUse(_))));
        assert!(UnixStream::connect(&path).is_ok());
        // Somebody moved it away and put another in its place: that one stays.
        std::fs::rename(&path, dir.path().join("moved")).unwrap();
        let other = UnixListener::bind(&path).unwrap();
        drop(live);
        assert!(path.exists());
        drop(other);
    }

    #[test]
    fn passed_sockets_are_checked() {
        let dir = tempfile::tempdir().unwrap();
        let good = UnixListener::bind(dir.path().join("a")).unwrap();
        assert!(adopt(good.into()).is_ok());
        let (pair, _other) = UnixStream::pair().unwrap();
        assert!(matches!(adopt(pair.into()), Err(ListenError::WrongSocket)));
        assert!(matches!(adopt(tempfile::tempfile().unwrap().into()), Err(ListenError::WrongSocket)));
        assert!(matches!(open(&[Host::Activation], &Group::Nobody, Vec::new()), Err(ListenError::NotActivated)));
    }

    #[test]
    fn a_named_group_must_exist() {
        assert!(matches!(group_id(&Group::Named("no such group".into())), Err(ListenError::NoGroup(_))));
        assert!(matches!(group_id(&Group::Named("root".into())), Ok(Some(0))));
        assert!(matches!(group_id(&Group::Named("4711".into())), Ok(Some(4711))));
        assert!(group_id(&Group::Default).is_ok());
    }
}
