//! Limits: what dockerd refuses of them, in its words.

use super::{Machine, Notes};
use crate::cgroup::check_device_rule;
use lighter_domain::host_config::{HostConfig, WeightDevice};
use lighter_domain::{Error, Result};
use std::path::Path;

/// The least that a container can be started in.
const MIN_MEMORY: i64 = 6 << 20;

pub(super) fn check(host: &HostConfig, machine: &Machine, notes: &mut Notes) -> Result<()> {
    memory(host, machine, notes)?;
    cpu(host, machine, notes)?;
    cpuset("cpus", &host.cpuset_cpus)?;
    cpuset("mems", &host.cpuset_mems)?;
    if host.blkio_weight != 0 && !(10..=1000).contains(&host.blkio_weight) {
        return Err(Error::invalid("Range of blkio weight is from 10 to 1000"));
    }
    let weight = "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.";
    notes.warn(host.blkio_weight != 0 && !machine.io_weights, "HostConfig.BlkioWeight", weight);
    let weight = "Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device discarded.";
    let weighed = |d: &WeightDevice| machine.io_weights && weighs_device(&d.path);
    let in_vain = !host.blkio_weight_device.iter().all(weighed);
    notes.warn(in_vain, "HostConfig.BlkioWeightDevice", weight);
    if !machine.pids {
        let sentence = "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.";
        notes.warn(host.pids_limit.is_some_and(|p| p > 0), "HostConfig.PidsLimit", sentence);
    }
    for rule in &host.device_cgroup_rules {
        check_device_rule(rule)?;
    }
    for device in &host.devices {
        if device.cgroup_permissions.chars().any(|c| !"rwm".contains(c)) {
            return Err(Error::invalid(format!("invalid device mode: {}", device.cgroup_permissions)));
        }
    }
    Ok(())
}

/// Whether this block device's scheduler knows weights. One that is not there is refused at the start, as by dockerd.
fn weighs_device(path: &str) -> bool {
    rustix::fs::stat(path).is_ok_and(|s| {
        let (major, minor) = (rustix::fs::major(s.st_rdev), rustix::fs::minor(s.st_rdev));
        crate::cgroup::weighs(Path::new(&format!("/sys/dev/block/{major}:{minor}/queue/scheduler")))
    })
}

fn memory(host: &HostConfig, machine: &Machine, notes: &mut Notes) -> Result<()> {
    let invalid = |text: &str| Err(Error::invalid(text));
    let (memory, swap) = (host.memory, host.memory_swap);
    if memory != 0 && memory < MIN_MEMORY {
        return invalid("Minimum memory limit allowed is 6MB");
    }
    if memory > 0 && swap > 0 && swap < memory {
        return invalid("Minimum memoryswap limit should be larger than memory limit, see usage");
    }
    if memory == 0 && swap > 0 {
        return invalid("You should always set the Memory limit when using Memoryswap limit, see usage");
    }
    if let Some(swappiness) = host.memory_swappiness.filter(|s| *s != -1)
        && !(0..=100).contains(&swappiness)
    {
        return Err(Error::invalid(format!("Invalid value: {swappiness}, valid memory swappiness range is 0-100")));
    }
    if host.memory_reservation != 0 && host.memory_reservation < MIN_MEMORY {
        return invalid("Minimum memory reservation allowed is 6MB");
    }
    if memory > 0 && host.memory_reservation > memory {
        return invalid("Minimum memory limit can not be less than memory reservation limit, see usage");
    }
    let no_limit = "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.";
    notes.warn(memory > 0 && !machine.memory_limit, "HostConfig.Memory", no_limit);
    let no_swap =
        "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.";
    notes.warn(memory > 0 && swap > 0 && !machine.swap_limit, "HostConfig.MemorySwap", no_swap);
    let swappiness = host.memory_swappiness.is_some_and(|s| s != -1) && machine.unified;
    notes.leave_out(swappiness, "HostConfig.MemorySwappiness", "version 2 control groups have no swappiness");
    let oom = host.oom_kill_disable == Some(true);
    notes.leave_out(
        oom && machine.unified,
        "HostConfig.OomKillDisable",
        "version 2 control groups cannot disable the OOM killer",
    );
    if oom && memory == 0 && !machine.unified {
        notes.0.warnings.push(
            "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out \
             of resources."
                .to_owned(),
        );
    }
    Ok(())
}

fn cpu(host: &HostConfig, machine: &Machine, notes: &mut Notes) -> Result<()> {
    let invalid = |text: &str| Err(Error::invalid(text));
    if host.nano_cpus != 0 {
        if host.cpu_quota > 0 {
            return invalid("Conflicting options: Nano CPUs and CPU Quota cannot both be set.");
        }
        if host.cpu_period > 0 {
            return invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set.");
        }
        if host.nano_cpus < 0 || host.nano_cpus > i64::from(machine.cpus) * 1_000_000_000 {
            let n = machine.cpus;
            let text = format!("range of CPUs is from 0.01 to {n}.00, as there are only {n} CPUs available");
            return Err(Error::invalid(text));
        }
    }
    if host.cpu_shares < 0 {
        return Err(Error::invalid(format!("invalid CPU shares ({}): value must be a positive integer", host.cpu_shares)));
    }
    if host.cpu_period != 0 && !(1000..=1_000_000).contains(&host.cpu_period) {
        return invalid("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
    }
    if host.cpu_quota > 0 && host.cpu_quota < 1000 {
        return invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)");
    }
    if host.cpu_realtime_runtime > 0 && host.cpu_realtime_runtime > host.cpu_realtime_period && host.cpu_realtime_period > 0 {
        return invalid("cpu real-time runtime cannot be higher than cpu real-time period");
    }
    let realtime = host.cpu_realtime_period != 0 || host.cpu_realtime_runtime != 0;
    notes.leave_out(
        realtime && machine.unified,
        "HostConfig.CpuRealtimePeriod",
        "version 2 control groups have no real-time share",
    );
    let asked = host.nano_cpus != 0 || host.cpu_quota > 0 || host.cpu_shares > 0 || host.cpu_period > 0;
    let sentence = "Your kernel does not support CPU limits or the cgroup is not mounted. CPU limits discarded.";
    notes.warn(asked && !machine.cpu, "HostConfig.NanoCpus", sentence);
    Ok(())
}

/// `0-2,5`
fn cpuset(what: &str, list: &str) -> Result<()> {
    let number = |s: &str| s.parse::<u16>().ok();
    let fine = |part: &str| match part.split_once('-') {
        Some((a, b)) => number(a).zip(number(b)).is_some_and(|(a, b)| a <= b),
        None => number(part).is_some(),
    };
    if list.is_empty() || list.split(',').all(fine) {
        return Ok(());
    }
    Err(Error::invalid(format!("Invalid value {list} for cpuset {what}")))
}
