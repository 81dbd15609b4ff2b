//! What Lighter talks about: containers, images, networks, volumes, stacks, events and the rules between them.
//!
//! No I/O, no async, no serialisation, no SQL: `lighter-wire` knows the Docker JSON, `lighter-store` the tables, and both
//! convert to and from these types by exhaustive destructuring, so that a new field cannot be forgotten in silence.

pub mod cluster;
pub mod config;
pub mod container;
pub mod error;
pub mod event;
pub mod exec;
pub mod filter;
pub mod finding;
pub mod health;
pub mod host_config;
pub mod id;
pub mod image;
pub mod log;
pub mod mapping;
pub mod metrics;
pub mod names;
pub mod network;
pub mod pipeline;
pub mod ports;
pub mod resource;
pub mod sample;
pub mod shim_event;
pub mod signal;
pub mod stack;
pub mod state;
pub mod volume;

pub use config::{ContainerConfig, EndpointConfig, HealthConfig};
pub use container::Container;
pub use error::{Error, ErrorKind, Result};
pub use event::{Event, EventScope};
pub use exec::ExecConfig;
pub use finding::{Finding, Verdict};
pub use health::{Health, HealthResult, HealthStatus};
pub use host_config::HostConfig;
pub use id::ContainerId;
pub use image::Image;
pub use log::{LogFilter, LogGap, LogLevel, LogLine, LogMark, LogSource, NewLogLine};
pub use mapping::ShimMapping;
pub use metrics::{MetricsSample, MetricsSeries, Origin};
pub use network::{Network, Placement};
pub use ports::WantedPort;
pub use shim_event::{ShimEvent, ShimEventFilter, ShimStatus};
pub use signal::Signal;
pub use stack::Stack;
pub use state::{ContainerState, Exit};
