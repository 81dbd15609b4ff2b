//! Our own mount namespace, and the container's overlay in it. Nothing is left to unmount, whatever dies: the mounts go with
//! the last process of the namespace. Called once, at start-up.

use crate::error::SetupError;
use lighter_supervisor_proto::{ImageMount, Pin, Rootfs};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Leaves the host's mount namespace.
pub fn enter_namespace() -> Result<(), SetupError> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).map_err(SetupError::io("unshare the mount namespace"))
}

/// What the host mounts or unmounts from now on still arrives (slave), nothing goes back.
pub fn let_nothing_out() -> Result<(), SetupError> {
    rustix::mount::mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .map_err(SetupError::io("make the mounts slaves"))
}

/// Makes our own place for what the runtime library writes and where things are mounted. On a disk each of these small files
/// is an inode to find and, later, a block to discard; here they go with the namespace.
pub fn mount_scratch(target: &Path) -> Result<(), SetupError> {
    let what = || SetupError::io::<io::Error>(format!("make {}", target.display()));
    std::fs::create_dir_all(target).map_err(what())?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("scratch", target, "tmpfs", flags, c"mode=700,size=64m").map_err(|e| what()(e.into()))
}

/// Makes the overlay, which is nowhere yet; nothing if that can only be done in its place.
pub fn make(rootfs: &Rootfs) -> Result<Option<OwnedFd>, SetupError> {
    if rootfs.lower.is_empty() {
        return Ok(None);
    }
    make_overlay(&rootfs.lower, Some((&rootfs.upper, &rootfs.work))).map_err(SetupError::io("make the overlay"))
}

/// Mounts on `target` what was made.
pub fn place(rootfs: &Rootfs, made: Option<OwnedFd>, target: &Path) -> Result<(), SetupError> {
    if rootfs.lower.is_empty() {
        return rustix::mount::mount_bind(&rootfs.upper, target).map_err(SetupError::io("bind the container's layer"));
    }
    place_overlay(&rootfs.lower, Some((&rootfs.upper, &rootfs.work)), made, target)
        .map_err(SetupError::io(format!("mount the overlay on {}", target.display())))
}

/// Mounts the layers of an image, read-only. An overlay that nobody writes to wants two layers at least: an empty one is below.
pub fn mount_image(image: &ImageMount) -> Result<(), SetupError> {
    let empty = image.at.with_file_name("empty");
    let make = || -> io::Result<()> {
        std::fs::create_dir_all(&empty)?;
        std::fs::create_dir(&image.at)?;
        if image.lower.is_empty() {
            return Ok(rustix::mount::mount_bind(&empty, &image.at)?);
        }
        let mut lower = image.lower.clone();
        lower.push(empty.clone());
        place_overlay(&lower, None, make_overlay(&lower, None)?, &image.at)
    };
    make().map_err(SetupError::io(format!("mount the image on {}", image.at.display())))
}

/// Binds a part of a volume or image to its place in the run directory.
pub fn pin(pin: &Pin) -> Result<(), SetupError> {
    let what = || SetupError::io::<io::Error>(format!("cannot access path {}", pin.root.join(&pin.path).display()));
    pin_by_descriptor(pin).map_err(what())
}

fn pin_by_descriptor(pin: &Pin) -> io::Result<()> {
    let root = rustix::fs::open(&pin.root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let mut tries = 0;
    let found = loop {
        match openat2(&root, &pin.path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), within) {
            // Something is being renamed, anywhere on the machine.
            Err(Errno::AGAIN | Errno::INTR) if tries < 128 => tries += 1,
            opened => break opened?,
        }
    };
    if FileType::from_raw_mode(fstat(&found)?.st_mode) == FileType::Directory {
        std::fs::create_dir_all(&pin.at)?;
    } else {
        pin.at.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        std::fs::write(&pin.at, "")?;
    }
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(&found, c"", flags)?;
    attach(tree, &pin.at)
}

/// The upper and the work directory, of an overlay that is written to.
type Writable<'a> = Option<(&'a Path, &'a Path)>;

/// None: a kernel before 6.5, which knows no `lowerdir+`.
fn make_overlay(lower: &[PathBuf], writable: Writable<'_>) -> io::Result<Option<OwnedFd>> {
    match make_by_descriptor(lower, writable) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) => Ok(None),
        made => made.map(Some),
    }
}

fn place_overlay(lower: &[PathBuf], writable: Writable<'_>, made: Option<OwnedFd>, target: &Path) -> io::Result<()> {
    made.map_or_else(|| mount_by_string(lower, writable, target), |made| attach(made, target))
}

fn make_by_descriptor(lower: &[PathBuf], writable: Writable<'_>) -> io::Result<OwnedFd> {
    let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for layer in lower {
        fsconfig_set_string(&fs, "lowerdir+", layer)?;
    }
    if let Some((upper, work)) = writable {
        fsconfig_set_string(&fs, "upperdir", upper)?;
        fsconfig_set_string(&fs, "workdir", work)?;
    }
    // Layers are shared by many containers; an inode index in one would refuse the next mount.
    let _ = fsconfig_set_string(&fs, "index", "off");
    let _ = fsconfig_set_string(&fs, "metacopy", "off");
    // `diff` and `commit` read the upper layer: a directory that was renamed must be all there.
    let _ = fsconfig_set_string(&fs, "redirect_dir", "off");
    fsconfig_create(&fs)?;
    Ok(fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?)
}

/// Puts a detached mount in its place.
pub fn attach(mount: impl AsFd, target: &Path) -> io::Result<()> {
    Ok(move_mount(mount, c"", rustix::fs::CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

fn mount_by_string(lower: &[PathBuf], writable: Writable<'_>, target: &Path) -> io::Result<()> {
    let escaped = |path: &Path| path.to_string_lossy().replace('\\', "\\\\").replace(':', "\\:").replace(',', "\\,");
    let lower: Vec<_> = lower.iter().map(|path| escaped(path)).collect();
    let mut options = format!("lowerdir={},index=off", lower.join(":"));
    if let Some((upper, work)) = writable {
        options.push_str(&format!(",upperdir={},workdir={}", escaped(upper), escaped(work)));
    }
    let options = CString::new(options)?;
    Ok(rustix::mount::mount("overlay", target, "overlay", MountFlags::empty(), options.as_c_str())?)
}
