//! The writable layer of each container: an overlay upper and work directory.
//!
//! Below the root given to [`Snapshots::open`]: `<container id>/upper`, `<container id>/work`, and `.trash`. There is no
//! record of them but the directories; the engine compares [`Snapshots::list`] with its containers at start.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, mkdir, openat, statat};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::store::LayerStack;
use crate::trash::Trash;

const TRASH: &str = ".trash";
/// Deeper parts of a container's own tree are not counted; a descriptor is held for each level.
const MAX_DEPTH: usize = 200;

/// All writable layers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Snapshots {
    root: Arc<Path>,
    trash: Arc<Trash>,
}

/// What an overlay mount takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotPaths {
    /// `upperdir`.
    pub upper: PathBuf,
    /// `workdir`.
    pub work: PathBuf,
    /// `lowerdir`s, topmost first.
    pub lower: Vec<PathBuf>,
}

impl Snapshots {
    /// Opens or makes the directory; deletes in the background what an earlier run left in the trash.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(root: &Path) -> Result<Self> {
        std::fs::create_dir_all(root).map_err(Error::io("create", root))?;
        rustix::fs::chmod(root, Mode::from_raw_mode(0o710)).map_err(Error::io("set the mode of", root))?;
        Ok(Self { root: root.into(), trash: Arc::new(Trash::open(root.join(TRASH))?) })
    }

    /// Makes the writable layer of a container on top of `stack`: three directories, nothing else.
    ///
    /// # Errors
    /// [`Error::SnapshotExists`]; a file operation that failed, and then nothing is left.
    pub fn prepare(&self, container_id: &str, stack: &LayerStack) -> Result<SnapshotPaths> {
        let dir = self.dir(container_id)?;
        match mkdir(&dir, Mode::from_raw_mode(0o710)) {
            Err(Errno::EXIST) => return Err(Error::SnapshotExists(container_id.to_owned())),
            result => result.map_err(Error::io("create", &dir))?,
        }
        let paths = SnapshotPaths { upper: dir.join("upper"), work: dir.join("work"), lower: stack.dirs.clone() };
        fill(&paths, stack).inspect_err(|_| {
            let _ = self.trash.take(&dir);
        })?;
        Ok(paths)
    }

    /// The paths of a container's writable layer; `lower` is empty, ask the image store. `None` when there is none.
    pub fn paths(&self, container_id: &str) -> Option<SnapshotPaths> {
        let dir = self.dir(container_id).ok()?;
        let paths = SnapshotPaths { upper: dir.join("upper"), work: dir.join("work"), lower: Vec::new() };
        (paths.upper.is_dir() && paths.work.is_dir()).then_some(paths)
    }

    /// Moves a container's writable layer away and deletes it in the background. None is no error. Must not be mounted.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub fn remove(&self, container_id: &str) -> Result<()> {
        self.trash.take(&self.dir(container_id)?)
    }

    /// Bytes that a container has written: files and links, each inode once.
    ///
    /// # Errors
    /// When there is no such snapshot or it cannot be read. What vanishes meanwhile is not counted.
    pub fn size_rw(&self, container_id: &str) -> Result<u64> {
        tree_size(&self.dir(container_id)?.join("upper"))
    }

    /// Ids of the containers that have a writable layer.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn list(&self) -> Result<Vec<String>> {
        let entries = std::fs::read_dir(&self.root).map_err(Error::io("read", &self.root))?;
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut ids: Vec<_> = names.filter(|name| is_id(name)).collect();
        ids.sort();
        Ok(ids)
    }

    fn dir(&self, container_id: &str) -> Result<PathBuf> {
        if !is_id(container_id) {
            return Err(Error::BadSnapshotId(container_id.chars().take(100).collect()));
        }
        Ok(self.root.join(container_id))
    }
}

fn is_id(text: &str) -> bool {
    let first_ok = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    first_ok && text.len() <= 128 && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

fn fill(paths: &SnapshotPaths, stack: &LayerStack) -> Result<()> {
    let mode = Mode::from_raw_mode(stack.root.mode);
    mkdir(&paths.upper, mode).map_err(Error::io("create", &paths.upper))?;
    // mkdir minds the umask and makes no setuid or sticky directories.
    rustix::fs::chmod(&paths.upper, mode).map_err(Error::io("set the mode of", &paths.upper))?;
    if (stack.root.uid, stack.root.gid) != (0, 0) {
        std::os::unix::fs::chown(&paths.upper, Some(stack.root.uid), Some(stack.root.gid))
            .map_err(Error::io("set the owner of", &paths.upper))?;
    }
    mkdir(&paths.work, Mode::from_raw_mode(0o700)).map_err(Error::io("create", &paths.work))
}

/// Bytes of the files and links below a directory, each inode once.
///
/// # Errors
/// When it cannot be read. What vanishes meanwhile is not counted.
pub fn tree_size(dir: &Path) -> Result<u64> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = rustix::fs::open(dir, flags, Mode::empty()).map_err(Error::io("open", dir))?;
    size_below(&root, 0, &mut HashSet::new()).map_err(Error::io("measure", dir))
}

fn size_below(dir: &OwnedFd, depth: usize, seen: &mut HashSet<u64>) -> Result<u64, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut total = 0;
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let stat = match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => continue,
            result => result?,
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            if stat.st_nlink == 1 || seen.insert(stat.st_ino) {
                total += u64::try_from(stat.st_size).unwrap_or_default();
            }
        } else if depth < MAX_DEPTH {
            match openat(dir, name, flags, Mode::empty()) {
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                result => total += size_below(&result?, depth + 1, seen)?,
            }
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests;
