//! The record: one SQLite file with every container, image, volume, network, stack, event, log line and request.
//!
//! `lighter-core` is the caller. It reads whole [`Container`](lighter_domain::Container)s at start-up, writes changes as
//! units of work ([`Store::apply`]) and hands over the record of each request ([`Store::record`]).
//!
//! One task owns the only writing connection. It takes whatever is queued, runs each set of changes in a savepoint of one
//! transaction, commits, and answers them all: many callers share one commit, and a set that fails takes no other with it.
//! Reads go through a small pool of read-only connections; with a write-ahead log neither side ever waits for the other.
//! This crate is the only user of sqlx, and the tables are described in `migrations/`.

mod change;
mod container;
mod details;
mod error;
mod event;
mod image_pull;
mod image_use;
mod json;
mod log_lines;
mod maintenance;
mod mapping;
mod metrics;
mod network;
mod open;
mod pipeline;
mod recorder;
mod repository;
mod retention;
mod run;
mod shim_event;
mod stack;
mod store;
mod timestamp;
mod writer;

pub use change::{Applied, Change, Growing, RowChange};
pub use container::{Loaded, Problem};
pub use details::ImageSource;
pub use error::{Result, StoreError};
pub use log_lines::LogBatch;
pub use metrics::{MetricsFilter, MetricsRetention, Thinning};
pub use repository::logs::LOG_LINES_KEPT;
pub use repository::{ContainerLogs, Containers, DevClusters, Images, Networks, Repository, ShimEvents, Stacks, Volumes};
pub use retention::{Bound, Keep, Pruned, Retention};
pub use store::Store;
