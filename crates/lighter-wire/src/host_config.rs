//! `HostConfig` with `Resources` flattened into it, in requests and in `inspect`.

use crate::container_config::{no, zero};
use crate::decode::go_struct;
use std::collections::BTreeMap;

type Map<T> = BTreeMap<String, T>;

go_struct! {
    pub struct LogConfig as "container.LogConfig" {
        "Type" driver: String,
        "Config" config: Option<Map<String>>,
    }
}
go_struct! {
    pub struct PortBinding as "nat.PortBinding" {
        "HostIp" host_ip: String,
        "HostPort" host_port: String,
    }
}
go_struct! {
    pub struct RestartPolicy as "container.RestartPolicy" {
        "Name" name: String,
        "MaximumRetryCount" maximum_retry_count: i64,
    }
}
go_struct! {
    pub struct WeightDevice as "blkiodev.WeightDevice" {
        "Path" path: String,
        "Weight" weight: u16,
    }
}
go_struct! {
    pub struct ThrottleDevice as "blkiodev.ThrottleDevice" {
        "Path" path: String,
        "Rate" rate: u64,
    }
}
go_struct! {
    pub struct DeviceMapping as "container.DeviceMapping" {
        "PathOnHost" path_on_host: String,
        "PathInContainer" path_in_container: String,
        "CgroupPermissions" cgroup_permissions: String,
    }
}
go_struct! {
    pub struct DeviceRequest as "container.DeviceRequest" {
        "Driver" driver: String,
        "Count" count: i64,
        "DeviceIDs" device_ids: Option<Vec<String>>,
        "Capabilities" capabilities: Option<Vec<Vec<String>>>,
        "Options" options: Option<Map<String>>,
    }
}
go_struct! {
    pub struct Ulimit as "units.Ulimit" {
        "Name" name: String,
        "Hard" hard: i64,
        "Soft" soft: i64,
    }
}
go_struct! {
    pub struct BindOptions as "mount.BindOptions" {
        #[serde(skip_serializing_if = "String::is_empty")]
        "Propagation" propagation: String,
        #[serde(skip_serializing_if = "no")]
        "NonRecursive" non_recursive: bool,
        #[serde(skip_serializing_if = "no")]
        "CreateMountpoint" create_mountpoint: bool,
        #[serde(skip_serializing_if = "no")]
        "ReadOnlyNonRecursive" read_only_non_recursive: bool,
        #[serde(skip_serializing_if = "no")]
        "ReadOnlyForceRecursive" read_only_force_recursive: bool,
    }
}
go_struct! {
    pub struct VolumeDriver as "mount.Driver" {
        #[serde(skip_serializing_if = "String::is_empty")]
        "Name" name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        "Options" options: Option<Map<String>>,
    }
}
go_struct! {
    pub struct VolumeOptions as "mount.VolumeOptions" {
        #[serde(skip_serializing_if = "no")]
        "NoCopy" no_copy: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        "Labels" labels: Option<Map<String>>,
        #[serde(skip_serializing_if = "String::is_empty")]
        "Subpath" subpath: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        "DriverConfig" driver_config: Option<VolumeDriver>,
    }
}
go_struct! {
    pub struct ImageOptions as "mount.ImageOptions" {
        #[serde(skip_serializing_if = "String::is_empty")]
        "Subpath" subpath: String,
    }
}
go_struct! {
    pub struct TmpfsOptions as "mount.TmpfsOptions" {
        #[serde(skip_serializing_if = "zero")]
        "SizeBytes" size_bytes: i64,
        #[serde(skip_serializing_if = "is_default")]
        "Mode" mode: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        "Options" options: Option<Vec<Vec<String>>>,
    }
}
go_struct! {
    /// One of `HostConfig.Mounts`.
    pub struct Mount as "mount.Mount" {
        #[serde(skip_serializing_if = "String::is_empty")]
        "Type" mount_type: String,
        #[serde(skip_serializing_if = "String::is_empty")]
        "Source" source: String,
        #[serde(skip_serializing_if = "String::is_empty")]
        "Target" target: String,
        #[serde(skip_serializing_if = "no")]
        "ReadOnly" read_only: bool,
        #[serde(skip_serializing_if = "String::is_empty")]
        "Consistency" consistency: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        "BindOptions" bind_options: Option<BindOptions>,
        #[serde(skip_serializing_if = "Option::is_none")]
        "VolumeOptions" volume_options: Option<VolumeOptions>,
        #[serde(skip_serializing_if = "Option::is_none")]
        "ImageOptions" image_options: Option<ImageOptions>,
        #[serde(skip_serializing_if = "Option::is_none")]
        "TmpfsOptions" tmpfs_options: Option<TmpfsOptions>,
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

go_struct! {
    pub struct HostConfig as "container.HostConfig" {
        "Binds" binds: Option<Vec<String>>,
        "ContainerIDFile" container_id_file: String,
        "LogConfig" log_config: LogConfig,
        "NetworkMode" network_mode: String,
        "PortBindings" port_bindings: Option<Map<Option<Vec<PortBinding>>>>,
        "RestartPolicy" restart_policy: RestartPolicy,
        "AutoRemove" auto_remove: bool,
        "VolumeDriver" volume_driver: String,
        "VolumesFrom" volumes_from: Option<Vec<String>>,
        "ConsoleSize" console_size: [u32; 2],
        #[serde(skip_serializing_if = "Option::is_none")]
        "Annotations" annotations: Option<Map<String>>,
        "CapAdd" cap_add: Option<Vec<String>>,
        "CapDrop" cap_drop: Option<Vec<String>>,
        "CgroupnsMode" cgroupns_mode: String,
        "Dns" dns: Option<Vec<String>>,
        "DnsOptions" dns_options: Option<Vec<String>>,
        "DnsSearch" dns_search: Option<Vec<String>>,
        "ExtraHosts" extra_hosts: Option<Vec<String>>,
        "GroupAdd" group_add: Option<Vec<String>>,
        "IpcMode" ipc_mode: String,
        "Cgroup" cgroup: String,
        "Links" links: Option<Vec<String>>,
        "OomScoreAdj" oom_score_adj: i64,
        "PidMode" pid_mode: String,
        "Privileged" privileged: bool,
        "PublishAllPorts" publish_all_ports: bool,
        "ReadonlyRootfs" readonly_rootfs: bool,
        "SecurityOpt" security_opt: Option<Vec<String>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        "StorageOpt" storage_opt: Option<Map<String>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        "Tmpfs" tmpfs: Option<Map<String>>,
        "UTSMode" uts_mode: String,
        "UsernsMode" userns_mode: String,
        "ShmSize" shm_size: i64,
        #[serde(skip_serializing_if = "Option::is_none")]
        "Sysctls" sysctls: Option<Map<String>>,
        "Runtime" runtime: String,
        "Isolation" isolation: String,
        "CpuShares" cpu_shares: i64,
        "Memory" memory: i64,
        "NanoCpus" nano_cpus: i64,
        "CgroupParent" cgroup_parent: String,
        "BlkioWeight" blkio_weight: u16,
        "BlkioWeightDevice" blkio_weight_device: Option<Vec<WeightDevice>>,
        "BlkioDeviceReadBps" blkio_device_read_bps: Option<Vec<ThrottleDevice>>,
        "BlkioDeviceWriteBps" blkio_device_write_bps: Option<Vec<ThrottleDevice>>,
        "BlkioDeviceReadIOps" blkio_device_read_iops: Option<Vec<ThrottleDevice>>,
        "BlkioDeviceWriteIOps" blkio_device_write_iops: Option<Vec<ThrottleDevice>>,
        "CpuPeriod" cpu_period: i64,
        "CpuQuota" cpu_quota: i64,
        "CpuRealtimePeriod" cpu_realtime_period: i64,
        "CpuRealtimeRuntime" cpu_realtime_runtime: i64,
        "CpusetCpus" cpuset_cpus: String,
        "CpusetMems" cpuset_mems: String,
        "Devices" devices: Option<Vec<DeviceMapping>>,
        "DeviceCgroupRules" device_cgroup_rules: Option<Vec<String>>,
        "DeviceRequests" device_requests: Option<Vec<DeviceRequest>>,
        #[serde(skip_serializing_if = "zero")]
        "KernelMemory" kernel_memory: i64,
        #[serde(skip_serializing_if = "zero")]
        "KernelMemoryTCP" kernel_memory_tcp: i64,
        "MemoryReservation" memory_reservation: i64,
        "MemorySwap" memory_swap: i64,
        "MemorySwappiness" memory_swappiness: Option<i64>,
        "OomKillDisable" oom_kill_disable: Option<bool>,
        "PidsLimit" pids_limit: Option<i64>,
        "Ulimits" ulimits: Option<Vec<Ulimit>>,
        "CpuCount" cpu_count: i64,
        "CpuPercent" cpu_percent: i64,
        "IOMaximumIOps" io_maximum_iops: u64,
        "IOMaximumBandwidth" io_maximum_bandwidth: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        "Mounts" mounts: Option<Vec<Mount>>,
        "MaskedPaths" masked_paths: Option<Vec<String>>,
        "ReadonlyPaths" readonly_paths: Option<Vec<String>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        "Init" init: Option<bool>,
    }
}
