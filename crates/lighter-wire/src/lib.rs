//! The Docker API's JSON, both ways, as clients really need it.
//!
//! Null, empty and absent are three things here: an answer's type says which one it writes, and a request is read as
//! leniently as Go's `encoding/json` reads it (unknown fields, null for anything, names in any case). This crate knows
//! nothing of Lighter's own crates: `lighter-api` converts to and from the domain, and picks the shape of the client's API version.
//! Types without their own words mirror the API description's definition of the same name.

pub mod auth;
pub mod container;
pub mod container_config;
pub mod decode;
pub mod event;
pub mod exec;
pub mod files;
pub mod filters;
pub mod host_config;
pub mod human;
pub mod image;
pub mod json;
pub mod lighter;
pub mod network;
pub mod query;
pub mod stats;
pub mod system;
pub mod time;
pub mod volume;

pub use container_config::{Config, CreateRequest};
pub use decode::{Decode, Mismatch};
pub use host_config::HostConfig;
pub use json::{BodyError, Json};
pub use time::GoTime;
