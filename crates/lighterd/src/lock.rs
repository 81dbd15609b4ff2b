//! One daemon per data root, and the process id file.
//!
//! The lock is the kernel's (`flock`): it goes with the process however that ends. The id in the file is for the message only.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Held as long as the daemon lives.
#[derive(Debug)]
pub struct DataRootLock {
    _file: File,
}

/// Why a daemon must not start here.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("another lighterd (process {pid}) already uses the data root {}", root.display())]
    Taken { root: PathBuf, pid: String },
    #[error("cannot lock {}", path.display())]
    Lock { path: PathBuf, source: io::Error },
    #[error("failed to start daemon, ensure lighterd is not running or delete {}: process with PID {pid} is still running", path.display())]
    Running { path: PathBuf, pid: u32 },
    #[error("cannot write the process id file {}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

impl DataRootLock {
    /// Takes `<root>/lighter.lock`, or says who has it.
    pub fn take(root: &Path) -> Result<Self, LockError> {
        let path = root.join("lighter.lock");
        let fail = |source| LockError::Lock { path: path.clone(), source };
        let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
        let mut file = options.open(&path).map_err(fail)?;
        match lock_soon(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let known = file.take(20).read_to_string(&mut pid).is_ok() && !pid.trim().is_empty();
                let pid = if known { pid.trim().to_owned() } else { "unknown".to_owned() };
                return Err(LockError::Taken { root: root.to_owned(), pid });
            }
            Err(TryLockError::Error(e)) => return Err(fail(e)),
        }
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(fail)?;
        Ok(Self { _file: file })
    }
}

/// A daemon that was killed lets go of its files a moment after it can be waited for: it is given two seconds.
fn lock_soon(file: &File) -> Result<(), TryLockError> {
    for _ in 0..20 {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(std::time::Duration::from_millis(100)),
            decided => return decided,
        }
    }
    file.try_lock()
}

/// Removed with the daemon, if it is still ours.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    inode: u64,
}

impl PidFile {
    /// Writes our id to `path`. The file of a process that is gone is replaced, that of a living one refused.
    pub fn write(path: &Path) -> Result<Self, LockError> {
        let fail = |source| LockError::Write { path: path.to_owned(), source };
        if let Some(pid) = read_pid(path).filter(|pid| *pid != std::process::id() && is_alive(*pid)) {
            return Err(LockError::Running { path: path.to_owned(), pid });
        }
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(fail)?;
        }
        // Moved into its place whole: a reader never sees half an id, and a link at the path is replaced, not followed.
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}", std::process::id()));
        let new = path.with_file_name(name);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&new).map_err(fail)?;
        let inode = file.metadata().map_err(fail)?.ino();
        let written = write!(file, "{}", std::process::id()).and_then(|()| std::fs::rename(&new, path));
        if let Err(e) = written {
            let _ = std::fs::remove_file(&new);
            return Err(fail(e));
        }
        Ok(Self { path: path.to_owned(), inode })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if std::fs::symlink_metadata(&self.path).is_ok_and(|m| m.ino() == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn read_pid(path: &Path) -> Option<u32> {
    let mut text = String::new();
    File::open(path).ok()?.take(20).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// A process that was killed, and whose parent has not looked yet, is not.
fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name before the state may hold anything.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_is_refused_with_the_pid() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataRootLock::take(dir.path()).unwrap();
        let error = DataRootLock::take(dir.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("(process {})", std::process::id())), "{error}");
        drop(first);
        DataRootLock::take(dir.path()).unwrap();
    }

    #[test]
    fn a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("precious"), "x").unwrap();
        std::os::unix::fs::symlink("precious", dir.path().join("lighter.lock")).unwrap();
        assert!(matches!(DataRootLock::take(dir.path()), Err(LockError::Lock { .. })));
        std::os::unix::fs::symlink("precious", dir.path().join("pid")).unwrap();
        PidFile::write(&dir.path().join("pid")).unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join("precious")).unwrap(), "x");
    }

    #[test]
    fn pid_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/pid");
        let held = PidFile::write(&path).unwrap();
        assert_eq!(read_pid(&path), Some(std::process::id()));
        drop(held);
        assert!(!path.exists());
        std::fs::write(&path, "1").unwrap();
        assert!(matches!(PidFile::write(&path), Err(LockError::Running { pid: 1, .. })));
        // It has ended, and is not waited for.
        let mut zombie = std::process::Command::new("true").spawn().unwrap();
        std::fs::write(&path, zombie.id().to_string()).unwrap();
        while is_alive(zombie.id()) {
            std::thread::yield_now();
        }
        PidFile::write(&path).unwrap();
        zombie.wait().unwrap();
        // No kernel gives ids as large as this.
        for stale in ["4999999", "", "nonsense"] {
            std::fs::write(&path, stale).unwrap();
            PidFile::write(&path).unwrap();
        }
    }
}
