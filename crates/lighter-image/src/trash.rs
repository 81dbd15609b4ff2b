//! Deleting without waiting: a tree is renamed into a trash directory on the same file system and removed by a thread.
//!
//! Containers can leave trees of any depth behind, so removal holds a bounded number of descriptors: what lies deeper
//! is first moved up. What a crash leaves in the trash is removed at the next start.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::Errno;

use crate::error::{Error, Result};

const MAX_DEPTH: usize = 64;

/// A trash directory and its thread, which lives until this is dropped.
#[derive(Debug)]
pub(crate) struct Trash {
    dir: PathBuf,
    next: AtomicU64,
    wake: Option<Sender<PathBuf>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Trash {
    /// Makes `dir` if needed and starts on what is in it.
    pub(crate) fn open(dir: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&dir).map_err(Error::io("create", &dir))?;
        let (wake, work) = channel::<PathBuf>();
        let mut next = 0;
        for entry in std::fs::read_dir(&dir).map_err(Error::io("read", &dir))?.flatten() {
            let number = entry.file_name().to_str().and_then(|name| name.split('-').next()?.parse::<u64>().ok());
            next = next.max(number.map_or(0, |number| number + 1));
            let _ = wake.send(entry.path());
        }
        let root = dir.clone();
        let thread = std::thread::Builder::new()
            .name("image-trash".to_owned())
            .spawn(move || {
                while let Ok(path) = work.recv() {
                    if let Err(error) = remove_tree(&path, &root) {
                        tracing::warn!(path = %path.display(), %error, "could not delete");
                    }
                }
            })
            .map_err(Error::io("start a thread for", &dir))?;
        Ok(Self { dir, next: AtomicU64::new(next), wake: Some(wake), thread: Some(thread) })
    }

    /// Moves `path` here and has it removed. What is not there is no error.
    pub(crate) fn take(&self, path: &Path) -> Result<()> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let target = self.dir.join(format!("{number}-x"));
        match std::fs::rename(path, &target) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            result => result.map_err(Error::io("move away", path))?,
        }
        if let Some(wake) = &self.wake {
            // The thread ends only after this sender.
            let _ = wake.send(target);
        }
        Ok(())
    }
}

impl Drop for Trash {
    /// Waits for what was taken: a store that is closed has nothing under way.
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Removes `path`, whatever it is and however deep. `spare` is a directory on the same file system, for moving deep
/// parts up to.
pub(crate) fn remove_tree(path: &Path, spare: &Path) -> Result<(), Errno> {
    match rustix::fs::unlink(path) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(errno),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let spare = rustix::fs::open(spare, flags, Mode::empty())?;
    let mut moved = Vec::new();
    empty_dir(&rustix::fs::open(path, flags, Mode::empty())?, &spare, 0, &mut moved)?;
    rustix::fs::rmdir(path)?;
    while let Some(name) = moved.pop() {
        empty_dir(&openat(&spare, &name, flags, Mode::empty())?, &spare, 0, &mut moved)?;
        unlinkat(&spare, &name, AtFlags::REMOVEDIR)?;
    }
    Ok(())
}

fn empty_dir(dir: &OwnedFd, spare: &OwnedFd, depth: usize, moved: &mut Vec<String>) -> Result<(), Errno> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        if entry.file_type() != FileType::Directory {
            match unlinkat(dir, name, AtFlags::empty()) {
                Err(Errno::ISDIR) => {}
                result => {
                    result?;
                    continue;
                }
            }
        }
        if depth >= MAX_DEPTH {
            let up = format!("deep-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            renameat(dir, name, spare, &up)?;
            moved.push(up);
            continue;
        }
        empty_dir(&openat(dir, name, flags, Mode::empty())?, spare, depth + 1, moved)?;
        unlinkat(dir, name, AtFlags::REMOVEDIR)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removes_trees_deeper_than_its_descriptors() {
        let root = tempfile::tempdir().unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let top = root.path().join("top");
        std::fs::create_dir(&top).unwrap();
        let mut dir = rustix::fs::open(&top, flags, Mode::empty()).unwrap();
        for _ in 0..3000 {
            rustix::fs::mkdirat(&dir, "d", Mode::RWXU).unwrap();
            openat(&dir, "f", OFlags::CREATE | OFlags::WRONLY, Mode::RWXU).unwrap();
            dir = openat(&dir, "d", flags, Mode::empty()).unwrap();
        }
        let trash = Trash::open(root.path().join("trash")).unwrap();
        trash.take(&top).unwrap();
        trash.take(&root.path().join("not there")).unwrap();
        drop(trash);
        assert_eq!(std::fs::read_dir(root.path().join("trash")).unwrap().count(), 0);
        assert!(!top.exists());
    }

    #[test]
    fn starts_on_what_a_crash_left() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("7-x/a/b")).unwrap();
        std::fs::write(root.path().join("file"), b"x").unwrap();
        let trash = Trash::open(root.path().to_owned()).unwrap();
        drop(trash);
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
