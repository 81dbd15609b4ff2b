//! Stacks: containers that belong together, and what waits for what.

use super::Port;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use time::OffsetDateTime;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stack {
    /// A UUID.
    pub id: String,
    pub name: String,
    pub description: Option<String>,
    /// A compose project; else somebody made it by hand.
    pub compose: bool,
    /// `dev`, `test`, `preview`.
    pub environment: Option<String>,
    /// Of its containers: `running` if one runs, else `paused` if one is paused, else `stopped`.
    pub status: String,
    /// It runs, but something that is to run does not, or is unhealthy.
    pub degraded: bool,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    pub containers: Vec<StackContainer>,
    /// Service -> what it waits for.
    pub graph: BTreeMap<String, Vec<Wait>>,
    pub ports: Vec<Port>,
    /// Names of volumes that its containers mount.
    pub volumes: Vec<String>,
    /// Names of networks that its containers are configured for.
    pub networks: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StackContainer {
    /// 64 hexadecimal digits.
    pub id: String,
    pub name: String,
    pub service: Option<String>,
    pub image: String,
    /// As Docker calls it: `running`, `exited`, ...
    pub state: String,
    /// `starting`, `healthy`, `unhealthy`; null without a health check.
    pub health: Option<String>,
    /// Of the last run, if that has ended.
    pub exit_code: Option<i32>,
}

/// One thing that a service waits for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wait {
    pub service: String,
    /// `service_started`, `service_healthy`, `service_completed_successfully`.
    pub condition: String,
}
