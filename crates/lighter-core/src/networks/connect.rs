//! `network connect` and `disconnect`: a container's networks are changed by its actor, like everything of it.

use super::find;
use crate::actor::Command;
use crate::daemon::Daemon;
use crate::wording;
use lighter_domain::{EndpointConfig, Error, ErrorKind, Result};

impl Daemon {
    /// Puts a container onto a further network: now, if it runs, else with its next start.
    pub async fn network_connect(&self, network: &str, container: &str, asked: EndpointConfig) -> Result<()> {
        if container.is_empty() {
            return Err(Error::invalid("invalid name or ID supplied: \"\""));
        }
        let entry = self.entry(container)?;
        let all = self.shared().all_networks().await?;
        let found = match find(&all, network) {
            Ok(network) => Some(network.clone()),
            // One that does not run waits for a network that somebody makes before its start.
            Err(error) if error.kind() == ErrorKind::NotFound && !entry.snapshot().state.is_running() => None,
            Err(error) => return Err(error),
        };
        let name = network.to_owned();
        self.ask(&entry, |reply| Command::Connect { name, network: found, asked: Box::new(asked), reply }).await
    }

    /// Takes a container off a network. `force`: one that does not run is taken off a network that is gone, too.
    pub async fn network_disconnect(&self, network: &str, container: &str, force: bool) -> Result<()> {
        if container.is_empty() {
            return Err(Error::invalid("invalid name or ID supplied: \"\""));
        }
        let all = self.shared().all_networks().await?;
        let entry = match self.entry(container) {
            // A container that is gone has left nothing on any network.
            Err(error) if force && error.kind() == ErrorKind::NotFound => {
                find(&all, network)?;
                return Err(Error::not_found(format!("endpoint {container} not found")));
            }
            found => found?,
        };
        let found = find(&all, network).cloned();
        if entry.snapshot().state.is_running() && !force {
            found.as_ref().map_err(|_| wording::no_such_network(network))?;
        }
        let (name, network) = (network.to_owned(), found.ok());
        self.ask(&entry, |reply| Command::Disconnect { name, network, reply }).await
    }
}
