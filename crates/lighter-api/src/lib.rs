//! The Docker Engine API over HTTP/1.1 on Unix sockets: routes, extraction, conversion, streaming, recording.
//!
//! `lighterd` calls [`serve`]; everything below asks [`lighter_core::Daemon`]. [`routes`] is the one list of what is
//! answered and how. A request's way: `server` (connection) → `dispatch` (version, route, recording) → `handlers` →
//! core → `convert` → back. Streams that leave HTTP (attach, exec) go through `hijack`.
//!
//! The routes are matched by a table of our own (`router`) and not by axum's router: dockerd's paths have a name of any number of
//! segments in their middle (`/images/{name:.*}/json`), which axum's patterns cannot say. Bodies and responses are axum's.

mod arriving;
mod body;
mod call;
mod convert;
mod dispatch;
mod failure;
mod handlers;
mod hijack;
pub mod lighter;
mod policy;
mod record;
mod router;
pub mod routes;
mod server;
mod shapes;
mod sys;
mod version;
mod websocket;

pub use policy::{Policy, operations};
pub use server::{ApiConfig, Listening, serve};
pub use version::{API_VERSION, LIGHTER_VERSION, MIN_API_VERSION, SERVER_VERSION};
