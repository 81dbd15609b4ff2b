//! The portable half of a container's configuration (`Config`) and its network endpoints, complete as the API has them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Docker's `Config`. `Option` keeps null apart from empty where clients and image defaults tell them apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerConfig {
    pub hostname: String,
    pub domainname: String,
    pub user: String,
    pub attach_stdin: bool,
    pub attach_stdout: bool,
    pub attach_stderr: bool,
    /// `80/tcp` and the like.
    pub exposed_ports: BTreeSet<String>,
    pub tty: bool,
    pub open_stdin: bool,
    pub stdin_once: bool,
    /// `KEY=value`; a bare `KEY` removes the image's variable.
    pub env: Vec<String>,
    pub cmd: Option<Vec<String>>,
    pub healthcheck: Option<HealthConfig>,
    pub args_escaped: bool,
    /// The image reference as the client wrote it.
    pub image: String,
    pub volumes: BTreeSet<String>,
    pub working_dir: String,
    /// `None`: take the image's. `Some([])` or `Some([""])`: none at all.
    pub entrypoint: Option<Vec<String>>,
    pub network_disabled: bool,
    pub mac_address: Option<String>,
    pub on_build: Option<Vec<String>>,
    pub labels: BTreeMap<String, String>,
    pub stop_signal: Option<String>,
    /// Seconds; negative waits for ever.
    pub stop_timeout: Option<i64>,
    pub shell: Option<Vec<String>>,
}

/// Docker's `HealthConfig`; durations in nanoseconds, 0 inherits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HealthConfig {
    pub test: Vec<String>,
    pub interval: i64,
    pub timeout: i64,
    pub retries: i64,
    pub start_period: i64,
    pub start_interval: i64,
}

/// What a client asks of one network endpoint (`NetworkingConfig.EndpointsConfig[name]`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointConfig {
    pub ipv4_address: Option<Ipv4Addr>,
    pub ipv6_address: Option<Ipv6Addr>,
    pub link_local_ips: Vec<String>,
    pub links: Vec<String>,
    pub aliases: Vec<String>,
    pub mac_address: Option<String>,
    pub driver_opts: BTreeMap<String, String>,
    pub gw_priority: i64,
}
