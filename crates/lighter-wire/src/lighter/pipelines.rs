//! Pipelines, both ways: what is asked for, and what became of it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use time::OffsetDateTime;

/// What is asked for; a file of `lighter pipeline run` says the same in YAML.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewPipeline {
    pub name: String,
    /// The stack that it is for: one that is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
    pub steps: Vec<NewStep>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewStep {
    pub name: String,
    pub image: String,
    /// Run by the image's `sh`, up to the first that fails.
    #[serde(default)]
    pub commands: Vec<String>,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// As `docker run -v` has them.
    #[serde(default)]
    pub mounts: Vec<String>,
    #[serde(default)]
    pub needs: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pipeline {
    /// A UUID.
    pub id: String,
    /// Of the stack that it is for.
    pub project_id: Option<String>,
    pub name: String,
    /// `pending`, `running`, `success`, `failed`.
    pub status: String,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    pub started_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub finished_at: Option<OffsetDateTime>,
    pub failure_reason: Option<String>,
    /// The volume that every step has as `/workspace`.
    pub workspace: String,
    /// In the order in which they run.
    pub steps: Vec<PipelineStep>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PipelineStep {
    pub name: String,
    pub image: String,
    pub needs: Vec<String>,
    /// `pending`, `running`, `success`, `failed`, `skipped`.
    pub status: String,
    /// 64 hexadecimal digits.
    pub container_id: Option<String>,
    pub exit_code: Option<i32>,
}
