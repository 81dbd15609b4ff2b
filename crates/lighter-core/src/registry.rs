//! Which containers there are: by id, by name, by prefix. Readers get snapshots and never wait for an actor.

use crate::actor::Command;
use crate::record::Access;
use crate::wording;
use lighter_domain::{Container, ContainerId, ContainerState, Error, Exit, Result};
use parking_lot::RwLock;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// One container: the way to its actor, and what everyone may read.
pub(crate) struct Entry {
    pub id: ContainerId,
    snapshot: RwLock<Arc<Container>>,
    pub life: watch::Sender<Life>,
    /// Attachments whose output has not ended.
    pub attached: watch::Sender<usize>,
    pub commands: mpsc::Sender<Command>,
    /// When a client last asked for it.
    pub access: Access,
}

/// What waiters watch. Only the actor changes it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Life {
    pub live: bool,
    /// Runs that ended since the daemon knows the container.
    pub exits: u64,
    pub last: Option<Exit>,
    pub removed: bool,
}

impl Entry {
    pub fn new(container: Arc<Container>, commands: mpsc::Sender<Command>) -> Self {
        let live = container.state.is_running() || container.state == ContainerState::Restarting;
        let life = Life { live, exits: 0, last: container.exit.clone(), removed: false };
        Self {
            id: container.id.clone(),
            snapshot: RwLock::new(container),
            life: watch::Sender::new(life),
            attached: watch::Sender::new(0),
            commands,
            access: Access::default(),
        }
    }

    pub fn snapshot(&self) -> Arc<Container> {
        self.snapshot.read().clone()
    }

    /// For the actor alone.
    pub fn publish(&self, container: Arc<Container>) {
        *self.snapshot.write() = container;
    }
}

#[derive(Default)]
struct Index {
    by_id: BTreeMap<String, Arc<Entry>>,
    names: HashMap<String, ContainerId>,
}

/// All containers. A name is taken from its reservation until its release, whether or not the container is there yet.
#[derive(Default)]
pub(crate) struct Registry(RwLock<Index>);

impl Registry {
    pub fn reserve(&self, name: &str, id: &ContainerId) -> Result<()> {
        let mut index = self.0.write();
        match index.names.get(name) {
            Some(owner) => Err(wording::name_taken(name, owner.as_str())),
            None => {
                index.names.insert(name.to_owned(), id.clone());
                Ok(())
            }
        }
    }

    /// Releases `name` if `id` holds it.
    pub fn release(&self, name: &str, id: &ContainerId) {
        let mut index = self.0.write();
        if index.names.get(name) == Some(id) {
            index.names.remove(name);
        }
    }

    pub fn insert(&self, entry: Arc<Entry>) {
        self.0.write().by_id.insert(entry.id.as_str().to_owned(), entry);
    }

    pub fn remove(&self, id: &ContainerId) {
        let mut index = self.0.write();
        index.by_id.remove(id.as_str());
        index.names.retain(|_, owner| owner != id);
    }

    /// As dockerd looks things up: full id, then name, then the one id with that prefix.
    pub fn find(&self, reference: &str) -> Result<Arc<Entry>> {
        let index = self.0.read();
        if let Some(entry) = index.by_id.get(reference) {
            return Ok(entry.clone());
        }
        let name = reference.strip_prefix('/').unwrap_or(reference);
        if let Some(entry) = index.names.get(name).and_then(|id| index.by_id.get(id.as_str())) {
            return Ok(entry.clone());
        }
        if reference.is_empty() {
            return Err(wording::no_such_container(reference));
        }
        let from = (Bound::Included(reference), Bound::Unbounded);
        let mut matches = index.by_id.range::<str, _>(from).take_while(|(id, _)| id.starts_with(reference));
        match (matches.next(), matches.next()) {
            (Some((_, entry)), None) => Ok(entry.clone()),
            (Some(_), Some(_)) => Err(Error::invalid(format!("multiple IDs found with provided prefix: {reference}"))),
            (None, _) => Err(wording::no_such_container(reference)),
        }
    }

    pub fn entries(&self) -> Vec<Arc<Entry>> {
        self.0.read().by_id.values().cloned().collect()
    }

    pub fn snapshots(&self) -> Vec<Arc<Container>> {
        self.0.read().by_id.values().map(|e| e.snapshot()).collect()
    }
}
