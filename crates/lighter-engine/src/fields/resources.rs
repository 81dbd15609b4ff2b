//! `Resources`: the part of `HostConfig` that limits.

use super::{Decision, Field, ignored, runs};

/// Limits that only Windows has.
const WINDOWS: Decision = Decision::Warned("only Windows has this limit");

pub(super) const FIELDS: &[Field] = &[
    runs("HostConfig.CpuShares", "-c", |c| c.host_config.cpu_shares != 0),
    runs("HostConfig.Memory", "-m", |c| c.host_config.memory != 0),
    runs("HostConfig.CgroupParent", "--cgroup-parent", |c| !c.host_config.cgroup_parent.is_empty()),
    runs("HostConfig.BlkioWeight", "--blkio-weight", |c| c.host_config.blkio_weight != 0)
        .remark("a warning where the kernel has no weights"),
    runs("HostConfig.BlkioWeightDevice", "--blkio-weight-device", |c| !c.host_config.blkio_weight_device.is_empty())
        .parts(&["Path", "Weight"])
        .remark("a warning where the kernel has no weights"),
    runs("HostConfig.BlkioDeviceReadBps", "--device-read-bps", |c| !c.host_config.blkio_device_read_bps.is_empty())
        .parts(&["Path", "Rate"]),
    runs("HostConfig.BlkioDeviceWriteBps", "--device-write-bps", |c| !c.host_config.blkio_device_write_bps.is_empty())
        .parts(&["Path", "Rate"]),
    runs("HostConfig.BlkioDeviceReadIOps", "--device-read-iops", |c| !c.host_config.blkio_device_read_iops.is_empty())
        .parts(&["Path", "Rate"]),
    runs("HostConfig.BlkioDeviceWriteIOps", "--device-write-iops", |c| !c.host_config.blkio_device_write_iops.is_empty())
        .parts(&["Path", "Rate"]),
    runs("HostConfig.CpuPeriod", "--cpu-period", |c| c.host_config.cpu_period != 0),
    runs("HostConfig.CpuQuota", "--cpu-quota", |c| c.host_config.cpu_quota != 0),
    runs("HostConfig.CpuRealtimePeriod", "--cpu-rt-period", |c| c.host_config.cpu_realtime_period != 0)
        .remark("cgroup v1; a warning on v2"),
    runs("HostConfig.CpuRealtimeRuntime", "--cpu-rt-runtime", |c| c.host_config.cpu_realtime_runtime != 0)
        .remark("cgroup v1; a warning on v2"),
    runs("HostConfig.CpusetCpus", "--cpuset-cpus", |c| !c.host_config.cpuset_cpus.is_empty()),
    runs("HostConfig.CpusetMems", "--cpuset-mems", |c| !c.host_config.cpuset_mems.is_empty()),
    runs("HostConfig.Devices", "--device", |c| !c.host_config.devices.is_empty()).parts(&[
        "PathOnHost",
        "PathInContainer",
        "CgroupPermissions",
    ]),
    runs("HostConfig.DeviceCgroupRules", "--device-cgroup-rule", |c| !c.host_config.device_cgroup_rules.is_empty()),
    runs("HostConfig.DeviceRequests", "--gpus", |c| !c.host_config.device_requests.is_empty())
        .parts(&["Driver", "Count", "DeviceIDs", "Capabilities", "Options"])
        .stated(Decision::NotYet("device drivers, such as that for GPUs")),
    runs("HostConfig.MemoryReservation", "--memory-reservation", |c| c.host_config.memory_reservation != 0),
    runs("HostConfig.MemorySwap", "--memory-swap", |c| c.host_config.memory == 0 && c.host_config.memory_swap != 0),
    runs("HostConfig.MemorySwappiness", "--memory-swappiness", |c| c.host_config.memory_swappiness.is_some_and(|s| s != -1))
        .remark("cgroup v1; a warning on v2"),
    runs("HostConfig.NanoCpus", "--cpus", |c| c.host_config.nano_cpus != 0),
    runs("HostConfig.OomKillDisable", "--oom-kill-disable", |c| c.host_config.oom_kill_disable == Some(true))
        .remark("cgroup v1; a warning on v2"),
    runs("HostConfig.Init", "--init", |c| c.host_config.init == Some(true)),
    runs("HostConfig.PidsLimit", "--pids-limit", |c| c.host_config.pids_limit.is_some_and(|p| p > 0)),
    runs("HostConfig.Ulimits", "--ulimit", |c| !c.host_config.ulimits.is_empty()).parts(&["Name", "Soft", "Hard"]),
    runs("HostConfig.CpuCount", "", |c| c.host_config.cpu_count != 0).decided(WINDOWS),
    runs("HostConfig.CpuPercent", "", |c| c.host_config.cpu_percent != 0)
        .decided(Decision::Discarded("linux does not support CPU percent. Percent discarded.")),
    runs("HostConfig.IOMaximumIOps", "", |c| c.host_config.io_maximum_iops != 0)
        .decided(Decision::Refused("invalid option: QoS maximum IOPs configuration is not supported on linux")),
    runs("HostConfig.IOMaximumBandwidth", "", |c| c.host_config.io_maximum_bandwidth != 0)
        .decided(Decision::Refused("invalid option: QoS maximum bandwidth configuration is not supported on linux")),
    // Of older clients.
    ignored("HostConfig.KernelMemory", "--kernel-memory", "the kernel withdrew it, and so did the API"),
    ignored("HostConfig.KernelMemoryTCP", "", "the kernel withdrew it, and so did the API"),
];
