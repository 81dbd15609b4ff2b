//! One function per operation: take what the client sent, convert, ask the core once, convert back.

pub mod containers;
pub mod exec;
pub mod files;
pub mod images;
pub mod networks;
mod progress;
pub mod registries;
pub mod streams;
pub mod system;
pub mod volumes;
