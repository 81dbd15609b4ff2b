//! What only some engines can do. Each is one small trait; an engine hands out those it has.

use crate::{ByteStream, Review, Session};
use async_trait::async_trait;
use lighter_domain::sample::Sample;
use lighter_domain::{Container, ContainerId, ExecConfig, HostConfig, Result, Signal};
use std::pin::Pin;
use time::OffsetDateTime;

/// Standard streams of a container.
#[async_trait]
pub trait Attach: Send + Sync {
    /// Attaches from now on. Also before start: such a session sees all output from the first byte on.
    async fn attach(&self, container: &Container, options: AttachOptions) -> Result<Session>;

    /// Sets the terminal's size.
    async fn resize(&self, id: &ContainerId, rows: u16, cols: u16) -> Result<()>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttachOptions {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
}

/// Further processes in a running container.
#[async_trait]
pub trait Exec: Send + Sync {
    /// Starts one under `exec_id` (64 hex). Fails as [`crate::Engine::start`] does: 126 and 127 keep their meaning.
    async fn exec(&self, container: &Container, exec_id: &str, config: &ExecConfig) -> Result<ExecSession, crate::StartFailure>;

    /// Sends a signal to an exec's process; one that has ended, or never was, is an error.
    async fn signal_exec(&self, id: &ContainerId, exec_id: &str, signal: Signal) -> Result<()>;

    async fn resize_exec(&self, id: &ContainerId, exec_id: &str, rows: u16, cols: u16) -> Result<()>;
}

/// A running exec.
pub struct ExecSession {
    pub pid: u32,
    /// Present unless neither of its streams was asked for.
    pub session: Option<Session>,
    /// Its exit code, once all its output is out. Must be polled or dropped.
    pub exit: Pin<Box<dyn Future<Output = Result<i32>> + Send>>,
}

impl std::fmt::Debug for ExecSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExecSession").field("pid", &self.pid).finish_non_exhaustive()
    }
}

/// What a container printed.
#[async_trait]
pub trait Logs: Send + Sync {
    /// The kept output, formatted as a Docker client wants it: raw with a terminal, else in [`crate::stdcopy`] frames. With
    /// `follow` it goes on until the container ends. Dropping the stream stops the reader.
    async fn logs(&self, container: &Container, query: LogQuery) -> Result<ByteStream>;

    /// How far the kept output goes by now: as long as that is the same, nothing was printed. Cheap, for it is asked often of
    /// every container. `None` where it is not known.
    fn extent(&self, _container: &Container) -> Option<LogExtent> {
        None
    }
}

/// Which file a log goes on in, and how many bytes it has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogExtent {
    pub file: u64,
    pub bytes: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogQuery {
    pub stdout: bool,
    pub stderr: bool,
    pub follow: bool,
    pub timestamps: bool,
    pub details: bool,
    pub since: Option<OffsetDateTime>,
    pub until: Option<OffsetDateTime>,
    /// The last so many lines; `None`: all.
    pub tail: Option<u64>,
}

/// What a container uses.
#[async_trait]
pub trait Stats: Send + Sync {
    /// Counters of a running container, as they are now.
    async fn sample(&self, container: &Container) -> Result<Sample>;
}

/// Which processes a container has.
#[async_trait]
pub trait Top: Send + Sync {
    /// Those of a running container, as `ps` would list them with these arguments. Runs nothing of the container's.
    async fn top(&self, container: &Container, ps_args: &str) -> Result<ProcessList>;
}

/// Columns, and one row for each process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProcessList {
    pub titles: Vec<String>,
    pub processes: Vec<Vec<String>>,
}

/// Other limits for a container that is there already.
#[async_trait]
pub trait Update: Send + Sync {
    /// What is refused of the limits that `asked` names, and warned of. Pure and cheap.
    fn review_update(&self, container: &Container, asked: &HostConfig) -> Result<Review>;

    /// Gives a running container the limits that it now has in its `host_config`.
    async fn update(&self, container: &Container) -> Result<()>;
}

/// Freezing a container's processes.
#[async_trait]
pub trait Pause: Send + Sync {
    async fn pause(&self, id: &ContainerId) -> Result<()>;
    async fn unpause(&self, id: &ContainerId) -> Result<()>;
}
