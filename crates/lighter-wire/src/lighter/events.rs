//! A recorded request.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    pub id: i64,
    #[serde(with = "time::serde::rfc3339")]
    pub timestamp: OffsetDateTime,
    /// `ok`, `refused`, `failed`, `aborted`.
    pub status: String,
    /// The operation's id, `Unknown` or `Malformed`.
    pub kind: String,
    pub method: String,
    pub path: String,
    pub api_version: Option<String>,
    pub http_status: Option<u16>,
    pub duration_micros: i64,
    pub client: Option<String>,
    pub request_id: String,
    /// 64 hexadecimal digits.
    pub container_id: Option<String>,
    pub stack: Option<String>,
    pub image: Option<String>,
    pub error: Option<String>,
    pub unsupported_flags: Vec<String>,
    pub host_paths: Vec<String>,
    pub peer_uid: Option<u32>,
    pub peer_pid: Option<u32>,
}
