//! Networks: what they are called, which addresses they have, where a container is on them.
//!
//! The kinds of networks (drivers) and what they can do are an engine's affair; names, labels and who may remove what are
//! the core's.

use crate::container::{Container, EndpointStatus};
use crate::host_config::PortBinding;
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::IpAddr;
use time::OffsetDateTime;

/// A network as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// 64 hexadecimal digits.
    pub id: String,
    pub name: String,
    /// `bridge`, `host`, `null`, `macvlan`, `ipvlan`.
    pub driver: String,
    pub created_at: OffsetDateTime,
    pub enable_ipv4: bool,
    pub enable_ipv6: bool,
    /// No way out of it.
    pub internal: bool,
    pub attachable: bool,
    pub ipam: Ipam,
    /// Of the driver, as they were asked for.
    pub options: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    /// It exists without anyone having made it, and cannot be removed.
    pub builtin: bool,
    /// It only holds settings for others, and nobody is ever on it.
    pub config_only: bool,
    /// The name of the network that it has its settings from; empty: they are its own.
    pub config_from: String,
}

/// How a network's addresses are managed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ipam {
    /// `default`, `null`.
    pub driver: String,
    /// `None` is null, as `inspect` shows it.
    pub options: Option<BTreeMap<String, String>>,
    /// In the order in which they were asked for, or chosen: IPv4 before IPv6.
    pub pools: Vec<IpamPool>,
}

/// One range of a network's addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpamPool {
    pub subnet: IpNet,
    /// Addresses that are handed out; the whole subnet without it.
    pub ip_range: Option<IpNet>,
    pub gateway: Option<IpAddr>,
    /// Addresses that others have, by the names given to them.
    pub aux_addresses: BTreeMap<String, IpAddr>,
}

/// What a client asks for. A pool's missing gateway and a family's missing pool are the engine's to choose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewNetwork {
    pub name: String,
    /// Empty: `bridge`.
    pub driver: String,
    /// `None`: as the daemon has it (on for IPv4, off for IPv6).
    pub enable_ipv4: Option<bool>,
    pub enable_ipv6: Option<bool>,
    pub internal: bool,
    pub attachable: bool,
    pub ipam: Ipam,
    pub options: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    pub config_only: bool,
    /// Where the settings are from; whoever hands this to an engine has put them in.
    pub config_from: String,
}

/// Where a running container is: its place on each of its networks, by the networks' names, and its ports on the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placement {
    pub networks: BTreeMap<String, EndpointStatus>,
    /// `80/tcp` -> where it is published, with the ports that were chosen. Exposed ports that are not published are not here.
    pub ports: BTreeMap<String, Vec<PortBinding>>,
}

/// By which names others find a container on a network that users made: its own, those that were asked for there, the short
/// form of its id, its host name. The first is that of its address.
#[must_use]
pub fn dns_names(container: &Container, network: &str) -> Vec<String> {
    let aliases = container.endpoints.get(network).map(|asked| asked.aliases.as_slice()).unwrap_or_default();
    let own = [container.name.as_str()].into_iter().chain(aliases.iter().map(String::as_str));
    let mut names: Vec<String> = Vec::new();
    for name in own.chain([container.id.short(), container.config.hostname.as_str()]).filter(|n| !n.is_empty()) {
        if !names.iter().any(|n| n == name) {
            names.push(name.to_owned());
        }
    }
    names
}
