//! The words of dockerd for what is refused, in one place: clients parse them.

use lighter_domain::state::{Reason, Request};
use lighter_domain::{Container, ContainerId, ContainerState, Error, Network};
use std::sync::Arc;
use std::time::Duration;

pub fn no_such_container(reference: &str) -> Error {
    Error::not_found(format!("No such container: {reference}"))
}

pub fn no_such_file(reference: &str, path: &str) -> Error {
    Error::not_found(format!("Could not find the file {path} in container {reference}"))
}

pub fn no_such_exec(id: &str) -> Error {
    Error::not_found(format!("No such exec instance: {id}"))
}

pub fn name_taken(name: &str, owner: &str) -> Error {
    Error::conflict(format!(
        "Conflict. The container name \"/{name}\" is already in use by container \"{owner}\". \
         You have to remove (or rename) that container to be able to reuse that name."
    ))
}

/// An engine lacks a capability.
pub fn lacks(engine: &str, feature: &str) -> Error {
    Error::not_implemented(format!("{feature} is not implemented by Lighter's {engine} engine"))
}

/// An engine is silent; what was asked of it may still happen.
pub fn no_answer(what: &str, patience: Duration) -> Error {
    Error::timeout(format!("{what}: the engine did not answer within {} s", patience.as_secs_f32()))
}

pub fn not_running(id: &ContainerId) -> Error {
    Error::conflict(format!("container {id} is not running"))
}

/// Why `request` is denied for `container`; always 409.
pub fn denied(container: &Container, request: Request, reason: Reason) -> Error {
    let id = &container.id;
    Error::conflict(match (reason, request) {
        (Reason::RemovalInProgress | Reason::Running, _) => format!("container {id} is busy"),
        (Reason::MarkedForRemoval, Request::Start | Request::Restart) => {
            "container is marked for removal and cannot be started".to_owned()
        }
        (Reason::MarkedForRemoval, Request::Update) => "container is marked for removal and cannot be \"update\"".to_owned(),
        (Reason::MarkedForRemoval, _) => format!("container {id} is marked for removal"),
        (Reason::NotRunning, _) => return not_running(id),
        (Reason::NotPaused, _) => format!("Container {id} is not paused"),
        (Reason::AlreadyPaused, _) => format!("Container {id} is already paused"),
        (Reason::Paused, Request::Start) => "cannot start a paused container, try unpause instead".to_owned(),
        (Reason::Paused, Request::Attach) => format!("container {id} is paused, unpause the container before attach"),
        (Reason::Paused, _) => format!("Container {id} is paused, unpause the container before exec"),
        (Reason::Restarting, _) => format!("container {id} is restarting, wait until the container is running"),
    })
}

/// Before the words of what keeps a container's networks from being set up.
pub const NETWORKING: &str = "failed to set up container networking";

pub const NOT_A_MANAGER: &str = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to \
    connect this node to swarm and try again.";

pub fn no_such_network(reference: &str) -> Error {
    Error::not_found(format!("network {reference} not found"))
}

pub fn ambiguous_network(reference: &str, matches: usize) -> Error {
    Error::invalid(format!("network {reference} is ambiguous ({matches} matches found based on ID prefix)"))
}

pub fn no_such_configuration(name: &str) -> Error {
    Error::not_found(format!("configuration network {name:?} does not exist"))
}

/// Why a network that holds a configuration stays.
pub fn configuration_in_use(name: &str) -> Error {
    Error::forbidden(format!("error while removing network: configuration network {name:?} is in use"))
}

/// Why a network stays: these containers are on it.
pub fn active_endpoints(network: &Network, containers: &[Arc<Container>]) -> Error {
    let mut endpoints: Vec<String> = containers
        .iter()
        .map(|c| {
            let id = c.networks.get(&network.name).map_or("", |at| at.endpoint_id.as_str());
            format!("name:\"{}\" id:\"{}\"", c.name, id.get(..12).unwrap_or(id))
        })
        .collect();
    endpoints.sort();
    let (name, endpoints) = (&network.name, endpoints.join(", "));
    Error::forbidden(format!("error while removing network: network {name} has active endpoints ({endpoints})"))
}

/// Why a container that is going away becomes no image.
pub fn not_committed(container: &Container) -> Error {
    let how = if container.state == ContainerState::Dead { "Dead" } else { "being removed" };
    Error::conflict(format!("You cannot commit container {} which is {how}", container.id))
}

/// Why a container is not removed; `reference` is how the client named it.
pub fn removal_denied(reference: &str, id: &ContainerId, reason: Reason) -> Error {
    let blocked = |state, way_out| format!("cannot remove container \"{reference}\": container is {state}{way_out}");
    Error::conflict(match reason {
        Reason::RemovalInProgress => format!("removal of container {id} is already in progress"),
        Reason::MarkedForRemoval => format!("container {id} is marked for removal"),
        Reason::Paused | Reason::NotPaused | Reason::AlreadyPaused => blocked("paused", " and must be unpaused first"),
        Reason::Restarting => blocked("restarting", ": stop the container before removing or force remove"),
        Reason::Running | Reason::NotRunning => blocked("running", ": stop the container before removing or force remove"),
    })
}

/// Puts words before an error's own, keeping its kind.
pub fn prefixed(prefix: &str, error: &Error) -> Error {
    Error::new(error.kind(), format!("{prefix}: {error}"))
}
