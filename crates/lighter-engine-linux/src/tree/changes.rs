//! `docker diff`: what a container's writable layer changes, found by walking it beside the layers below.
//!
//! Only what the writable layer holds is looked at, so the cost is that of the changes. As in dockerd a directory counts as
//! changed when its owner or mode did, or something in it, not when only its time did.

use lighter_engine::{Change, ChangeKind};
use rustix::fs::{Dir, FileType, Mode, OFlags, Stat, fstat, openat};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Deeper trees are not real.
const MAX_DEPTH: usize = 256;
/// What a start makes to mount on; empty, it is not the container's.
const MADE_BY_STARTS: [&str; 13] = [
    "/.dockerenv",
    "/dev",
    "/dev/console",
    "/dev/mqueue",
    "/dev/pts",
    "/dev/shm",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/mtab",
    "/etc/resolv.conf",
    "/proc",
    "/sbin/docker-init",
    "/sys",
];

/// Whether this is nothing but a place that a start made.
pub(super) fn is_made_by_starts(path: &Path, stat: &Stat) -> bool {
    let known = MADE_BY_STARTS.iter().any(|made| Path::new(made) == path);
    known && (FileType::from_raw_mode(stat.st_mode) == FileType::Directory || stat.st_size == 0)
}

/// The changes of `upper` over `lower` (topmost first), by path.
pub(super) fn of_layers(upper: &Path, lower: &[PathBuf]) -> io::Result<Vec<Change>> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = |dir: &Path| rustix::fs::open(dir, flags, Mode::empty());
    let layers = lower.iter().map(|l| open(l)).collect::<Result<Vec<_>, _>>()?;
    let mut walk = Walk { changes: Vec::new() };
    walk.directory(&open(upper)?, &layers, Path::new("/"), 0)?;
    walk.changes.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(walk.changes)
}

struct Walk {
    changes: Vec<Change>,
}

/// Something in one layer.
struct Found {
    fd: OwnedFd,
    stat: Stat,
}

impl Found {
    fn is_dir(&self) -> bool {
        FileType::from_raw_mode(self.stat.st_mode) == FileType::Directory
    }

    fn is_whiteout(&self) -> bool {
        FileType::from_raw_mode(self.stat.st_mode) == FileType::CharacterDevice && self.stat.st_rdev == 0
    }

    fn is_opaque(&self) -> bool {
        let mut value = [0_u8; 1];
        let path = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        matches!(rustix::fs::getxattr(path, c"trusted.overlay.opaque", &mut value), Ok(1)) && value[0] == b'y'
    }

    /// Whether `docker diff` tells the two apart.
    fn differs(&self, other: &Self) -> bool {
        let of = |s: &Stat| (s.st_mode, s.st_uid, s.st_gid, s.st_rdev);
        let content = |s: &Stat| (s.st_mtime, s.st_mtime_nsec, s.st_size);
        of(&self.stat) != of(&other.stat) || !self.is_dir() && content(&self.stat) != content(&other.stat)
    }
}

impl Walk {
    fn tell(&mut self, path: &Path, kind: ChangeKind) {
        self.changes.push(Change { path: path.to_string_lossy().into_owned(), kind });
    }

    /// Whether anything below changed. `lower`: the same directory in the layers that have it, as far as they are seen.
    fn directory(&mut self, upper: &OwnedFd, lower: &[OwnedFd], path: &Path, depth: usize) -> io::Result<bool> {
        if depth > MAX_DEPTH {
            return Err(Errno::NAMETOOLONG.into());
        }
        let before = self.changes.len();
        for name in names(upper)? {
            let Some(mine) = look(upper, &name)? else { continue };
            let here = path.join(Path::new(std::ffi::OsStr::new(&*name.to_string_lossy())));
            let below = stack(lower, &name)?;
            if mine.is_whiteout() {
                if !below.is_empty() {
                    self.tell(&here, ChangeKind::Deleted);
                }
            } else if let Some(old) = below.first() {
                self.replaced(&mine, old, &below, &here, depth)?;
            } else if !is_made_by_starts(&here, &mine.stat) {
                self.tell(&here, ChangeKind::Added);
                if mine.is_dir() {
                    self.directory(&mine.fd, &[], &here, depth + 1)?;
                }
            }
        }
        Ok(self.changes.len() > before)
    }

    fn replaced(&mut self, mine: &Found, old: &Found, below: &[Found], here: &Path, depth: usize) -> io::Result<()> {
        let mut changed = mine.differs(old);
        if mine.is_dir() {
            let opaque = mine.is_opaque() || !old.is_dir();
            let lower: Vec<OwnedFd> = below.iter().filter(|f| f.is_dir()).filter_map(|f| f.fd.try_clone().ok()).collect();
            if opaque {
                changed |= self.directory(&mine.fd, &[], here, depth + 1)?;
                changed |= self.hidden(&mine.fd, &lower, here)?;
            } else {
                changed |= self.directory(&mine.fd, &lower, here, depth + 1)?;
            }
        }
        if changed {
            self.tell(here, ChangeKind::Modified);
        }
        Ok(())
    }

    /// What a directory that was made anew hides of the layers below.
    fn hidden(&mut self, mine: &OwnedFd, lower: &[OwnedFd], here: &Path) -> io::Result<bool> {
        let mut all = BTreeSet::new();
        for layer in lower {
            all.extend(names(layer)?);
        }
        let kept: BTreeSet<_> = names(mine)?.into_iter().collect();
        let mut any = false;
        for name in all.difference(&kept) {
            if !stack(lower, name)?.is_empty() {
                self.tell(&here.join(&*name.to_string_lossy()), ChangeKind::Deleted);
                any = true;
            }
        }
        Ok(any)
    }
}

fn names(dir: &OwnedFd) -> io::Result<Vec<CString>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut names = Vec::new();
    for entry in Dir::read_from(openat(dir, c".", flags, Mode::empty())?)? {
        let name = entry?.file_name().to_owned();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name);
        }
    }
    Ok(names)
}

fn look(dir: &OwnedFd, name: &CString) -> io::Result<Option<Found>> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(dir, name, flags, Mode::empty()) {
        Ok(fd) => Ok(Some(Found { stat: fstat(&fd)?, fd })),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// What the layers show at `name`: one thing that is no directory, or the directories that are merged. Empty: nothing.
fn stack(layers: &[OwnedFd], name: &CString) -> io::Result<Vec<Found>> {
    let mut all: Vec<Found> = Vec::new();
    for layer in layers {
        let Some(found) = look(layer, name)? else { continue };
        if found.is_whiteout() || (!all.is_empty() && !found.is_dir()) {
            break;
        }
        let ends = !found.is_dir() || found.is_opaque();
        all.push(found);
        if ends {
            break;
        }
    }
    Ok(all)
}
