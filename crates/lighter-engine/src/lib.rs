//! The seam between the daemon and whatever runs the containers.
//!
//! [`Engine`] is what every engine does; the rest is offered through optional capabilities ([`Attach`], [`Exec`], [`Logs`],
//! [`Images`], [`Registry`], [`Pause`], [`Files`], ...). A capability that is absent answers 501 in `lighter-core`, which names the engine and the
//! feature. An engine owns everything below the API: its images, its networks, its volumes, its processes.
//!
//! No call may assume that an engine is fast (a call can take seconds), local, or able to pause; futures must be
//! cancel-safe: dropping one leaves the engine in a state that a later call can deal with.

mod capabilities;
#[cfg(feature = "conformance")]
pub mod conformance;
mod description;
pub mod fields;
mod files;
mod images;
mod networks;
mod registry;
mod session;
pub mod stdcopy;
mod volumes;

pub use capabilities::{
    Attach, AttachOptions, Exec, ExecSession, LogExtent, LogQuery, Logs, Pause, ProcessList, Stats, Top, Update,
};
pub use description::{Description, RegistryFacts};
pub use files::{Change, ChangeKind, Files, NewImage, PathStat, WriteOptions};
pub use images::{Images, Progress};
pub use networks::{Basics, Networks, PortConflict, PortHolder, configuration};
pub use registry::Registry;
pub use session::{ByteSink, ByteStream, Session};
pub use volumes::Volumes;

use async_trait::async_trait;
use lighter_domain::{Container, ContainerId, Error, Exit, Finding, Placement, Result, Signal};
use std::collections::BTreeMap;
use std::sync::Arc;
use time::OffsetDateTime;

/// What every engine does. All operations on one container come from that container's actor, one at a time, except
/// [`Engine::wait`], which runs beside them.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// Static facts for `info` and `version`. Cheap.
    fn describe(&self) -> Description;

    /// Whether its containers are records alone, so that nothing is lost with them.
    fn make_believe(&self) -> bool {
        false
    }

    /// Checks what can be known before anything is made: what this engine refuses (an error), and what it will not honour
    /// (warnings, told to the client and recorded). Pure and cheap; called before `create`.
    fn review(&self, container: &Container) -> Result<Review>;

    /// Makes what a container needs before it can start (its writable layer). Idempotent.
    async fn create(&self, container: &Container) -> Result<()>;

    /// Starts it. The answer comes when its program runs, or has failed to.
    async fn start(&self, container: &Container) -> Result<Started, StartFailure>;

    /// Sends a signal to the container's init process.
    async fn signal(&self, id: &ContainerId, signal: Signal) -> Result<()>;

    /// Resolves when the present run has ended and all its output is kept. At once if it already has. May be called again
    /// after a restart of the daemon, by a different daemon process than the one that started the container.
    async fn wait(&self, id: &ContainerId) -> Result<Exit>;

    /// Frees what a run held beside its writable layer (namespaces, addresses, cgroups). Called after `wait`. May finish in
    /// the background.
    async fn cleanup(&self, id: &ContainerId) -> Result<()>;

    /// Removes everything of a container that does not run. A container that the engine does not know is a success.
    async fn remove(&self, id: &ContainerId) -> Result<()>;

    /// What is there, for reconciliation at start-up.
    async fn list(&self) -> Result<Vec<Found>>;

    /// Told once after start-up which containers the store still knows: everything else of ours may be removed.
    async fn reconcile(&self, known: &[Arc<Container>]) -> Result<()>;

    /// Bytes in the container's writable layer, where that is known.
    async fn size_rw(&self, _id: &ContainerId) -> Result<Option<u64>> {
        Ok(None)
    }

    /// A look at the machine: what this engine needs of it, and what is missing.
    async fn diagnose(&self) -> Vec<Finding> {
        Vec::new()
    }

    /// Host paths and the like that `inspect` shows.
    fn inspect(&self, _container: &Container) -> EngineDetails {
        EngineDetails::default()
    }

    fn attach(&self) -> Option<&dyn Attach> {
        None
    }
    fn exec(&self) -> Option<&dyn Exec> {
        None
    }
    fn logs(&self) -> Option<&dyn Logs> {
        None
    }
    fn images(&self) -> Option<&dyn Images> {
        None
    }
    fn registry(&self) -> Option<&dyn Registry> {
        None
    }
    fn pause(&self) -> Option<&dyn Pause> {
        None
    }
    fn stats(&self) -> Option<&dyn Stats> {
        None
    }
    fn top(&self) -> Option<&dyn Top> {
        None
    }
    fn update(&self) -> Option<&dyn Update> {
        None
    }
    fn files(&self) -> Option<&dyn Files> {
        None
    }
    fn volumes(&self) -> Option<&dyn Volumes> {
        None
    }
    fn networks(&self) -> Option<&dyn Networks> {
        None
    }
}

/// What [`Engine::review`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Review {
    /// Sentences for the client (`Warnings` of the create answer).
    pub warnings: Vec<String>,
    /// The options that are not honoured, by their API names (`HostConfig.KernelMemory`).
    pub unsupported: Vec<String>,
}

/// A container's program runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    pub pid: u32,
    pub started_at: OffsetDateTime,
    pub placement: Placement,
}

/// A container's program does not run.
#[derive(Debug)]
pub struct StartFailure {
    /// What `State.ExitCode` becomes: 127 not found, 126 not executable, 128 otherwise.
    pub exit_code: i32,
    pub error: Error,
}

impl From<Error> for StartFailure {
    fn from(error: Error) -> Self {
        Self { exit_code: 128, error }
    }
}

/// One container that an engine found at start-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub id: ContainerId,
    pub state: FoundState,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundState {
    Running {
        pid: u32,
        started_at: OffsetDateTime,
        paused: bool,
        placement: Placement,
    },
    /// Its last run ended while no daemon looked.
    Exited(Exit),
    /// Made, and not running; nothing is known of a last run.
    Idle,
}

/// What `inspect` shows of an engine's own things. Empty where it has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineDetails {
    pub log_path: String,
    pub hostname_path: String,
    pub hosts_path: String,
    pub resolv_conf_path: String,
    /// A path that leads to the network namespace of a running container; empty where there is none.
    pub sandbox_key: String,
    /// Empty where the machine has no AppArmor.
    pub apparmor_profile: String,
    /// `GraphDriver`/`Storage`: the driver's name and its data.
    pub storage_driver: String,
    pub storage_data: BTreeMap<String, String>,
}
