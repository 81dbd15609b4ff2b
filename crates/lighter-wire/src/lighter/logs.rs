//! Lines that containers printed.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// A page of lines, and where they could not be looked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogPage {
    pub items: Vec<LogLine>,
    /// Null: there is no more.
    pub next: Option<String>,
    /// Newest first; some, if there are many.
    pub gaps: Vec<LogGap>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogLine {
    pub id: i64,
    #[serde(with = "time::serde::rfc3339")]
    pub timestamp: OffsetDateTime,
    /// Its name, as it was last.
    pub container: String,
    /// 64 hexadecimal digits.
    pub container_id: String,
    pub stack: Option<String>,
    /// `stdout`, `stderr`.
    pub source: String,
    /// `trace`, `debug`, `info`, `warn`, `error`, `fatal`; null where the line does not tell.
    pub level: Option<String>,
    pub message: String,
}

/// Lines after `since` and before `until` came too fast to be kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogGap {
    pub container: String,
    pub container_id: String,
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub until: OffsetDateTime,
}
