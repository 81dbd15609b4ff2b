//! Docker's own events (`docker events`): what happened to an object, in the order in which it happened.

use std::collections::BTreeMap;
use time::OffsetDateTime;

/// One event. `id` is given by the store and grows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub id: i64,
    pub kind: EventKind,
    /// `create`, `die`, `exec_start: sh -c ls`, `health_status: healthy`.
    pub action: String,
    /// A container's or image's id, a network's id, a volume's name.
    pub actor_id: String,
    pub attributes: BTreeMap<String, String>,
    pub scope: EventScope,
    pub time: OffsetDateTime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    Container,
    Image,
    Network,
    Volume,
    Daemon,
    Builder,
}

impl EventKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Network => "network",
            Self::Volume => "volume",
            Self::Daemon => "daemon",
            Self::Builder => "builder",
        }
    }

    pub fn parse(s: &str) -> Option<Self> {
        [Self::Container, Self::Image, Self::Network, Self::Volume, Self::Daemon, Self::Builder]
            .into_iter()
            .find(|k| k.as_str() == s)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum EventScope {
    #[default]
    Local,
    Swarm,
}
