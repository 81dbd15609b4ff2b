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
use lighter_domain::container::{MountKind, MountPoint};
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
    source: Origin,
    /// Of a volume or image: the part of it.
    subpath: PathBuf,
    destination: PathBuf,
    rw: bool,
    recursive: bool,
}

#[derive(Debug)]
enum Origin {
    Path(PathBuf),
    /// An image's layers, topmost first.
    Layers(Vec<PathBuf>),
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

/// What a container that does not run would have mounted, outermost first. tmpfs are empty then, and left out. `layers` gives
/// those of a mount's image.
pub(crate) fn mounts_of(
    container: &Container,
    layout: &Layout,
    layers: impl Fn(&MountPoint) -> Result<Vec<PathBuf>>,
) -> Result<Vec<Bind>> {
    let points = container.mounts.iter().filter(|m| m.kind != MountKind::Tmpfs && !m.source.is_empty());
    let one = |m: &MountPoint| {
        let source = match m.kind {
            MountKind::Image => Origin::Layers(layers(m)?),
            MountKind::Bind | MountKind::Volume | MountKind::Tmpfs => Origin::Path(PathBuf::from(&m.source)),
        };
        let (subpath, destination) = (PathBuf::from(&m.subpath), clean(&m.destination));
        Ok(Bind { source, subpath, destination, rw: m.rw, recursive: m.recursive })
    };
    let mut all: Vec<Bind> = points.map(one).collect::<Result<_>>()?;
    let id = &container.id;
    for (source, name) in
        [(layout.resolv_conf(id), "/etc/resolv.conf"), (layout.hostname(id), "/etc/hostname"), (layout.hosts(id), "/etc/hosts")]
    {
        if !all.iter().any(|m| m.destination == Path::new(name)) {
            let source = Origin::Path(source);
            all.push(Bind { source, destination: name.into(), rw: true, recursive: false, subpath: PathBuf::new() });
        }
    }
    all.sort_by_key(|m| m.destination.components().count());
    Ok(all)
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
            // First, for images need the target for a moment.
            let trees = stopped.mounts.iter().map(|bind| bind.tree(&stopped.target).map_err(|e| bind.told(&e)));
            let trees = trees.collect::<io::Result<Vec<_>>>()?;
            let root = stopped.mount_layers(writable)?;
            for (bind, tree) in stopped.mounts.iter().zip(trees) {
                // A source that is not there is not mounted.
                let Some(tree) = tree else { continue };
                bind.mount_in(&root, &tree).map_err(|e| bind.told(&e))?;
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
            match lower.is_empty() {
                true => rustix::mount::mount_bind(upper, &self.target)?,
                false => mount_overlay(lower, Some((upper, work)), &self.target)?,
            }
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
        mount_overlay(&layers, Some((&scratch, &work)), &root)?;
        Ok(rustix::fs::open(&root, ROOT, Mode::empty())?)
    }
}

/// As the supervisor mounts it, but for kernels that know `lowerdir+` only. `writable`: the upper and the work directory.
fn mount_overlay(lower: &[PathBuf], writable: Option<(&Path, &Path)>, target: &Path) -> io::Result<()> {
    let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for layer in lower {
        fsconfig_set_string(&fs, "lowerdir+", layer)?;
    }
    if let Some((upper, work)) = writable {
        fsconfig_set_string(&fs, "upperdir", upper)?;
        fsconfig_set_string(&fs, "workdir", work)?;
    }
    let _ = fsconfig_set_string(&fs, "index", "off");
    let _ = fsconfig_set_string(&fs, "metacopy", "off");
    fsconfig_create(&fs)?;
    let made = fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    Ok(move_mount(&made, c"", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

/// Mounts an image's layers on the target, an empty directory, which is their lowest: an overlay that nobody writes to wants
/// two. `false`: there are none, and the target is what they look like.
fn mount_image(layers: &[PathBuf], target: &Path) -> io::Result<bool> {
    if layers.is_empty() {
        return Ok(false);
    }
    mount_overlay(&[layers, &[target.to_owned()]].concat(), None, target)?;
    Ok(true)
}

impl Bind {
    /// What is to be mounted, attached to nothing. `None`: it is not there.
    fn tree(&self, target: &Path) -> io::Result<Option<OwnedFd>> {
        let tree = match &self.source {
            Origin::Path(path) => self.tree_of(path),
            Origin::Layers(layers) => {
                let mounted = mount_image(layers, target)?;
                let tree = self.tree_of(target);
                if mounted {
                    unmount(target, UnmountFlags::DETACH)?;
                }
                tree
            }
        };
        match tree {
            Err(Errno::NOENT) => Ok(None),
            tree => Ok(Some(tree?)),
        }
    }

    fn tree_of(&self, path: &Path) -> Result<OwnedFd, Errno> {
        let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
        if self.recursive {
            flags |= OpenTreeFlags::AT_RECURSIVE;
        }
        let root = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let opened = match self.subpath.as_os_str().as_bytes() {
            b"" => root,
            part => open_below(&root, part, OFlags::PATH, ResolveFlags::empty())?,
        };
        open_tree(&opened, c"", flags)
    }

    /// The place is found once, as a descriptor, and mounted on as such.
    fn mount_in(&self, root: &OwnedFd, tree: &OwnedFd) -> io::Result<()> {
        if !self.rw {
            set_mount_read_only(tree.as_fd())?;
        }
        let is_dir = rustix::fs::FileType::from_raw_mode(fstat(tree)?.st_mode) == rustix::fs::FileType::Directory;
        let place = mount_point(root, &self.destination, is_dir)?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        Ok(move_mount(tree, c"", &place, c"", flags)?)
    }

    fn told(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{:?} at {}: {error}", self.source, self.destination.display()))
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
