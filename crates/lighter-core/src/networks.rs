//! Networks: which there are, and who is on them.

use crate::daemon::Daemon;
use crate::requests::NetworkView;
use lighter_domain::container::EndpointStatus;
use lighter_domain::{Container, Error, Placement, Result};
use std::collections::BTreeMap;

/// A container runs there now.
pub(crate) fn place(container: &mut Container, placement: Placement) {
    let Placement { networks, ports } = placement;
    container.networks = networks;
    container.ports = ports;
}

/// A container that does not run is on its networks by name only, and publishes nothing.
pub(crate) fn unplace(container: &mut Container) {
    for endpoint in container.networks.values_mut() {
        *endpoint = EndpointStatus { network_id: std::mem::take(&mut endpoint.network_id), ..EndpointStatus::default() };
    }
    container.ports.clear();
}

/// The network that `inspect` shows before the first start.
pub(crate) fn initial(mode: &str) -> BTreeMap<String, EndpointStatus> {
    let mut networks = BTreeMap::new();
    if !mode.starts_with("container:") {
        networks.insert(mode.to_owned(), EndpointStatus::default());
    }
    networks
}

impl Daemon {
    pub async fn networks(&self) -> Result<Vec<NetworkView>> {
        let containers = self.shared().registry.snapshots();
        let on = |name: &str| {
            let is_on = |c: &&std::sync::Arc<Container>| c.state.is_running() && c.networks.contains_key(name);
            containers.iter().filter(is_on).cloned().collect()
        };
        let networks = match self.shared().engine.networks() {
            Some(networks) => networks.list().await?,
            None => Vec::new(),
        };
        Ok(networks.into_iter().map(|network| NetworkView { containers: on(&network.name), network }).collect())
    }

    pub async fn network(&self, reference: &str) -> Result<NetworkView> {
        let mut found = self.networks().await?;
        let exact = |v: &NetworkView| v.network.name == reference || v.network.id == reference;
        if let Some(at) = found.iter().position(exact) {
            return Ok(found.swap_remove(at));
        }
        found.retain(|v| !reference.is_empty() && v.network.id.starts_with(reference));
        match found.len() {
            1 => Ok(found.swap_remove(0)),
            0 => Err(Error::not_found(format!("network {reference} not found"))),
            _ => Err(Error::invalid(format!(
                "network {reference} is ambiguous ({} matches found based on ID prefix)",
                found.len()
            ))),
        }
    }
}
