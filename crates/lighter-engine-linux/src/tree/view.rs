//! The root directory of a container's files, as a descriptor: below it `openat2` finds everything, mounts included.
//!
//! The mounts are in a namespace of a thread that does nothing else. It ends with the view, and they with it: nothing to
//! unmount is ever in the daemon's own namespace, whatever dies.

use crate::fail::Context as _;
use crate::paths::Layout;
use crate::run::Held;
use crate::spec::mounts::clean;
use crate::sys::set_mount_read_only;
use crate::volumes::InUse;
use lighter_domain::container::MountKind;
use lighter_domain::{Container, Error, Result};
use lighter_image::open_below;
use lighter_supervisor_proto::Rootfs;
use nix::sched::{CloneFlags, setns, unshare};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, fstat, mkdirat, openat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount, mount_change, move_mount, open_tree, unmount,
};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;
use tokio::sync::OwnedMutexGuard;

const ROOT: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// Mounts on top of each other at one place.
const MAX_STACKED: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// A container's files. Dropping it ends the namespace.
pub(crate) struct View {
    pub root: OwnedFd,
    /// The path of `root` as `/proc/self/fd` tells it.
    prefix: PathBuf,
    _keeper: Keeper,
}

/// The thread whose namespace the mounts are in.
struct Keeper {
    release: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.release = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a thread that held a container's files panicked");
        }
    }
}

/// What a container that does not run is made of.
pub(crate) struct Stopped {
    pub layer: Rootfs,
    /// An empty directory of ours to mount on.
    pub target: PathBuf,
    pub mounts: Vec<Bind>,
    /// To be written to: nobody may start it meanwhile.
    pub held: Option<OwnedMutexGuard<Held>>,
    /// Keeps its volumes mounted.
    pub volumes: Option<InUse>,
}

/// Something of the host's in the container.
pub(crate) struct Bind {
    source: PathBuf,
    /// Of a volume: the part of it.
    subpath: PathBuf,
    destination: PathBuf,
    rw: bool,
    recursive: bool,
}

/// Where the kernel's own file systems are, which are not the container's files. What the user put there is.
pub(crate) fn kernels_own(container: &Container) -> Vec<&'static str> {
    let asked = |path: &str| {
        let host = &container.host_config;
        let mut all = container.mounts.iter().map(|m| &m.destination).chain(host.tmpfs.keys());
        all.any(|destination| clean(destination) == Path::new(path))
    };
    ["/proc", "/sys", "/dev"].into_iter().filter(|path| !asked(path)).collect()
}

/// What a container that does not run would have mounted, outermost first. tmpfs are empty then, and left out.
pub(crate) fn mounts_of(container: &Container, layout: &Layout) -> Vec<Bind> {
    let points = container.mounts.iter().filter(|m| m.kind != MountKind::Tmpfs && !m.source.is_empty());
    let mut all: Vec<Bind> = points
        .map(|m| Bind {
            source: PathBuf::from(&m.source),
            subpath: PathBuf::from(&m.subpath),
            destination: clean(&m.destination),
            rw: m.rw,
            recursive: m.recursive,
        })
        .collect();
    let id = &container.id;
    for (source, name) in
        [(layout.resolv_conf(id), "/etc/resolv.conf"), (layout.hostname(id), "/etc/hostname"), (layout.hosts(id), "/etc/hosts")]
    {
        if !all.iter().any(|m| m.destination == Path::new(name)) {
            all.push(Bind { source, destination: name.into(), rw: true, recursive: false, subpath: PathBuf::new() });
        }
    }
    all.sort_by_key(|m| m.destination.components().count());
    all
}

impl View {
    /// The files of the container whose process this is, in a copy of its mount namespace without what is `hidden`.
    pub(crate) fn of_running(process: OwnedFd, hidden: Vec<&'static str>) -> Result<Self> {
        let make = move || -> io::Result<OwnedFd> {
            enter(&process)?;
            for path in hidden {
                take_away(path)?;
            }
            Ok(rustix::fs::open("/", ROOT, Mode::empty())?)
        };
        Self::keep(make, || ()).context("cannot look into the container's mounts")
    }

    /// The same without any mount but the root itself.
    pub(crate) fn of_running_bare(process: OwnedFd) -> Result<Self> {
        let make = move || -> io::Result<OwnedFd> {
            enter(&process)?;
            Ok(open_tree(CWD, "/", OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)?)
        };
        Self::keep(make, || ()).context("cannot look into the container's root")
    }

    /// The files of a container that does not run. Without its lock what is written goes to memory and is forgotten.
    pub(crate) fn of_stopped(mut stopped: Stopped) -> Result<Self> {
        let (target, held, volumes) = (stopped.target.clone(), stopped.held.take(), stopped.volumes.take());
        let writable = held.is_some();
        let make = move || -> io::Result<OwnedFd> {
            unshare(CloneFlags::CLONE_NEWNS)?;
            mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
            let root = stopped.mount_layers(writable)?;
            for bind in &stopped.mounts {
                bind.mount_in(&root).map_err(|e| {
                    io::Error::new(e.kind(), format!("{} at {}: {e}", bind.source.display(), bind.destination.display()))
                })?;
            }
            Ok(root)
        };
        let clean = move || {
            // Here, and not whenever the kernel ends the namespace: the next overlay of these layers may come at once.
            if unmount(&target, UnmountFlags::empty()).is_err() {
                let _ = unmount(&target, UnmountFlags::DETACH);
            }
            drop((held, volumes));
        };
        Self::keep(make, clean).context("cannot mount the container's files")
    }

    fn keep(
        make: impl FnOnce() -> io::Result<OwnedFd> + Send + 'static,
        clean: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let (tell, told) = mpsc::sync_channel(1);
        let (release, released) = mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("container-view".into()).spawn(move || {
            let made = make();
            let failed = made.is_err();
            if tell.send(made).is_ok() && !failed {
                // Nothing is ever sent: this is the end of the sender.
                let _ = released.recv();
            }
            clean();
        })?;
        let keeper = Keeper { release: Some(release), thread: Some(thread) };
        let root = told.recv().map_err(|_| io::Error::other("the thread ended early"))??;
        Ok(Self { prefix: own_path(&root)?, root, _keeper: keeper })
    }

    /// The path of something open below the root, as the container sees it.
    pub(crate) fn path_of(&self, fd: &OwnedFd) -> Result<PathBuf> {
        let path = own_path(fd).context("cannot tell a path")?;
        match path.strip_prefix(&self.prefix) {
            Ok(rest) => Ok(Path::new("/").join(rest)),
            Err(_) => Err(Error::internal("the path was moved out of the container's root")),
        }
    }
}

/// Takes this thread into a copy of the process's mount namespace.
fn enter(process: &OwnedFd) -> io::Result<()> {
    unshare(CloneFlags::CLONE_FS)?;
    setns(process, CloneFlags::CLONE_NEWNS)?;
    unshare(CloneFlags::CLONE_NEWNS)?;
    Ok(mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?)
}

fn own_path(fd: &OwnedFd) -> io::Result<PathBuf> {
    let link = rustix::fs::readlinkat(CWD, format!("/proc/self/fd/{}", fd.as_raw_fd()), Vec::new())?;
    Ok(PathBuf::from(std::ffi::OsStr::from_bytes(link.as_bytes())))
}

/// Unmounts what is at `path` in this thread's namespace, with all below it. Nothing there is fine.
fn take_away(path: &str) -> io::Result<()> {
    for _ in 0..MAX_STACKED {
        match unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) => {}
            Err(Errno::INVAL | Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            Err(e) => return Err(e.into()),
        }
    }
    Err(Errno::BUSY.into())
}

impl Stopped {
    /// The overlay, at the target or below it; its root.
    fn mount_layers(&self, writable: bool) -> io::Result<OwnedFd> {
        let Rootfs { lower, upper, work } = &self.layer;
        if writable {
            mount_overlay(lower, upper, work, &self.target)?;
            return Ok(rustix::fs::open(&self.target, ROOT, Mode::empty())?);
        }
        mount("tmpfs", &self.target, "tmpfs", MountFlags::NODEV | MountFlags::NOSUID, Some(c"mode=0700,size=16m"))?;
        let [scratch, work, root] = ["upper", "work", "root"].map(|name| self.target.join(name));
        for dir in [&scratch, &work, &root] {
            rustix::fs::mkdir(dir, Mode::from_raw_mode(0o755))?;
        }
        // The scratch layer's root hides that of the container: it must look like it.
        let stat = rustix::fs::stat(upper)?;
        rustix::fs::chmod(&scratch, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
        std::os::unix::fs::chown(&scratch, Some(stat.st_uid), Some(stat.st_gid))?;
        let layers: Vec<PathBuf> = std::iter::once(upper).chain(lower).cloned().collect();
        mount_overlay(&layers, &scratch, &work, &root)?;
        Ok(rustix::fs::open(&root, ROOT, Mode::empty())?)
    }
}

/// As the supervisor mounts it, but for kernels that know `lowerdir+` only.
fn mount_overlay(lower: &[PathBuf], upper: &Path, work: &Path, target: &Path) -> io::Result<()> {
    if lower.is_empty() {
        return Ok(rustix::mount::mount_bind(upper, target)?);
    }
    let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for layer in lower {
        fsconfig_set_string(&fs, "lowerdir+", layer)?;
    }
    fsconfig_set_string(&fs, "upperdir", upper)?;
    fsconfig_set_string(&fs, "workdir", work)?;
    let _ = fsconfig_set_string(&fs, "index", "off");
    let _ = fsconfig_set_string(&fs, "metacopy", "off");
    fsconfig_create(&fs)?;
    let made = fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    Ok(move_mount(&made, c"", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

impl Bind {
    /// A source that is not there is not mounted. The place is found once, as a descriptor, and mounted on as such.
    fn mount_in(&self, root: &OwnedFd) -> io::Result<()> {
        let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        if self.recursive {
            flags |= OpenTreeFlags::AT_RECURSIVE;
        }
        let opened = rustix::fs::open(&self.source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).and_then(|root| {
            match self.subpath.as_os_str().as_bytes() {
                b"" => Ok(root),
                part => open_below(&root, part, OFlags::PATH, ResolveFlags::empty()),
            }
        });
        let source = match opened {
            Err(Errno::NOENT) => return Ok(()),
            opened => open_tree(&opened?, c"", flags | OpenTreeFlags::AT_EMPTY_PATH)?,
        };
        if !self.rw {
            set_mount_read_only(source.as_fd())?;
        }
        let is_dir = rustix::fs::FileType::from_raw_mode(fstat(&source)?.st_mode) == rustix::fs::FileType::Directory;
        let place = mount_point(root, &self.destination, is_dir)?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        Ok(move_mount(&source, c"", &place, c"", flags)?)
    }
}

/// The place of a mount, made if it is missing.
fn mount_point(root: &OwnedFd, path: &Path, is_dir: bool) -> io::Result<OwnedFd> {
    let mut here = PathBuf::new();
    let mut at = open_below(root, b"", ROOT, ResolveFlags::empty())?;
    let names: Vec<_> = path.components().filter_map(|c| if let Component::Normal(n) = c { Some(n) } else { None }).collect();
    for (index, name) in names.iter().enumerate() {
        here.push(name);
        let wanted = if is_dir || index + 1 < names.len() { ROOT } else { OFlags::PATH };
        let open = || open_below(root, here.as_os_str().as_bytes(), wanted, ResolveFlags::empty());
        at = match open() {
            Err(Errno::NOENT) => {
                if wanted == ROOT {
                    mkdirat(&at, *name, Mode::from_raw_mode(0o755))?;
                } else {
                    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    drop(openat(&at, *name, flags, Mode::from_raw_mode(0o644))?);
                }
                open()?
            }
            found => found?,
        };
    }
    Ok(at)
}
