//! The engine that runs real OCI containers on this Linux machine.
//!
//! How it is laid out:
//! - `engine` is the seam's implementation: [`LinuxEngine`] and what it holds open. `config` is what a daemon decides.
//! - `review` decides, before anything is made, on each option of a container; `spec` turns it into an OCI specification.
//! - `seccomp` compiles filters, `cgroup` makes and limits control groups.
//! - `run` starts containers through `lighter-supervisor`, waits for them, cleans up, and finds them again after a restart.
//! - `tree` is a container's files from outside; `volumes` are directories that outlive containers.
//! - `stats` and `top` look at containers from outside; `update` changes their limits.
//! - `doctor` looks at the machine.
//! - `attach`, `exec`, `pause`, `logs`, `images`, `networks` are the other things that the seam asks for.
//!
//! Only `lighterd` names this crate; it needs root.

mod apparmor;
mod attach;
mod cgroup;
mod config;
mod describe;
mod doctor;
mod engine;
mod exec;
mod fail;
mod image_mounts;
mod images;
mod logs;
mod networks;
mod paths;
mod pause;
mod registry;
mod review;
mod run;
mod seccomp;
mod spec;
mod stats;
mod stream;
mod sys;
#[cfg(test)]
mod testing;
mod top;
mod tree;
mod update;
mod volumes;

pub use config::LinuxConfig;
pub use engine::LinuxEngine;
pub use lighter_network::{BridgeConfig, Ipv4Net, Pool};
pub use lighter_registry::{Error as RegistryError, Proxies, RegistryConfig};
