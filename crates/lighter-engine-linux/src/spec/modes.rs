//! The namespace modes of a container, read once from their spellings in `HostConfig`.
//!
//! `review` refuses what is not in here before anything is made; the spec builder and the start path match on the result.

use lighter_domain::{Container, ContainerId, Error, Result};

/// Where the container's network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    /// A namespace of its own with nothing but loopback.
    None,
    Host,
    /// On networks, in a namespace of its own.
    Own,
    /// That of [`peer`] of the mode.
    Joined,
}

/// Private to the container, or the host's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    Private,
    Host,
}

/// Where the container's processes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pids {
    Private,
    Host,
    /// In the namespace of [`peer`] of the mode.
    Joined,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ipc {
    /// Its own, with `/dev/shm`.
    Private,
    /// Its own, and others may join it.
    Shareable,
    /// That of [`peer`] of the mode.
    Joined,
    /// Its own, without `/dev/shm`.
    None,
    Host,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Modes {
    pub network: Network,
    pub pid: Pids,
    pub uts: Sharing,
    pub ipc: Ipc,
    pub cgroup: Sharing,
}

impl Modes {
    /// `unified`: whether control groups are version 2, which decides the default of the cgroup namespace.
    pub(crate) fn of(container: &Container, unified: bool) -> Result<Self> {
        let host = &container.host_config;
        Ok(Self {
            network: network(&host.network_mode, container.config.network_disabled)?,
            pid: pid(&host.pid_mode)?,
            uts: uts(&host.uts_mode)?,
            ipc: ipc(&host.ipc_mode)?,
            cgroup: match host.cgroupns_mode.as_str() {
                "private" => Sharing::Private,
                "host" => Sharing::Host,
                "" if unified && !host.privileged => Sharing::Private,
                "" => Sharing::Host,
                other => return Err(Error::invalid(format!("invalid cgroup namespace mode: {other}"))),
            },
        })
    }

    /// Whether the container has another network namespace than the host.
    pub(crate) fn own_network(&self) -> bool {
        self.network != Network::Host
    }
}

fn network(mode: &str, disabled: bool) -> Result<Network> {
    match mode {
        _ if disabled => Ok(Network::None),
        "none" => Ok(Network::None),
        "host" => Ok(Network::Host),
        _ if peer(mode).is_some() => Ok(Network::Joined),
        _ if mode.starts_with("container:") => {
            Err(Error::not_found(format!("No such container: {}", &mode["container:".len()..])))
        }
        _ => Ok(Network::Own),
    }
}

/// The other container of a mode such as `container:<id>`. The core has put ids in the place of names.
pub(crate) fn peer(mode: &str) -> Option<ContainerId> {
    mode.strip_prefix("container:").and_then(ContainerId::parse)
}

/// Whose `/etc/hosts` and the like a container has: those that go with its network.
pub(crate) fn etc_owner(container: &Container) -> ContainerId {
    peer(&container.host_config.network_mode).unwrap_or_else(|| container.id.clone())
}

fn pid(mode: &str) -> Result<Pids> {
    match mode {
        "" | "private" => Ok(Pids::Private),
        "host" => Ok(Pids::Host),
        _ if peer(mode).is_some() => Ok(Pids::Joined),
        _ => Err(Error::invalid(format!("invalid PID mode: {mode}"))),
    }
}

fn uts(mode: &str) -> Result<Sharing> {
    match mode {
        "" | "private" => Ok(Sharing::Private),
        "host" => Ok(Sharing::Host),
        _ => Err(Error::invalid(format!("invalid UTS mode: {mode}"))),
    }
}

fn ipc(mode: &str) -> Result<Ipc> {
    match mode {
        "" | "private" => Ok(Ipc::Private),
        "shareable" => Ok(Ipc::Shareable),
        "none" => Ok(Ipc::None),
        "host" => Ok(Ipc::Host),
        _ if peer(mode).is_some() => Ok(Ipc::Joined),
        _ => Err(Error::invalid(format!("invalid IPC mode: {mode}"))),
    }
}
