//! Making each kind of entry.

use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::fs::{
    AtFlags, Dir as DirStream, FileType, Gid, Mode, OFlags, Uid, chownat, fchmod, fchown, fstat, ftruncate, futimens, linkat,
    makedev, mkdirat, mknodat, openat, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::dirs::{Dir, is_whiteout, set_mode, set_opaque, set_xattr};
use super::{Budget, Place, Unpacker, failure, lossy, times};
use crate::error::{ArchiveError, Error, Result};
use crate::resolve::{MAX_DEPTH, components};
use crate::state::RootAttrs;
use crate::tarball::{EntryHeader, EntryKind, Source, TarReader};

impl Place<'_> {
    fn failed(&self, op: &'static str) -> impl FnOnce(Errno) -> Error + '_ {
        move |errno| failure(self.header, op, errno)
    }

    fn ids(&self) -> (Option<Uid>, Option<Gid>) {
        (Some(Uid::from_raw(self.owner.0)), Some(Gid::from_raw(self.owner.1)))
    }

    pub(super) fn set_opaque_parent(&self) -> Result<()> {
        set_opaque(&self.parent, b".").map_err(self.failed("mark opaque the parent of"))
    }

    /// Owner, mode, attributes and time of anything but a regular file.
    fn set_metadata(&self, with_time: bool) -> Result<()> {
        let (fd, header) = (&self.parent.fd, self.header);
        let nofollow = AtFlags::SYMLINK_NOFOLLOW;
        let (uid, gid) = self.ids();
        chownat(fd, self.name, uid, gid, nofollow).map_err(self.failed("set the owner of"))?;
        if header.kind != EntryKind::Symlink {
            set_mode(&self.parent, self.name, Mode::from_raw_mode(header.mode)).map_err(self.failed("set the mode of"))?;
        }
        self.set_xattrs()?;
        if with_time {
            utimensat(fd, self.name, &times(header.mtime), nofollow).map_err(self.failed("set the time of"))?;
        }
        Ok(())
    }

    /// Attributes that only overlayfs may set are dropped: with them a layer could point anywhere in the others.
    fn set_xattrs(&self) -> Result<()> {
        for (name, value) in &self.header.xattrs {
            if name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.") {
                continue;
            }
            match set_xattr(&self.parent, self.name, name, value) {
                Ok(()) | Err(Errno::NOTSUP | Errno::PERM) => {}
                Err(errno) => return Err(failure(self.header, "set an attribute of", errno)),
            }
        }
        Ok(())
    }
}

impl Unpacker {
    /// `./`: what the image wants its root directory to be.
    pub(super) fn root_entry(&mut self, header: &EntryHeader) -> Result<()> {
        if header.kind == EntryKind::Directory {
            self.root = Some(RootAttrs { mode: header.mode, uid: header.uid, gid: header.gid });
            let parent = self.dirs.get(&[]).map_err(|errno| failure(header, "open", errno))?;
            Place { header, parent, name: b".", owner: (header.uid, header.gid) }.set_metadata(false)?;
            self.dir_times.push((Vec::new(), header.mtime));
        }
        Ok(())
    }

    /// A whiteout hides lower layers only; what this layer itself has at the place stays, be it before or after.
    pub(super) fn whiteout(&mut self, place: &Place<'_>) -> Result<()> {
        let result = mknodat(&place.parent.fd, place.name, FileType::CharacterDevice, Mode::empty(), 0);
        match result {
            Err(Errno::EXIST) => {
                let stat = statat(&place.parent.fd, place.name, AtFlags::SYMLINK_NOFOLLOW);
                match stat.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
                    Ok(FileType::Directory) => set_opaque(&place.parent, place.name).map_err(place.failed("mark opaque")),
                    _ => Ok(()),
                }
            }
            result => result.map_err(place.failed("make a whiteout for")),
        }
    }

    pub(super) fn directory(&mut self, place: &Place<'_>) -> Result<()> {
        let mode = Mode::from_raw_mode(0o700);
        let make = || mkdirat(&place.parent.fd, place.name, mode);
        match make() {
            Err(Errno::EXIST) => {
                let stat = statat(&place.parent.fd, place.name, AtFlags::SYMLINK_NOFOLLOW).map_err(place.failed("look at"))?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                    self.rules.may_replace(place.header, false)?;
                    let hides = is_whiteout(&place.parent, place.name);
                    self.remove(place)?;
                    make().map_err(place.failed("make the directory"))?;
                    if hides {
                        set_opaque(&place.parent, place.name).map_err(place.failed("mark opaque"))?;
                    }
                }
            }
            result => result.map_err(place.failed("make the directory"))?,
        }
        place.set_metadata(false)?;
        self.dir_times.push((place.parent.join(place.name), place.header.mtime));
        Ok(())
    }

    pub(super) fn symlink(&mut self, place: &Place<'_>) -> Result<()> {
        let header = place.header;
        self.replacing(place, "make the link", || symlinkat(&header.link[..], &place.parent.fd, place.name))?;
        self.size += header.link.len() as u64;
        place.set_metadata(true)
    }

    /// Device nodes are legal in images; what may be done with them is the container's device policy.
    pub(super) fn node(&mut self, place: &Place<'_>) -> Result<()> {
        let kind = match place.header.kind {
            EntryKind::CharDevice => FileType::CharacterDevice,
            EntryKind::BlockDevice => FileType::BlockDevice,
            _ => FileType::Fifo,
        };
        let device = makedev(place.header.device.0, place.header.device.1);
        let mode = Mode::from_raw_mode(place.header.mode);
        self.replacing(place, "make the node", || mknodat(&place.parent.fd, place.name, kind, mode, device))?;
        place.set_metadata(true)
    }

    pub(super) fn hard_link(&mut self, place: &Place<'_>) -> Result<()> {
        let bad = || ArchiveError::BadLink { name: lossy(&place.header.path), target: lossy(&place.header.link) };
        let parts = components(&place.header.link)?;
        let (&name, parents) = parts.split_last().ok_or_else(bad)?;
        let target = match self.dirs.get(parents) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Err(bad().into()),
            result => result.map_err(place.failed("open the target of"))?,
        };
        if target.join(name) == place.parent.join(place.name) {
            return Ok(());
        }
        let stat = match statat(&target.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Err(bad().into()),
            result => result.map_err(place.failed("look at the target of"))?,
        };
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            return Err(bad().into());
        }
        self.replacing(place, "link", || linkat(&target.fd, name, &place.parent.fd, place.name, AtFlags::empty()))
    }

    pub(super) fn file<S: Source>(&mut self, tar: &mut TarReader<S>, place: &Place<'_>, budget: &mut Budget) -> Result<()> {
        let header = place.header;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o600);
        let file = File::from(self.replacing(place, "create", || openat(&place.parent.fd, place.name, flags, mode))?);
        budget.take_bytes(header.stored)?;
        let ordinal = self.next_ordinal;
        if tar.split.is_some() && header.stored > 0 {
            let stat = fstat(&file).map_err(place.failed("look at"))?;
            self.ordinals.insert(stat.st_ino, ordinal);
            self.next_ordinal += 1;
        }
        let whole = [(0, header.stored)];
        let extents = header.sparse.as_deref().unwrap_or(&whole);
        for &(offset, length) in extents.iter().filter(|(_, length)| *length > 0) {
            write_extent(tar, &file, place, offset, length)?;
            if let Some(split) = &mut tar.split {
                split.file(ordinal, &place.parent.join(place.name), offset, length)?;
            }
        }
        if header.sparse.is_some() {
            ftruncate(&file, header.size).map_err(place.failed("set the length of"))?;
        }
        self.size += header.size;
        let (uid, gid) = place.ids();
        // Owner first: changing it clears setuid and capabilities.
        fchown(&file, uid, gid).map_err(place.failed("set the owner of"))?;
        fchmod(&file, Mode::from_raw_mode(header.mode)).map_err(place.failed("set the mode of"))?;
        place.set_xattrs()?;
        futimens(&file, &times(header.mtime)).map_err(place.failed("set the time of"))
    }

    /// Makes something new; what is there already goes first, as later entries win.
    fn replacing<T>(&mut self, place: &Place<'_>, op: &'static str, make: impl Fn() -> Result<T, Errno>) -> Result<T> {
        match make() {
            Err(Errno::EXIST) => {
                let stat = statat(&place.parent.fd, place.name, AtFlags::SYMLINK_NOFOLLOW).map_err(place.failed("look at"))?;
                let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
                self.rules.may_replace(place.header, is_dir)?;
                self.remove(place)?;
                make().map_err(place.failed(op))
            }
            result => result.map_err(place.failed(op)),
        }
    }

    fn remove(&mut self, place: &Place<'_>) -> Result<()> {
        self.remove_at(&place.parent, place.name, 0).map_err(place.failed("replace"))?;
        self.dirs.forget();
        Ok(())
    }

    fn remove_at(&mut self, parent: &Dir, name: &[u8], depth: usize) -> Result<(), Errno> {
        if depth > MAX_DEPTH {
            return Err(Errno::NAMETOOLONG);
        }
        let stat = statat(&parent.fd, name, AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let fd = openat(&parent.fd, name, flags, Mode::empty())?;
                // What is mounted there is not this tree's to delete.
                if fstat(&fd)?.st_dev != fstat(&parent.fd)?.st_dev {
                    return Err(Errno::BUSY);
                }
                let dir = Dir { fd, real: parent.join(name) };
                for child in DirStream::read_from(&dir.fd)? {
                    let child = child?;
                    let child = child.file_name().to_bytes();
                    if !matches!(child, b"." | b"..") {
                        self.remove_at(&dir, child, depth + 1)?;
                    }
                }
                return unlinkat(&parent.fd, name, AtFlags::REMOVEDIR);
            }
            FileType::RegularFile => self.keep_for_split(parent, name, stat.st_ino)?,
            _ => {}
        }
        if stat.st_nlink == 1 {
            self.size = self.size.saturating_sub(u64::try_from(stat.st_size).unwrap_or_default());
        }
        unlinkat(&parent.fd, name, AtFlags::empty())
    }

    /// The split may point to this file by its name: give it one that stays.
    fn keep_for_split(&self, parent: &Dir, name: &[u8], inode: u64) -> Result<(), Errno> {
        let Some(ordinal) = self.ordinals.get(&inode) else { return Ok(()) };
        match rustix::fs::mkdir(&self.side, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
        match linkat(&parent.fd, name, rustix::fs::CWD, self.side.join(ordinal.to_string()), AtFlags::empty()) {
            // Another name of the same file went before.
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}

fn write_extent<S: Source>(tar: &mut TarReader<S>, file: &File, place: &Place<'_>, mut offset: u64, mut left: u64) -> Result<()> {
    while left > 0 {
        let available = tar.payload()?;
        if available.is_empty() {
            return Err(ArchiveError::Truncated.into());
        }
        let n = usize::try_from(left).map_or(available.len(), |left| left.min(available.len()));
        file.write_all_at(&available[..n], offset)
            .map_err(|error| failure(place.header, "write", Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
        tar.consume(n);
        offset += n as u64;
        left -= n as u64;
    }
    Ok(())
}
