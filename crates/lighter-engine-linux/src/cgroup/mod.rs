//! Control groups of containers: one group per container and hierarchy, made and limited before its supervisor starts.
//!
//! Written by hand instead of through libcgroups, which reads mountinfo again for each controller and moves processes the
//! slow way. The supervisor enters the groups itself, and what it forks inherits them. Nothing outside of
//! `<parent>/<container id>` is ever changed or removed, but for handing controllers down on version 2.

mod devices;
pub(crate) use devices::check as check_device_rule;
mod freezer;
pub(crate) mod limits;
mod remove;
mod v1;
mod v2;

#[cfg(test)]
mod tests;

use crate::fail::Context as _;
use lighter_domain::{Container, ContainerId, Error, Result};
use lighter_supervisor_proto as proto;
use limits::Limits;
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

const ROOT: &str = "/sys/fs/cgroup";

/// The machine's control groups, and the group under which this daemon's containers are.
#[derive(Debug, Clone)]
pub(crate) struct Cgroups {
    kind: Kind,
    parent: String,
}

#[derive(Debug, Clone)]
enum Kind {
    V1(Vec<Hierarchy>),
    V2(PathBuf),
}

/// One mounted version 1 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    /// The name of its directory: `cpu,cpuacct`.
    pub name: String,
    pub dir: PathBuf,
    /// `cpu`, `cpuacct`, `name=systemd`.
    pub controllers: Vec<String>,
}

impl Cgroups {
    /// Looks at what is mounted. `parent` is a relative path such as `lighter`.
    pub(crate) fn detect(parent: &str) -> Result<Self> {
        let mounts = std::fs::read_to_string("/proc/self/mounts").context("cannot read the mount table")?;
        let kind = match unified_root(&mounts) {
            true => Kind::V2(PathBuf::from(ROOT)),
            false => Kind::V1(hierarchies(&mounts)),
        };
        Ok(Self { kind, parent: parent.trim_matches('/').to_owned() })
    }

    pub(crate) fn is_v2(&self) -> bool {
        matches!(self.kind, Kind::V2(_))
    }

    /// Whether limits of `controller` can be set.
    pub(crate) fn has(&self, controller: &str) -> bool {
        match &self.kind {
            Kind::V1(all) => all.iter().any(|h| h.controllers.iter().any(|c| c == controller)),
            Kind::V2(root) => {
                let name = if controller == "blkio" { "io" } else { controller };
                let all = std::fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
                all.split_whitespace().any(|c| c == name)
            }
        }
    }

    /// Whether `file` is there in the root or in our group of `controller` (swap accounting may be compiled out).
    pub(crate) fn has_file(&self, controller: &str, file: &str) -> bool {
        match &self.kind {
            Kind::V1(all) => {
                let mut dirs = all.iter().filter(|h| h.controllers.iter().any(|c| c == controller)).map(|h| &h.dir);
                dirs.any(|d| d.join(file).exists())
            }
            Kind::V2(_) => true,
        }
    }

    /// Whether weights of block I/O mean something: the kernel has them, or a device's scheduler.
    pub(crate) fn has_io_weights(&self) -> bool {
        let by_kernel = match &self.kind {
            Kind::V1(_) => self.has_file("blkio", "blkio.weight"),
            Kind::V2(root) => root.join("io.cost.qos").exists(),
        };
        let devices = || std::fs::read_dir("/sys/block").into_iter().flatten().flatten();
        by_kernel || devices().any(|d| weighs(&d.path().join("queue/scheduler")))
    }

    /// The container's group, from the root of each hierarchy: `/lighter/<id>`.
    pub(crate) fn path_of(&self, container: &Container) -> PathBuf {
        Path::new("/").join(self.parent_of(container)).join(container.id.as_str())
    }

    fn parent_of<'a>(&'a self, container: &'a Container) -> &'a str {
        match container.host_config.cgroup_parent.trim_matches('/') {
            "" => &self.parent,
            other => other,
        }
    }

    /// Makes the container's groups and sets its limits.
    pub(crate) fn create(&self, container: &Container, limits: &Limits) -> Result<proto::Cgroups> {
        let path = self.path_of(container);
        let below = path.strip_prefix("/").unwrap_or(&path);
        let made = match &self.kind {
            Kind::V1(all) => v1::create(all, below, limits),
            Kind::V2(root) => v2::create(root, below, limits),
        };
        // Nobody else knows of those that were made before a limit was refused.
        made.inspect_err(|_| remove::remove_if_empty(&self.groups_of(container)))
    }

    /// Sets a limit of processes that is smaller than what making the container took.
    pub(crate) fn lower_pids(groups: &proto::Cgroups, limit: i64) -> Result<()> {
        let mut files = groups.v1.iter().chain(&groups.v2).map(|d| d.join("pids.max"));
        let Some(file) = files.find(|f| f.exists()) else { return Ok(()) };
        write(&file, &limit.to_string()).at("cannot write", &file)
    }

    /// Sets limits of groups that are in use.
    pub(crate) fn update(&self, container: &Container, limits: &Limits) -> Result<()> {
        let path = self.path_of(container);
        let below = path.strip_prefix("/").unwrap_or(&path);
        match &self.kind {
            Kind::V1(all) => v1::update(all, below, limits),
            Kind::V2(root) => v2::update(root, below, limits),
        }
    }

    /// Freezes or thaws the groups; returns when the kernel says so.
    pub(crate) fn freeze(groups: &proto::Cgroups, frozen: bool) -> Result<()> {
        freezer::set(groups, frozen)
    }

    /// Whether the container is frozen now.
    pub(crate) fn is_frozen(groups: &proto::Cgroups) -> bool {
        freezer::is_frozen(groups)
    }

    /// The groups that a container has while it runs.
    pub(crate) fn groups_of(&self, container: &Container) -> proto::Cgroups {
        self.under(self.parent_of(container), container.id.as_str())
    }

    /// The processes in the groups and the groups below them. Empty when there are none.
    pub(crate) fn members(groups: &proto::Cgroups) -> Vec<u32> {
        remove::members(groups)
    }

    /// Kills whatever is left in the groups and removes them. Waits a moment for dying processes.
    pub(crate) fn destroy(groups: &proto::Cgroups) -> Result<()> {
        remove::destroy(groups)
    }

    /// Kills whatever is left in the groups.
    pub(crate) fn kill_all(groups: &proto::Cgroups) {
        remove::kill_all(groups);
    }

    /// Removes the groups of containers that do not run: a daemon that died before it could start a supervisor left them.
    /// Groups in which something runs may be another daemon's: they are left alone. `elsewhere` have a parent of their own.
    pub(crate) fn remove_empty<'a>(&self, running: &HashSet<ContainerId>, elsewhere: impl Iterator<Item = &'a Container>) {
        for id in self.leftovers().iter().filter_map(|n| ContainerId::parse(n)).filter(|id| !running.contains(id)) {
            remove::remove_if_empty(&self.under_parent(id.as_str()));
        }
        for container in elsewhere.filter(|c| !running.contains(&c.id)) {
            remove::remove_if_empty(&self.under(self.parent_of(container), container.id.as_str()));
        }
    }

    /// Removes our parent, where no container is in it.
    pub(crate) fn remove_parent(&self) {
        remove::remove_unused(&self.under("", &self.parent));
    }

    /// Names of the groups directly under our parent that look like containers.
    fn leftovers(&self) -> Vec<String> {
        let dirs: Vec<PathBuf> = match &self.kind {
            Kind::V1(all) => all.iter().map(|h| h.dir.join(&self.parent)).collect(),
            Kind::V2(root) => vec![root.join(&self.parent)],
        };
        let mut names: Vec<String> = dirs.iter().flat_map(|d| container_dirs(d)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The groups of one name under our parent, there or not.
    pub(crate) fn under_parent(&self, name: &str) -> proto::Cgroups {
        self.under(&self.parent, name)
    }

    fn under(&self, parent: &str, name: &str) -> proto::Cgroups {
        let below = Path::new(parent).join(name);
        match &self.kind {
            Kind::V1(all) => proto::Cgroups { v1: all.iter().map(|h| h.dir.join(&below)).collect(), v2: None },
            Kind::V2(root) => proto::Cgroups { v1: Vec::new(), v2: Some(root.join(below)) },
        }
    }
}

/// Whether a block device's scheduler, chosen in this file, knows weights.
pub(crate) fn weighs(scheduler: &Path) -> bool {
    std::fs::read_to_string(scheduler).is_ok_and(|s| s.contains("[bfq]"))
}

fn container_dirs(dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let is_id = |n: &String| ContainerId::parse(n).is_some();
    entries.flatten().filter_map(|e| e.file_name().into_string().ok()).filter(is_id).collect()
}

fn unified_root(mounts: &str) -> bool {
    mounts.lines().any(|l| {
        let mut f = l.split(' ').skip(1);
        f.next() == Some(ROOT) && f.next() == Some("cgroup2")
    })
}

/// Version 1 hierarchies mounted directly below the usual place.
fn hierarchies(mounts: &str) -> Vec<Hierarchy> {
    /// Mount options that are no controllers.
    const GENERIC: [&str; 12] = [
        "rw",
        "ro",
        "nosuid",
        "nodev",
        "noexec",
        "relatime",
        "noatime",
        "clone_children",
        "xattr",
        "noprefix",
        "release_agent",
        "none",
    ];
    let one = |line: &str| {
        let mut f = line.split(' ').skip(1);
        let (dir, kind, options) = (Path::new(f.next()?), f.next()?, f.next()?);
        if kind != "cgroup" || dir.parent() != Some(Path::new(ROOT)) {
            return None;
        }
        let controllers = options.split(',').filter(|o| !GENERIC.contains(o) && !o.starts_with("release_agent="));
        Some(Hierarchy {
            name: dir.file_name()?.to_str()?.to_owned(),
            dir: dir.to_owned(),
            controllers: controllers.map(str::to_owned).collect(),
        })
    };
    let mut seen = HashSet::new();
    mounts.lines().filter_map(one).filter(|h| seen.insert(h.dir.clone())).collect()
}

/// One value for one file of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    pub controller: &'static str,
    pub file: &'static str,
    pub value: String,
    /// A kernel without this file does without the limit; `review` warned of it.
    pub optional: bool,
}

impl Setting {
    fn new(controller: &'static str, file: &'static str, value: impl ToString) -> Self {
        Self { controller, file, value: value.to_string(), optional: false }
    }

    fn optional(mut self) -> Self {
        self.optional = true;
        self
    }
}

/// Writes settings in their order. Neighbours for one file share its descriptor.
fn apply<'a>(dir: &Path, settings: impl IntoIterator<Item = &'a Setting>) -> Result<()> {
    let mut last: Option<(&str, File)> = None;
    for setting in settings {
        let file = match last.take() {
            Some((name, file)) if name == setting.file => Ok(file),
            _ => OpenOptions::new().write(true).open(dir.join(setting.file)),
        };
        let written = file.and_then(|mut file| file.write_all(setting.value.as_bytes()).map(|()| file));
        match written {
            Ok(file) => last = Some((setting.file, file)),
            // No such file; or no device whose scheduler knows weights.
            Err(e) if setting.optional && matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::Unsupported) => {}
            Err(e) => {
                let path = dir.join(setting.file);
                return Err(Error::internal(format!("failed to write {:?} to {}: {e}", setting.value, path.display())));
            }
        }
    }
    Ok(())
}

/// No limit of processes is one that must be said when there was one before.
fn pids(limits: &Limits) -> Setting {
    Setting::new("pids", "pids.max", limits.pids.map_or("max".to_owned(), |n| n.to_string())).optional()
}

/// Writes without making the file: a group's files are there or the kernel has not got them.
fn write(path: &Path, value: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all(value.as_bytes())
}

fn make_dir(path: &Path) -> Result<()> {
    match std::fs::create_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => std::fs::create_dir_all(path).at("cannot make control group", path),
        other => other.at("cannot make control group", path),
    }
}
