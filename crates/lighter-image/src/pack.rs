//! A tree of real files into a tar: `docker cp` out of a container, `docker export`, a container's writable layer as an
//! image's.
//!
//! The tree may be changing, by somebody hostile: every step is one name below an open directory that is not followed, and
//! a file is opened for reading only after the very inode is known to be a regular file.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Dir, FileType, Mode, OFlags, Stat, fstat, major, minor, openat, readlinkat};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::resolve::MAX_DEPTH;
use crate::tarball::{Meta, TarWriter};

/// Hard links found in one archive; what comes after is stored as files of their own.
const MAX_LINKS: usize = 1 << 20;
/// Bytes of one extended attribute.
const MAX_XATTR: usize = 64 << 10;
const OPAQUE: &str = "trusted.overlay.opaque";

/// What the tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Files as they are.
    Plain,
    /// An overlay's upper directory; whiteouts are written as image layers have them.
    Overlay,
}

/// Writes `target` (opened with `O_PATH`) and all below it. It is called `name` in the archive, and what is below it
/// `name/...`. Sockets are left out. Mounts are crossed.
///
/// # Errors
/// A failing writer; what the file system refuses. What vanishes or shrinks meanwhile is no error.
pub fn pack(target: &OwnedFd, name: &[u8], form: Form, out: impl Write) -> Result<()> {
    let mut packer = Packer { tar: TarWriter::new(out), form, skip: &|_, _| false, links: HashMap::new() };
    let stat = fstat(target).map_err(failed(name, "look at"))?;
    packer.one(target, stat, name, 0)?;
    packer.tar.finish()
}

/// Tells by name and kind what is left out, with all below it.
pub type Skip<'a> = dyn Fn(&[u8], &Stat) -> bool + 'a;

/// Writes what is in the directory `target`, with names that begin there; not the directory itself.
///
/// # Errors
/// As [`pack`].
pub fn pack_contents(target: &OwnedFd, form: Form, skip: &Skip<'_>, out: impl Write) -> Result<()> {
    let mut packer = Packer { tar: TarWriter::new(out), form, skip, links: HashMap::new() };
    packer.children(target, b"", 0)?;
    packer.tar.finish()
}

struct Packer<'a, W> {
    tar: TarWriter<W>,
    form: Form,
    skip: &'a Skip<'a>,
    /// By device and inode: where the first name of a file is in the archive.
    links: HashMap<(u64, u64), Vec<u8>>,
}

impl<W: Write> Packer<'_, W> {
    fn one(&mut self, fd: &OwnedFd, stat: Stat, name: &[u8], depth: usize) -> Result<()> {
        let kind = FileType::from_raw_mode(stat.st_mode);
        if self.form == Form::Overlay && kind == FileType::CharacterDevice && stat.st_rdev == 0 {
            return self.whiteout(name);
        }
        let mut meta = meta(&stat, name);
        if kind != FileType::Directory && stat.st_nlink > 1 && self.linked(&mut meta, &stat) {
            return self.tar.entry(&meta);
        }
        meta.xattrs = xattrs(fd);
        match kind {
            FileType::RegularFile => {
                let file = reopen(fd, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY).map_err(failed(name, "open"))?;
                (meta.kind, meta.size) = (b'0', u64::try_from(stat.st_size).unwrap_or_default());
                self.tar.entry(&meta)?;
                self.tar.content(File::from(file), meta.size)
            }
            FileType::Directory => {
                meta.kind = b'5';
                if !meta.path.ends_with(b"/") {
                    meta.path.push(b'/');
                }
                self.tar.entry(&meta)?;
                if self.form == Form::Overlay && is_opaque(fd) {
                    self.empty(&[name, b"/.wh..wh..opq"].concat())?;
                }
                self.children(fd, name, depth)
            }
            FileType::Symlink => {
                meta.kind = b'2';
                meta.mode = 0o777;
                meta.link = readlinkat(fd, c"", Vec::new()).map_err(failed(name, "read the link"))?.into_bytes();
                self.tar.entry(&meta)
            }
            FileType::CharacterDevice | FileType::BlockDevice => {
                meta.kind = if kind == FileType::CharacterDevice { b'3' } else { b'4' };
                meta.device = (major(stat.st_rdev), minor(stat.st_rdev));
                self.tar.entry(&meta)
            }
            FileType::Fifo => {
                meta.kind = b'6';
                self.tar.entry(&meta)
            }
            FileType::Socket | FileType::Unknown => Ok(()),
        }
    }

    /// Whether another name of this file is in the archive already; `meta` is a hard link to it then.
    fn linked(&mut self, meta: &mut Meta, stat: &Stat) -> bool {
        let inode = (stat.st_dev, stat.st_ino);
        match self.links.get(&inode) {
            Some(first) => {
                (meta.kind, meta.link) = (b'1', first.clone());
                true
            }
            None => {
                if self.links.len() < MAX_LINKS {
                    self.links.insert(inode, meta.path.clone());
                }
                false
            }
        }
    }

    fn children(&mut self, fd: &OwnedFd, name: &[u8], depth: usize) -> Result<()> {
        if depth >= MAX_DEPTH {
            return Err(failed(name, "descend into")(Errno::NAMETOOLONG));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = openat(fd, c".", flags, Mode::empty()).map_err(failed(name, "open"))?;
        let entries = Dir::read_from(&dir).map_err(failed(name, "read"))?;
        for entry in entries {
            let entry = entry.map_err(failed(name, "read"))?;
            let child = entry.file_name().to_bytes();
            if matches!(child, b"." | b"..") {
                continue;
            }
            let path = match name {
                b"" => child.to_vec(),
                b"/" => [b"/", child].concat(),
                name => [name, b"/", child].concat(),
            };
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let found = openat(&dir, entry.file_name(), flags, Mode::empty()).and_then(|fd| Ok((fstat(&fd)?, fd)));
            match found {
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(failed(&path, "look at")(errno)),
                Ok((stat, _)) if (self.skip)(&path, &stat) => {}
                Ok((stat, fd)) => self.one(&fd, stat, &path, depth + 1)?,
            }
        }
        Ok(())
    }

    fn whiteout(&mut self, name: &[u8]) -> Result<()> {
        let at = name.iter().rposition(|b| *b == b'/').map_or(0, |slash| slash + 1);
        self.empty(&[&name[..at], b".wh.", &name[at..]].concat())
    }

    fn empty(&mut self, name: &[u8]) -> Result<()> {
        self.tar.entry(&Meta { path: name.to_vec(), kind: b'0', ..Meta::default() })
    }
}

fn meta(stat: &Stat, name: &[u8]) -> Meta {
    Meta {
        path: name.to_vec(),
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: stat.st_mtime,
        ..Meta::default()
    }
}

fn reopen(fd: &OwnedFd, flags: OFlags) -> Result<OwnedFd, Errno> {
    rustix::fs::open(own_path(fd.as_fd()), flags | OFlags::CLOEXEC, Mode::empty())
}

/// The way to an inode that is open, whatever its names are by now.
fn own_path(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

fn is_opaque(fd: &OwnedFd) -> bool {
    let mut value = [0_u8; 1];
    matches!(rustix::fs::getxattr(own_path(fd.as_fd()), OPAQUE, &mut value), Ok(1)) && value[0] == b'y'
}

/// The attributes that mean the same elsewhere. A file whose attributes cannot be read is written without.
fn xattrs(fd: &OwnedFd) -> Vec<(Vec<u8>, Vec<u8>)> {
    let path = own_path(fd.as_fd());
    if rustix::fs::listxattr(&path, &mut [0_u8; 0][..]).unwrap_or(0) == 0 {
        return Vec::new();
    }
    let mut names = vec![0_u8; MAX_XATTR];
    let length = rustix::fs::listxattr(&path, &mut names[..]).unwrap_or(0);
    let kept =
        |name: &&[u8]| *name == b"security.capability" || name.starts_with(b"user.") || name.starts_with(b"system.posix_acl_");
    let read = |name: &[u8]| {
        let mut value = vec![0_u8; MAX_XATTR];
        let length = rustix::fs::getxattr(&path, name, &mut value[..]).ok()?;
        value.truncate(length);
        Some((name.to_vec(), value))
    };
    names[..length].split(|b| *b == 0).filter(kept).filter_map(read).collect()
}

fn failed(name: &[u8], op: &'static str) -> impl FnOnce(Errno) -> Error {
    let path = String::from_utf8_lossy(&name[..name.len().min(256)]).into_owned();
    move |errno| Error::io(op, Path::new(&path))(errno)
}
