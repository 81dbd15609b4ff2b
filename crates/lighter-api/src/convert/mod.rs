//! Wire to domain and back. Structures are taken apart whole, so that a new field does not compile until it was decided on.

pub mod container;
pub mod create;
pub mod event;
pub mod exec;
pub mod host_config;
pub mod image;
pub mod network;
pub mod registry;
pub mod stats;
pub mod system;
pub mod volume;
