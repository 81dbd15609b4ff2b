//! The use cases: what `docker` can ask for, in terms of the domain, a store and an engine. No HTTP, no JSON.
//!
//! [`Daemon`] is the only entry. One actor per container ([`actor`]) changes that container's state and nothing else does;
//! every change is persisted first, published second ([`events`]), answered third. `lighter-api` calls the methods here,
//! one per operation; their errors carry the kind and the words that the client gets.

mod actor;
mod attached;
mod changes;
mod config;
mod containers;
mod create;
mod daemon;
mod detach;
mod events;
mod exec;
mod files;
mod gc;
mod health;
mod images;
mod list;
mod log_index;
mod merge;
mod metrics;
mod mounts;
mod networks;
mod peers;
mod pipelines;
mod pulls;
mod receipt;
mod reconcile;
mod record;
mod registry;
mod requests;
mod restart;
mod retention;
mod sample_data;
mod stats;
mod system;
mod update;
mod volumes;
mod wording;

pub use config::{ContainerDefaults, CoreConfig, GcConfig};
pub use daemon::Daemon;
pub use detach::{DetachKeys, Detector};
pub use events::{EventQuery, EventStream};
pub use gc::{GcImage, GcPolicy, GcReason, GcReport};
pub use log_index::FoundLines;
pub use metrics::{MetricsQuery, Reading};
pub use receipt::Record;
pub use record::{Explained, PortState, PortUse, RecordStream, StackView};
pub use requests::*;
pub use sample_data::{Generator, Seeded};
pub use stats::UsageStream;
