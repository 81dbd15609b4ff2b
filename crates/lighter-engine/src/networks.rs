//! Networks, where the engine has any.

use async_trait::async_trait;
use lighter_domain::id::random_hex64;
use lighter_domain::network::{NewNetwork, Placement};
use lighter_domain::{Container, ContainerId, Error, Network, Result};
use std::sync::Arc;
use time::OffsetDateTime;

/// The networks of an engine. Names are unique; which containers are configured for a network is the core's to know.
///
/// A container that starts asks for its networks in `Container::host_config.network_mode` and `Container::endpoints` (by
/// name; what was asked of each). `Container::networks` has the id that a name stood for when the container was made; where
/// it is set, it counts.
#[async_trait]
pub trait Networks: Send + Sync {
    /// All of them, those included that nobody made (`bridge`, `host`, `none`). Cheap.
    async fn list(&self) -> Result<Vec<Arc<Network>>>;

    /// Makes one under a new id. Its name is free. One that only holds a configuration is kept ([`configuration`]). Fails with
    /// dockerd's words where the pools overlap or an option is wrong.
    async fn create(&self, new: NewNetwork) -> Result<Arc<Network>>;

    /// Removes one that no running container is on. One that is not there is a success.
    async fn remove(&self, id: &str) -> Result<()>;

    /// Puts a running container on a further network, as `container.endpoints[network.name]` asks; where it is then.
    async fn connect(&self, container: &Container, network: &Network) -> Result<Placement>;

    /// Takes a running container off a network; where it is then.
    async fn disconnect(&self, container: &Container, network: &Network) -> Result<Placement>;

    /// A running container has another name, by which others shall find it.
    async fn renamed(&self, container: &Container) -> Result<()>;

    /// Which published ports of these containers, none of which runs, could not be had now, by reason of others that run, of
    /// other programs on the host, or of each other. Ports that are chosen at start never conflict.
    async fn port_conflicts(&self, containers: &[Arc<Container>]) -> Result<Vec<PortConflict>>;
}

/// What every engine decides alike of a network that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basics {
    /// `bridge`, `macvlan` or `ipvlan`.
    pub driver: String,
    pub ipam_driver: String,
    pub enable_ipv4: bool,
    pub enable_ipv6: bool,
}

impl Basics {
    /// With dockerd's defaults.
    ///
    /// # Errors
    /// In dockerd's words: a driver that there is not, or of which there is one network only; no address family.
    pub fn of(new: &NewNetwork) -> Result<Self> {
        let driver = match new.driver.as_str() {
            "" => "bridge",
            driver @ ("bridge" | "macvlan" | "ipvlan") => driver,
            driver @ ("host" | "null") => {
                return Err(Error::forbidden(format!("only one instance of \"{driver}\" network is allowed")));
            }
            other => return Err(no_plugin(other)),
        };
        if !matches!(new.ipam.driver.as_str(), "" | "default") {
            return Err(no_plugin(&new.ipam.driver));
        }
        let (enable_ipv4, enable_ipv6) = (new.enable_ipv4.unwrap_or(true), new.enable_ipv6.unwrap_or(false));
        if !enable_ipv4 && !enable_ipv6 {
            return Err(Error::invalid("IPv4 or IPv6 must be enabled"));
        }
        Ok(Self { driver: driver.to_owned(), ipam_driver: "default".to_owned(), enable_ipv4, enable_ipv6 })
    }
}

/// A network that only holds a configuration: it is kept as it was asked for, and looked at by those that use it.
#[must_use]
pub fn configuration(new: NewNetwork) -> Network {
    let NewNetwork { name, driver: _, enable_ipv4, enable_ipv6, internal, attachable, mut ipam, options, labels, .. } = new;
    if ipam.driver.is_empty() {
        "default".clone_into(&mut ipam.driver);
    }
    ipam.pools.sort_by_key(|pool| !pool.subnet.addr().is_ipv4());
    Network {
        id: random_hex64(),
        name,
        driver: "null".to_owned(),
        created_at: OffsetDateTime::now_utc(),
        enable_ipv4: enable_ipv4.unwrap_or(true),
        enable_ipv6: enable_ipv6.unwrap_or(false),
        internal,
        attachable,
        ipam,
        options,
        labels,
        builtin: false,
        config_only: true,
        config_from: String::new(),
    }
}

fn no_plugin(name: &str) -> Error {
    Error::not_found(format!("plugin \"{name}\" not found"))
}

/// A published port that cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortConflict {
    /// Who wants it.
    pub container: ContainerId,
    /// `0.0.0.0:8080/tcp`
    pub port: String,
    pub holder: PortHolder,
}

/// Who has a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortHolder {
    Container(ContainerId),
    Process {
        pid: u32,
        name: String,
    },
    /// Somebody whom the engine cannot name.
    Unknown,
}
