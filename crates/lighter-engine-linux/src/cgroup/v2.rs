//! Limits on the unified hierarchy.

use super::limits::{LEAST_PIDS, Limits};
use super::{Setting, apply, devices, make_dir, write};
use crate::fail::Context as _;
use lighter_domain::Result;
use lighter_supervisor_proto as proto;
use std::path::Path;

const CONTROLLERS: [&str; 5] = ["cpu", "cpuset", "io", "memory", "pids"];

pub(super) fn create(root: &Path, below: &Path, limits: &Limits) -> Result<proto::Cgroups> {
    let dir = root.join(below);
    if !dir.is_dir() {
        hand_down(root, below)?;
        make_dir(&dir)?;
    }
    let making = Limits { pids: limits.pids.map(|n| n.max(LEAST_PIDS)), ..limits.clone() };
    apply(&dir, &settings(&making))?;
    if let Some(rules) = &limits.devices {
        devices::restrict(&dir, rules)?;
    }
    Ok(proto::Cgroups { v1: Vec::new(), v2: Some(dir) })
}

/// Other limits.
pub(super) fn update(root: &Path, below: &Path, limits: &Limits) -> Result<()> {
    apply(&root.join(below), settings(limits).iter().chain([&super::pids(limits)]))
}

/// Lets the groups above the container's use what controllers there are.
fn hand_down(root: &Path, below: &Path) -> Result<()> {
    let mut group = root.to_owned();
    let parents: Vec<_> = below.parent().into_iter().flat_map(Path::components).collect();
    for next in std::iter::once(None).chain(parents.into_iter().map(Some)) {
        if let Some(name) = next {
            group.push(name);
            make_dir(&group)?;
        }
        let read = |file: &str| std::fs::read_to_string(group.join(file)).unwrap_or_default();
        let (have, on) = (read("cgroup.controllers"), read("cgroup.subtree_control"));
        let missing = CONTROLLERS.iter().filter(|c| {
            let named = |list: &str| list.split_whitespace().any(|w| w == **c);
            named(&have) && !named(&on)
        });
        for controller in missing {
            let file = group.join("cgroup.subtree_control");
            write(&file, &format!("+{controller}")).at("cannot hand a controller down in", &file)?;
        }
    }
    Ok(())
}

pub(super) fn settings(l: &Limits) -> Vec<Setting> {
    let mut out = Vec::new();
    let mut put = |controller, file, value: Option<String>| {
        if let Some(value) = value {
            out.push(Setting::new(controller, file, value));
        }
    };
    let text = |n: Option<i64>| n.map(|n| n.to_string());
    put("memory", "memory.max", text(l.memory));
    put("memory", "memory.low", text(l.memory_reservation));
    put("cpu", "cpu.weight", l.cpu_shares.map(|s| weight(s).to_string()));
    if l.cpu_quota.is_some() || l.cpu_period.is_some() {
        let quota = l.cpu_quota.filter(|q| *q > 0).map_or("max".to_owned(), |q| q.to_string());
        put("cpu", "cpu.max", Some(format!("{quota} {}", l.cpu_period.unwrap_or(100_000))));
    }
    put("cpuset", "cpuset.cpus", l.cpuset_cpus.clone());
    put("cpuset", "cpuset.mems", l.cpuset_mems.clone());
    put("pids", "pids.max", text(l.pids));
    if let Some(swap) = swap_max(l) {
        out.push(Setting::new("memory", "memory.swap.max", swap).optional());
    }
    if let Some(weight) = l.blkio_weight {
        out.push(Setting::new("io", "io.bfq.weight", weight).optional());
        let wide = 1 + (u64::from(weight).saturating_sub(10)) * 9999 / 990;
        out.push(Setting::new("io", "io.weight", format!("default {wide}")).optional());
    }
    out.extend(l.weight_devices.iter().map(|d| Setting::new("io", "io.bfq.weight", d).optional()));
    for (list, key) in l.throttle.iter().zip(["rbps", "wbps", "riops", "wiops"]) {
        out.extend(list.iter().map(|t| Setting::new("io", "io.max", format!("{} {key}={}", t.device, t.rate))));
    }
    out
}

/// Version 2 counts swap alone.
fn swap_max(l: &Limits) -> Option<String> {
    match (l.memory_swap?, l.memory) {
        (-1, _) => Some("max".into()),
        (swap, Some(memory)) => Some((swap - memory).max(0).to_string()),
        (_, None) => None,
    }
}

/// Shares 2..=262144 to weight 1..=10000, as all runtimes convert them.
fn weight(shares: i64) -> i64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}
