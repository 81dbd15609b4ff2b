//! What the container operations answer. The list borrows from the containers: it is written for a thousand at a time.

use crate::container_config::Config;
use crate::host_config::{HostConfig, PortBinding};
use crate::network::EndpointSettings;
use crate::time::GoTime;
use serde::Serialize;
use std::collections::BTreeMap;

/// `ContainerCreateResponse`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Created {
    pub id: String,
    /// `[]`, never null.
    pub warnings: Vec<String>,
}

/// `ContainerWaitResponse`; `Error` only when there is one.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Waited {
    pub status_code: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<WaitError>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct WaitError {
    pub message: String,
}

/// `ContainerUpdateResponse`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Updated {
    /// Null when there are none.
    pub warnings: Option<Vec<String>>,
}

/// `ContainerPruneResponse`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Pruned {
    /// Null when there were none.
    pub containers_deleted: Option<Vec<String>>,
    pub space_reclaimed: u64,
}

/// `ContainerSummary`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Summary<'a> {
    pub id: &'a str,
    pub names: [String; 1],
    pub image: &'a str,
    #[serde(rename = "ImageID")]
    pub image_id: &'a str,
    pub command: String,
    /// Unix seconds.
    pub created: i64,
    pub ports: Vec<Port<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_rw: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_root_fs: Option<u64>,
    pub labels: &'a BTreeMap<String, String>,
    pub state: &'a str,
    pub status: String,
    /// From 1.52 on, where there is a health check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<SummaryHealth>,
    pub host_config: SummaryHostConfig<'a>,
    pub network_settings: SummaryNetworks<'a>,
    pub mounts: Vec<MountPoint<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SummaryHealth {
    pub status: &'static str,
    pub failing_streak: u32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SummaryHostConfig<'a> {
    pub network_mode: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<&'a BTreeMap<String, String>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SummaryNetworks<'a> {
    pub networks: BTreeMap<&'a str, EndpointSettings>,
}

/// `PortSummary`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Port<'a> {
    #[serde(rename = "IP", skip_serializing_if = "Option::is_none")]
    pub ip: Option<&'a str>,
    pub private_port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_port: Option<u16>,
    #[serde(rename = "Type")]
    pub protocol: &'a str,
}

/// `MountPoint`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct MountPoint<'a> {
    #[serde(rename = "Type")]
    pub kind: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub name: &'a str,
    pub source: &'a str,
    pub destination: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub driver: &'a str,
    pub mode: &'a str,
    #[serde(rename = "RW")]
    pub rw: bool,
    pub propagation: &'a str,
}

/// `ContainerInspectResponse`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Inspect<'a> {
    pub id: &'a str,
    pub created: GoTime,
    pub path: &'a str,
    pub args: &'a [String],
    pub state: State<'a>,
    pub image: &'a str,
    pub resolv_conf_path: &'a str,
    pub hostname_path: &'a str,
    pub hosts_path: &'a str,
    pub log_path: &'a str,
    pub name: String,
    pub restart_count: u32,
    pub driver: &'a str,
    pub platform: &'a str,
    pub mount_label: &'a str,
    pub process_label: &'a str,
    pub app_armor_profile: &'a str,
    /// Null when there are none.
    #[serde(rename = "ExecIDs")]
    pub exec_ids: Option<&'a [String]>,
    pub host_config: HostConfig,
    pub graph_driver: GraphDriver<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_rw: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_root_fs: Option<u64>,
    pub mounts: Vec<MountPoint<'a>>,
    pub config: Config,
    pub network_settings: NetworkSettings<'a>,
}

/// `ContainerState`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(clippy::struct_excessive_bools, reason = "Docker's shape")]
pub struct State<'a> {
    pub status: &'a str,
    pub running: bool,
    pub paused: bool,
    pub restarting: bool,
    #[serde(rename = "OOMKilled")]
    pub oom_killed: bool,
    pub dead: bool,
    pub pid: u32,
    pub exit_code: i32,
    pub error: &'a str,
    pub started_at: GoTime,
    pub finished_at: GoTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health<'a>>,
}

/// `Health`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Health<'a> {
    pub status: &'static str,
    pub failing_streak: u32,
    /// `[]`, never null.
    pub log: Vec<HealthcheckResult<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct HealthcheckResult<'a> {
    pub start: GoTime,
    pub end: GoTime,
    pub exit_code: i32,
    pub output: &'a str,
}

/// `DriverData`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GraphDriver<'a> {
    pub data: Option<&'a BTreeMap<String, String>>,
    pub name: &'a str,
}

/// `NetworkSettings`: what stands in it for every client, and what went away with 1.52.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct NetworkSettings<'a> {
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub legacy: Option<LegacyNetworkSettings>,
    #[serde(rename = "SandboxID")]
    pub sandbox_id: &'a str,
    pub sandbox_key: &'a str,
    /// Null for a port that is exposed but not published.
    pub ports: BTreeMap<&'a str, Option<Vec<PortBinding>>>,
    pub networks: BTreeMap<&'a str, EndpointSettings>,
}

/// The address on the default bridge, repeated at the top, and fields that have not had a value for years.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct LegacyNetworkSettings {
    pub bridge: &'static str,
    pub hairpin_mode: bool,
    #[serde(rename = "LinkLocalIPv6Address")]
    pub link_local_ipv6_address: &'static str,
    #[serde(rename = "LinkLocalIPv6PrefixLen")]
    pub link_local_ipv6_prefix_len: i64,
    #[serde(rename = "SecondaryIPAddresses")]
    pub secondary_ip_addresses: Option<Vec<String>>,
    #[serde(rename = "SecondaryIPv6Addresses")]
    pub secondary_ipv6_addresses: Option<Vec<String>>,
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    pub gateway: String,
    #[serde(rename = "GlobalIPv6Address")]
    pub global_ipv6_address: String,
    #[serde(rename = "GlobalIPv6PrefixLen")]
    pub global_ipv6_prefix_len: i64,
    #[serde(rename = "IPAddress")]
    pub ip_address: String,
    #[serde(rename = "IPPrefixLen")]
    pub ip_prefix_len: i64,
    #[serde(rename = "IPv6Gateway")]
    pub ipv6_gateway: String,
    pub mac_address: String,
}
