//! The container's control groups as the supervisor uses them: opened once before the host's hierarchies disappear from
//! our mount namespace, then joined by the helpers, read at the end, and shown to the container.
//!
//! Why so: a write to `cgroup.procs` waits for a grace period (9 to 10 ms). A single-threaded process that writes `0` to its
//! own `tasks` (version 1), or that is born in its group (version 2, `CLONE_INTO_CGROUP`), does not. The supervisor itself
//! joins nothing.

use crate::error::SetupError;
use crate::{rootfs, sys};
use lighter_supervisor_proto::Cgroups;
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, OpenTreeFlags, UnmountFlags};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The directory below which a system mounts its hierarchies.
const HIERARCHIES: &str = "/sys/fs/cgroup";

/// The container's groups, open.
pub struct Groups {
    /// `tasks` of each version 1 hierarchy but that of the pids controller.
    tasks: Vec<OwnedFd>,
    /// `tasks` in the hierarchy of the pids controller.
    pids: Option<OwnedFd>,
    /// The directory of the version 2 group.
    unified: Option<OwnedFd>,
    /// `memory.oom_control` or `memory.events`.
    oom: Option<OwnedFd>,
    /// The directory of one of them: who is left in it.
    members: Option<OwnedFd>,
}

impl Groups {
    /// Opens what the launch names.
    pub fn open(cgroups: &Cgroups) -> Result<Self, SetupError> {
        let mut groups = Self { tasks: Vec::new(), pids: None, unified: None, oom: None, members: None };
        for dir in &cgroups.v1 {
            let dir_fd = open_dir(dir)?;
            let tasks = open_in(dir_fd.as_fd(), c"tasks", OFlags::WRONLY)
                .map_err(SetupError::io(format!("open control group {}", dir.display())))?;
            let counts = open_in(dir_fd.as_fd(), c"pids.max", OFlags::RDONLY).is_ok();
            if counts && groups.pids.is_none() {
                groups.pids = Some(tasks);
            } else {
                groups.tasks.push(tasks);
            }
            groups.observe(dir_fd.as_fd(), c"memory.oom_control");
        }
        if let Some(dir) = &cgroups.v2 {
            let dir_fd = open_dir(dir)?;
            groups.observe(dir_fd.as_fd(), c"memory.events");
            groups.unified = Some(dir_fd);
        }
        Ok(groups)
    }

    fn observe(&mut self, dir: BorrowedFd<'_>, oom: &CStr) {
        if self.oom.is_none() {
            self.oom = open_in(dir, oom, OFlags::RDONLY).ok();
        }
        if self.members.is_none() {
            self.members = dir.try_clone_to_owned().ok();
        }
    }

    /// The group that a child is to be born in.
    pub fn birth(&self) -> Option<BorrowedFd<'_>> {
        self.unified.as_ref().map(AsFd::as_fd)
    }

    /// Moves the calling process, which must have one thread, into the version 1 groups.
    pub fn join(&self) -> Result<(), SetupError> {
        self.tasks.iter().try_for_each(|tasks| join(tasks.as_fd()))
    }

    /// `tasks` of the group that counts processes, to be joined with [`join`]: now, or where its limit leaves no room for
    /// the processes that make another one, by that one at the last moment. A group takes who joins it whatever its limit.
    pub fn counting(&self) -> Option<BorrowedFd<'_>> {
        self.pids.as_ref().map(AsFd::as_fd)
    }

    /// Whether the kernel killed a process of the container for want of memory.
    pub fn oom_killed(&self) -> bool {
        self.oom.as_ref().is_some_and(|fd| {
            read_all(fd.as_fd()).lines().any(|line| {
                let mut words = line.split_ascii_whitespace();
                words.next() == Some("oom_kill") && words.next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) > 0
            })
        })
    }

    /// Processes that are still in the container's group. Opened for each look: version 1 shows one descriptor the list that it
    /// once made, as long as that is looked at more often than once a second.
    pub fn members(&self) -> Vec<i32> {
        let Some(dir) = &self.members else { return Vec::new() };
        let Ok(fd) = open_in(dir.as_fd(), c"cgroup.procs", OFlags::RDONLY) else { return Vec::new() };
        read_all(fd.as_fd()).lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0).collect()
    }
}

/// Moves the calling process, which must have one thread, into the group of these `tasks`.
pub fn join(tasks: BorrowedFd<'_>) -> Result<(), SetupError> {
    rustix::io::write(tasks, b"0").map(drop).map_err(SetupError::io("join the container's control group"))
}

fn open_dir(dir: &Path) -> Result<OwnedFd, SetupError> {
    rustix::fs::open(dir, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(SetupError::io(format!("open control group {}", dir.display())))
}

fn open_in(dir: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat(dir, name, flags | OFlags::CLOEXEC, Mode::empty())
}

fn read_all(fd: BorrowedFd<'_>) -> String {
    let mut text = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(n @ 1..) = rustix::io::pread(fd, &mut chunk, text.len() as u64) {
        text.extend_from_slice(&chunk[..n]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// A detached mount tree that shows the container its own groups, to be attached at `/sys/fs/cgroup` inside.
///
/// `scratch` is an existing directory of ours; nothing stays mounted on it.
pub fn view(cgroups: &Cgroups, scratch: &Path) -> Result<Option<OwnedFd>, SetupError> {
    if cgroups.v1.is_empty() {
        let Some(dir) = &cgroups.v2 else { return Ok(None) };
        return clone_tree(dir, OpenTreeFlags::empty()).map(Some);
    }
    rustix::mount::mount("cgroup", scratch, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, c"mode=755,size=64k")
        .map_err(SetupError::io("mount the view of the control groups"))?;
    // Private, or the slave relation to the host's mount would be cloned along.
    let _ = rustix::mount::mount_change(scratch, MountPropagationFlags::PRIVATE);
    for dir in &cgroups.v1 {
        let Some(name) = hierarchy_name(dir) else { continue };
        let target = scratch.join(name);
        let bound = std::fs::create_dir(&target).map_err(SetupError::io("make the view of the control groups")).and_then(|()| {
            rustix::mount::mount_bind(dir, &target).map_err(SetupError::io(format!("show control group {}", dir.display())))
        });
        bound?;
        // `cpu,cpuacct` is known to programs by either name, too.
        for alias in name.split(',').filter(|alias| *alias != name) {
            let _ = std::os::unix::fs::symlink(name, scratch.join(alias));
        }
    }
    let tree = clone_tree(scratch, OpenTreeFlags::AT_RECURSIVE)?;
    let _ = rustix::mount::unmount(scratch, UnmountFlags::DETACH);
    Ok(Some(tree))
}

fn clone_tree(path: &Path, flags: OpenTreeFlags) -> Result<OwnedFd, SetupError> {
    let flags = flags | OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    rustix::mount::open_tree(rustix::fs::CWD, path, flags).map_err(SetupError::io("clone the view of the control groups"))
}

/// `memory` of `/sys/fs/cgroup/memory/lighter/abc`.
fn hierarchy_name(dir: &Path) -> Option<&str> {
    dir.strip_prefix(HIERARCHIES).ok()?.components().next()?.as_os_str().to_str()
}

/// Attaches a [`view`] at `target` in the calling process's mount namespace.
pub fn attach_view(tree: BorrowedFd<'_>, target: &Path, read_only: bool) -> std::io::Result<()> {
    sys::restrict_mount_tree(tree, read_only)?;
    rootfs::attach(tree, target)
}

/// Takes the host's hierarchies out of our own mount namespace, so that nothing of them can leak into a container, and lets
/// the runtime library believe that it joins a group; the helper is in the right ones already, and a second join would be
/// the slow kind. Returns the path that the library is to be told.
///
/// What it takes for the group is `stand_in`, a directory of ours in which `cgroup.procs` is the null device. That matters
/// after failures, too: the library then kills what it finds in "its" group, and that must not be the helper, which still
/// has to tell why.
pub fn hide_hierarchies(stand_in: &Path) -> Result<PathBuf, SetupError> {
    // Taken before it disappears from sight: a copy of a mount costs nothing, a fresh one 12 ms.
    let unified = [Path::new(HIERARCHIES).join("unified"), HIERARCHIES.into()].into_iter().find(|dir| is_unified(dir));
    let unified = unified.and_then(|dir| clone_tree(&dir, OpenTreeFlags::empty()).ok());
    let _ = rustix::mount::unmount(HIERARCHIES, UnmountFlags::DETACH);
    let placed = unified.is_some_and(|tree| attach_view(tree.as_fd(), Path::new(HIERARCHIES), true).is_ok());
    if !placed {
        hide_all().map_err(SetupError::io("hide the control groups"))?;
    }
    match std::os::unix::fs::symlink("/dev/null", stand_in.join("cgroup.procs")) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(SetupError::Io { what: "make the stand-in for the control group".to_owned(), source: error })
        }
        // The library joins it to `HIERARCHIES`, three levels below the root.
        _ => Ok(Path::new("/../../..").join(stand_in.strip_prefix("/").unwrap_or(stand_in))),
    }
}

fn is_unified(dir: &Path) -> bool {
    const CGROUP2_SUPER_MAGIC: u64 = 0x6367_7270;
    rustix::fs::statfs(dir).is_ok_and(|stat| stat.f_type as u64 == CGROUP2_SUPER_MAGIC)
}

/// With a tmpfs there the library looks for version 1 hierarchies in the whole mount table, a dozen times, and finds none.
fn hide_all() -> std::io::Result<()> {
    rustix::mount::mount("none", HIERARCHIES, "tmpfs", MountFlags::RDONLY, c"size=4k")?;
    for line in std::fs::read_to_string("/proc/self/mountinfo")?.lines().rev() {
        let Some((front, back)) = line.split_once(" - ") else { continue };
        let Some(point) = front.split(' ').nth(4) else { continue };
        if back.starts_with("cgroup") {
            let _ = rustix::mount::unmount(point, UnmountFlags::DETACH);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_hierarchy_is_its_mount_point() {
        assert_eq!(hierarchy_name(Path::new("/sys/fs/cgroup/cpu,cpuacct/lighter/x")), Some("cpu,cpuacct"));
        assert_eq!(hierarchy_name(Path::new("/elsewhere/cpu/x")), None);
    }
}
