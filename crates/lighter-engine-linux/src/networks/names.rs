//! Names of containers on networks that users made: told to the resolver, which is opened in each of their namespaces.
//!
//! On the default bridge there is none, as with dockerd.

use crate::engine::Inner;
use crate::fail::Context as _;
use crate::networks::in_full;
use crate::run::network::dns;
use crate::run::{RunState, peers};
use lighter_domain::network::dns_names;
use lighter_domain::{Container, ContainerId, Error, Result};
use lighter_network::Attachment;
use lighter_network::dns::{EndpointNames, Seat, View};
use lighter_network::resolv::{self, ResolvMode};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

impl Inner {
    /// Whether a container with this attachment has a resolver of ours.
    pub(crate) fn has_resolver(&self, attachment: &Attachment) -> bool {
        attachment.endpoints.iter().any(|endpoint| endpoint.network_id != self.ids.bridge)
    }

    /// Tells the resolver by which names a container is found now.
    pub(crate) fn publish_names(&self, container: &Container, attachment: &Attachment) {
        for endpoint in attachment.endpoints.iter().filter(|endpoint| endpoint.network_id != self.ids.bridge) {
            let mut names = dns_names(container, &endpoint.network).into_iter();
            let names = EndpointNames {
                name: names.next().unwrap_or_default(),
                aliases: names.collect(),
                addresses: [endpoint.ip.map(IpAddr::V4), endpoint.ipv6.map(IpAddr::V6)].into_iter().flatten().collect(),
            };
            self.dns.publish(&endpoint.network_id, &endpoint.network, container.id.as_str(), names);
        }
    }

    /// Sees to it that a container in `netns` finds others and is found, as its attachment has it.
    pub(crate) async fn open_names(&self, container: &Container, attachment: &Attachment, netns: BorrowedFd<'_>) -> Result<()> {
        let id = container.id.as_str();
        if !self.has_resolver(attachment) {
            self.dns.forget(id);
            return Ok(());
        }
        self.publish_names(container, attachment);
        let view = self.view(container, attachment)?;
        if self.dns.update(id, view.clone()) {
            return Ok(());
        }
        let opened = self.dns.attach(id, netns, view).await;
        opened.map_err(|e| Error::internal(format!("failed to set up container networking: {}", in_full(&e))))
    }

    /// What a container sees.
    fn view(&self, container: &Container, attachment: &Attachment) -> Result<View> {
        let embedded = resolv::embedded(&resolv::read_host(), &dns(container)?);
        let on = || attachment.endpoints.iter();
        let seats = on().filter(|endpoint| endpoint.network_id != self.ids.bridge).map(|endpoint| {
            let links = container.endpoints.get(&endpoint.network).map(|asked| links(&asked.links)).unwrap_or_default();
            Seat { network: endpoint.network_id.clone(), links }
        });
        // From the inside of internal networks, nothing goes out: not by way of names either.
        let internal = |id: &str| self.kept.find(id).is_some_and(|made| made.network.internal);
        Ok(View {
            networks: seats.collect(),
            forward: on().any(|endpoint| !internal(&endpoint.network_id)),
            servers: embedded.servers,
            ndots: embedded.ndots,
        })
    }

    /// A container's `resolv.conf`.
    pub(crate) fn resolv_conf(&self, container: &Container, own_network: bool, attachment: &Attachment) -> Result<String> {
        let (host, overrides) = (resolv::read_host(), dns(container)?);
        if self.has_resolver(attachment) {
            return Ok(resolv::embedded(&host, &overrides).text);
        }
        let ipv6 = attachment.endpoints.iter().any(|endpoint| endpoint.ipv6_gateway.is_some());
        let mode = if own_network { ResolvMode::Isolated { ipv6 } } else { ResolvMode::Host };
        Ok(resolv::resolv_conf(&host, &overrides, mode))
    }

    /// After a change of networks: a container that got a resolver, or lost it, has another `resolv.conf`, unless somebody has
    /// edited it. The file stays the same one, for it is mounted. Blocking.
    pub(crate) fn update_resolv_conf(&self, container: &Container, before: &Attachment, now: &Attachment) -> Result<()> {
        if self.has_resolver(before) == self.has_resolver(now) {
            return Ok(());
        }
        let path = self.layout.resolv_conf(&container.id);
        let found = std::fs::read_to_string(&path).at("cannot read", &path)?;
        if found != self.resolv_conf(container, true, before)? {
            return Ok(());
        }
        std::fs::write(&path, self.resolv_conf(container, true, now)?).at("cannot write", &path)
    }

    /// Opens the resolvers of containers that an earlier daemon started.
    pub(crate) async fn reopen_names(&self, containers: &[Arc<Container>]) {
        for container in containers {
            let Some(pid) = self.running_pid(&container.id) else { continue };
            let Some(attachment) = self.networks.attachment(container.id.as_str()) else { continue };
            let opened = match peers::namespace(pid, "net") {
                Ok(netns) => self.open_names(container, &attachment, netns.as_fd()).await,
                Err(error) => Err(error),
            };
            if let Err(error) = opened {
                tracing::warn!(container = %container.id, %error, "a container's resolver could not be opened again");
            }
        }
    }

    fn running_pid(&self, id: &ContainerId) -> Option<u32> {
        match self.runs.known(id)?.state() {
            RunState::Running { pid } => Some(pid),
            _ => None,
        }
    }
}

/// `name:alias`, as `--link` on such a network comes: alias to name.
fn links(asked: &[String]) -> BTreeMap<String, String> {
    let link = |text: &String| {
        let (name, alias) = text.split_once(':').unwrap_or((text, text));
        (alias.to_owned(), name.trim_start_matches('/').to_owned())
    };
    asked.iter().map(link).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_from_alias_to_name() {
        let found = links(&["/db:data".to_owned(), "cache".to_owned()]);
        assert_eq!(found, BTreeMap::from([("data".into(), "db".into()), ("cache".into(), "cache".into())]));
    }
}
