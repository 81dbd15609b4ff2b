//! A container's way onto its networks when it starts, and off them when it ends.

use super::{endpoints, event, find, is_predefined, settings};
use crate::daemon::Shared;
use crate::wording;
use lighter_domain::container::EndpointStatus;
use lighter_domain::{Container, Error, Event, Network, Placement, Result};
use lighter_store::Change;
use std::sync::Arc;

/// A container runs there now. What it was configured for and the engine tells nothing of, it stays configured for.
pub(crate) fn place(container: &mut Container, placement: Placement) {
    let Placement { networks, ports } = placement;
    let alone = container.networks.is_empty();
    for (name, status) in networks {
        // One that was taken off all its networks runs on none, which is no network.
        if !(alone && name == "none") {
            container.networks.insert(name, status);
        }
    }
    container.ports = ports;
}

/// The same at start-up: a daemon that was taking the container off a network when it died may have left it without a place
/// there. Of the host's network and of none the engine says nothing.
pub(crate) fn place_again(container: &mut Container, placement: Placement) {
    for (name, status) in &mut container.networks {
        if !placement.networks.contains_key(name) && !matches!(name.as_str(), "host" | "none") {
            *status = EndpointStatus { network_id: std::mem::take(&mut status.network_id), ..EndpointStatus::default() };
        }
    }
    place(container, placement);
}

/// A container that does not run is on its networks by name only, and publishes nothing.
pub(crate) fn unplace(container: &mut Container) {
    for endpoint in container.networks.values_mut() {
        *endpoint = EndpointStatus { network_id: std::mem::take(&mut endpoint.network_id), ..EndpointStatus::default() };
    }
    container.ports.clear();
}

/// That a container came onto these networks.
pub(crate) fn joined(container: &Container, networks: &[Arc<Network>]) -> Vec<Event> {
    networks.iter().map(|n| event(n, "connect", Some(container))).collect()
}

/// That it left them.
pub(crate) fn left(container: &Container, networks: &[Arc<Network>]) -> Vec<Event> {
    networks.iter().map(|n| event(n, "disconnect", Some(container))).collect()
}

impl Shared {
    /// Looks up the networks that a container is to start on, under the names and ids that they have now, and holds them until
    /// their release.
    pub(crate) async fn join_networks(&self, container: &mut Container) -> Result<()> {
        if self.engine.networks().is_none() {
            return Ok(());
        }
        let all = self.all_networks().await?;
        let (mut found, mut joined) = (Vec::new(), container.clone());
        joined.networks.clear();
        for (name, status) in container.networks.clone() {
            // A name may stand for another network than it did; the built-in ones are what they are called.
            let by_id = !status.network_id.is_empty() && !is_predefined(&name);
            let reference = if by_id { &status.network_id } else { &name };
            let network = find(&all, reference).map_err(|e| wording::prefixed(wording::NETWORKING, &e))?;
            settings::refuse_joining(network).map_err(|e| wording::prefixed(wording::NETWORKING, &e))?;
            if network.name != name
                && let Some(asked) = joined.endpoints.remove(&name)
            {
                joined.endpoints.insert(network.name.clone(), asked);
            }
            let status = EndpointStatus { network_id: network.id.clone(), ..status };
            joined.networks.insert(network.name.clone(), status);
            found.push(network.clone());
        }
        let names: Vec<&str> = joined.networks.keys().map(String::as_str).collect();
        endpoints::check_company(&names, &container.host_config.network_mode)?;
        for network in &found {
            if !self.network_uses.hold(network, &container.id) {
                self.network_uses.release(&container.id);
                return Err(wording::prefixed(wording::NETWORKING, &wording::no_such_network(&network.name)));
            }
        }
        *container = joined;
        Ok(())
    }

    /// The container as the engine is to start it: with what its links lead to, and with a network mode that it is on, for
    /// engines look at that first, and a client may have taken the container off that network.
    pub(crate) fn for_engine(&self, container: &Container) -> Result<Container> {
        let mut container = container.clone();
        self.follow_links(&mut container)?;
        let mode = container.host_config.network_mode.as_str();
        if let Some(peer) = mode.strip_prefix("container:").and_then(|peer| self.registry.find(peer).ok()) {
            let peer = peer.snapshot();
            if !peer.state.is_running() {
                let (name, state) = (&peer.name, peer.state.docker_status());
                let text = format!("cannot join network namespace of a non running container: container {name} is {state}");
                return Err(Error::conflict(text));
            }
        } else if !mode.starts_with("container:") && !container.networks.contains_key(mode) {
            let first = container.networks.keys().next().cloned();
            container.host_config.network_mode = first.unwrap_or_else(|| "none".to_owned());
        }
        Ok(container)
    }

    /// A run has ended: the events that tell of it.
    pub(crate) fn leave_networks(&self, container: &Container) -> Vec<Event> {
        left(container, &self.network_uses.release(&container.id))
    }

    /// At start-up: what runs is on its networks.
    pub(crate) async fn take_over_networks(&self, containers: &[Arc<Container>]) -> Result<()> {
        if self.engine.networks().is_none() {
            return Ok(());
        }
        let all = self.all_networks().await?;
        self.persist(vec![Change::SyncNetworks(all.clone())], Vec::new()).await?;
        for container in containers.iter().filter(|c| c.state.is_running()) {
            for at in container.networks.values() {
                match all.iter().find(|n| n.id == at.network_id) {
                    Some(network) => drop(self.network_uses.hold(network, &container.id)),
                    None => {
                        tracing::warn!(id = %container.id, network = at.network_id, "a container is on a network that is not there");
                    }
                }
            }
        }
        Ok(())
    }
}
