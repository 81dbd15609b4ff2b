//! The configuration file: dockerd's `daemon.json`, as far as its keys mean the same here.
//!
//! A key that is not known, and a key that stands on the command line too, are refused in dockerd's words: nobody shall
//! believe in a setting that does nothing. Read once, by [`crate::config`].

use crate::config::{ConfigError, EngineChoice, LogFormat, LogLevel, Pool};
use crate::record_config::{PolicyFile, RetentionFile};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

/// Where it is looked for when no other is named.
pub const DEFAULT: &str = "/etc/lighter/daemon.json";
/// The longest file that is read, in bytes.
const MAX_SIZE: u64 = 1 << 20;

/// What the file may say. The names are the keys.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct ConfigFile {
    pub hosts: Vec<String>,
    pub data_root: Option<PathBuf>,
    pub exec_root: Option<PathBuf>,
    pub pidfile: Option<PathBuf>,
    pub log_level: Option<LogLevel>,
    pub log_format: Option<LogFormat>,
    pub debug: Option<bool>,
    pub group: Option<String>,
    pub engine: Option<EngineChoice>,
    pub bridge: Option<String>,
    pub bip: Option<String>,
    pub default_address_pools: Vec<Pool>,
    pub dns: Vec<String>,
    pub dns_opts: Vec<String>,
    pub dns_search: Vec<String>,
    pub live_restore: Option<bool>,
    pub log_driver: Option<String>,
    pub log_opts: BTreeMap<String, String>,
    pub shutdown_timeout: Option<i64>,
    pub engine_timeout: Option<u32>,
    pub record: Option<bool>,
    pub insecure_registries: Vec<String>,
    pub registry_mirrors: Vec<String>,
    pub max_concurrent_downloads: Option<usize>,
    pub max_concurrent_uploads: Option<usize>,
    pub max_download_attempts: Option<u32>,
    pub images: ImagesFile,
    pub proxies: ProxiesFile,
    pub policies: Vec<PolicyFile>,
    pub retention: RetentionFile,
}

/// dockerd's `proxies`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct ProxiesFile {
    pub http_proxy: Option<String>,
    pub https_proxy: Option<String>,
    pub no_proxy: Option<String>,
}

/// What becomes of images, in the style of dockerd's `builder`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ImagesFile {
    pub gc: GcFile,
}

/// When unused images are removed: `keepDuration` and `interval` as Go writes durations, `maxUsedSpace` as `20GB`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct GcFile {
    pub enabled: bool,
    pub keep_duration: Option<String>,
    pub max_used_space: Option<String>,
    pub interval: Option<String>,
}

const KEYS: [&str; 30] = [
    "hosts",
    "data-root",
    "exec-root",
    "pidfile",
    "log-level",
    "log-format",
    "debug",
    "group",
    "engine",
    "bridge",
    "bip",
    "default-address-pools",
    "dns",
    "dns-opts",
    "dns-search",
    "live-restore",
    "log-driver",
    "log-opts",
    "shutdown-timeout",
    "engine-timeout",
    "record",
    "insecure-registries",
    "registry-mirrors",
    "max-concurrent-downloads",
    "max-concurrent-uploads",
    "max-download-attempts",
    "images",
    "proxies",
    "policies",
    "retention",
];

/// Reads `path`; a missing file is an empty one unless it was asked for by name.
pub fn read(path: &Path, asked_for: bool, given: &[(&'static str, String)]) -> Result<ConfigFile, ConfigError> {
    let unreadable = |source| ConfigError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    match std::fs::File::open(path) {
        Ok(file) => {
            file.take(MAX_SIZE + 1).read_to_string(&mut text).map_err(unreadable)?;
        }
        Err(e) if e.kind() == ErrorKind::NotFound && !asked_for => return Ok(ConfigFile::default()),
        Err(e) => return Err(unreadable(e)),
    }
    if text.len() as u64 > MAX_SIZE {
        return Err(unreadable(std::io::Error::new(ErrorKind::FileTooLarge, "longer than 1 MiB")));
    }
    parse(&text, given).map_err(|source| ConfigError::File { path: path.to_owned(), source })
}

/// What is wrong inside the file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("it is not a JSON object of settings")]
    Json(#[source] serde_json::Error),
    #[error("the following directives don't match any configuration option: {0}")]
    Unknown(String),
    #[error("the following directives are specified both as a flag and in the configuration file: {0}")]
    Twice(String),
}

fn parse(text: &str, given: &[(&'static str, String)]) -> Result<ConfigFile, FileError> {
    if text.trim().is_empty() {
        return Ok(ConfigFile::default());
    }
    let settings: Map<String, Value> = serde_json::from_str(text).map_err(FileError::Json)?;
    let unknown: Vec<&str> = settings.keys().map(String::as_str).filter(|k| !KEYS.contains(k)).collect();
    if !unknown.is_empty() {
        return Err(FileError::Unknown(unknown.join(", ")));
    }
    let twice: Vec<String> = given
        .iter()
        .filter_map(|(key, flag)| {
            Some(format!(
                "{key}: (from flag: {flag}, from file: {})",
                plain(settings.get(*key).or_else(|| settings.get("proxies")?.get(*key))?)
            ))
        })
        .collect();
    if !twice.is_empty() {
        return Err(FileError::Twice(twice.join(", ")));
    }
    serde_json::from_value(Value::Object(settings)).map_err(FileError::Json)
}

/// A value as dockerd prints it in this message.
fn plain(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        Value::Array(all) => format!("[{}]", all.iter().map(plain).collect::<Vec<_>>().join(" ")),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_a_field() {
        let value = |key: &str| match key {
            "hosts"
            | "dns"
            | "dns-opts"
            | "dns-search"
            | "default-address-pools"
            | "insecure-registries"
            | "registry-mirrors"
            | "policies" => "[]",
            "debug" | "live-restore" | "record" => "true",
            "shutdown-timeout"
            | "engine-timeout"
            | "max-concurrent-downloads"
            | "max-concurrent-uploads"
            | "max-download-attempts" => "15",
            "log-opts" | "images" | "proxies" | "retention" => "{}",
            "log-level" => "\"warn\"",
            "log-format" => "\"json\"",
            "engine" => "\"memory\"",
            _ => "\"x\"",
        };
        for key in KEYS {
            parse(&format!("{{\"{key}\": {}}}", value(key)), &[]).unwrap_or_else(|e| panic!("{key}: {e:?}"));
        }
    }

    #[test]
    fn what_is_unknown_or_said_twice_is_refused_in_dockerds_words() {
        let error = parse(r#"{"tlsverify": true, "x": 1}"#, &[]).unwrap_err();
        assert_eq!(error.to_string(), "the following directives don't match any configuration option: tlsverify, x");
        let given = [("hosts", "[unix:///a]".to_owned()), ("debug", "true".to_owned())];
        let error = parse(r#"{"hosts": ["unix:///b", "fd://"], "debug": false}"#, &given).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the following directives are specified both as a flag and in the configuration file: \
             hosts: (from flag: [unix:///a], from file: [unix:///b fd://]), debug: (from flag: true, from file: false)"
        );
    }

    #[test]
    fn empty_is_fine_and_nonsense_is_not() {
        assert!(parse("  \n", &[]).unwrap().hosts.is_empty());
        for bad in
            ["[]", "{", "{\"hosts\": 3}", "{\"debug\": \"yes\"}", "{\"log-level\": \"loud\"}", "{\"shutdown-timeout\": 1e99}"]
        {
            assert!(matches!(parse(bad, &[]), Err(FileError::Json(_))), "{bad}");
        }
    }
}
