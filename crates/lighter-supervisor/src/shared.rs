//! What a container has in common with others: the `/dev/shm` that goes with a shared IPC namespace, and binds that must be
//! taken while the host's mounts are still seen as the host sees them. Called once each, at start-up, in the order of this
//! file.

use crate::error::SetupError;
use crate::rootfs;
use lighter_supervisor_proto::{EarlyBind, Launch, Shm, files};
use nix::sched::{CloneFlags, setns};
use rustix::mount::{MountFlags, OpenTreeFlags, open_tree};
use std::ffi::CString;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// A copy of another container's `/dev/shm`, taken out of the mount namespace of its supervisor: at a path that only
/// supervisors can see, so that nothing inside of that container can stand in for it.
pub fn take_shm(launch: &Launch, theirs: Option<OwnedFd>) -> Result<Option<OwnedFd>, SetupError> {
    let (Some(Shm::Of { path }), Some(theirs)) = (&launch.shm, theirs) else { return Ok(None) };
    let ours = fs::File::open("/proc/self/ns/mnt").map_err(SetupError::io("open the mount namespace"))?;
    setns(&theirs, CloneFlags::CLONE_NEWNS).map_err(SetupError::io("enter the other supervisor's mount namespace"))?;
    let tree = clone(path, false);
    setns(&ours, CloneFlags::CLONE_NEWNS).map_err(SetupError::io("return to the mount namespace"))?;
    tree.map(Some)
}

/// The binds that are to be as the host has them.
pub fn take_binds(launch: &Launch) -> Result<Vec<(PathBuf, OwnedFd)>, SetupError> {
    let one = |bind: &EarlyBind| {
        let target = launch.run_dir.join(files::BINDS).join(bind.number.to_string());
        Ok((target, clone(&bind.source, bind.recursive)?))
    };
    launch.binds.iter().map(one).collect()
}

pub fn place_binds(binds: &[(PathBuf, OwnedFd)]) -> Result<(), SetupError> {
    for (target, tree) in binds {
        let what = || SetupError::io::<std::io::Error>(format!("make {}", target.display()));
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(what())?;
        }
        let stat = rustix::fs::fstat(tree).map_err(SetupError::io("look at a bind"))?;
        let made = match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
            rustix::fs::FileType::Directory => fs::create_dir(target),
            _ => fs::File::create(target).map(drop),
        };
        made.map_err(what())?;
        attach(tree, target)?;
    }
    Ok(())
}

/// Mounts our own shared `/dev/shm`, or attaches the one that was taken.
pub fn place_shm(launch: &Launch, taken: Option<OwnedFd>) -> Result<(), SetupError> {
    let Some(shm) = &launch.shm else { return Ok(()) };
    let target = launch.run_dir.join(files::SHM);
    fs::create_dir_all(&target).map_err(SetupError::io("make the place of the shared memory"))?;
    match (shm, taken) {
        (Shm::Own { size }, _) => {
            let options = CString::new(format!("mode=1777,size={size}")).map_err(SetupError::io("size of the shared memory"))?;
            let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
            rustix::mount::mount("shm", &target, "tmpfs", flags, options.as_c_str())
                .map_err(SetupError::io("mount the shared memory"))
        }
        (Shm::Of { .. }, Some(tree)) => attach(&tree, &target),
        (Shm::Of { .. }, None) => Err(SetupError::Spec("shared memory")),
    }
}

fn clone(path: &Path, recursive: bool) -> Result<OwnedFd, SetupError> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    open_tree(rustix::fs::CWD, path, flags).map_err(SetupError::io(format!("take the mount of {}", path.display())))
}

fn attach(tree: &OwnedFd, target: &Path) -> Result<(), SetupError> {
    rootfs::attach(tree, target).map_err(SetupError::io(format!("attach a mount at {}", target.display())))
}
