//! What the core is told by `lighterd`.

use crate::gc::GcPolicy;
use lighter_domain::host_config::LogConfig;
use lighter_store::{Keep, MetricsRetention, Retention};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct CoreConfig {
    pub data_root: PathBuf,
    pub debug: bool,
    /// Whether requests are recorded. Off only for measuring.
    pub record: bool,
    /// How often new log lines of running containers are copied into the store.
    pub log_index_interval: Duration,
    /// Lines that one look at a container's log takes at most; by the interval, what is kept up with: 62,500 a second.
    pub log_index_lines: u64,
    /// How often it is noted what running containers use; zero is never.
    pub metrics_interval: Duration,
    /// How long a client waits for the engine before it is told so.
    pub engine_timeout: Duration,
    /// What is kept of records that grow with use, and how often they are looked at. The first time is at the start.
    pub retention: Retention,
    pub prune_interval: Duration,
    /// The same of pipelines that are over: with them go the containers of their steps, and their workspaces.
    pub pipelines: Keep,
    /// What containers that say nothing get.
    pub defaults: ContainerDefaults,
    pub gc: GcConfig,
}

/// Whether and when unused images are removed by themselves. Off by default.
#[derive(Debug, Clone)]
pub struct GcConfig {
    pub enabled: bool,
    pub policy: GcPolicy,
    /// How often.
    pub interval: Duration,
}

impl Default for GcConfig {
    fn default() -> Self {
        Self { enabled: false, policy: GcPolicy::default(), interval: Duration::from_secs(3600) }
    }
}

/// The daemon's own settings for containers: `--log-driver`, `--log-opt`, `--dns` and its relatives.
#[derive(Debug, Clone, Default)]
pub struct ContainerDefaults {
    /// An empty driver is `json-file`.
    pub log: LogConfig,
    pub dns: Vec<String>,
    pub dns_options: Vec<String>,
    pub dns_search: Vec<String>,
}

impl CoreConfig {
    pub fn new(data_root: PathBuf) -> Self {
        Self {
            data_root,
            debug: false,
            record: true,
            log_index_interval: Duration::from_secs(2),
            log_index_lines: 125_000,
            metrics_interval: Duration::from_secs(10),
            engine_timeout: Duration::from_secs(60),
            retention: Retention {
                events: Keep::rows(100_000),
                shim_events: Keep::rows(100_000),
                orphan_logs: Keep::rows(50_000),
                image_pulls: Keep::rows(10_000),
                metrics: MetricsRetention::default(),
                log_lines: Keep { rows: Some(500_000), age: Some(Duration::from_secs(14 * 24 * 3600)) },
            },
            prune_interval: Duration::from_secs(600),
            pipelines: Keep { rows: Some(1000), age: Some(Duration::from_secs(30 * 24 * 3600)) },
            defaults: ContainerDefaults::default(),
            gc: GcConfig::default(),
        }
    }
}
