//! The summaries that the store's first tables hold and that other programs read: images, volumes, networks, stacks, log lines.

use crate::state::SummaryStatus;
use time::OffsetDateTime;
use uuid::Uuid;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerSummary {
    pub id: Uuid,
    pub name: String,
    pub image: String,
    pub status: SummaryStatus,
    /// `8080:8080` and the like.
    pub ports: Vec<String>,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
}

/// An image has a digest, or a name and a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSummary {
    pub id: Uuid,
    pub name: String,
    pub tag: String,
    pub digest: Option<String>,
    pub size_bytes: Option<i64>,
    pub created_at: OffsetDateTime,
}

/// One attempt to get an image from a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImagePullRecord {
    pub registry: String,
    pub name: String,
    pub reference: String,
    /// Of the manifest or index.
    pub digest: Option<String>,
    pub image_id: Option<String>,
    /// What went wrong; `None` when it was pulled.
    pub error: Option<String>,
    pub pulled_at: OffsetDateTime,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeSummary {
    pub id: Uuid,
    pub name: String,
    pub mount_path: String,
    pub size_bytes: Option<i64>,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkSummary {
    pub id: Uuid,
    pub name: String,
    pub subnet: Option<String>,
    pub connected_container_ids: Vec<Uuid>,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackSummary {
    pub id: Uuid,
    pub name: String,
    pub description: Option<String>,
    pub container_names: Vec<String>,
    pub created_at: OffsetDateTime,
}

/// What a client gives to make a stack; the id and the time are the store's to give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewStack {
    pub name: String,
    pub description: Option<String>,
    pub container_names: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerLog {
    /// Given by the store; 0 before.
    pub id: i64,
    pub container_id: Uuid,
    pub line: String,
    pub created_at: OffsetDateTime,
}
