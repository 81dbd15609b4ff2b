//! A layer's tar to a directory that overlayfs can take as a lower one.
//!
//! Whatever the tar says happens below the layer's root: parents are resolved by the kernel with the layer as root
//! directory, and the last part of a name is never followed. Whiteouts become what overlayfs understands: character
//! devices 0/0, and the `trusted.overlay.opaque` attribute. Nobody else sees a layer's directory while this runs (staging
//! is 0700), so there is no one to race with but the archive itself. [`crate::extract`] unpacks by the same code into
//! directories that a container may be changing meanwhile: so every step here is one system call on a descriptor and a
//! name that is not followed, or on a descriptor alone.

mod dirs;
mod entry;

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, ResolveFlags, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;

use self::dirs::Dirs;
use crate::error::{ArchiveError, Error, Result};
use crate::extract::Extract;
use crate::resolve::{components, open_below};
use crate::state::RootAttrs;
use crate::tarball::{EntryHeader, EntryKind, Source, TarReader};

/// What an archive may still use up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    /// Bytes of file contents.
    pub(crate) bytes: u64,
    /// Entries.
    pub(crate) entries: u64,
    limits: (u64, u64),
}

impl Budget {
    pub(crate) fn new(bytes: u64, entries: u64) -> Self {
        Self { bytes, entries, limits: (bytes, entries) }
    }

    pub(crate) fn take_bytes(&mut self, n: u64) -> Result<(), ArchiveError> {
        let too_large = ArchiveError::TooLarge { what: "unpacked bytes", limit: self.limits.0 };
        self.bytes = self.bytes.checked_sub(n).ok_or(too_large)?;
        Ok(())
    }

    pub(crate) fn take_entry(&mut self) -> Result<(), ArchiveError> {
        let too_large = ArchiveError::TooLarge { what: "entries", limit: self.limits.1 };
        self.entries = self.entries.checked_sub(1).ok_or(too_large)?;
        Ok(())
    }
}

/// What came out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unpacked {
    /// Bytes of all files and links, each inode once: what dockerd reports as the layer's size.
    pub(crate) size: u64,
    /// What the tar says of the root directory itself.
    pub(crate) root: Option<RootAttrs>,
}

/// What an archive is taken for.
pub(crate) enum Rules {
    /// A layer: `.wh.` names are whiteouts, and `./` says what the root directory is to be.
    Layer,
    /// Files to be put where others are: names are names.
    Copy(Extract),
}

impl Rules {
    fn owner(&self, header: &EntryHeader) -> (u32, u32) {
        match self {
            Self::Copy(Extract { owner: Some(owner), .. }) => *owner,
            _ => (header.uid, header.gid),
        }
    }

    /// Whether an entry may take the place of what is there.
    fn may_replace(&self, header: &EntryHeader, existing_is_dir: bool) -> Result<()> {
        let Self::Copy(copy) = self else { return Ok(()) };
        let is_dir = header.kind == EntryKind::Directory;
        if !copy.keep_kinds || is_dir == existing_is_dir {
            return Ok(());
        }
        let (name, place) = (lossy(&header.path), copy.place.clone());
        Err(ArchiveError::Overwrite { name, place, existing_is_dir }.into())
    }
}

/// Unpacks all of `tar` into the empty directory `root`. Files that the tar itself replaces go to `side` when the tar
/// is being split. Reads to the archive's end mark; the caller drains the rest.
pub(crate) fn unpack<S: Source>(tar: &mut TarReader<S>, root: &Path, side: &Path, budget: &mut Budget) -> Result<Unpacked> {
    let mut unpacker = Unpacker::new(Dirs::open(root)?, side.to_owned(), Rules::Layer);
    unpacker.all(tar, budget)?;
    Ok(Unpacked { size: unpacker.size, root: unpacker.root })
}

/// Unpacks all of `tar` below the directory `root`, over what is there.
pub(crate) fn unpack_over<S: Source>(tar: &mut TarReader<S>, root: OwnedFd, copy: Extract, budget: &mut Budget) -> Result<()> {
    let dirs = Dirs::below(root).map_err(Error::io("resolve", Path::new(&copy.place)))?;
    Unpacker::new(dirs, PathBuf::new(), Rules::Copy(copy)).all(tar, budget)
}

struct Unpacker {
    rules: Rules,
    dirs: Dirs,
    side: PathBuf,
    /// Of the files made here, by inode: which piece of the split they are.
    ordinals: HashMap<u64, u32>,
    next_ordinal: u32,
    /// Set at the end, for making children changes them.
    dir_times: Vec<(Vec<u8>, (i64, u32))>,
    size: u64,
    root: Option<RootAttrs>,
}

/// One entry on its way: where it goes and what errors call it.
struct Place<'a> {
    header: &'a EntryHeader,
    parent: std::rc::Rc<dirs::Dir>,
    name: &'a [u8],
    owner: (u32, u32),
}

const WHITEOUT: &[u8] = b".wh.";
const WHITEOUT_META: &[u8] = b".wh..wh.";
const WHITEOUT_OPAQUE: &[u8] = b".wh..wh..opq";

impl Unpacker {
    fn new(dirs: Dirs, side: PathBuf, rules: Rules) -> Self {
        let (ordinals, dir_times) = (HashMap::new(), Vec::new());
        Self { rules, dirs, side, ordinals, next_ordinal: 0, dir_times, size: 0, root: None }
    }

    fn all<S: Source>(&mut self, tar: &mut TarReader<S>, budget: &mut Budget) -> Result<()> {
        while let Some(header) = tar.next()? {
            budget.take_entry()?;
            self.entry(tar, &header, budget)?;
        }
        self.set_dir_times();
        Ok(())
    }

    fn entry<S: Source>(&mut self, tar: &mut TarReader<S>, header: &EntryHeader, budget: &mut Budget) -> Result<()> {
        if header.kind == EntryKind::Other {
            return Ok(());
        }
        let parts = components(&header.path)?;
        let is_layer = matches!(self.rules, Rules::Layer);
        let Some((&name, parents)) = parts.split_last() else {
            return if is_layer { self.root_entry(header) } else { Ok(()) };
        };
        if is_layer && parts[0].starts_with(WHITEOUT_META) && parts[0] != WHITEOUT_OPAQUE {
            // Bookkeeping of aufs.
            return Ok(());
        }
        let parent = self.dirs.get_or_create(parents).map_err(|errno| failure(header, "open the parent of", errno))?;
        let place = Place { header, parent, name, owner: self.rules.owner(header) };
        if is_layer && name == WHITEOUT_OPAQUE {
            return place.set_opaque_parent();
        }
        let hidden = name.strip_prefix(WHITEOUT).filter(|_| is_layer && !name.starts_with(WHITEOUT_META));
        if let Some(hidden) = hidden {
            if matches!(hidden, b"" | b"." | b"..") {
                return Err(ArchiveError::BadName(lossy(&header.path)).into());
            }
            return self.whiteout(&Place { name: hidden, ..place });
        }
        match header.kind {
            EntryKind::File => self.file(tar, &place, budget),
            EntryKind::Directory => self.directory(&place),
            EntryKind::HardLink => self.hard_link(&place),
            EntryKind::Symlink => self.symlink(&place),
            EntryKind::CharDevice | EntryKind::BlockDevice | EntryKind::Fifo => self.node(&place),
            EntryKind::Other => Ok(()),
        }
    }

    fn set_dir_times(&self) {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        for (path, mtime) in self.dir_times.iter().rev() {
            // A directory that a later entry replaced is gone, or is not what it was: nothing to do.
            if let Ok(dir) = open_below(&self.dirs.root, path, flags, ResolveFlags::NO_SYMLINKS) {
                let _ = rustix::fs::futimens(&dir, &times(*mtime));
            }
        }
    }
}

fn times((seconds, nanos): (i64, u32)) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: i64::from(nanos) },
    }
}

fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(&name[..name.len().min(256)]).into_owned()
}

/// The disk's or the machine's fault is the store's error; the rest is the archive's.
fn failure(header: &EntryHeader, op: &'static str, errno: Errno) -> Error {
    let name = lossy(&header.path);
    match errno {
        Errno::NOSPC | Errno::DQUOT | Errno::IO | Errno::ROFS | Errno::MFILE | Errno::NFILE | Errno::NOMEM => {
            Error::Io { op, path: PathBuf::from(name), source: errno.into() }
        }
        _ => ArchiveError::Entry { name, reason: format!("{op}: {errno}") }.into(),
    }
}

#[cfg(test)]
mod tests;
