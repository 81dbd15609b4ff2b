//! The machine-dependent half of a container's configuration (`HostConfig`, with `Resources` flattened as the API does).

use std::collections::BTreeMap;

/// Paths that are hidden from a container, unless it is privileged or says otherwise.
pub const MASKED_PATHS: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Paths that a container can only read, unless it is privileged or says otherwise.
pub const READONLY_PATHS: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Docker's `HostConfig`. Sizes in bytes; `0` and `None` mean what they mean in the API.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostConfig {
    // Resources
    pub cpu_shares: i64,
    pub memory: i64,
    pub cgroup_parent: String,
    pub blkio_weight: u16,
    pub blkio_weight_device: Vec<WeightDevice>,
    pub blkio_device_read_bps: Vec<ThrottleDevice>,
    pub blkio_device_write_bps: Vec<ThrottleDevice>,
    pub blkio_device_read_iops: Vec<ThrottleDevice>,
    pub blkio_device_write_iops: Vec<ThrottleDevice>,
    pub cpu_period: i64,
    pub cpu_quota: i64,
    pub cpu_realtime_period: i64,
    pub cpu_realtime_runtime: i64,
    pub cpuset_cpus: String,
    pub cpuset_mems: String,
    pub devices: Vec<DeviceMapping>,
    pub device_cgroup_rules: Vec<String>,
    pub device_requests: Vec<DeviceRequest>,
    pub kernel_memory: i64,
    pub kernel_memory_tcp: i64,
    pub memory_reservation: i64,
    /// -1: unlimited; 0: twice `memory`.
    pub memory_swap: i64,
    pub memory_swappiness: Option<i64>,
    /// Billionths of a CPU.
    pub nano_cpus: i64,
    pub oom_kill_disable: Option<bool>,
    pub init: Option<bool>,
    /// `None`, 0 and negative: unlimited.
    pub pids_limit: Option<i64>,
    pub ulimits: Vec<Ulimit>,
    pub cpu_count: i64,
    pub cpu_percent: i64,
    pub io_maximum_iops: u64,
    pub io_maximum_bandwidth: u64,
    // HostConfig proper
    pub binds: Vec<String>,
    pub container_id_file: String,
    pub log_config: LogConfig,
    /// `default`, `bridge`, `none`, `host`, `container:<id>` or a network's name.
    pub network_mode: String,
    /// `80/tcp` -> where it is published.
    pub port_bindings: BTreeMap<String, Vec<PortBinding>>,
    pub restart_policy: RestartPolicy,
    pub auto_remove: bool,
    pub volume_driver: String,
    pub volumes_from: Vec<String>,
    pub mounts: Vec<Mount>,
    /// Height, width.
    pub console_size: Option<(u32, u32)>,
    pub annotations: BTreeMap<String, String>,
    pub cap_add: Option<Vec<String>>,
    pub cap_drop: Option<Vec<String>>,
    pub cgroupns_mode: String,
    pub dns: Vec<String>,
    pub dns_options: Vec<String>,
    pub dns_search: Vec<String>,
    pub extra_hosts: Vec<String>,
    pub group_add: Vec<String>,
    pub ipc_mode: String,
    pub cgroup: String,
    pub links: Vec<String>,
    pub oom_score_adj: i64,
    pub pid_mode: String,
    pub privileged: bool,
    pub publish_all_ports: bool,
    pub readonly_rootfs: bool,
    pub security_opt: Vec<String>,
    pub storage_opt: BTreeMap<String, String>,
    /// Mount point -> options.
    pub tmpfs: BTreeMap<String, String>,
    pub uts_mode: String,
    pub userns_mode: String,
    pub shm_size: i64,
    pub sysctls: BTreeMap<String, String>,
    pub runtime: String,
    pub isolation: String,
    /// `None`: the defaults; `Some([])`: none (`systempaths=unconfined`).
    pub masked_paths: Option<Vec<String>>,
    pub readonly_paths: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WeightDevice {
    pub path: String,
    pub weight: u16,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThrottleDevice {
    pub path: String,
    /// Bytes or operations a second.
    pub rate: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceMapping {
    pub path_on_host: String,
    pub path_in_container: String,
    /// A subset of `rwm`.
    pub cgroup_permissions: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceRequest {
    pub driver: String,
    pub count: i64,
    pub device_ids: Vec<String>,
    pub capabilities: Vec<Vec<String>>,
    pub options: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ulimit {
    pub name: String,
    pub soft: i64,
    pub hard: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogConfig {
    /// `json-file` when empty.
    pub driver: String,
    pub options: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PortBinding {
    pub host_ip: String,
    pub host_port: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RestartPolicyName {
    /// Sent as "": the same as `No`, but given back as it was sent.
    #[default]
    Unset,
    No,
    Always,
    UnlessStopped,
    OnFailure,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestartPolicy {
    pub name: RestartPolicyName,
    pub maximum_retry_count: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountType {
    Bind,
    Volume,
    Tmpfs,
    Image,
    Npipe,
    Cluster,
}

/// One `HostConfig.Mounts` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    pub mount_type: MountType,
    pub source: String,
    pub target: String,
    pub read_only: bool,
    pub consistency: String,
    pub bind: Option<BindOptions>,
    pub volume: Option<VolumeOptions>,
    pub image: Option<ImageOptions>,
    pub tmpfs: Option<TmpfsOptions>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BindOptions {
    pub propagation: String,
    pub non_recursive: bool,
    pub create_mountpoint: bool,
    pub read_only_non_recursive: bool,
    pub read_only_force_recursive: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeOptions {
    pub no_copy: bool,
    pub labels: BTreeMap<String, String>,
    pub driver_name: String,
    pub driver_options: BTreeMap<String, String>,
    pub subpath: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageOptions {
    pub subpath: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TmpfsOptions {
    pub size_bytes: i64,
    /// Unix mode bits, 0 for the default 1777.
    pub mode: u32,
    pub options: Vec<Vec<String>>,
}
