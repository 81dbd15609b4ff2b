//! What clients call a container, what the engine calls it, and what was asked of it in vain.

use time::OffsetDateTime;
use uuid::Uuid;

/// 1:1 with a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShimMapping {
    /// The store's id of the container.
    pub container_id: Uuid,
    /// 64 hexadecimal digits: what clients see.
    pub shim_container_id: String,
    pub name: String,
    pub engine_container_id: String,
    /// Of the request that made it.
    pub api_version: String,
    pub unsupported_flags: Vec<String>,
    pub last_accessed_at: OffsetDateTime,
}
