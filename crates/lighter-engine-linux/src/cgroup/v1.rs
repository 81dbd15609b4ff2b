//! Limits on version 1 hierarchies.

use super::limits::Limits;
use super::{Hierarchy, Setting, apply, make_dir, write};
use crate::fail::Context as _;
use lighter_domain::Result;
use lighter_supervisor_proto as proto;
use std::path::{Path, PathBuf};

pub(super) fn create(all: &[Hierarchy], below: &Path, limits: &Limits) -> Result<proto::Cgroups> {
    let wanted = settings(limits);
    let mut dirs = Vec::with_capacity(all.len());
    for hierarchy in all {
        let dir = hierarchy.dir.join(below);
        make_dir(&dir)?;
        if hierarchy.controllers.iter().any(|c| c == "cpuset") {
            inherit_cpuset(&hierarchy.dir, &dir)?;
        }
        apply(&dir, wanted.iter().filter(|s| hierarchy.controllers.iter().any(|c| c == s.controller)))?;
        dirs.push(dir);
    }
    Ok(proto::Cgroups { v1: dirs, v2: None })
}

/// Other limits. The kernel wants memory with swap never to be less than memory alone, at no moment.
pub(super) fn update(all: &[Hierarchy], below: &Path, limits: &Limits) -> Result<()> {
    const SWAP: &str = "memory.memsw.limit_in_bytes";
    let mut wanted = settings(limits);
    wanted.push(super::pids(limits));
    for hierarchy in all {
        let dir = hierarchy.dir.join(below);
        let now = std::fs::read_to_string(dir.join(SWAP)).ok().and_then(|text| text.trim().parse::<i64>().ok());
        let grows = limits.memory_swap.zip(now).is_some_and(|(swap, now)| swap < 0 || swap > now);
        if grows {
            wanted.sort_by_key(|s| s.file != SWAP);
        }
        apply(&dir, wanted.iter().filter(|s| hierarchy.controllers.iter().any(|c| c == s.controller)))?;
    }
    Ok(())
}

/// A fresh cpuset group takes no process before it has processors and memory nodes. A fresh one above the container's gives them to
/// what is made in it from now on, which costs much less than writing them.
fn inherit_cpuset(root: &Path, dir: &Path) -> Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let mut empty: Vec<PathBuf> = Vec::new();
        let mut value = String::new();
        for group in dir.ancestors().take_while(|g| g.starts_with(root)) {
            let path = group.join(file);
            value = std::fs::read_to_string(&path).at("cannot read", &path)?;
            if !value.trim().is_empty() {
                break;
            }
            empty.push(path);
        }
        for path in empty.into_iter().rev() {
            write(&path, value.trim()).at("cannot write", &path)?;
            if let Some(above) = path.parent().filter(|group| *group != dir) {
                let path = above.join("cgroup.clone_children");
                write(&path, "1").at("cannot write", &path)?;
            }
        }
    }
    Ok(())
}

/// In the order in which the kernel takes them.
pub(super) fn settings(l: &Limits) -> Vec<Setting> {
    let mut out = Vec::new();
    let mut put = |controller, file, value: Option<String>| {
        if let Some(value) = value {
            out.push(Setting::new(controller, file, value));
        }
    };
    let text = |n: Option<i64>| n.map(|n| n.to_string());
    put("memory", "memory.limit_in_bytes", text(l.memory));
    put("memory", "memory.soft_limit_in_bytes", text(l.memory_reservation));
    put("memory", "memory.swappiness", text(l.swappiness));
    put("memory", "memory.oom_control", l.oom_kill_disable.then(|| "1".into()));
    put("cpu", "cpu.shares", text(l.cpu_shares));
    put("cpu", "cpu.cfs_period_us", text(l.cpu_period));
    put("cpu", "cpu.cfs_quota_us", text(l.cpu_quota));
    put("cpu", "cpu.rt_period_us", text(l.cpu_rt_period));
    put("cpu", "cpu.rt_runtime_us", text(l.cpu_rt_runtime));
    put("cpuset", "cpuset.cpus", l.cpuset_cpus.clone());
    put("cpuset", "cpuset.mems", l.cpuset_mems.clone());
    put("pids", "pids.max", text(l.pids));
    if let Some(swap) = l.memory_swap {
        out.push(Setting::new("memory", "memory.memsw.limit_in_bytes", swap).optional());
    }
    if let Some(weight) = l.blkio_weight {
        out.push(Setting::new("blkio", "blkio.weight", weight).optional());
        out.push(Setting::new("blkio", "blkio.bfq.weight", weight).optional());
    }
    for device in &l.weight_devices {
        out.push(Setting::new("blkio", "blkio.weight_device", device).optional());
        out.push(Setting::new("blkio", "blkio.bfq.weight_device", device).optional());
    }
    let files = [
        "blkio.throttle.read_bps_device",
        "blkio.throttle.write_bps_device",
        "blkio.throttle.read_iops_device",
        "blkio.throttle.write_iops_device",
    ];
    for (list, file) in l.throttle.iter().zip(files) {
        out.extend(list.iter().map(|t| Setting::new("blkio", file, format!("{} {}", t.device, t.rate))));
    }
    if let Some(rules) = &l.devices {
        out.push(Setting::new("devices", "devices.deny", "a"));
        out.extend(rules.iter().map(|r| Setting::new("devices", "devices.allow", r)));
    }
    out
}
