//! What containers used, over time.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// All series that were asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Metrics {
    pub items: Vec<Series>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Series {
    /// Its name, as it was last.
    pub container: String,
    /// 64 hexadecimal digits.
    pub container_id: String,
    pub stack: Option<String>,
    /// Oldest first.
    pub samples: Vec<Metric>,
}

/// Bytes, unless said otherwise. All but the memory are counters, which begin anew with each start of the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metric {
    #[serde(with = "time::serde::rfc3339")]
    pub timestamp: OffsetDateTime,
    /// Nanoseconds of processor time.
    pub cpu_usage: u64,
    pub mem_usage: u64,
    pub io_read: u64,
    pub io_write: u64,
    pub net_rx: u64,
    pub net_tx: u64,
}
