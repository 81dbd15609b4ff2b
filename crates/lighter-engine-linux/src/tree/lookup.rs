//! Finding what a client's path names, in dockerd's manner: `.` and `..` by text, a link at the end as itself unless the path
//! ends in `/` or `/.`.

use super::view::View;
use crate::fail::Context as _;
use crate::spec::mounts::clean;
use lighter_domain::container::MountKind;
use lighter_domain::{Container, Error, Result};
use lighter_engine::PathStat;
use lighter_image::open_below;
use rustix::fs::{FileType, OFlags, ResolveFlags, fstat, readlinkat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use time::OffsetDateTime;

/// Something found.
pub(super) struct Place {
    pub fd: OwnedFd,
    /// The last part of the path asked for: `/`, `.`, or a name.
    pub name: String,
    /// Where it is, without links.
    pub real: PathBuf,
}

/// What is at `path`.
pub(super) fn find(view: &View, path: &str) -> Result<Place> {
    let cleaned = clean(path);
    let is_dot = path == "." || path.ends_with("/.");
    let named = cleaned.file_name().map_or("/", |n| n.to_str().unwrap_or("/")).to_owned();
    let name = if is_dot { ".".to_owned() } else { named };
    let through = is_dot || path.ends_with('/');
    let flags = if through { OFlags::PATH | OFlags::DIRECTORY } else { OFlags::PATH | OFlags::NOFOLLOW };
    let fd = open_below(&view.root, cleaned.as_os_str().as_bytes(), flags, ResolveFlags::empty()).map_err(|e| failed(path, e))?;
    let real = view.path_of(&fd)?;
    Ok(Place { fd, name, real })
}

/// The directory at `path`, links followed.
pub(super) fn directory(view: &View, path: &str) -> Result<Place> {
    let cleaned = clean(path);
    let open = |flags| open_below(&view.root, cleaned.as_os_str().as_bytes(), flags, ResolveFlags::empty());
    let fd = match open(OFlags::PATH | OFlags::DIRECTORY) {
        Err(Errno::NOTDIR) => return Err(Error::invalid("extraction point is not a directory")),
        opened => opened.map_err(|e| failed(path, e))?,
    };
    let real = view.path_of(&fd)?;
    Ok(Place { fd, name: String::new(), real })
}

/// dockerd's words for what the kernel would refuse, too. tmpfs are there only while the container `runs`.
pub(super) fn check_writable(container: &Container, runs: bool, place: &Place) -> Result<()> {
    let host = &container.host_config;
    let points = container.mounts.iter().filter(|m| runs || m.kind != MountKind::Tmpfs).map(|m| (clean(&m.destination), m.rw));
    let tmpfs = host.tmpfs.keys().filter(|_| runs).map(|path| (clean(path), true));
    let inside = points.chain(tmpfs).filter(|(at, _)| place.real.starts_with(at));
    match inside.max_by_key(|(at, _)| at.components().count()) {
        Some((_, false)) => Err(Error::invalid("mounted volume is marked read-only")),
        Some((_, true)) => Ok(()),
        None if host.readonly_rootfs => Err(Error::invalid("container rootfs is marked read-only")),
        None => Ok(()),
    }
}

fn failed(path: &str, errno: Errno) -> Error {
    match errno {
        Errno::NOENT => Error::not_found(format!("no such file or directory: {path}")),
        Errno::NOTDIR => Error::internal(format!("lstat {path}: not a directory")),
        other => Error::internal(format!("lstat {path}: {}", std::io::Error::from(other))),
    }
}

impl Place {
    pub(super) fn stat(&self, view: &View) -> Result<PathStat> {
        let stat = fstat(&self.fd).context("cannot look at a file")?;
        let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
        let nanos = i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec);
        Ok(PathStat {
            name: self.name.clone(),
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            mode: stat.st_mode,
            mtime: OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH),
            link_target: if is_link { self.target(view)?.to_string_lossy().into_owned() } else { String::new() },
        })
    }

    /// Where this link leads to in the end; one that leads nowhere, by its own text.
    fn target(&self, view: &View) -> Result<PathBuf> {
        let real = self.real.as_os_str().as_bytes();
        if let Ok(fd) = open_below(&view.root, real, OFlags::PATH, ResolveFlags::empty()) {
            return view.path_of(&fd);
        }
        let link = readlinkat(&self.fd, c"", Vec::new()).context("cannot read a link")?;
        let parent = self.real.parent().unwrap_or(Path::new("/"));
        Ok(clean(parent.join(OsStr::from_bytes(link.as_bytes()))))
    }
}
