//! Which containers are on which networks: from before a run begins until it has ended. A network that is used is not removed,
//! and one that is being removed is joined by nobody.

use lighter_domain::{ContainerId, Network};
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

#[derive(Default)]
pub(crate) struct NetworkUses {
    index: Mutex<Index>,
    /// Held while a name is looked for and given to a new network.
    pub gate: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Index {
    /// By the network's id.
    used: HashMap<String, (Arc<Network>, BTreeSet<ContainerId>)>,
    removing: HashSet<String>,
}

impl NetworkUses {
    /// Notes that a container is on a network; false while that is being removed.
    pub fn hold(&self, network: &Arc<Network>, container: &ContainerId) -> bool {
        let mut index = self.index.lock();
        if index.removing.contains(&network.id) {
            return false;
        }
        let entry = index.used.entry(network.id.clone()).or_insert_with(|| (network.clone(), BTreeSet::new()));
        entry.1.insert(container.clone());
        true
    }

    /// A container is off all its networks. Those that it was on, in the order of their names.
    pub fn release(&self, container: &ContainerId) -> Vec<Arc<Network>> {
        let mut left = Vec::new();
        self.index.lock().used.retain(|_, (network, users)| {
            if users.remove(container) {
                left.push(network.clone());
            }
            !users.is_empty()
        });
        left.sort_by(|a, b| a.name.cmp(&b.name));
        left
    }

    /// A container is off one network.
    pub fn release_one(&self, network: &str, container: &ContainerId) {
        let mut index = self.index.lock();
        if let Some((_, users)) = index.used.get_mut(network) {
            users.remove(container);
            if users.is_empty() {
                index.used.remove(network);
            }
        }
    }

    /// The networks that a container is on, in the order of their names.
    pub fn of(&self, container: &ContainerId) -> Vec<Arc<Network>> {
        let index = self.index.lock();
        let on = index.used.values().filter(|(_, users)| users.contains(container));
        let mut networks: Vec<_> = on.map(|(network, _)| network.clone()).collect();
        networks.sort_by(|a, b| a.name.cmp(&b.name));
        networks
    }

    pub fn is_used(&self, network: &str) -> bool {
        self.index.lock().used.contains_key(network)
    }

    /// From here on nobody joins the network; fails with those who are on it.
    pub fn begin_removal(&self, network: &str) -> Result<(), BTreeSet<ContainerId>> {
        let mut index = self.index.lock();
        if let Some((_, users)) = index.used.get(network) {
            return Err(users.clone());
        }
        index.removing.insert(network.to_owned());
        Ok(())
    }

    pub fn end_removal(&self, network: &str) {
        self.index.lock().removing.remove(network);
    }
}
