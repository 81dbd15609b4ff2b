//! Mirrors of the machine-dependent configuration (`HostConfig`), but for its mounts.

use super::{mirror, nested};
use lighter_domain::host_config::{
    DeviceMapping, DeviceRequest, HostConfig, LogConfig, Mount, PortBinding, RestartPolicy, RestartPolicyName, ThrottleDevice,
    Ulimit, WeightDevice,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

mirror! {
    HostConfig => HostConfigDef,
    WeightDevice => WeightDeviceDef,
    ThrottleDevice => ThrottleDeviceDef,
    DeviceMapping => DeviceMappingDef,
    DeviceRequest => DeviceRequestDef,
    Ulimit => UlimitDef,
    LogConfig => LogConfigDef,
    PortBinding => PortBindingDef,
    RestartPolicyName => RestartPolicyNameDef,
    RestartPolicy => RestartPolicyDef,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "HostConfig", rename_all = "camelCase", default = "Default::default")]
struct HostConfigDef {
    cpu_shares: i64,
    memory: i64,
    cgroup_parent: String,
    blkio_weight: u16,
    #[serde(with = "nested")]
    blkio_weight_device: Vec<WeightDevice>,
    #[serde(with = "nested")]
    blkio_device_read_bps: Vec<ThrottleDevice>,
    #[serde(with = "nested")]
    blkio_device_write_bps: Vec<ThrottleDevice>,
    #[serde(with = "nested")]
    blkio_device_read_iops: Vec<ThrottleDevice>,
    #[serde(with = "nested")]
    blkio_device_write_iops: Vec<ThrottleDevice>,
    cpu_period: i64,
    cpu_quota: i64,
    cpu_realtime_period: i64,
    cpu_realtime_runtime: i64,
    cpuset_cpus: String,
    cpuset_mems: String,
    #[serde(with = "nested")]
    devices: Vec<DeviceMapping>,
    device_cgroup_rules: Vec<String>,
    #[serde(with = "nested")]
    device_requests: Vec<DeviceRequest>,
    kernel_memory: i64,
    kernel_memory_tcp: i64,
    memory_reservation: i64,
    memory_swap: i64,
    memory_swappiness: Option<i64>,
    nano_cpus: i64,
    oom_kill_disable: Option<bool>,
    init: Option<bool>,
    pids_limit: Option<i64>,
    #[serde(with = "nested")]
    ulimits: Vec<Ulimit>,
    cpu_count: i64,
    cpu_percent: i64,
    io_maximum_iops: u64,
    io_maximum_bandwidth: u64,
    binds: Vec<String>,
    container_id_file: String,
    #[serde(with = "nested")]
    log_config: LogConfig,
    network_mode: String,
    #[serde(with = "nested")]
    port_bindings: BTreeMap<String, Vec<PortBinding>>,
    #[serde(with = "nested")]
    restart_policy: RestartPolicy,
    auto_remove: bool,
    volume_driver: String,
    volumes_from: Vec<String>,
    #[serde(with = "nested")]
    mounts: Vec<Mount>,
    console_size: Option<(u32, u32)>,
    annotations: BTreeMap<String, String>,
    cap_add: Option<Vec<String>>,
    cap_drop: Option<Vec<String>>,
    cgroupns_mode: String,
    dns: Vec<String>,
    dns_options: Vec<String>,
    dns_search: Vec<String>,
    extra_hosts: Vec<String>,
    group_add: Vec<String>,
    ipc_mode: String,
    cgroup: String,
    links: Vec<String>,
    oom_score_adj: i64,
    pid_mode: String,
    privileged: bool,
    publish_all_ports: bool,
    readonly_rootfs: bool,
    security_opt: Vec<String>,
    storage_opt: BTreeMap<String, String>,
    tmpfs: BTreeMap<String, String>,
    uts_mode: String,
    userns_mode: String,
    shm_size: i64,
    sysctls: BTreeMap<String, String>,
    runtime: String,
    isolation: String,
    masked_paths: Option<Vec<String>>,
    readonly_paths: Option<Vec<String>>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "WeightDevice", rename_all = "camelCase", default = "Default::default")]
struct WeightDeviceDef {
    path: String,
    weight: u16,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ThrottleDevice", rename_all = "camelCase", default = "Default::default")]
struct ThrottleDeviceDef {
    path: String,
    rate: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "DeviceMapping", rename_all = "camelCase", default = "Default::default")]
struct DeviceMappingDef {
    path_on_host: String,
    path_in_container: String,
    cgroup_permissions: String,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "DeviceRequest", rename_all = "camelCase", default = "Default::default")]
struct DeviceRequestDef {
    driver: String,
    count: i64,
    device_ids: Vec<String>,
    capabilities: Vec<Vec<String>>,
    options: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Ulimit", rename_all = "camelCase", default = "Default::default")]
struct UlimitDef {
    name: String,
    soft: i64,
    hard: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "LogConfig", rename_all = "camelCase", default = "Default::default")]
struct LogConfigDef {
    driver: String,
    options: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "PortBinding", rename_all = "camelCase", default = "Default::default")]
struct PortBindingDef {
    host_ip: String,
    host_port: String,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "RestartPolicyName", rename_all = "camelCase")]
enum RestartPolicyNameDef {
    Unset,
    No,
    Always,
    UnlessStopped,
    OnFailure,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "RestartPolicy", rename_all = "camelCase", default = "Default::default")]
struct RestartPolicyDef {
    #[serde(with = "nested")]
    name: RestartPolicyName,
    maximum_retry_count: i64,
}
