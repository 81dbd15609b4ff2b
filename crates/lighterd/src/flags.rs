//! The command line, with dockerd's own names wherever they mean the same.
//!
//! Nothing has a default here: [`crate::config`] must know what was given, for a setting may stand on the command line or in
//! the configuration file, not in both.

use crate::config::{EngineChoice, LogFormat, LogLevel, Pool};
use clap::{ArgAction, Parser};
use std::path::PathBuf;

/// Speaks the Docker Engine API on a Unix socket and runs containers on the engine of this machine.
#[derive(Debug, Default, Parser)]
#[command(name = "lighterd", version, disable_version_flag = true, args_override_self = true)]
pub struct Flags {
    /// Where to listen: unix:///path, or fd:// for sockets from systemd or launchd. Repeatable.
    #[arg(short = 'H', long = "host", value_name = "ADDRESS")]
    pub hosts: Vec<String>,
    /// Where images, containers and the database are kept [default: /var/lib/lighter]
    #[arg(long, value_name = "DIR")]
    pub data_root: Option<PathBuf>,
    /// Where the state of running containers is kept [default: /run/lighter]
    #[arg(long, value_name = "DIR")]
    pub exec_root: Option<PathBuf>,
    /// JSON with the same settings [default: /etc/lighter/daemon.json, if it is there]
    #[arg(long, value_name = "FILE")]
    pub config_file: Option<PathBuf>,
    /// Write the process id here
    #[arg(short = 'p', long, value_name = "FILE")]
    pub pidfile: Option<PathBuf>,
    /// What is worth a line [default: info]
    #[arg(short = 'l', long, value_name = "LEVEL")]
    pub log_level: Option<LogLevel>,
    /// How log lines look [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// The same as --log-level debug
    #[arg(short = 'D', long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub debug: Option<bool>,
    /// The group that may use the socket [default: docker, if there is one]
    #[arg(short = 'G', long, value_name = "GROUP")]
    pub group: Option<String>,
    /// What runs the containers [default: auto]
    #[arg(long, value_name = "ENGINE")]
    pub engine: Option<EngineChoice>,
    /// The default bridge's interface
    #[arg(short = 'b', long, value_name = "NAME")]
    pub bridge: Option<String>,
    /// The default bridge's address and network (CIDR)
    #[arg(long, value_name = "CIDR")]
    pub bip: Option<String>,
    /// Networks to choose from: base=10.0.0.0/8,size=24. Repeatable.
    #[arg(long = "default-address-pool", value_name = "POOL")]
    pub default_address_pools: Vec<Pool>,
    /// Name servers of containers. Repeatable.
    #[arg(long, value_name = "ADDRESS")]
    pub dns: Vec<String>,
    /// Resolver options of containers. Repeatable.
    #[arg(long = "dns-opt", value_name = "OPTION")]
    pub dns_opts: Vec<String>,
    /// Search domains of containers. Repeatable.
    #[arg(long, value_name = "DOMAIN")]
    pub dns_search: Vec<String>,
    /// Containers always outlive the daemon; taken for dockerd's sake
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub live_restore: Option<bool>,
    /// How containers' output is kept [default: json-file]
    #[arg(long, value_name = "DRIVER")]
    pub log_driver: Option<String>,
    /// Options of the log driver (max-size=10m). Repeatable.
    #[arg(long = "log-opt", value_name = "KEY=VALUE")]
    pub log_opts: Vec<String>,
    /// Seconds for requests to end after SIGTERM [default: 15]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub shutdown_timeout: Option<i64>,
    /// Seconds for the engine to answer, before the client is told 504 [default: 60]
    #[arg(long, value_name = "SECONDS")]
    pub engine_timeout: Option<u32>,
    /// Whether each request is recorded in the database [default: true]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub record: Option<bool>,
    /// A registry that need not prove who it is: HOST[:PORT] or CIDR. Repeatable.
    #[arg(long = "insecure-registry", value_name = "REGISTRY")]
    pub insecure_registries: Vec<String>,
    /// Asked before Docker Hub: http[s]://HOST. Repeatable.
    #[arg(long = "registry-mirror", value_name = "URL")]
    pub registry_mirrors: Vec<String>,
    /// On the way to registries over HTTP [default: $HTTP_PROXY]
    #[arg(long, value_name = "URL")]
    pub http_proxy: Option<String>,
    /// The same over HTTPS [default: $HTTPS_PROXY]
    #[arg(long, value_name = "URL")]
    pub https_proxy: Option<String>,
    /// What is reached without a proxy: hosts, domains, networks [default: $NO_PROXY]
    #[arg(long, value_name = "LIST")]
    pub no_proxy: Option<String>,
    /// Layers downloaded at the same time [default: 3]
    #[arg(long, value_name = "N")]
    pub max_concurrent_downloads: Option<usize>,
    /// Layers uploaded at the same time [default: 5]
    #[arg(long, value_name = "N")]
    pub max_concurrent_uploads: Option<usize>,
    /// How often a download is tried [default: 5]
    #[arg(long, value_name = "N")]
    pub max_download_attempts: Option<u32>,
    /// Print the version and quit
    #[arg(short = 'v', long, action = ArgAction::Version)]
    pub version: Option<bool>,
}

impl Flags {
    /// What was given, by its name in the configuration file, as text for messages.
    pub fn given(&self) -> Vec<(&'static str, String)> {
        fn one<T: ToString>(value: Option<&T>) -> Option<String> {
            value.map(ToString::to_string)
        }
        fn many<T: ToString>(values: &[T]) -> Option<String> {
            let all: Vec<String> = values.iter().map(ToString::to_string).collect();
            (!all.is_empty()).then(|| format!("[{}]", all.join(" ")))
        }
        fn path(value: Option<&PathBuf>) -> Option<String> {
            value.map(|p| p.display().to_string())
        }
        let Self {
            hosts,
            data_root,
            exec_root,
            config_file: _,
            pidfile,
            log_level,
            log_format,
            debug,
            group,
            engine,
            bridge,
            bip,
            default_address_pools,
            dns,
            dns_opts,
            dns_search,
            live_restore,
            log_driver,
            log_opts,
            shutdown_timeout,
            engine_timeout,
            record,
            insecure_registries,
            registry_mirrors,
            http_proxy,
            https_proxy,
            no_proxy,
            max_concurrent_downloads,
            max_concurrent_uploads,
            max_download_attempts,
            version: _,
        } = self;
        let all = [
            ("hosts", many(hosts)),
            ("data-root", path(data_root.as_ref())),
            ("exec-root", path(exec_root.as_ref())),
            ("pidfile", path(pidfile.as_ref())),
            ("log-level", one(log_level.as_ref())),
            ("log-format", one(log_format.as_ref())),
            ("debug", one(debug.as_ref())),
            ("group", one(group.as_ref())),
            ("engine", one(engine.as_ref())),
            ("bridge", one(bridge.as_ref())),
            ("bip", one(bip.as_ref())),
            ("default-address-pools", many(default_address_pools)),
            ("dns", many(dns)),
            ("dns-opts", many(dns_opts)),
            ("dns-search", many(dns_search)),
            ("live-restore", one(live_restore.as_ref())),
            ("log-driver", one(log_driver.as_ref())),
            ("log-opts", many(log_opts)),
            ("shutdown-timeout", one(shutdown_timeout.as_ref())),
            ("engine-timeout", one(engine_timeout.as_ref())),
            ("record", one(record.as_ref())),
            ("insecure-registries", many(insecure_registries)),
            ("registry-mirrors", many(registry_mirrors)),
            ("http-proxy", one(http_proxy.as_ref())),
            ("https-proxy", one(https_proxy.as_ref())),
            ("no-proxy", one(no_proxy.as_ref())),
            ("max-concurrent-downloads", one(max_concurrent_downloads.as_ref())),
            ("max-concurrent-uploads", one(max_concurrent_uploads.as_ref())),
            ("max-download-attempts", one(max_download_attempts.as_ref())),
        ];
        all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    }
}
