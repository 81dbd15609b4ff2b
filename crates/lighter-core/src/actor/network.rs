//! The networks of one container, changed by a client.

use super::Actor;
use crate::networks::endpoints;
use crate::networks::{joined, left, place, refuse_joining};
use crate::wording;
use lighter_domain::container::EndpointStatus;
use lighter_domain::{Container, ContainerState, EndpointConfig, Error, Network, Result};
use lighter_store::Change;
use std::sync::Arc;

impl Actor {
    /// `name`: how the client called the network, which may not be there yet.
    pub(super) async fn connect(&mut self, network: Option<&Arc<Network>>, name: &str, asked: EndpointConfig) -> Result<()> {
        let mut container = (*self.container()).clone();
        refuse_leaving(&container)?;
        let live = container.state.is_running();
        let name = network.map_or(name, |n| n.name.as_str()).to_owned();
        if container.networks.contains_key(&name) {
            let text = format!("endpoint with name {} already exists in network {name}", container.name);
            // As in dockerd: one that does not run keeps what it asked for first.
            return if live { Err(Error::forbidden(text)) } else { Ok(()) };
        }
        let mode = container.host_config.network_mode.clone();
        let names: Vec<&str> = container.networks.keys().map(String::as_str).chain([name.as_str()]).collect();
        endpoints::check_company(&names, &mode)?;
        endpoints::check(&name, network.map(Arc::as_ref), &asked).map_err(Error::invalid)?;
        let network_id = network.map(|n| n.id.clone()).unwrap_or_default();
        container.networks.insert(name.clone(), EndpointStatus { network_id, ..EndpointStatus::default() });
        container.endpoints.insert(name.clone(), asked);
        if !live {
            return self.commit(container, Vec::new()).await;
        }
        let network = network.ok_or_else(|| wording::no_such_network(&name))?;
        refuse_joining(network)?;
        let shared = self.shared.clone();
        if !shared.network_uses.hold(network, &container.id) {
            return Err(wording::no_such_network(&network.name));
        }
        match shared.bounded("connecting to a network", shared.networks()?.connect(&container, network)).await {
            Ok(placement) => place(&mut container, placement),
            Err(error) => {
                shared.network_uses.release_one(&network.id, &container.id);
                return Err(error);
            }
        }
        let events = joined(&container, std::slice::from_ref(network));
        self.commit(container, events).await
    }

    /// `name`: how the client called the network, which may be gone.
    pub(super) async fn disconnect(&mut self, network: Option<&Arc<Network>>, name: &str) -> Result<()> {
        let mut container = (*self.container()).clone();
        refuse_leaving(&container)?;
        let id = container.id.clone();
        let name = network.map_or(name, |n| n.name.as_str()).to_owned();
        let live = container.state.is_running();
        if live && container.host_config.network_mode == "host" && name == "host" {
            let text = "cannot disconnect container from host network - container was created in host network mode";
            return Err(Error::invalid(text));
        }
        if container.networks.remove(&name).is_none() {
            let the = if live { "" } else { "the " };
            return Err(Error::internal(format!("container {id} is not connected to {the}network {name}")));
        }
        let (true, Some(network)) = (live, network) else {
            container.endpoints.remove(&name);
            return self.commit(container, Vec::new()).await;
        };
        let shared = self.shared.clone();
        // The engine is asked with what the container still asks of it.
        let placement =
            shared.bounded("disconnecting from a network", shared.networks()?.disconnect(&container, network)).await?;
        container.endpoints.remove(&name);
        place(&mut container, placement);
        container.networks.remove(&name);
        shared.network_uses.release_one(&network.id, &id);
        let events = left(&container, std::slice::from_ref(network));
        self.commit(container, events).await
    }
}

impl Actor {
    /// Others shall find the container by its new name from now on, and its stack shall have it under that name.
    pub(super) async fn renamed(&mut self) -> Result<()> {
        let container = self.container();
        let networks = self.shared.engine.networks().filter(|_| container.state.is_running());
        if let Some(networks) = networks
            && let Err(error) = self.shared.bounded("renaming on networks", networks.renamed(&container)).await
        {
            tracing::warn!(id = %container.id, %error, "a container is still known by its old name");
        }
        if container.compose_project().is_some() {
            self.shared.persist(vec![Change::JoinStack(container)], Vec::new()).await?;
        }
        Ok(())
    }
}

fn refuse_leaving(container: &Container) -> Result<()> {
    if matches!(container.state, ContainerState::Removing | ContainerState::Dead) {
        let id = &container.id;
        let text = format!("Container {id} is marked for removal and cannot be connected or disconnected to the network");
        return Err(Error::conflict(text));
    }
    Ok(())
}
