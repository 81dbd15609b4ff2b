//! The end of a container's groups.

use lighter_domain::{Error, Result};
use lighter_supervisor_proto as proto;
use rustix::process::{Pid, Signal, kill_process};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long to wait for killed processes to leave.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn destroy(groups: &proto::Cgroups) -> Result<()> {
    let started = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        let mut busy = None;
        for dir in all(groups) {
            if let Err(e) = remove_tree(dir) {
                busy = Some((dir, e));
            }
        }
        let Some((dir, error)) = busy else { return Ok(()) };
        if started.elapsed() > PATIENCE {
            return Err(Error::internal(format!("cannot remove control group {}: {error}", dir.display())));
        }
        kill_all(groups);
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

pub(super) fn kill_all(groups: &proto::Cgroups) {
    if let Some(dir) = &groups.v2 {
        let _ = super::write(&dir.join("cgroup.kill"), "1");
    }
    for dir in &groups.v1 {
        kill_tree(dir);
    }
    // A frozen task dies only when thawed.
    let _ = super::freezer::is_frozen(groups).then(|| super::freezer::set(groups, false));
}

/// Removes groups, if the kernel lets them go at once.
pub(super) fn remove_if_empty(groups: &proto::Cgroups) {
    for dir in all(groups) {
        let _ = remove_tree(dir);
    }
}

/// Removes groups that hold nothing: no process, and no other group.
pub(super) fn remove_unused(groups: &proto::Cgroups) {
    for dir in all(groups) {
        let _ = std::fs::remove_dir(dir);
    }
}

fn all(groups: &proto::Cgroups) -> impl Iterator<Item = &Path> {
    groups.v1.iter().chain(&groups.v2).map(std::path::PathBuf::as_path)
}

fn kill_tree(dir: &Path) {
    for pid in members_below(dir).into_iter().filter_map(|pid| i32::try_from(pid).ok()).filter_map(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// A process is in a group of each hierarchy; those of one are all.
pub(super) fn members(groups: &proto::Cgroups) -> Vec<u32> {
    let mut found = all(groups).next().map(members_below).unwrap_or_default();
    found.sort_unstable();
    found
}

/// Those of the groups below come first.
fn members_below(dir: &Path) -> Vec<u32> {
    let mut found: Vec<u32> = children(dir).iter().flat_map(|child| members_below(child)).collect();
    let list = std::fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    found.extend(list.lines().filter_map(|l| l.parse::<u32>().ok()));
    found
}

fn remove_tree(dir: &Path) -> io::Result<()> {
    match std::fs::remove_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Ok(()) => return Ok(()),
        Err(_) => {}
    }
    for child in children(dir) {
        remove_tree(&child)?;
    }
    match std::fs::remove_dir(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn children(dir: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()).collect()
}
