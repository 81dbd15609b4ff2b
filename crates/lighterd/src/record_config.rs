//! Settings that dockerd has not: sockets with a policy, what is kept of the record, how often containers are looked at. They
//! stand in the configuration file alone.

use crate::config::ConfigError;
use lighter_api::Policy;
use lighter_core::CoreConfig;
use lighter_store::{Keep, MetricsRetention, Retention};
use lighter_wire::human;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// A socket beside the main ones, and what may be asked on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySocket {
    pub path: PathBuf,
    pub group: Option<String>,
    pub policy: Policy,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PolicyFile {
    /// `unix:///path`
    pub host: String,
    #[serde(default)]
    pub group: Option<String>,
    #[serde(default)]
    pub read_only: bool,
    #[serde(default)]
    pub stack: Option<String>,
    #[serde(default)]
    pub operations: Option<Vec<String>>,
}

/// Rows and age; what is not said stays as it is without a file, and 0 rows or no time at all is no bound.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeepFile {
    pub rows: Option<u64>,
    pub age: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsFile {
    /// Zero: never.
    pub interval: Option<String>,
    pub full: Option<String>,
    pub minutes: Option<String>,
    pub age: Option<String>,
    /// Of those that are gone.
    pub containers: Option<u64>,
}

/// What is kept.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct RetentionFile {
    pub events: KeepFile,
    pub requests: KeepFile,
    pub logs: KeepFile,
    /// The newest lines of each container that is gone (`containerLogs`).
    pub last_lines: KeepFile,
    pub pulls: KeepFile,
    pub pipelines: KeepFile,
    pub metrics: MetricsFile,
}

/// A checked one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordConfig {
    pub policies: Vec<PolicySocket>,
    pub retention: Retention,
    pub pipelines: Keep,
    pub metrics_interval: Duration,
}

impl RecordConfig {
    pub fn new(policies: Vec<PolicyFile>, file: RetentionFile) -> Result<Self, ConfigError> {
        let defaults = CoreConfig::new(PathBuf::new());
        let before = defaults.retention;
        let RetentionFile { events, requests, logs, last_lines, pulls, pipelines, metrics } = file;
        let MetricsFile { interval, full, minutes, age, containers } = metrics;
        let span = |key, text: Option<String>, default| text.map_or(Ok(default), |text| span(key, &text));
        let kept = before.metrics;
        let metrics = MetricsRetention {
            full: span("metrics.full", full, kept.full)?,
            minutes: span("metrics.minutes", minutes, kept.minutes)?,
            age: span("metrics.age", age, kept.age)?,
            containers: containers.map_or(kept.containers, |n| (n > 0).then_some(n)),
        };
        if metrics.full > metrics.minutes || metrics.minutes > metrics.age {
            return Err(ConfigError::Retention {
                key: "metrics",
                value: "full, minutes and age must not be shorter than one another".into(),
            });
        }
        Ok(Self {
            policies: policies.into_iter().map(policy).collect::<Result<_, _>>()?,
            pipelines: keep("pipelines", pipelines, defaults.pipelines)?,
            metrics_interval: span("metrics.interval", interval, defaults.metrics_interval)?,
            retention: Retention {
                events: keep("events", events, before.events)?,
                shim_events: keep("requests", requests, before.shim_events)?,
                log_lines: keep("logs", logs, before.log_lines)?,
                orphan_logs: keep("last-lines", last_lines, before.orphan_logs)?,
                image_pulls: keep("pulls", pulls, before.image_pulls)?,
                metrics,
            },
        })
    }
}

fn span(key: &'static str, text: &str) -> Result<Duration, ConfigError> {
    human::span(text).ok_or_else(|| ConfigError::Retention { key, value: text.to_owned() })
}

fn keep(key: &'static str, file: KeepFile, before: Keep) -> Result<Keep, ConfigError> {
    let age = file.age.map(|text| span(key, &text)).transpose()?;
    Ok(Keep {
        rows: file.rows.map_or(before.rows, |rows| (rows > 0).then_some(rows)),
        age: age.map_or(before.age, |age| (!age.is_zero()).then_some(age)),
    })
}

fn policy(file: PolicyFile) -> Result<PolicySocket, ConfigError> {
    let PolicyFile { host, group, read_only, stack, operations } = file;
    let bad = |why: String| ConfigError::Policy { host: host.clone(), why };
    let path = host.strip_prefix("unix://").map(PathBuf::from).filter(|path| path.is_absolute() && !host.ends_with('/'));
    let path = path.ok_or_else(|| bad("its host must be unix:///absolute/path".to_owned()))?;
    if let Some(unknown) = operations.iter().flatten().find(|name| !lighter_api::operations().any(|known| known == *name)) {
        return Err(bad(format!("there is no operation {unknown:?}")));
    }
    if stack.as_ref().is_some_and(String::is_empty) {
        return Err(bad("its stack has no name".to_owned()));
    }
    let operations: Option<BTreeSet<String>> = operations.map(|all| all.into_iter().collect());
    let policy = Policy { read_only, stack, operations };
    if policy == Policy::default() {
        return Err(bad("it allows everything: give read-only, stack or operations".to_owned()));
    }
    Ok(PolicySocket { path, group, policy })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(policies: &str, retention: &str) -> Result<RecordConfig, ConfigError> {
        RecordConfig::new(serde_json::from_str(policies).unwrap(), serde_json::from_str(retention).unwrap())
    }

    #[test]
    fn policies() {
        let file = r#"[{"host": "unix:///run/ro.sock", "read-only": true, "group": "staff"},
            {"host": "unix:///run/ops.sock", "operations": ["ContainerList", "LighterEvents"], "stack": "shop"}]"#;
        let config = of(file, "{}").unwrap();
        assert_eq!(config.policies[0].group.as_deref(), Some("staff"));
        assert!(config.policies[0].policy.read_only && config.policies[1].policy.stack.as_deref() == Some("shop"));
        for (bad, why) in [
            (r#"[{"host": "tcp://x", "read-only": true}]"#, "unix:///absolute/path"),
            (r#"[{"host": "unix:///a"}]"#, "it allows everything"),
            (r#"[{"host": "unix:///a", "operations": ["containerList"]}]"#, "no operation \"containerList\""),
            (r#"[{"host": "unix:///a", "stack": ""}]"#, "has no name"),
        ] {
            assert!(of(bad, "{}").unwrap_err().to_string().contains(why), "{bad}");
        }
    }

    #[test]
    fn retention() {
        let defaults = of("[]", "{}").unwrap();
        assert_eq!(
            (defaults.retention, defaults.metrics_interval),
            (CoreConfig::new(PathBuf::new()).retention, Duration::from_secs(10))
        );
        let file = r#"{"events": {"rows": 5}, "requests": {"rows": 0, "age": "48h"}, "logs": {"age": "0s"},
            "metrics": {"interval": "0s", "full": "10m", "containers": 0}, "pipelines": {"rows": 7}, "pulls": {"age": "48h"},
            "last-lines": {"rows": 9}}"#;
        let config = of("[]", file).unwrap();
        let day2 = Some(Duration::from_secs(48 * 3600));
        assert_eq!((config.retention.events, config.retention.shim_events), (Keep::rows(5), Keep { rows: None, age: day2 }));
        assert_eq!((config.retention.log_lines.age, config.metrics_interval), (None, Duration::ZERO));
        assert_eq!((config.pipelines.rows, config.pipelines.age), (Some(7), defaults.pipelines.age));
        assert_eq!(config.retention.orphan_logs, Keep::rows(9));
        assert_eq!((config.retention.image_pulls.age, config.retention.metrics.containers), (day2, None));
        assert!(of("[]", r#"{"logs": {"age": "soon"}}"#).is_err());
        assert!(of("[]", r#"{"metrics": {"full": "48h"}}"#).is_err());
    }
}
