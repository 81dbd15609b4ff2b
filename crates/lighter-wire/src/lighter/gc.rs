//! Garbage collection of images.

use serde::{Deserialize, Serialize};

/// What a collection did, or would do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Collection {
    /// Whether the daemon collects by itself.
    pub enabled: bool,
    pub dry_run: bool,
    /// Null: not a matter of time.
    pub keep_seconds: Option<u64>,
    /// Bytes. Null: not a matter of space.
    pub max_used_space: Option<u64>,
    /// In the order in which they go.
    pub images: Vec<CollectedImage>,
    /// Bytes of all layers.
    pub size_before: u64,
    pub size_after: u64,
}

/// An image that goes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CollectedImage {
    pub id: String,
    pub names: Vec<String>,
    /// Bytes of its layers, also of those that it shares.
    pub size: u64,
    pub last_used: String,
    /// `unused`, `space`.
    pub reason: String,
}
