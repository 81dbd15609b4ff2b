//! Published ports as records: who has which, and which are free. Nothing listens.

use lighter_domain::host_config::PortBinding;
use lighter_domain::ports::{self, Protocol};
use lighter_domain::{Container, ContainerId, Error, Result, WantedPort};
use lighter_engine::{PortConflict, PortHolder};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// Where ports that are chosen begin, as in the kernel.
const FIRST_CHOSEN: u16 = 32_768;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    ip: IpAddr,
    port: u16,
    protocol: Protocol,
    by: ContainerId,
}

/// The ports of containers that run.
#[derive(Default)]
pub(super) struct Ports(Vec<Held>);

const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

impl Ports {
    fn holder(&self, ip: IpAddr, port: u16, protocol: Protocol) -> Option<&Held> {
        let overlaps = |h: &&Held| h.ip == ip || h.ip.is_unspecified() || ip.is_unspecified();
        self.0.iter().filter(|h| (h.port, h.protocol) == (port, protocol)).find(overlaps)
    }

    /// Gives a container the ports that it publishes, all or none.
    pub fn take(&mut self, container: &Container) -> Result<BTreeMap<String, Vec<PortBinding>>> {
        let mut given: BTreeMap<String, Vec<PortBinding>> = BTreeMap::new();
        for wanted in wanted(container)? {
            let ip = wanted.host_ip.unwrap_or(ANY);
            let choice = wanted.host_ports.clone().unwrap_or(FIRST_CHOSEN..=u16::MAX);
            let (first, free) = (*choice.start(), choice.into_iter().find(|p| self.holder(ip, *p, wanted.protocol).is_none()));
            let Some(port) = free else {
                self.give_back(&container.id);
                return Err(Error::internal(format!("Bind for {ip}:{first} failed: port is already allocated")));
            };
            self.0.push(Held { ip, port, protocol: wanted.protocol, by: container.id.clone() });
            let binding = PortBinding { host_ip: ip.to_string(), host_port: port.to_string() };
            given.entry(wanted.key()).or_default().push(binding);
        }
        Ok(given)
    }

    pub fn give_back(&mut self, container: &ContainerId) {
        self.0.retain(|h| h.by != *container);
    }

    /// Fixed ports of these containers that others have, or that one of them has asked for before.
    pub fn conflicts(&self, containers: &[Arc<Container>]) -> Vec<PortConflict> {
        let mut ports = Self(self.0.clone());
        let mut conflicts = Vec::new();
        for container in containers {
            for wanted in wanted(container).unwrap_or_default() {
                let (ip, Some(port)) = (wanted.host_ip.unwrap_or(ANY), wanted.fixed()) else { continue };
                match ports.holder(ip, port, wanted.protocol) {
                    Some(held) if held.by != container.id => conflicts.push(PortConflict {
                        container: container.id.clone(),
                        port: format!("{}/{}", std::net::SocketAddr::new(ip, port), wanted.protocol),
                        holder: PortHolder::Container(held.by.clone()),
                    }),
                    _ => ports.0.push(Held { ip, port, protocol: wanted.protocol, by: container.id.clone() }),
                }
            }
        }
        conflicts
    }
}

/// On the host's network, none, or another container's there is nothing to publish.
fn wanted(container: &Container) -> Result<Vec<WantedPort>> {
    let mode = container.host_config.network_mode.as_str();
    if matches!(mode, "host" | "none") || mode.starts_with("container:") {
        return Ok(Vec::new());
    }
    ports::wanted(&container.config, &container.host_config)
}
