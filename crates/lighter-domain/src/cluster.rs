//! Kubernetes clusters for development. Kept in the store for the programs that make them; this daemon runs none yet, and only
//! sees to it that none stays half-started.

use time::OffsetDateTime;
use uuid::Uuid;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterState {
    Starting,
    Running,
    Stopped,
    Error,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeType {
    AppleContainer,
    MicroVm,
    Container,
}

/// A cluster owns its kubeconfig, and has one when it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevCluster {
    pub id: Uuid,
    pub name: String,
    /// Empty until there is one.
    pub kubeconfig_path: String,
    pub state: ClusterState,
    pub node_type: NodeType,
    /// A JSON object.
    pub resources: String,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
}

impl ClusterState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Error => "error",
        }
    }

    pub fn parse(s: &str) -> Option<Self> {
        [Self::Starting, Self::Running, Self::Stopped, Self::Error].into_iter().find(|state| state.as_str() == s)
    }
}

impl NodeType {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AppleContainer => "apple-container",
            Self::MicroVm => "micro-vm",
            Self::Container => "container",
        }
    }

    pub fn parse(s: &str) -> Option<Self> {
        [Self::AppleContainer, Self::MicroVm, Self::Container].into_iter().find(|kind| kind.as_str() == s)
    }
}
