//! What an engine says of itself and of the machine below it, for `info`, `version` and the events' attributes.

/// Facts that do not change while the daemon runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description {
    /// `linux`, `memory`, ...
    pub name: &'static str,
    pub kernel_version: String,
    /// `Debian GNU/Linux 12 (bookworm)`
    pub operating_system: String,
    pub os_version: String,
    /// `linux`
    pub os_type: String,
    /// `x86_64`
    pub architecture: String,
    pub cpus: u32,
    /// Bytes.
    pub memory_total: u64,
    /// `overlay2`
    pub storage_driver: String,
    pub storage_status: Vec<(String, String)>,
    /// `cgroupfs`, `systemd`, `none`
    pub cgroup_driver: String,
    /// `1`, `2`
    pub cgroup_version: String,
    /// `name=seccomp,profile=builtin`
    pub security_options: Vec<String>,
    pub memory_limit: bool,
    pub swap_limit: bool,
    pub cpu_cfs: bool,
    pub cpu_shares: bool,
    pub cpuset: bool,
    pub pids_limit: bool,
    pub ipv4_forwarding: bool,
    /// The program behind `--init` and the runtime, with versions, for `version`.
    pub components: Vec<(String, String)>,
    /// Sentences for `docker info`: what this engine does not do.
    pub warnings: Vec<String>,
    pub registries: RegistryFacts,
}

/// How an engine talks to registries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistryFacts {
    /// In CIDR notation.
    pub insecure_networks: Vec<String>,
    /// `host[:port]`
    pub insecure_names: Vec<String>,
    /// Of Docker Hub.
    pub mirrors: Vec<String>,
    /// Proxies, without passwords; empty is none.
    pub http_proxy: String,
    pub https_proxy: String,
    pub no_proxy: String,
}
