//! A container's file system as overlay will show it, seen from outside: writable layer over image layers.
//!
//! Before a container starts nothing is mounted in the daemon's namespace, yet its users, groups and working directory have
//! to be found. Every step is one `openat2` below one layer that follows no link, so that a hostile image cannot lead
//! outside; links are resolved here, against the merged tree.

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, XattrFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

const OPAQUE: &str = "trusted.overlay.opaque";
const MAX_LINKS: usize = 40;

/// The layers of one container, topmost (the writable one) first.
pub(crate) struct View {
    layers: Vec<OwnedFd>,
}

/// How far a path leads.
pub(crate) struct Resolved {
    /// The part that exists, below the root, without links.
    pub path: PathBuf,
    /// Whether that is a directory.
    pub is_dir: bool,
    /// What is missing; the first of it does not exist in `path`.
    pub missing: Vec<OsString>,
    /// The layers that hold `path`, topmost first.
    layers: Vec<usize>,
}

struct Found {
    layers: Vec<usize>,
    kind: FileType,
}

impl View {
    pub(crate) fn open<'a>(dirs: impl IntoIterator<Item = &'a Path>) -> io::Result<Self> {
        let open = |d: &Path| {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::open(d, flags, Mode::empty()).map_err(io::Error::from)
        };
        Ok(Self { layers: dirs.into_iter().map(open).collect::<io::Result<_>>()? })
    }

    /// Reads a regular file of at most `limit` bytes; `None` if there is none.
    pub(crate) fn read(&self, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let at = self.resolve(path)?;
        let Some(layer) = at.layers.first().filter(|_| at.missing.is_empty() && !at.is_dir) else { return Ok(None) };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        read_regular(beneath(&self.layers[*layer], &at.path, flags)?, limit)
    }

    /// Follows `path` from the root through directories and links.
    pub(crate) fn resolve(&self, path: &Path) -> io::Result<Resolved> {
        let root =
            || Resolved { path: PathBuf::new(), is_dir: true, missing: Vec::new(), layers: (0..self.layers.len()).collect() };
        let mut stack = vec![root()];
        let mut todo: Vec<OsString> = parts(path);
        let mut links = 0;
        while let Some(name) = todo.pop() {
            if name == ".." {
                if stack.len() > 1 {
                    stack.pop();
                }
                continue;
            }
            let Some(here) = stack.last() else { break };
            let target = here.path.join(&name);
            let found = if here.is_dir { self.step(&here.layers, &target)? } else { None };
            match found {
                Some(Found { layers, kind: FileType::Symlink }) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::LOOP.into());
                    }
                    let to = self.read_link(layers[0], &target)?;
                    if to.is_absolute() {
                        stack.truncate(1);
                    }
                    todo.extend(parts(&to));
                }
                Some(Found { layers, kind }) => {
                    stack.push(Resolved { path: target, is_dir: kind == FileType::Directory, missing: Vec::new(), layers });
                }
                None => {
                    let mut at = stack.pop().unwrap_or_else(root);
                    at.missing.push(name);
                    at.missing.extend(todo.into_iter().rev().filter(|n| n != ".."));
                    return Ok(at);
                }
            }
        }
        Ok(stack.pop().unwrap_or_else(root))
    }

    /// Makes `path` a directory in the topmost layer, with its parents, if it is not there: 0755, owned by root. `false`:
    /// something on the way is not a directory.
    pub(crate) fn make_dirs(&self, path: &Path) -> io::Result<bool> {
        let at = self.resolve(path)?;
        if at.missing.is_empty() || !at.is_dir {
            return Ok(at.is_dir);
        }
        let upper = &self.layers[0];
        let mut here = PathBuf::new();
        let mut layers: Vec<usize> = (0..self.layers.len()).collect();
        for part in &at.path {
            here.push(part);
            let Some(found) = self.step(&layers, &here)? else { return Err(Errno::NOENT.into()) };
            layers = found.layers;
            if layers[0] != 0 {
                let seen = rustix::fs::fstat(beneath(&self.layers[layers[0]], &here, OFlags::PATH | OFlags::CLOEXEC)?)?;
                make_dir(upper, &here, Some(&seen))?;
            }
        }
        for part in &at.missing {
            here.push(part);
            make_dir(upper, &here, None)?;
        }
        Ok(true)
    }

    /// What the merged tree has at `path`, whose parent is a directory in `parents`.
    fn step(&self, parents: &[usize], path: &Path) -> io::Result<Option<Found>> {
        let mut found: Option<Found> = None;
        for &layer in parents {
            let fd = match beneath(&self.layers[layer], path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC) {
                Ok(fd) => fd,
                Err(Errno::NOENT | Errno::NOTDIR) => continue,
                Err(e) => return Err(e.into()),
            };
            let stat = rustix::fs::fstat(&fd)?;
            let kind = FileType::from_raw_mode(stat.st_mode);
            if kind == FileType::CharacterDevice && stat.st_rdev == 0 {
                break; // a whiteout
            }
            match (&mut found, kind) {
                (Some(above), FileType::Directory) => above.layers.push(layer),
                (Some(_), _) => break,
                (None, _) => found = Some(Found { layers: vec![layer], kind }),
            }
            if kind != FileType::Directory || is_opaque(&fd) {
                break;
            }
        }
        Ok(found)
    }

    fn read_link(&self, layer: usize, path: &Path) -> io::Result<PathBuf> {
        let fd = beneath(&self.layers[layer], path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC)?;
        let target = rustix::fs::readlinkat(&fd, c"", Vec::new())?;
        Ok(PathBuf::from(OsStr::from_bytes(target.as_bytes())))
    }
}

/// Reads a regular file below the root of a running process, as that process would see it.
pub(crate) fn read_in_root(pid: u32, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    read_below(&rustix::fs::open(format!("/proc/{pid}/root"), flags, Mode::empty())?, path, limit)
}

/// The same, below a directory that is open.
pub(crate) fn read_below(root: &OwnedFd, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(root, path, flags, Mode::empty(), within) {
        Ok(fd) => read_regular(fd, limit),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn read_regular(fd: OwnedFd, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let stat = rustix::fs::fstat(&fd)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(None);
    }
    let mut content = Vec::new();
    std::fs::File::from(fd).take(limit).read_to_end(&mut content)?;
    Ok(Some(content))
}

/// The components in reverse, ready to be popped.
fn parts(path: &Path) -> Vec<OsString> {
    let names = path.components().filter_map(|c| match c {
        Component::Normal(n) => Some(n.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    names.collect::<Vec<_>>().into_iter().rev().collect()
}

fn beneath(layer: &OwnedFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    rustix::fs::openat2(layer, path, flags, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS)
}

fn is_opaque(dir: &OwnedFd) -> bool {
    let mut value = [0u8; 1];
    let path = format!("/proc/self/fd/{}", dir.as_raw_fd());
    matches!(rustix::fs::getxattr(path, OPAQUE, &mut value), Ok(1)) && value[0] == b'y'
}

/// Makes one directory whose parent is there; like `copy` if it stands for a directory of a lower layer.
fn make_dir(upper: &OwnedFd, path: &Path, copy: Option<&Stat>) -> io::Result<()> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Some(name) = path.file_name() else { return Ok(()) };
    let parent = beneath(upper, parent, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC)?;
    let mut over_whiteout = false;
    match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
        Ok(()) => {}
        Err(Errno::EXIST) => {
            rustix::fs::unlinkat(&parent, name, AtFlags::empty())?;
            rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755))?;
            over_whiteout = true;
        }
        Err(e) => return Err(e.into()),
    }
    let dir = rustix::fs::openat(&parent, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
    let (mode, uid, gid) = copy.map_or((0o755, 0, 0), |s| (s.st_mode & 0o7777, s.st_uid, s.st_gid));
    let ids = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
    rustix::fs::fchown(&dir, Some(ids.0), Some(ids.1))?;
    rustix::fs::fchmod(&dir, Mode::from_raw_mode(mode))?;
    if over_whiteout {
        rustix::fs::fsetxattr(&dir, OPAQUE, b"y", XattrFlags::empty())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    struct Layers {
        _tmp: tempfile::TempDir,
        upper: PathBuf,
        lower: PathBuf,
    }

    fn layers() -> Layers {
        let tmp = tempfile::tempdir().unwrap();
        let (upper, lower) = (tmp.path().join("u"), tmp.path().join("l"));
        fs::create_dir_all(&upper).unwrap();
        fs::create_dir_all(lower.join("etc")).unwrap();
        fs::write(lower.join("etc/passwd"), "lower").unwrap();
        Layers { _tmp: tmp, upper, lower }
    }

    fn view(l: &Layers) -> View {
        View::open([l.upper.as_path(), l.lower.as_path()]).unwrap()
    }

    fn read(l: &Layers, path: &str) -> Option<String> {
        view(l).read(Path::new(path), 100).unwrap().map(|b| String::from_utf8(b).unwrap())
    }

    #[test]
    fn the_upper_file_wins_and_links_cross_layers() {
        let l = layers();
        assert_eq!(read(&l, "/etc/passwd").as_deref(), Some("lower"));
        fs::create_dir_all(l.upper.join("etc")).unwrap();
        fs::write(l.upper.join("etc/passwd"), "upper").unwrap();
        assert_eq!(read(&l, "/etc/passwd").as_deref(), Some("upper"));
        fs::write(l.lower.join("etc/other"), "o").unwrap();
        symlink("../../etc/other", l.upper.join("etc/link")).unwrap();
        symlink("/etc/link", l.upper.join("link2")).unwrap();
        assert_eq!(read(&l, "link2").as_deref(), Some("o"));
    }

    #[test]
    fn nothing_leads_outside() {
        let l = layers();
        symlink("/etc/hostname", l.upper.join("abs")).unwrap();
        symlink("../../../../../../../../etc/hostname", l.upper.join("rel")).unwrap();
        symlink("loop", l.upper.join("loop")).unwrap();
        assert_eq!(read(&l, "abs"), None);
        assert_eq!(read(&l, "rel"), None);
        assert!(view(&l).read(Path::new("loop"), 9).is_err());
    }

    #[test]
    fn whiteouts_and_opaque_directories_hide() {
        let l = layers();
        fs::create_dir_all(l.upper.join("etc")).unwrap();
        let dev = rustix::fs::makedev(0, 0);
        rustix::fs::mknodat(rustix::fs::CWD, l.upper.join("etc/passwd"), FileType::CharacterDevice, Mode::empty(), dev).unwrap();
        assert_eq!(read(&l, "etc/passwd"), None);
        fs::remove_file(l.upper.join("etc/passwd")).unwrap();
        assert!(read(&l, "etc/passwd").is_some());
        rustix::fs::setxattr(l.upper.join("etc"), OPAQUE, b"y", XattrFlags::empty()).unwrap();
        assert_eq!(read(&l, "etc/passwd"), None);
    }

    #[test]
    fn directories_are_made_in_the_upper_layer_only() {
        let l = layers();
        fs::create_dir_all(l.lower.join("srv/app")).unwrap();
        fs::set_permissions(l.lower.join("srv"), fs::Permissions::from_mode(0o1711)).unwrap();
        let v = view(&l);
        assert!(v.make_dirs(Path::new("/srv/app")).unwrap());
        assert!(!l.upper.join("srv").exists());
        assert!(v.make_dirs(Path::new("/srv/new/deep")).unwrap());
        assert!(l.upper.join("srv/new/deep").is_dir());
        assert_eq!(fs::metadata(l.upper.join("srv")).unwrap().permissions().mode() & 0o7777, 0o1711);
        assert!(!l.lower.join("srv/new").exists());
        assert!(!v.make_dirs(Path::new("/etc/passwd/x")).unwrap());
        assert!(!v.make_dirs(Path::new("/etc/passwd")).unwrap());
    }
}
