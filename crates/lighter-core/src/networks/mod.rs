//! Networks: which there are, who is on them, how they come and go.
//!
//! What a network can do is its engine's affair. Here are the names, the rules that hold on every engine, and the events;
//! `endpoints` has what a container may ask of a network, `joining` what happens at its start and end, `connect` what a
//! client changes afterwards, `settings` networks that only hold a configuration for others.

mod conflicts;
mod connect;
pub(crate) mod endpoints;
mod joining;
pub(crate) mod links;
mod settings;
mod uses;

pub(crate) use endpoints::{Asked, main, settle};
pub(crate) use joining::{joined, left, place, place_again, unplace};
pub(crate) use settings::refuse_joining;
pub(crate) use uses::NetworkUses;

use crate::daemon::{Daemon, Shared};
use crate::list::prune_until;
use crate::requests::{CreateNetwork, NetworkView};
use crate::{events, wording};
use lighter_domain::event::EventKind;
use lighter_domain::filter::Filters;
use lighter_domain::network::NewNetwork;
use lighter_domain::{Container, Error, Event, Network, Result};
use lighter_engine::Networks;
use lighter_store::Change;
use regex::Regex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The name of the network that a container is on if it says nothing.
pub(crate) const BRIDGE: &str = "bridge";

/// A name that stands for a network that nobody makes. `default` is another name of the bridge.
pub(crate) fn is_predefined(name: &str) -> bool {
    matches!(name, "" | "default" | BRIDGE | "host" | "none")
}

/// As dockerd looks networks up: full id, then name, then the one id with that prefix.
pub(crate) fn find<'a>(all: &'a [Arc<Network>], reference: &str) -> Result<&'a Arc<Network>> {
    let exact = all.iter().find(|n| n.id == reference).or_else(|| all.iter().find(|n| n.name == reference));
    if let Some(network) = exact {
        return Ok(network);
    }
    let mut matches = all.iter().filter(|n| !reference.is_empty() && n.id.starts_with(reference));
    match (matches.next(), matches.count()) {
        (Some(one), 0) => Ok(one),
        (Some(_), more) => Err(wording::ambiguous_network(reference, more + 1)),
        (None, _) => Err(wording::no_such_network(reference)),
    }
}

/// An event of a network.
fn event(network: &Network, action: &str, container: Option<&Container>) -> Event {
    let mut attributes = BTreeMap::from([("name".to_owned(), network.name.clone()), ("type".to_owned(), network.driver.clone())]);
    if let Some(container) = container {
        attributes.insert("container".to_owned(), container.id.as_str().to_owned());
    }
    events::new(EventKind::Network, action, &network.id, attributes)
}

/// Whether a container runs on that network now.
fn is_on(container: &Container, network: &Network) -> bool {
    let endpoint = container.networks.get(&network.name);
    container.state.is_running() && endpoint.is_some_and(|at| at.network_id == network.id && !at.endpoint_id.is_empty())
}

/// What a list of networks is filtered by, looked at before the first network is.
struct Selector<'a> {
    filters: &'a Filters,
    names: Vec<Regex>,
    ids: Vec<Regex>,
    dangling: Option<bool>,
}

impl<'a> Selector<'a> {
    fn new(filters: &'a Filters) -> Result<Self> {
        filters.only(&["dangling", "driver", "id", "label", "name", "scope", "type"])?;
        let dangling = match filters.get("dangling") {
            [] => None,
            [one] => match one.as_str() {
                "1" | "true" => Some(true),
                "0" | "false" => Some(false),
                _ => {
                    let text = "invalid value for filter 'dangling', must be \"true\" (or \"1\"), or \"false\" (or \"0\")";
                    return Err(Error::invalid(text));
                }
            },
            _ => return Err(Error::invalid("got more than one value for filter key \"dangling\"")),
        };
        if let Some(bad) = filters.get("type").iter().find(|t| !matches!(t.as_str(), "builtin" | "custom")) {
            return Err(Error::invalid(format!("invalid filter: 'type'='{bad}'")));
        }
        // As in dockerd, what is no expression matches as it is, or not at all.
        let expressions = |key: &str| {
            let escaped = |v: &String| Regex::new(v).or_else(|_| Regex::new(&regex::escape(v))).ok();
            filters.get(key).iter().filter_map(escaped).collect()
        };
        Ok(Self { filters, names: expressions("name"), ids: expressions("id"), dangling })
    }

    fn selects(&self, network: &Network, used: impl Fn() -> bool) -> bool {
        let any = |expressions: &[Regex], text: &str| expressions.is_empty() || expressions.iter().any(|e| e.is_match(text));
        any(&self.names, &network.name)
            && any(&self.ids, &network.id)
            && self.filters.exact("driver", &network.driver)
            && self.filters.exact("scope", "local")
            && self.filters.exact("type", if network.builtin { "builtin" } else { "custom" })
            && self.filters.labels(&network.labels)
            && self.dangling.is_none_or(|dangling| dangling != (network.builtin || used()))
    }
}

impl Shared {
    pub(crate) fn networks(&self) -> Result<&dyn Networks> {
        self.engine.networks().ok_or_else(|| self.lacks("networks"))
    }

    /// All networks; none where the engine knows nothing of them.
    pub(crate) async fn all_networks(&self) -> Result<Vec<Arc<Network>>> {
        match self.engine.networks() {
            Some(networks) => self.bounded("listing networks", networks.list()).await,
            None => Ok(Vec::new()),
        }
    }

    fn view(&self, network: Arc<Network>) -> NetworkView {
        let mut containers = self.registry.snapshots();
        containers.retain(|c| is_on(c, &network));
        NetworkView { network, containers }
    }

    async fn remove_network(&self, network: &Network) -> Result<()> {
        if network.builtin {
            return Err(Error::forbidden(format!("{} is a pre-defined network and cannot be removed", network.name)));
        }
        // While somebody makes a network, that one may be about to get its settings here.
        let _gate = if network.config_only { Some(self.network_uses.gate.lock().await) } else { None };
        if network.config_only && self.all_networks().await?.iter().any(|n| n.config_from == network.name) {
            return Err(wording::configuration_in_use(&network.name));
        }
        self.network_uses.begin_removal(&network.id).map_err(|users| {
            let mut containers = self.registry.snapshots();
            containers.retain(|c| users.contains(&c.id));
            wording::active_endpoints(network, &containers)
        })?;
        let removed = match self.networks() {
            Ok(networks) => self.bounded("removing a network", networks.remove(&network.id)).await,
            Err(error) => Err(error),
        };
        self.network_uses.end_removal(&network.id);
        removed?;
        let change = Change::DeleteNetwork(network.id.clone());
        let stored = self.persist(vec![change], vec![event(network, "destroy", None)]).await?;
        self.bus.publish(stored);
        Ok(())
    }
}

impl Daemon {
    /// Without the containers that are on them, as in dockerd.
    pub async fn networks(&self, filters: &Filters) -> Result<Vec<NetworkView>> {
        let selector = Selector::new(filters)?;
        let shared = self.shared();
        let mut all = shared.all_networks().await?;
        all.retain(|n| selector.selects(n, || shared.network_uses.is_used(&n.id)));
        Ok(all.into_iter().map(|network| NetworkView { network, containers: Vec::new() }).collect())
    }

    pub async fn network(&self, reference: &str) -> Result<NetworkView> {
        let all = self.shared().all_networks().await?;
        Ok(self.shared().view(find(&all, reference)?.clone()))
    }

    pub async fn network_create(&self, request: CreateNetwork) -> Result<Arc<Network>> {
        let CreateNetwork { mut new, scope, ingress } = request;
        let name = new.name.clone();
        if name.trim().is_empty() {
            return Err(Error::invalid("invalid name: name is empty"));
        }
        if is_predefined(&name) {
            return Err(Error::forbidden(format!("operation is not permitted on predefined {name} network ")));
        }
        refuse_swarm(&new, &scope, ingress)?;
        let shared = self.shared();
        let networks = shared.networks()?;
        let _gate = shared.network_uses.gate.lock().await;
        let all = shared.all_networks().await?;
        if all.iter().any(|n| n.name == name) {
            return Err(Error::conflict(format!("network with name {name} already exists")));
        }
        settings::check(&new, &scope, ingress)?;
        settings::apply(&all, &mut new)?;
        let network = shared.bounded("making a network", networks.create(new)).await?;
        let change = Change::PutNetwork(network.clone());
        let stored = shared.persist(vec![change], vec![event(&network, "create", None)]).await?;
        shared.bus.publish(stored);
        Ok(network)
    }

    pub async fn network_remove(&self, reference: &str) -> Result<()> {
        let shared = self.shared();
        let all = shared.all_networks().await?;
        shared.remove_network(find(&all, reference)?).await
    }

    /// Removes networks that no container is on; their names.
    pub async fn networks_prune(&self, filters: &Filters) -> Result<Vec<String>> {
        filters.only(&["label", "label!", "until"])?;
        let until = prune_until(filters)?;
        let shared = self.shared();
        let mut deleted = Vec::new();
        for network in shared.all_networks().await? {
            let spared = network.builtin || network.config_only;
            let kept = spared || until.is_some_and(|at| network.created_at > at) || !filters.labels(&network.labels);
            if kept || shared.network_uses.is_used(&network.id) {
                continue;
            }
            match shared.remove_network(&network).await {
                Ok(()) => deleted.push(network.name.clone()),
                // A container came onto it meanwhile.
                Err(error) => tracing::debug!(network = network.name, %error, "not pruned"),
            }
        }
        let reclaimed = BTreeMap::from([("reclaimed".to_owned(), "0".to_owned())]);
        shared.emit(vec![events::new(EventKind::Network, "prune", "", reclaimed)]).await?;
        Ok(deleted)
    }
}

/// What only a swarm has, in dockerd's words.
fn refuse_swarm(new: &NewNetwork, scope: &str, ingress: bool) -> Result<()> {
    if new.driver == "overlay" {
        return Err(Error::forbidden(wording::NOT_A_MANAGER));
    }
    if new.config_only {
        // What it must not have is said in other words.
        return Ok(());
    }
    if ingress {
        return Err(Error::forbidden("Ingress network can only be global scope network"));
    }
    match scope {
        "" | "local" => Ok(()),
        "swarm" => Err(Error::forbidden("cannot create a swarm scoped network when swarm is not active")),
        other => Err(Error::invalid(format!("invalid network scope {other}"))),
    }
}

#[cfg(test)]
mod tests;
