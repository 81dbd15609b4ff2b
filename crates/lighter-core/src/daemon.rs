//! The handle that everything goes through, and what all use cases share.

use crate::config::CoreConfig;
use crate::events::Bus;
use crate::exec::Execs;
use crate::log_index::LogIndex;
use crate::networks::NetworkUses;
use crate::pipelines::Pipelines;
use crate::receipt::{Receipt, Record};
use crate::registry::Registry;
use crate::stats::Collectors;
use crate::volumes::Uses;
use lighter_domain::{Container, ContainerId, Error, Event, Result, ShimEvent};
use lighter_engine::{Description, Engine};
use lighter_store::{Change, Store, StoreError};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The daemon's use cases. Cheap to clone.
#[derive(Clone)]
pub struct Daemon {
    shared: Arc<Shared>,
    pub(crate) receipt: Receipt,
}

pub(crate) struct Shared {
    pub config: CoreConfig,
    pub store: Store,
    pub engine: Arc<dyn Engine>,
    pub description: Description,
    pub daemon_id: String,
    pub host_name: String,
    pub registry: Registry,
    pub bus: Bus,
    pub execs: Execs,
    pub log_index: LogIndex,
    pub collectors: Collectors,
    pub pipelines: Pipelines,
    pub volume_uses: Uses,
    pub network_uses: NetworkUses,
    pub stop: CancellationToken,
}

impl std::fmt::Debug for Daemon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Daemon").field("engine", &self.shared.description.name).finish_non_exhaustive()
    }
}

/// A failure of the store, for the client: a full disk is said as such.
pub(crate) fn store_failed(error: StoreError) -> Error {
    let message = match &error {
        StoreError::Full { .. } => "no space left on device: the change could not be recorded",
        _ => "the change could not be recorded",
    };
    Error::internal(message).with_source(error)
}

impl Daemon {
    /// Takes over what the store and the engine know, brings the two into agreement, and is then ready to serve.
    pub async fn start(config: CoreConfig, store: Store, engine: Arc<dyn Engine>) -> Result<Self> {
        let shared = Arc::new(Shared {
            description: engine.describe(),
            daemon_id: crate::system::daemon_id(&config.data_root)?,
            host_name: crate::system::host_name(),
            registry: Registry::default(),
            bus: Bus::default(),
            execs: Execs::default(),
            log_index: LogIndex::default(),
            collectors: Collectors::default(),
            pipelines: Pipelines::default(),
            volume_uses: Uses::default(),
            network_uses: NetworkUses::default(),
            stop: CancellationToken::new(),
            config,
            store,
            engine,
        });
        crate::reconcile::run(&shared).await?;
        tokio::spawn(crate::log_index::serve(shared.clone()));
        tokio::spawn(crate::metrics::serve(shared.clone()));
        tokio::spawn(crate::record::note_access(shared.clone()));
        let daemon = Self { shared, receipt: Receipt::default() };
        daemon.resume_pipelines().await;
        tokio::spawn(crate::retention::serve(daemon.clone()));
        tokio::spawn(crate::gc::serve(daemon.clone()));
        Ok(daemon)
    }

    /// For one request that makes, starts or removes a container or makes an exec: `record` is stored in one step with that.
    #[must_use]
    pub fn recording(&self, record: impl Record + 'static) -> Self {
        Self { shared: self.shared.clone(), receipt: Receipt(Some(Arc::new(record))) }
    }

    /// Stops background work and flushes the store. Containers go on.
    pub async fn shutdown(&self) {
        self.shared.stop.cancel();
        self.shared.index_at_end().await;
        self.shared.store_accesses().await;
        if let Err(error) = self.shared.store.close().await {
            tracing::error!(%error, "the store did not close cleanly");
        }
    }

    /// Records one request. `durable`: returns when it is committed; else it is buffered, and waits only for room.
    pub async fn record(&self, event: Box<ShimEvent>, durable: bool) {
        if !self.shared.config.record {
            return;
        }
        let result = if durable {
            self.shared.store.apply(vec![Change::ShimEvent(*event)]).await.map(drop)
        } else {
            self.shared.store.record(event).await
        };
        if let Err(error) = result {
            tracing::error!(%error, "a request could not be recorded");
        }
    }

    /// Records one request that changed nothing; gives it back where [`Daemon::record`] would wait, or has to say what failed.
    pub fn record_at_once(&self, event: Box<ShimEvent>) -> Result<(), Box<ShimEvent>> {
        if self.shared.config.record { self.shared.store.try_record(event) } else { Ok(()) }
    }

    /// The container that a reference names now, if it names one.
    pub fn resolve(&self, reference: &str) -> Option<Arc<Container>> {
        self.shared.registry.find(reference).ok().map(|entry| entry.snapshot())
    }

    /// All containers, as they are now.
    pub fn visible(&self) -> Vec<Arc<Container>> {
        self.shared.registry.snapshots()
    }

    pub fn describe(&self) -> Description {
        self.shared.description.clone()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Shared {
    /// Stores changes and the events that tell of them in one step; gives the events back with their ids, to be published.
    pub async fn persist(&self, changes: Vec<Change>, events: Vec<Event>) -> Result<Vec<Event>> {
        self.persist_for(&Receipt::default(), None, changes, events).await
    }

    /// As [`Shared::persist`], together with the record of the request. `made`: the container that it makes.
    pub async fn persist_for(
        &self,
        receipt: &Receipt,
        made: Option<&Container>,
        mut changes: Vec<Change>,
        mut events: Vec<Event>,
    ) -> Result<Vec<Event>> {
        changes.extend(events.iter().cloned().map(Change::Event));
        changes.extend(receipt.event(made).map(Change::ShimEvent));
        let applied = self.store.apply(changes).await.map_err(store_failed)?;
        receipt.stored();
        for (event, id) in events.iter_mut().zip(applied.event_ids) {
            event.id = id;
        }
        Ok(events)
    }

    /// Stores and publishes events that come without another change.
    pub async fn emit(&self, events: Vec<Event>) -> Result<()> {
        self.emit_for(&Receipt::default(), events).await
    }

    pub async fn emit_for(&self, receipt: &Receipt, events: Vec<Event>) -> Result<()> {
        let stored = self.persist_for(receipt, None, Vec::new(), events).await?;
        self.bus.publish(stored);
        Ok(())
    }

    /// A removed container is found no more.
    pub fn forget(&self, id: &ContainerId) {
        self.registry.remove(id);
        self.execs.remove_of(id);
        self.log_index.forget(id);
    }

    /// An engine's answer, or the words for a client that has waited long enough. The call is dropped then: engines' futures
    /// are cancel-safe, and one wedged container is no reason to keep clients, actors or other containers waiting.
    pub async fn bounded<T, E: From<Error>>(&self, what: &str, call: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let patience = self.config.engine_timeout;
        tokio::time::timeout(patience, call).await.unwrap_or_else(|_| Err(crate::wording::no_answer(what, patience).into()))
    }

    /// What a capability that the engine lacks is answered with.
    pub fn lacks(&self, feature: &str) -> Error {
        crate::wording::lacks(self.description.name, feature)
    }
}
