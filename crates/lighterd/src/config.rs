//! What the daemon runs with: flags, configuration file and defaults put together, and checked once.
//!
//! `main` makes it before anything else happens; the other modules take the parts they need.

use crate::config_file::{self, ConfigFile, FileError};
use crate::flags::Flags;
use crate::record_config::RecordConfig;
use clap::ValueEnum;
use lighter_core::{GcConfig, GcPolicy};
use lighter_wire::human;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// A checked configuration.
#[derive(Debug)]
pub struct Config {
    /// Never empty.
    pub hosts: Vec<Host>,
    pub data_root: PathBuf,
    pub exec_root: PathBuf,
    pub pidfile: Option<PathBuf>,
    pub log_level: LogLevel,
    pub log_format: LogFormat,
    pub group: Group,
    pub engine: EngineChoice,
    pub network: Network,
    pub registry: Registry,
    pub log_driver: String,
    pub log_opts: BTreeMap<String, String>,
    /// How long requests may take to end after SIGTERM.
    pub shutdown_timeout: Duration,
    /// How long a client waits for the engine.
    pub engine_timeout: Duration,
    pub record: bool,
    pub image_gc: GcConfig,
    pub kept: RecordConfig,
    /// Sentences for the log, once there is one.
    pub warnings: Vec<String>,
}

/// The same, of registries. `None`: the engine's default.
#[derive(Debug, Default)]
pub struct Registry {
    pub insecure: Vec<String>,
    pub mirrors: Vec<String>,
    /// Empty: not said.
    pub proxies: Proxies,
    pub max_downloads: Option<usize>,
    pub max_uploads: Option<usize>,
    pub max_attempts: Option<u32>,
    /// Beside the configuration file, as dockerd has it.
    pub certs_dir: PathBuf,
}

/// See `--http-proxy`.
#[derive(Debug, Default)]
pub struct Proxies {
    pub http: String,
    pub https: String,
    pub exempt: String,
}

/// The parts that only the Linux engine has a use for.
#[derive(Debug, Default)]
pub struct Network {
    pub bridge: Option<String>,
    pub bip: Option<String>,
    pub default_address_pools: Vec<Pool>,
    pub dns: Vec<String>,
    pub dns_opts: Vec<String>,
    pub dns_search: Vec<String>,
}

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    Unix(PathBuf),
    /// The sockets that systemd hands over.
    Activation,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Activation => f.write_str("fd://"),
        }
    }
}

/// Who may use the socket beside its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Group {
    /// Must exist.
    Named(String),
    /// `docker`, if there is one.
    Default,
    Nobody,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineChoice {
    Auto,
    Linux,
    Memory,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

macro_rules! display_as_flag {
    ($($type:ty),+) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.to_possible_value().as_ref().map_or("", |v| v.get_name()))
            }
        }
    )+};
}
display_as_flag!(EngineChoice, LogLevel, LogFormat);

/// `base=10.0.0.0/8,size=24`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// CIDR.
    pub base: String,
    /// Prefix length of the networks cut from it.
    pub size: u8,
}

impl FromStr for Pool {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let (mut base, mut size) = (None, None);
        for part in s.split(',') {
            match part.split_once('=') {
                Some(("base", value)) => base = Some(value.to_owned()),
                Some(("size", value)) => size = Some(value.parse().map_err(|e| format!("invalid size \"{value}\": {e}"))?),
                _ => return Err(format!("\"{part}\" is not base=CIDR or size=BITS")),
            }
        }
        match (base, size) {
            (Some(base), Some(size)) => Ok(Self { base, size }),
            _ => Err("it needs base=CIDR and size=BITS".to_owned()),
        }
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "base={},size={}", self.base, self.size)
    }
}

/// Why the daemon cannot be configured.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("images.gc.{key}: {value:?} is not valid")]
    ImageGc { key: &'static str, value: String },
    #[error("images.gc is enabled, but has neither keepDuration nor maxUsedSpace")]
    ImageGcUnbound,
    #[error("the policy for {host:?} is not valid: {why}")]
    Policy { host: String, why: String },
    #[error("retention.{key}: {value:?} is not valid")]
    Retention { key: &'static str, value: String },
    #[error("unable to read the configuration file {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("unable to configure the daemon with file {}", path.display())]
    File { path: PathBuf, source: FileError },
    #[error("invalid address \"{0}\": lighterd listens on unix:///absolute/path and fd:// only")]
    Host(String),
    #[error("invalid log option \"{0}\": it must be KEY=VALUE")]
    LogOpt(String),
    #[error("the log driver \"{0}\" is not supported: there are journald, json-file, local, none and syslog")]
    LogDriver(String),
    #[error("the shutdown timeout must not be negative")]
    ShutdownTimeout,
    #[error("{what} \"{}\" is not an absolute path", path.display())]
    Relative { what: &'static str, path: PathBuf },
    #[error("no home directory to keep data in: give --data-root and --exec-root")]
    Homeless,
}

impl Config {
    /// Puts everything together. `root`: whether the defaults of the superuser apply.
    pub fn new(flags: Flags, root: bool) -> Result<Self, ConfigError> {
        let path = flags.config_file.clone().unwrap_or_else(|| config_file::DEFAULT.into());
        let file = config_file::read(&path, flags.config_file.is_some(), &flags.given())?;
        let mut config = Self::merge(flags, file, root)?;
        config.registry.certs_dir = path.with_file_name("certs.d");
        Ok(config)
    }

    fn merge(flags: Flags, file: ConfigFile, root: bool) -> Result<Self, ConfigError> {
        let mut warnings = Vec::new();
        if flags.live_restore.or(file.live_restore) == Some(false) {
            warnings.push("live-restore=false has no effect: containers always outlive the daemon".to_owned());
        }
        let data_root = absolute("the data root", flags.data_root.or(file.data_root), || Home::of(root).map(|h| h.data))?;
        let exec_root = absolute("the exec root", flags.exec_root.or(file.exec_root), || Home::of(root).map(|h| h.exec))?;
        let hosts: Vec<String> = either(flags.hosts, file.hosts);
        let hosts = match hosts.as_slice() {
            [] => vec![Host::Unix(Home::of(root)?.exec.join("docker.sock"))],
            some => some.iter().map(|h| host(h)).collect::<Result<_, _>>()?,
        };
        let log_driver = flags.log_driver.or(file.log_driver).unwrap_or_else(|| "json-file".to_owned());
        if !matches!(log_driver.as_str(), "journald" | "json-file" | "local" | "none" | "syslog") {
            return Err(ConfigError::LogDriver(log_driver));
        }
        let debug = flags.debug.or(file.debug).unwrap_or(false);
        let level = flags.log_level.or(file.log_level).unwrap_or(LogLevel::Info);
        let seconds = flags.shutdown_timeout.or(file.shutdown_timeout).unwrap_or(15);
        Ok(Self {
            hosts,
            data_root,
            exec_root,
            pidfile: flags.pidfile.or(file.pidfile),
            log_level: if debug { LogLevel::Debug } else { level },
            log_format: flags.log_format.or(file.log_format).unwrap_or(LogFormat::Text),
            group: match flags.group.or(file.group) {
                None => Group::Default,
                Some(name) if name.is_empty() => Group::Nobody,
                Some(name) => Group::Named(name),
            },
            engine: flags.engine.or(file.engine).unwrap_or(EngineChoice::Auto),
            network: Network {
                bridge: flags.bridge.or(file.bridge),
                bip: flags.bip.or(file.bip),
                default_address_pools: either(flags.default_address_pools, file.default_address_pools),
                dns: either(flags.dns, file.dns),
                dns_opts: either(flags.dns_opts, file.dns_opts),
                dns_search: either(flags.dns_search, file.dns_search),
            },
            registry: Registry {
                insecure: either(flags.insecure_registries, file.insecure_registries),
                mirrors: either(flags.registry_mirrors, file.registry_mirrors),
                proxies: Proxies {
                    http: flags.http_proxy.or(file.proxies.http_proxy).unwrap_or_default(),
                    https: flags.https_proxy.or(file.proxies.https_proxy).unwrap_or_default(),
                    exempt: flags.no_proxy.or(file.proxies.no_proxy).unwrap_or_default(),
                },
                max_downloads: flags.max_concurrent_downloads.or(file.max_concurrent_downloads),
                max_uploads: flags.max_concurrent_uploads.or(file.max_concurrent_uploads),
                max_attempts: flags.max_download_attempts.or(file.max_download_attempts),
                certs_dir: PathBuf::new(),
            },
            log_driver,
            log_opts: log_opts(flags.log_opts, file.log_opts)?,
            shutdown_timeout: u64::try_from(seconds).map(Duration::from_secs).map_err(|_| ConfigError::ShutdownTimeout)?,
            engine_timeout: Duration::from_secs(flags.engine_timeout.or(file.engine_timeout).unwrap_or(60).max(1).into()),
            record: flags.record.or(file.record).unwrap_or(true),
            image_gc: image_gc(file.images.gc)?,
            kept: RecordConfig::new(file.policies, file.retention)?,
            warnings,
        })
    }
}

/// Where things are when nobody says.
struct Home {
    data: PathBuf,
    exec: PathBuf,
}

impl Home {
    fn of(root: bool) -> Result<Self, ConfigError> {
        if root {
            return Ok(Self { data: "/var/lib/lighter".into(), exec: "/run/lighter".into() });
        }
        let dir = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
        let data = dir("XDG_DATA_HOME").or_else(|| dir("HOME").map(|h| h.join(".local/share")));
        let data = data.ok_or(ConfigError::Homeless)?.join("lighter");
        let exec = dir("XDG_RUNTIME_DIR").map_or_else(|| data.join("run"), |d| d.join("lighter"));
        Ok(Self { data, exec })
    }
}

fn absolute(
    what: &'static str,
    given: Option<PathBuf>,
    default: impl FnOnce() -> Result<PathBuf, ConfigError>,
) -> Result<PathBuf, ConfigError> {
    let path = given.map_or_else(default, Ok)?;
    if path.is_absolute() { Ok(path) } else { Err(ConfigError::Relative { what, path }) }
}

/// The command line and the file never both have it: that was refused.
fn either<T>(flags: Vec<T>, file: Vec<T>) -> Vec<T> {
    if flags.is_empty() { file } else { flags }
}

fn host(raw: &str) -> Result<Host, ConfigError> {
    let bad = || ConfigError::Host(raw.to_owned());
    match raw.split_once("://").ok_or_else(bad)? {
        ("unix", path) if Path::new(path).is_absolute() && !path.ends_with('/') => Ok(Host::Unix(path.into())),
        ("fd", "" | "*") => Ok(Host::Activation),
        _ => Err(bad()),
    }
}

/// Without a bound it would do nothing, and with one but not enabled, too: what is said shall have an effect.
fn image_gc(file: config_file::GcFile) -> Result<GcConfig, ConfigError> {
    let config_file::GcFile { enabled, keep_duration, max_used_space, interval } = file;
    let bad = |key: &'static str, value: &str| ConfigError::ImageGc { key, value: value.to_owned() };
    let span = |key, value: Option<String>| value.map(|v| human::span(&v).ok_or_else(|| bad(key, &v))).transpose();
    let size = |key, value: Option<String>| value.map(|v| human::bytes(&v).ok_or_else(|| bad(key, &v))).transpose();
    let policy =
        GcPolicy { keep_duration: span("keepDuration", keep_duration)?, max_used_space: size("maxUsedSpace", max_used_space)? };
    if enabled && policy == GcPolicy::default() {
        return Err(ConfigError::ImageGcUnbound);
    }
    let interval = span("interval", interval)?.unwrap_or(GcConfig::default().interval);
    if interval.is_zero() {
        return Err(bad("interval", "0"));
    }
    Ok(GcConfig { enabled, policy, interval })
}

fn log_opts(flags: Vec<String>, file: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, ConfigError> {
    if flags.is_empty() {
        return Ok(file);
    }
    flags
        .into_iter()
        .map(|opt| match opt.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(ConfigError::LogOpt(opt)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn merge(argv: &[&str], file: &str) -> Result<Config, ConfigError> {
        let flags = Flags::try_parse_from(std::iter::once(&"lighterd").chain(argv)).unwrap();
        Config::merge(flags, serde_json::from_str(file).unwrap(), true)
    }

    #[test]
    fn defaults() {
        let config = merge(&[], "{}").unwrap();
        assert_eq!(config.hosts, [Host::Unix("/run/lighter/docker.sock".into())]);
        assert_eq!(config.data_root, Path::new("/var/lib/lighter"));
        assert_eq!(config.exec_root, Path::new("/run/lighter"));
        assert_eq!((config.log_level, config.engine), (LogLevel::Info, EngineChoice::Auto));
        assert_eq!(config.group, Group::Default);
        assert!(config.record);
        assert_eq!(config.pidfile, None);
        assert_eq!(config.shutdown_timeout, Duration::from_secs(15));
    }

    #[test]
    fn all_spellings_of_flags() {
        let argv = "-H unix:///a --host fd:// -D -l warn -p /x.pid -G wheel -b br0 --bip 10.9.0.1/24 --default-address-pool \
                    base=10.0.0.0/8,size=24 --log-opt max-size=1m --log-opt max-file=3 --record=false --live-restore=false \
                    --engine memory --log-format json --shutdown-timeout 0";
        let config = merge(&argv.split_whitespace().collect::<Vec<_>>(), "{}").unwrap();
        assert_eq!(config.hosts, [Host::Unix("/a".into()), Host::Activation]);
        assert_eq!(config.log_level, LogLevel::Debug);
        assert_eq!(config.group, Group::Named("wheel".into()));
        assert_eq!(config.network.default_address_pools, [Pool { base: "10.0.0.0/8".into(), size: 24 }]);
        assert_eq!(config.log_opts.get("max-file").map(String::as_str), Some("3"));
        assert!(!config.record);
        assert_eq!(config.warnings.len(), 1);
        assert_eq!(config.engine, EngineChoice::Memory);
    }

    #[test]
    fn the_file_says_the_same() {
        let file = r#"{"hosts": ["unix:///b"], "data-root": "/d", "log-level": "error", "group": "",
            "default-address-pools": [{"base": "10.1.0.0/16", "size": 20}], "log-opts": {"max-size": "5m"}, "debug": false}"#;
        let config = merge(&[], file).unwrap();
        assert_eq!(config.hosts, [Host::Unix("/b".into())]);
        assert_eq!(config.data_root, Path::new("/d"));
        assert_eq!(config.log_level, LogLevel::Error);
        assert_eq!(config.group, Group::Nobody);
        assert_eq!(config.network.default_address_pools[0].size, 20);
    }

    #[test]
    fn collection_of_images() {
        assert!(!merge(&[], "{}").unwrap().image_gc.enabled);
        let file = r#"{"images": {"gc": {"enabled": true, "keepDuration": "168h", "maxUsedSpace": "20GB", "interval": "10m"}}}"#;
        let gc = merge(&[], file).unwrap().image_gc;
        assert!(gc.enabled);
        assert_eq!(gc.policy.keep_duration, Some(Duration::from_secs(168 * 3600)));
        assert_eq!((gc.policy.max_used_space, gc.interval), (Some(20 << 30), Duration::from_secs(600)));
        for bad in [r#"{"enabled": true}"#, r#"{"keepDuration": "1"}"#, r#"{"maxUsedSpace": "-1"}"#, r#"{"interval": "0s"}"#] {
            let file = format!(r#"{{"images": {{"gc": {bad}}}}}"#);
            assert!(merge(&[], &file).is_err(), "{bad}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for host in ["tcp://0.0.0.0:2375", "/run/x.sock", "unix://relative", "unix:///", "fd://3", ""] {
            assert!(matches!(merge(&["-H", host], "{}"), Err(ConfigError::Host(_))), "{host}");
        }
        assert!(matches!(merge(&["--data-root", "x"], "{}"), Err(ConfigError::Relative { .. })));
        assert!(matches!(merge(&["--log-driver", "gelf"], "{}"), Err(ConfigError::LogDriver(_))));
        assert!(matches!(merge(&["--log-opt", "x"], "{}"), Err(ConfigError::LogOpt(_))));
        assert!(matches!(merge(&["--shutdown-timeout", "-1"], "{}"), Err(ConfigError::ShutdownTimeout)));
        for bad in ["base=1", "size=3", "base=1.0.0.0/8,size=x", "", "foo=1"] {
            assert!(bad.parse::<Pool>().is_err(), "{bad}");
        }
    }
}
