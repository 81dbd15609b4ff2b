//! The container entity: identity, configuration as merged at creation, and the facts of its last run.

use crate::host_config::PortBinding;
use crate::{ContainerConfig, ContainerId, ContainerState, EndpointConfig, Exit, Health, HostConfig};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use time::OffsetDateTime;
use uuid::Uuid;

/// A container as the daemon knows it. What an engine holds beside it (paths, processes) belongs to the engine.
#[derive(Debug, Clone, PartialEq)]
pub struct Container {
    /// The store's identity; clients see `id`.
    pub uuid: Uuid,
    pub id: ContainerId,
    /// Without the leading slash that the API shows.
    pub name: String,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
    /// `sha256:...`
    pub image_id: String,
    /// The program and its arguments: entrypoint and command, resolved against the image.
    pub path: String,
    pub args: Vec<String>,
    /// What was asked, with the image's defaults merged in; `inspect` shows it.
    pub config: ContainerConfig,
    pub host_config: HostConfig,
    pub endpoints: BTreeMap<String, EndpointConfig>,
    pub networks: BTreeMap<String, EndpointStatus>,
    /// Published ports as they are while it runs, `80/tcp` -> where; not stored, for the engine knows them.
    pub ports: BTreeMap<String, Vec<PortBinding>>,
    pub mounts: Vec<MountPoint>,
    pub state: ContainerState,
    /// Of the last run.
    pub started_at: Option<OffsetDateTime>,
    pub exit: Option<Exit>,
    /// Since the first start of a container with a health check.
    pub health: Option<Health>,
    /// Why the last start failed; empty otherwise.
    pub error: String,
    pub restart_count: u32,
    /// The user stopped it: `unless-stopped` stays stopped.
    pub manually_stopped: bool,
    /// `linux/amd64`: what the image is for.
    pub platform: String,
    /// The API version of the create request, `1.47`.
    pub api_version: String,
    /// Options that the engine does not honour, as told to the client in `Warnings`.
    pub unsupported_flags: Vec<String>,
}

/// Where a container is on one network, while it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointStatus {
    pub network_id: String,
    pub endpoint_id: String,
    /// Of IPv4.
    pub gateway: Option<IpAddr>,
    /// Of IPv4.
    pub ip: Option<IpAddr>,
    pub prefix_len: u8,
    pub ipv6_gateway: Option<Ipv6Addr>,
    pub ipv6: Option<Ipv6Addr>,
    pub ipv6_prefix_len: u8,
    pub mac: String,
}

/// A resolved mount of the container, as `inspect` lists it under `Mounts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountPoint {
    pub kind: MountKind,
    /// Of a volume, or what an image was asked for by; empty otherwise.
    pub name: String,
    pub source: String,
    pub destination: String,
    pub driver: String,
    /// As written after the second colon of `-v` (`ro`, `z`, ...).
    pub mode: String,
    pub rw: bool,
    pub propagation: String,
    /// The source is made if it is missing (`-v`); else its absence is an error (`--mount`).
    pub create_source: bool,
    pub recursive: bool,
    /// Of a volume or an image: what in it is mounted; empty for all.
    pub subpath: String,
    /// Of an image: its id, for the name may come to mean another.
    pub image_id: String,
    /// An empty volume gets what the image has at the destination.
    pub copy_up: bool,
    /// A volume that nobody named: it goes with its container, if so asked.
    pub anonymous: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountKind {
    Bind,
    Volume,
    Tmpfs,
    /// The files of an image, read-only.
    Image,
}

impl Container {
    /// The images that it needs: the one that it is made from, and those among its mounts.
    pub fn images(&self) -> impl Iterator<Item = &str> {
        let mounted = self.mounts.iter().filter(|m| m.kind == MountKind::Image);
        std::iter::once(self.image_id.as_str()).chain(mounted.map(|m| m.image_id.as_str()))
    }

    /// The compose project that made it, if one did.
    pub fn compose_project(&self) -> Option<&str> {
        self.config.labels.get("com.docker.compose.project").map(String::as_str)
    }
}
