//! What a daemon decides about its Linux engine. Filled in by `lighterd` from flags and configuration file.

use lighter_network::BridgeConfig;
use lighter_registry::RegistryConfig;
use std::path::{Path, PathBuf};

/// Settings of a [`crate::LinuxEngine`].
#[derive(Debug, Clone)]
pub struct LinuxConfig {
    /// Images, writable layers, logs: what outlives a reboot.
    pub data_root: PathBuf,
    /// Run directories of containers: what does not.
    pub exec_root: PathBuf,
    /// The default bridge.
    pub bridge: BridgeConfig,
    /// The program that holds a container: `lighter-supervisor`.
    pub supervisor: PathBuf,
    /// The program behind `--init`; containers that ask for it are refused when it is missing.
    pub init: PathBuf,
    /// Which registries may be insecure, mirrors, limits of transfers.
    pub registry: RegistryConfig,
    /// The control group under which the containers' groups are: `lighter`. Daemons that run side by side need
    /// different ones.
    pub cgroup_parent: String,
}

impl LinuxConfig {
    /// The usual settings: helper programs beside the running one, bridge `lighter0`, control group `lighter`.
    pub fn new(data_root: impl Into<PathBuf>, exec_root: impl Into<PathBuf>) -> Self {
        let data_root = data_root.into();
        let beside = std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned)).unwrap_or_default();
        Self {
            bridge: BridgeConfig::new(data_root.join("network")),
            data_root,
            exec_root: exec_root.into(),
            supervisor: beside.join("lighter-supervisor"),
            init: beside.join("lighter-init"),
            registry: RegistryConfig::default(),
            cgroup_parent: "lighter".into(),
        }
    }
}
