//! The resource limits of a container, read from `HostConfig` once and put into the kernel's terms.

use crate::spec::devices::Device;
use lighter_domain::host_config::{HostConfig, ThrottleDevice};
use lighter_domain::{Error, Result};
use rustix::fs::{major, minor, stat};

/// The period that `--cpus` is turned into a quota of, in microseconds.
const PERIOD: i64 = 100_000;

/// Tasks that a container needs while it is being made (helper, intermediate, init). On version 1 the group that counts them
/// is joined when that is over; on version 2, where there is but one group, a smaller limit is set when the program runs.
pub(crate) const LEAST_PIDS: i64 = 3;

/// Rules that every container has: no device but these can be opened; any may be made.
pub(crate) const DEVICE_RULES: [&str; 11] = [
    "c *:* m",
    "b *:* m",
    "c 1:3 rwm",
    "c 1:5 rwm",
    "c 1:7 rwm",
    "c 1:8 rwm",
    "c 1:9 rwm",
    "c 5:0 rwm",
    "c 5:1 rwm",
    "c 5:2 rwm",
    "c 136:* rwm",
];

/// Everything in bytes, microseconds or counts; `None`: not limited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    pub memory: Option<i64>,
    /// Memory and swap together; -1: without bound.
    pub memory_swap: Option<i64>,
    pub memory_reservation: Option<i64>,
    pub swappiness: Option<i64>,
    pub oom_kill_disable: bool,
    pub cpu_shares: Option<i64>,
    pub cpu_period: Option<i64>,
    pub cpu_quota: Option<i64>,
    pub cpu_rt_period: Option<i64>,
    pub cpu_rt_runtime: Option<i64>,
    pub cpuset_cpus: Option<String>,
    pub cpuset_mems: Option<String>,
    pub pids: Option<i64>,
    pub blkio_weight: Option<u16>,
    /// `8:0 1000`, for read and write, bytes and operations a second.
    pub throttle: [Vec<Throttle>; 4],
    /// `8:0 500`
    pub weight_devices: Vec<String>,
    /// `None`: every device; else the lines of the allow list.
    pub devices: Option<Vec<String>>,
}

/// A rate for one block device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Throttle {
    /// `8:0`
    pub device: String,
    pub rate: u64,
}

impl Limits {
    /// Fails when a named block device does not exist.
    pub(crate) fn of(host: &HostConfig, devices: &[Device]) -> Result<Self> {
        let positive = |n: i64| (n > 0).then_some(n);
        let text = |s: &String| Some(s.clone()).filter(|s| !s.is_empty());
        let (period, quota) = match positive(host.nano_cpus) {
            Some(nano) => (Some(PERIOD), Some(nano.saturating_mul(PERIOD) / 1_000_000_000)),
            None => (positive(host.cpu_period), Some(host.cpu_quota).filter(|q| *q != 0)),
        };
        let memory = positive(host.memory);
        let rates = |list: &[ThrottleDevice]| {
            let one = |t: &ThrottleDevice| Ok(Throttle { device: number(&t.path)?, rate: t.rate });
            list.iter().map(one).collect::<Result<Vec<_>>>()
        };
        let weights = host.blkio_weight_device.iter().map(|w| Ok(format!("{} {}", number(&w.path)?, w.weight)));
        Ok(Self {
            memory,
            memory_swap: match (memory, host.memory_swap) {
                (Some(m), 0) => Some(m.saturating_mul(2)),
                (_, 0) => None,
                (_, swap) => Some(swap),
            },
            memory_reservation: positive(host.memory_reservation),
            swappiness: host.memory_swappiness.filter(|s| *s >= 0),
            oom_kill_disable: host.oom_kill_disable == Some(true),
            cpu_shares: positive(host.cpu_shares),
            cpu_period: period,
            cpu_quota: quota,
            cpu_rt_period: positive(host.cpu_realtime_period),
            cpu_rt_runtime: positive(host.cpu_realtime_runtime),
            cpuset_cpus: text(&host.cpuset_cpus),
            cpuset_mems: text(&host.cpuset_mems),
            pids: host.pids_limit.filter(|p| *p > 0),
            blkio_weight: Some(host.blkio_weight).filter(|w| *w > 0),
            throttle: [
                rates(&host.blkio_device_read_bps)?,
                rates(&host.blkio_device_write_bps)?,
                rates(&host.blkio_device_read_iops)?,
                rates(&host.blkio_device_write_iops)?,
            ],
            weight_devices: weights.collect::<Result<_>>()?,
            devices: (!host.privileged).then(|| device_rules(host, devices)),
        })
    }
}

fn device_rules(host: &HostConfig, devices: &[Device]) -> Vec<String> {
    let fixed = DEVICE_RULES.iter().map(ToString::to_string);
    fixed.chain(devices.iter().map(Device::rule)).chain(host.device_cgroup_rules.iter().cloned()).collect()
}

/// `8:0` of a device node.
fn number(path: &str) -> Result<String> {
    let stat = stat(path).map_err(|e| Error::invalid(format!("no such device: {path}: {e}")))?;
    Ok(format!("{}:{}", major(stat.st_rdev), minor(stat.st_rdev)))
}
