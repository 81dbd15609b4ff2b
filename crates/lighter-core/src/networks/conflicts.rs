//! Ports that cannot be had are found before anything starts, and the error names who has them.
//!
//! Compose makes all containers of a project before it starts the first: so the first start looks at the ports of all that
//! were just made, and one `up` names every collision.

use crate::daemon::Shared;
use crate::wording;
use lighter_domain::{Container, ContainerState, Error, Result};
use lighter_engine::{PortConflict, PortHolder};
use std::sync::Arc;
use time::{Duration, OffsetDateTime};

/// How long after its creation a container counts as one that is being brought up with its project.
const JUST_MADE: Duration = Duration::minutes(1);

impl Shared {
    /// Fails with 500, in dockerd's words and with the holders' names, if a published port of a container that is about to
    /// start is taken, or one of its project's that are about to start.
    pub(crate) async fn check_ports(&self, container: &Container) -> Result<()> {
        let Some(networks) = self.engine.networks() else { return Ok(()) };
        let mut starting = self.siblings(container);
        if publishes(container) {
            starting.insert(0, Arc::new(container.clone()));
        }
        if starting.is_empty() {
            return Ok(());
        }
        let mut conflicts = self.bounded("looking at ports", networks.port_conflicts(&starting)).await?;
        conflicts.retain(|c| c.container == container.id || !self.makes_way(container, &c.holder));
        // The container's own first.
        conflicts.sort_by_key(|c| c.container != container.id);
        match conflicts.as_slice() {
            [] => Ok(()),
            all => Err(self.taken(container, &starting, all)),
        }
    }

    /// Containers of the same project that publish ports and were just made.
    fn siblings(&self, container: &Container) -> Vec<Arc<Container>> {
        let Some(project) = container.compose_project() else { return Vec::new() };
        let since = OffsetDateTime::now_utc() - JUST_MADE;
        let mut all = self.registry.snapshots();
        all.retain(|c| {
            c.id != container.id
                && c.state == ContainerState::Created
                && c.created_at > since
                && c.compose_project() == Some(project)
                && publishes(c)
        });
        all
    }

    /// A running container of the project: it may be about to be replaced by the one that wants its port.
    fn makes_way(&self, container: &Container, holder: &PortHolder) -> bool {
        let PortHolder::Container(id) = holder else { return false };
        let holder = self.registry.find(id.as_str()).map(|entry| entry.snapshot());
        holder.is_ok_and(|h| h.state.is_running() && h.compose_project() == container.compose_project())
    }

    fn taken(&self, container: &Container, starting: &[Arc<Container>], conflicts: &[PortConflict]) -> Error {
        let one = |conflict: &PortConflict| {
            let wants = starting.iter().find(|c| c.id == conflict.container).map_or(container, Arc::as_ref);
            let (address, _) = conflict.port.rsplit_once('/').unwrap_or((conflict.port.as_str(), ""));
            let failed = match conflict.holder {
                PortHolder::Container(_) => format!("Bind for {address} failed: port is already allocated"),
                PortHolder::Process { .. } | PortHolder::Unknown => {
                    format!("failed to bind host port for {address}: address already in use")
                }
            };
            let (name, id) = (&wants.name, wants.id.short());
            format!("endpoint {name} ({id}): {failed}, held by {}", self.holder(&conflict.holder))
        };
        let all: Vec<String> = conflicts.iter().map(one).collect();
        let text = all.join("; ");
        Error::internal(format!("{}: driver failed programming external connectivity on {text}", wording::NETWORKING))
    }

    /// Who has a port, in words.
    pub(crate) fn holder(&self, holder: &PortHolder) -> String {
        match holder {
            PortHolder::Container(id) => match self.registry.find(id.as_str()).map(|entry| entry.snapshot()) {
                Ok(c) => match c.compose_project() {
                    Some(stack) => format!("container {} of stack {stack}", c.name),
                    None => format!("container {}", c.name),
                },
                Err(_) => format!("container {}", id.short()),
            },
            PortHolder::Process { pid, name } => format!("process {name} ({pid})"),
            PortHolder::Unknown => "another program of the host".to_owned(),
        }
    }
}

fn publishes(container: &Container) -> bool {
    container.host_config.port_bindings.values().any(|bindings| !bindings.is_empty())
}
