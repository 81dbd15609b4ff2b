//! Mappings, and what became of what was asked of a container.

use super::Event;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

/// What clients call a container, and what was asked of it in vain.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mapping {
    /// The database's id of the container, a UUID.
    pub container_id: String,
    /// 64 hexadecimal digits.
    pub shim_container_id: String,
    pub name: String,
    pub engine_container_id: String,
    pub api_version: String,
    pub unsupported_flags: Vec<String>,
    #[serde(with = "time::serde::rfc3339")]
    pub last_accessed_at: OffsetDateTime,
}

/// Everything that is known of one container.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explained {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Null when it is gone.
    pub container: Option<ExplainedContainer>,
    /// What was asked for beyond the image's and the daemon's defaults.
    pub fields: Vec<Field>,
    /// The newest requests about it, newest first.
    pub events: Vec<Event>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedContainer {
    pub name: String,
    pub image: String,
    pub stack: Option<String>,
    pub state: String,
    pub engine: String,
    /// Of the request that made it.
    pub api_version: String,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// One field of the create request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Field {
    /// `HostConfig.Memory`
    pub name: String,
    /// The docker command's flags for it; empty where it has none.
    pub flags: String,
    /// As inspect shows it. Of environment variables the names only.
    pub value: Value,
    pub fate: Fate,
    /// Why it is not honoured; empty when it is.
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    Honoured,
    /// Left out, which was told to the client.
    Warned,
    /// Without meaning here, as with dockerd.
    Ignored,
}
