//! Who has which port of the host, and who would.

use crate::daemon::Daemon;
use lighter_domain::host_config::PortBinding;
use lighter_domain::{Container, Result};
use lighter_engine::PortConflict;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A port of the host that a container has or is to have.
#[derive(Debug, Clone)]
pub struct PortUse {
    /// Empty: all addresses.
    pub host_ip: String,
    /// Empty: one that is chosen at the start.
    pub host_port: String,
    /// `80/tcp`
    pub container_port: String,
    pub container: Arc<Container>,
    pub state: PortState,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortState {
    /// The container runs and has it.
    Held,
    /// It gets it when it starts.
    Wanted,
    /// It would not get it now: who has it, in words.
    Taken(String),
}

impl Daemon {
    /// The published ports of all containers, in the order of the ports.
    pub async fn ports(&self) -> Result<Vec<PortUse>> {
        let shared = self.shared();
        let containers = self.visible();
        let idle: Vec<Arc<Container>> = containers.iter().filter(|c| !c.state.is_running()).cloned().collect();
        let conflicts = match shared.engine.networks() {
            Some(networks) => shared.bounded("looking at ports", networks.port_conflicts(&idle)).await?,
            None => Vec::new(),
        };
        let mut uses = Vec::new();
        for container in &containers {
            let live = container.state.is_running();
            let bindings = if live { &container.ports } else { &container.host_config.port_bindings };
            // A port that is reached by the container's own address has none of the host.
            let of_host = |at: &PortBinding| !live || !at.host_port.is_empty();
            uses.extend(bound(bindings).filter(|(_, at)| of_host(at)).map(|(port, at)| PortUse {
                host_ip: at.host_ip.clone(),
                host_port: at.host_port.clone(),
                container_port: port.to_owned(),
                container: container.clone(),
                state: if live { PortState::Held } else { self.outlook(&conflicts, container, port, at) },
            }));
        }
        uses.sort_by_cached_key(|u| {
            (u.host_port.parse::<u16>().unwrap_or(0), u.container_port.clone(), u.container.name.clone())
        });
        Ok(uses)
    }

    fn outlook(&self, conflicts: &[PortConflict], container: &Container, port: &str, at: &PortBinding) -> PortState {
        let protocol = port.split_once('/').map_or("tcp", |(_, p)| p);
        let end = format!(":{}/{protocol}", at.host_port);
        let found = conflicts.iter().find(|c| c.container == container.id && c.port.ends_with(&end));
        found.map_or(PortState::Wanted, |c| PortState::Taken(self.shared().holder(&c.holder)))
    }
}

fn bound(ports: &BTreeMap<String, Vec<PortBinding>>) -> impl Iterator<Item = (&str, &PortBinding)> {
    ports.iter().flat_map(|(port, bindings)| bindings.iter().map(move |b| (port.as_str(), b)))
}
