//! Images to and from registries: the distribution protocol as a client, and pull and push over it.
//!
//! The protocol is a handful of HTTP requests, and what makes it hard is around them: which address to ask (mirrors, plain
//! HTTP, private authorities), how to prove who asks, what to do when a download breaks, and in which words it failed. So
//! this is our own over `reqwest`; the OCI client crate there is knows none of these (see ARCHITECTURE.md).
//!
//! [`Registries`] is the one entry point; the Linux engine holds one. Layers go straight into `lighter-image`'s stages.
//! Errors are worded as dockerd words them, for people search for these sentences.

mod ask;
mod auth;
mod client;
mod config;
mod credentials;
mod endpoint;
mod error;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod manifest;
mod proxies;
mod pull;
mod push;
mod repository;
mod tls;
mod transport;
mod uploading;

pub use ask::{Distribution, Found};
pub use config::RegistryConfig;
pub use credentials::Credentials;
pub use error::{Error, ErrorKind, Result};
pub use proxies::Proxies;
pub use pull::{PullRequest, Pulled, Registries, Tell};
pub use push::PushRequest;
