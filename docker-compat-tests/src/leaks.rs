//! The check that nothing of a container outlives it: no process, mount,
//! control group, directory, network namespace, interface or descriptor.
//!
//! Two forms. Every test, at its end, looks for what carries the ids of its own
//! containers. The tests of the module `leaks` hold the daemon alone, count
//! everything before and after a workload, and see what has no id on it.

use std::collections::BTreeSet;
use std::fs;
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::daemon::Daemon;
use crate::eventually;

static QUIET: RwLock<()> = RwLock::new(());

/// Held by every test that uses the shared daemon.
pub fn share() -> RwLockReadGuard<'static, ()> {
    QUIET.read().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Held by a test that needs the shared daemon quiet.
pub fn alone() -> RwLockWriteGuard<'static, ()> {
    QUIET.write().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Waits until nothing on the machine carries one of the ids.
#[track_caller]
pub fn assert_gone(daemon: &Daemon, ids: &[String]) {
    let mut found = Vec::new();
    let deadline = std::time::Instant::now() + crate::PATIENCE;
    loop {
        found.clear();
        for id in ids {
            found.extend(traces(daemon, id));
        }
        if found.is_empty() {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "left behind by removed containers:\n{}", found.join("\n"));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn traces(daemon: &Daemon, id: &str) -> Vec<String> {
    let mut found = Vec::new();
    for pid in pids() {
        for file in ["cgroup", "cmdline"] {
            let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
            if text.contains(id) {
                found.push(format!("process {pid}: {}", text.replace('\0', " ").trim()));
            }
        }
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    found.extend(mounts.lines().filter(|l| l.contains(id)).map(|l| format!("mount {l}")));
    found.extend(cgroups().into_iter().filter(|c| c.contains(id)).map(|c| format!("control group {c}")));
    if let Some(roots) = &daemon.roots {
        found.extend(named(roots, id, 5));
    }
    found
}

/// Paths below `dir` whose names contain `part`.
fn named(dir: &std::path::Path, part: &str, depth: usize) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_name().to_string_lossy().contains(part) {
            found.push(format!("path {}", path.display()));
        } else if depth > 0 && entry.file_type().is_ok_and(|t| t.is_dir()) {
            found.extend(named(&path, part, depth - 1));
        }
    }
    found
}

fn pids() -> Vec<u32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| e.file_name().to_str().and_then(|n| n.parse().ok()))
        .collect()
}

fn cgroups() -> Vec<String> {
    fn walk(dir: &std::path::Path, into: &mut Vec<String>, depth: usize) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                into.push(entry.path().display().to_string());
                if depth > 0 {
                    walk(&entry.path(), into, depth - 1);
                }
            }
        }
    }
    let mut all = Vec::new();
    walk("/sys/fs/cgroup".as_ref(), &mut all, 5);
    all
}

/// What the machine holds on behalf of one daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Open descriptors of the daemon, by kind, without numbers.
    pub descriptors: usize,
    /// Threads and children of the daemon.
    pub children: BTreeSet<u32>,
    pub mounts: BTreeSet<String>,
    pub cgroups: BTreeSet<String>,
    /// Network namespaces that some process of ours or mount of ours holds.
    pub namespaces: BTreeSet<String>,
    pub interfaces: BTreeSet<String>,
}

impl Snapshot {
    /// Counts now.
    pub fn take(daemon: &Daemon) -> Self {
        let roots = daemon.roots.as_ref().expect("a daemon of ours").display().to_string();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        Self {
            descriptors: daemon.descriptors().unwrap_or(0),
            children: processes_of(&roots),
            mounts: mounts
                .lines()
                .filter(|l| l.contains(&roots))
                .filter_map(|l| l.split(' ').nth(4))
                .map(str::to_owned)
                .collect(),
            cgroups: cgroups().into_iter().filter(|c| c.split('/').any(is_id)).collect(),
            namespaces: processes_of(&roots)
                .into_iter()
                .filter_map(|p| fs::read_link(format!("/proc/{p}/ns/net")).ok())
                .map(|l| l.display().to_string())
                .collect(),
            interfaces: fs::read_dir("/sys/class/net")
                .into_iter()
                .flatten()
                .flatten()
                .map(|e| e.file_name().to_string_lossy().into_owned())
                .filter(|n| n.starts_with("veth") || n.starts_with("br-") || n.starts_with("dm-"))
                .collect(),
        }
    }

    /// Waits until the daemon holds no more than it did; a few descriptors may
    /// stay (pooled connections of the store).
    #[track_caller]
    pub fn assert_restored(&self, daemon: &Daemon, spare_descriptors: usize) {
        let mut last = String::new();
        let deadline = std::time::Instant::now() + crate::PATIENCE;
        while std::time::Instant::now() < deadline {
            let now = Self::take(daemon);
            last = self.difference(&now, spare_descriptors);
            if last.is_empty() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("left behind:\n{last}");
    }

    fn difference(&self, now: &Self, spare: usize) -> String {
        let mut text = String::new();
        if now.descriptors > self.descriptors + spare {
            text.push_str(&format!("descriptors: {} before, {} now\n", self.descriptors, now.descriptors));
        }
        let mut sets = |what: &str, before: &BTreeSet<String>, after: &BTreeSet<String>| {
            for extra in after.difference(before) {
                text.push_str(&format!("{what}: {extra}\n"));
            }
        };
        sets("mount", &self.mounts, &now.mounts);
        sets("control group", &self.cgroups, &now.cgroups);
        sets("network namespace", &self.namespaces, &now.namespaces);
        sets("interface", &self.interfaces, &now.interfaces);
        for extra in now.children.difference(&self.children) {
            let line = fs::read_to_string(format!("/proc/{extra}/cmdline")).unwrap_or_default();
            text.push_str(&format!("process {extra}: {}\n", line.replace('\0', " ")));
        }
        text
    }
}

fn is_id(part: &str) -> bool {
    let tail = &part[part.len().saturating_sub(64)..];
    tail.len() == 64 && tail.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Processes whose command line, working directory or root lies under the
/// roots: the daemon, its supervisors, and what they run.
fn processes_of(roots: &str) -> BTreeSet<u32> {
    pids()
        .into_iter()
        .filter(|pid| {
            let cmdline = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let link = |name: &str| fs::read_link(format!("/proc/{pid}/{name}")).is_ok_and(|l| l.starts_with(roots));
            // The watcher shell names the roots in its environment only.
            String::from_utf8_lossy(&cmdline).contains(roots) && !cmdline.starts_with(b"/bin/sh") || link("cwd") || link("root")
        })
        .collect()
}

/// Waits until no process, mount or control group of the daemon's roots is left;
/// for the end of a daemon's life.
#[track_caller]
pub fn assert_roots_unused(roots: &std::path::Path) {
    let roots = roots.display().to_string();
    eventually(&format!("nothing uses {roots} any more"), || {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        (processes_of(&roots).is_empty() && !mounts.contains(&roots)).then_some(())
    });
}
