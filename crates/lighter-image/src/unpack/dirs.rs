//! The directories of a layer being unpacked, opened once and kept for the entries that follow.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, mkdirat, readlinkat, statat, unlinkat};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::resolve::open_below;

/// Descriptors kept; archives list a directory's entries together, so few are enough.
const KEPT: usize = 64;

/// An open directory below the layer's root.
pub(super) struct Dir {
    pub(super) fd: OwnedFd,
    /// Its path with no link in it, relative to the root; empty for the root.
    pub(super) real: Vec<u8>,
}

impl Dir {
    /// The real path of `name` in this directory.
    pub(super) fn join(&self, name: &[u8]) -> Vec<u8> {
        match self.real.is_empty() {
            true => name.to_vec(),
            false => [&self.real, &b"/"[..], name].concat(),
        }
    }
}

pub(super) struct Dirs {
    pub(super) root: OwnedFd,
    root_path: Vec<u8>,
    open: HashMap<Vec<u8>, Rc<Dir>>,
}

impl Dirs {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty()).map_err(Error::io("open", path))?;
        Self::below(root).map_err(Error::io("resolve", path))
    }

    pub(super) fn below(root: OwnedFd) -> Result<Self, Errno> {
        let root_path = real_path(&root)?;
        // The root of a namespace ends in the slash that others have not.
        let root_path = root_path.strip_suffix(b"/").map(<[u8]>::to_vec).unwrap_or(root_path);
        Ok(Self { root, root_path, open: HashMap::new() })
    }

    /// To be called whenever something that may be a directory or a link was removed or replaced.
    pub(super) fn forget(&mut self) {
        self.open.clear();
    }

    /// The directory of that name, links followed within the root.
    pub(super) fn get(&mut self, parts: &[&[u8]]) -> Result<Rc<Dir>, Errno> {
        let name = parts.join(&b'/');
        if let Some(dir) = self.open.get(&name) {
            return Ok(Rc::clone(dir));
        }
        let dir = Rc::new(self.open_dir(&name)?);
        if self.open.len() >= KEPT {
            self.open.clear();
        }
        self.open.insert(name, Rc::clone(&dir));
        Ok(dir)
    }

    /// As [`Dirs::get`], making what is missing with mode 0755.
    pub(super) fn get_or_create(&mut self, parts: &[&[u8]]) -> Result<Rc<Dir>, Errno> {
        match self.get(parts) {
            Err(Errno::NOENT | Errno::NOTDIR) if !parts.is_empty() => {}
            result => return result,
        }
        for end in 1..=parts.len() {
            match self.get(&parts[..end]) {
                Err(Errno::NOENT | Errno::NOTDIR) => {
                    let parent = self.get(&parts[..end - 1])?;
                    self.create(&parent, parts[end - 1])?;
                }
                other => {
                    other?;
                }
            }
        }
        self.get(parts)
    }

    fn create(&mut self, parent: &Dir, name: &[u8]) -> Result<(), Errno> {
        let mode = Mode::from_raw_mode(0o755);
        match mkdirat(&parent.fd, name, mode) {
            Err(Errno::EXIST) if is_whiteout(parent, name) => {
                unlinkat(&parent.fd, name, AtFlags::empty())?;
                mkdirat(&parent.fd, name, mode)?;
                set_opaque(parent, name)?;
            }
            result => result?,
        }
        // The umask is the caller's business, not the layer's.
        set_mode(parent, name, mode)
    }

    fn open_dir(&self, name: &[u8]) -> Result<Dir, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        match open_below(&self.root, name, flags, ResolveFlags::NO_SYMLINKS) {
            Err(Errno::LOOP) => {}
            result => return Ok(Dir { fd: result?, real: name.to_vec() }),
        }
        let fd = open_below(&self.root, name, flags, ResolveFlags::empty())?;
        let real = real_path(&fd)?;
        let below = real.strip_prefix(&self.root_path[..]).ok_or(Errno::XDEV)?;
        let real = below.strip_prefix(b"/").unwrap_or(below).to_vec();
        // Links can build paths far deeper than any one name is.
        crate::resolve::components(&real).map_err(|_| Errno::NAMETOOLONG)?;
        Ok(Dir { fd, real })
    }
}

fn real_path(fd: &OwnedFd) -> Result<Vec<u8>, Errno> {
    let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
    Ok(readlinkat(rustix::fs::CWD, link, Vec::new())?.into_bytes())
}

/// Whether `name` is a character device 0/0.
pub(super) fn is_whiteout(parent: &Dir, name: &[u8]) -> bool {
    statat(&parent.fd, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0)
}

/// Sets the mode of `name` itself; what became a link meanwhile is not followed, and fails.
pub(super) fn set_mode(parent: &Dir, name: &[u8], mode: Mode) -> Result<(), Errno> {
    let fd = rustix::fs::openat(&parent.fd, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    rustix::fs::chmod(format!("/proc/self/fd/{}", fd.as_raw_fd()), mode)
}

/// Hides what lower layers have in the directory `name`.
pub(super) fn set_opaque(parent: &Dir, name: &[u8]) -> Result<(), Errno> {
    set_xattr(parent, name, b"trusted.overlay.opaque", b"y")
}

/// Sets an attribute on `name` itself, whatever it is, without opening it.
pub(super) fn set_xattr(parent: &Dir, name: &[u8], attribute: &[u8], value: &[u8]) -> Result<(), Errno> {
    let mut path = format!("/proc/self/fd/{}/", parent.fd.as_raw_fd()).into_bytes();
    path.extend_from_slice(name);
    rustix::fs::lsetxattr(path, attribute, value, rustix::fs::XattrFlags::empty())
}
