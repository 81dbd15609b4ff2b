//! What callers hand to [`crate::Daemon`] and get back from it.

use lighter_domain::config::EndpointConfig;
use lighter_domain::filter::Filters;
use lighter_domain::host_config::MountType;
use lighter_domain::image::ImageDiskUsage;
use lighter_domain::network::NewNetwork;
use lighter_domain::sample::Sample;
use lighter_domain::volume::Volume;
use lighter_domain::{Container, ContainerConfig, ContainerId, ExecConfig, HostConfig, Image, Network, Result};
use lighter_engine::{ByteStream, Description, EngineDetails, Session};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

/// `ContainerCreate`.
#[derive(Debug, Clone, Default)]
pub struct CreateContainer {
    pub name: Option<String>,
    /// `os[/arch[/variant]]`; empty for any.
    pub platform: String,
    pub config: ContainerConfig,
    pub host_config: HostConfig,
    pub endpoints: BTreeMap<String, EndpointConfig>,
    /// `1.47`
    pub api_version: String,
}

#[derive(Debug, Clone)]
pub struct Created {
    pub id: ContainerId,
    pub warnings: Vec<String>,
}

impl CreateContainer {
    /// Paths of the host that are asked for, by whatever field: for the record, also of a request that is refused.
    pub fn host_paths(&self) -> impl Iterator<Item = &str> {
        let host = &self.host_config;
        let binds = host.binds.iter().filter_map(|spec| spec.split(':').next()).filter(|source| source.starts_with('/'));
        let sources = host.mounts.iter().filter(|m| m.mount_type == MountType::Bind).map(|m| m.source.as_str());
        // A volume made along the way can be a bind in disguise.
        let volumes = host.mounts.iter().filter_map(|m| m.volume.as_ref()?.driver_options.get("device"));
        let volumes = volumes.map(String::as_str).filter(|device| device.starts_with('/'));
        let devices = host.devices.iter().map(|d| d.path_on_host.as_str());
        binds.chain(sources).chain(volumes).chain(devices)
    }
}

/// `ContainerStop` and `ContainerRestart`.
#[derive(Debug, Clone, Default)]
pub struct StopOptions {
    /// Instead of the container's own stop signal.
    pub signal: Option<String>,
    /// Seconds until SIGKILL; negative: never; `None`: the container's own, else 10.
    pub timeout: Option<i64>,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct RemoveOptions {
    pub force: bool,
    pub volumes: bool,
    pub link: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WaitCondition {
    #[default]
    NotRunning,
    NextExit,
    Removed,
}

/// A registered wait: from the moment the caller has it, no exit is missed. Headers can be sent; then `result` is awaited.
pub struct Waiting {
    pub result: Pin<Box<dyn Future<Output = Result<Waited>> + Send>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waited {
    pub exit_code: i32,
    /// Why the container could not be run or removed, if so.
    pub error: Option<String>,
}

/// `ContainerAttach`.
#[derive(Debug, Clone, Default)]
pub struct AttachRequest {
    /// Send what was logged so far.
    pub logs: bool,
    /// Go on with what comes.
    pub stream: bool,
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    /// As the client wrote them (`ctrl-p,ctrl-q`); empty: the default.
    pub detach_keys: String,
}

/// An attachment, ready to be copied to and from the client.
#[derive(Debug)]
pub struct Attached {
    pub tty: bool,
    /// Past output, to be sent first.
    pub logs: Option<Origin>,
    pub session: Option<Session>,
    /// The keys that end the attachment (only looked for with a terminal). Feed the client's bytes through
    /// [`crate::DetachKeys`]; when they match, drop the session and call [`crate::Daemon::detached`].
    pub detach_keys: crate::DetachKeys,
    pub container: ContainerId,
}

/// Output in the client's format: raw with a terminal, else in stdcopy frames.
pub struct Origin {
    pub tty: bool,
    pub bytes: ByteStream,
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Origin").field("tty", &self.tty).finish_non_exhaustive()
    }
}

/// `VolumeCreate`.
#[derive(Debug, Clone, Default)]
pub struct CreateVolume {
    /// Empty: any.
    pub name: String,
    pub driver: String,
    pub labels: Option<BTreeMap<String, String>>,
    pub options: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumesPruned {
    pub deleted: Vec<String>,
    /// Bytes.
    pub space_reclaimed: u64,
}

/// A volume in `system df`.
#[derive(Debug, Clone)]
pub struct VolumeUse {
    pub volume: Arc<Volume>,
    /// That have it.
    pub containers: usize,
    /// Bytes.
    pub size: Option<u64>,
}

/// `ImageCommit`.
#[derive(Debug, Clone, Default)]
pub struct CommitContainer {
    /// The container's name or id.
    pub container: String,
    /// The image's name; empty: none.
    pub repository: String,
    pub tag: String,
    pub author: String,
    pub comment: String,
    /// Freeze the container meanwhile.
    pub pause: bool,
    /// `--change` instructions.
    pub changes: Vec<String>,
    /// In place of the container's own.
    pub config: Option<ContainerConfig>,
}

/// `ContainerList`.
#[derive(Debug, Clone, Default)]
pub struct ListQuery {
    pub all: bool,
    /// The newest so many, running or not; 0: no limit.
    pub limit: usize,
    pub size: bool,
    pub filters: Filters,
}

/// One row of a list. The container is a shared snapshot.
#[derive(Debug, Clone)]
pub struct Listed {
    pub container: Arc<Container>,
    /// Only when sizes were asked for.
    pub size: Option<Sizes>,
}

/// Bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sizes {
    pub rw: u64,
    pub root_fs: u64,
}

/// `ContainerInspect`.
#[derive(Debug, Clone)]
pub struct Inspected {
    pub container: Arc<Container>,
    pub details: EngineDetails,
    /// Ids of execs that are not finished.
    pub exec_ids: Vec<String>,
    /// `HostConfig.Links`, as it is shown: `/db:/web/base`.
    pub links: Vec<String>,
    pub size: Option<Sizes>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainersPruned {
    pub deleted: Vec<String>,
    /// Bytes.
    pub space_reclaimed: u64,
}

/// How `ContainerStats` is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatsMode {
    /// A sample each second.
    Stream,
    /// One answer with two samples, a second apart.
    Second,
    /// One sample, at once.
    OneShot,
}

/// What a container uses: a sample, and the one before it that the same caller got. None where it did not run.
#[derive(Debug, Clone)]
pub struct Usage {
    pub container: Arc<Container>,
    pub before: Option<Arc<Sample>>,
    pub now: Option<Arc<Sample>>,
}

/// `ExecStart`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExecStart {
    pub detach: bool,
    pub tty: bool,
    /// Height, width.
    pub console_size: Option<(u32, u32)>,
}

/// A started exec. With `session` absent it was detached and lives on by itself.
pub struct ExecStarted {
    pub tty: bool,
    pub session: Option<Session>,
    pub detach_keys: crate::DetachKeys,
    /// Resolves when the process has ended and its exit code can be inspected: await it after the output has ended and
    /// before the client's connection is closed. Dropping it loses nothing.
    pub finished: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// `ExecInspect`.
#[derive(Debug, Clone)]
pub struct ExecInspected {
    pub id: String,
    pub container_id: ContainerId,
    pub config: ExecConfig,
    pub state: ExecState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecState {
    Created,
    Running { pid: u32 },
    Exited { pid: u32, code: i32 },
}

/// `SystemInfo`, `SystemVersion`.
#[derive(Debug, Clone)]
pub struct Info {
    /// Stable over restarts.
    pub daemon_id: String,
    pub host_name: String,
    pub data_root: String,
    pub engine: Description,
    pub containers_running: usize,
    pub containers_paused: usize,
    pub containers_stopped: usize,
    pub images: usize,
    pub event_listeners: usize,
    pub debug: bool,
    /// What containers that name none log with.
    pub logging_driver: String,
    pub warnings: Vec<String>,
}

/// `SystemDataUsage`.
#[derive(Debug, Clone)]
pub struct DiskUsage {
    pub images: Vec<(Arc<Image>, ImageUsage)>,
    pub layers: ImageDiskUsage,
    pub containers: Vec<Listed>,
    pub volumes: Vec<VolumeUse>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImageUsage {
    /// Containers made from it.
    pub containers: u64,
    pub shared_size: u64,
}

/// `ImageList`.
#[derive(Debug, Clone, Default)]
pub struct ImageListQuery {
    pub all: bool,
    pub filters: Filters,
}

/// `ImageImport` (`POST /images/create?fromSrc=-`).
#[derive(Debug, Clone, Default)]
pub struct ImportImage {
    pub repository: String,
    pub tag: String,
    pub message: String,
    pub platform: String,
    /// `--change` instructions, such as `CMD ["sh"]`.
    pub changes: Vec<String>,
}

/// `NetworkCreate`.
#[derive(Debug, Clone, Default)]
pub struct CreateNetwork {
    pub new: NewNetwork,
    /// Empty or `local`; a swarm has others.
    pub scope: String,
    pub ingress: bool,
}

/// A network and who is on it.
#[derive(Debug, Clone)]
pub struct NetworkView {
    pub network: Arc<Network>,
    pub containers: Vec<Arc<Container>>,
}
