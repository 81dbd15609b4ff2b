//! `version`, `info`, `system df`, and the answer of every error.

use crate::container::Summary as ContainerSummary;
use crate::image::Summary as ImageSummary;
use crate::time::GoTime;
use crate::volume::Volume;
use serde::Serialize;
use std::collections::BTreeMap;

/// `ErrorResponse`.
#[derive(Debug, Serialize)]
pub struct ErrorResponse<'a> {
    pub message: &'a str,
}

/// `SystemVersion`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Version {
    pub platform: Platform,
    pub components: Vec<Component>,
    pub version: &'static str,
    pub api_version: &'static str,
    #[serde(rename = "MinAPIVersion")]
    pub min_api_version: &'static str,
    pub git_commit: &'static str,
    pub go_version: &'static str,
    pub os: String,
    pub arch: String,
    pub kernel_version: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub build_time: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Platform {
    pub name: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Component {
    pub name: String,
    pub version: String,
    pub details: BTreeMap<&'static str, String>,
}

/// `SystemInfo`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(clippy::struct_excessive_bools, reason = "Docker's shape")]
pub struct Info {
    #[serde(rename = "ID")]
    pub id: String,
    pub containers: usize,
    pub containers_running: usize,
    pub containers_paused: usize,
    pub containers_stopped: usize,
    pub images: usize,
    pub driver: String,
    pub driver_status: Vec<[String; 2]>,
    pub plugins: Plugins,
    pub memory_limit: bool,
    pub swap_limit: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_memory: Option<bool>,
    pub cpu_cfs_period: bool,
    pub cpu_cfs_quota: bool,
    #[serde(rename = "CPUShares")]
    pub cpu_shares: bool,
    #[serde(rename = "CPUSet")]
    pub cpu_set: bool,
    pub pids_limit: bool,
    #[serde(rename = "IPv4Forwarding")]
    pub ipv4_forwarding: bool,
    /// Before 1.50, where their absence makes old clients warn.
    #[serde(rename = "BridgeNfIptables", skip_serializing_if = "Option::is_none")]
    pub bridge_nf_iptables: Option<bool>,
    #[serde(rename = "BridgeNfIp6tables", skip_serializing_if = "Option::is_none")]
    pub bridge_nf_ip6tables: Option<bool>,
    pub debug: bool,
    pub n_fd: usize,
    pub oom_kill_disable: bool,
    pub n_goroutines: usize,
    pub system_time: GoTime,
    pub logging_driver: String,
    pub cgroup_driver: String,
    pub cgroup_version: String,
    pub n_events_listener: usize,
    pub kernel_version: String,
    pub operating_system: String,
    #[serde(rename = "OSVersion")]
    pub os_version: String,
    #[serde(rename = "OSType")]
    pub os_type: String,
    pub architecture: String,
    pub index_server_address: &'static str,
    pub registry_config: RegistryConfig,
    #[serde(rename = "NCPU")]
    pub n_cpu: u32,
    pub mem_total: u64,
    pub generic_resources: Option<Vec<String>>,
    pub docker_root_dir: String,
    pub http_proxy: String,
    pub https_proxy: String,
    pub no_proxy: String,
    pub name: String,
    pub labels: Vec<String>,
    pub experimental_build: bool,
    pub server_version: &'static str,
    pub runtimes: BTreeMap<String, Runtime>,
    pub default_runtime: String,
    pub swarm: Swarm,
    pub live_restore_enabled: bool,
    pub isolation: &'static str,
    pub init_binary: &'static str,
    pub containerd_commit: Commit,
    pub runc_commit: Commit,
    pub init_commit: Commit,
    pub security_options: Vec<String>,
    #[serde(rename = "CDISpecDirs")]
    pub cdi_spec_dirs: Vec<String>,
    pub warnings: Option<Vec<String>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Plugins {
    pub volume: Vec<&'static str>,
    pub network: Vec<&'static str>,
    pub authorization: Option<Vec<String>>,
    pub log: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RegistryConfig {
    pub index_configs: BTreeMap<String, Index>,
    #[serde(rename = "InsecureRegistryCIDRs")]
    pub insecure_registry_cidrs: Vec<String>,
    pub mirrors: Option<Vec<String>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Index {
    pub mirrors: Vec<String>,
    pub name: String,
    pub official: bool,
    pub secure: bool,
}

#[derive(Debug, Serialize)]
pub struct Runtime {
    pub path: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Swarm {
    #[serde(rename = "NodeID")]
    pub node_id: &'static str,
    pub node_addr: &'static str,
    pub local_node_state: &'static str,
    pub control_available: bool,
    pub error: &'static str,
    pub remote_managers: Option<Vec<String>>,
}

#[derive(Debug, Serialize)]
pub struct Commit {
    #[serde(rename = "ID")]
    pub id: String,
}

/// `SystemDataUsageResponse`: up to 1.52 the first five, from 1.52 on the others.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DataUsage<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<Vec<ImageSummary<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub containers: Option<Vec<ContainerSummary<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volumes: Option<Vec<Volume<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_cache: Option<Vec<Volume<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_usage: Option<Usage<ImageSummary<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_usage: Option<Usage<ContainerSummary<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_usage: Option<Usage<Volume<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_cache_usage: Option<Usage<Volume<'a>>>,
}

/// `ImagesDiskUsage` and its like.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Usage<T> {
    pub active_count: u64,
    pub total_count: u64,
    /// Bytes.
    pub reclaimable: u64,
    /// Bytes.
    pub total_size: u64,
    /// Only when asked for with `verbose`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<Vec<T>>,
}

/// `BuildPruneResponse`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct BuildPruned {
    pub caches_deleted: Option<Vec<String>>,
    pub space_reclaimed: u64,
}
