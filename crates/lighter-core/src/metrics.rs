//! What running containers use, looked at now and then and kept. (`docker stats` has collectors of its own, see `stats`.)
//!
//! One task looks at all containers, a few at a time; one that does not answer is left out this time and holds up nobody.

use crate::daemon::{Daemon, Shared};
use crate::record::read_failed;
use futures::{StreamExt as _, stream};
use lighter_domain::metrics::thinned;
use lighter_domain::sample::Sample;
use lighter_domain::{Container, MetricsSample, MetricsSeries, Origin, Result};
use lighter_store::{Change, MetricsFilter};
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::time::{MissedTickBehavior, interval};

/// Containers that are looked at at the same time.
const AT_ONCE: usize = 4;
/// One that takes longer is passed over.
const PATIENCE: Duration = Duration::from_secs(2);

/// Samples until the daemon stops; not at all where the interval is nothing or the engine cannot.
pub(crate) async fn serve(shared: Arc<Shared>) {
    let every = shared.config.metrics_interval;
    if every.is_zero() || shared.engine.stats().is_none() {
        return;
    }
    let mut times = interval(every);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = times.tick() => shared.sample_all().await,
            () = shared.stop.cancelled() => return,
        }
    }
}

/// Whose samples, by name; of what time; and at most how many of each container.
#[derive(Debug, Clone)]
pub struct MetricsQuery {
    /// Names or ids, also of containers that are gone.
    pub containers: Vec<String>,
    pub stacks: Vec<String>,
    pub since: Option<OffsetDateTime>,
    pub until: Option<OffsetDateTime>,
    pub points: usize,
}

/// What a container uses just now.
#[derive(Debug, Clone)]
pub struct Reading {
    pub container: Arc<Container>,
    /// `None`: it does not run, or did not answer.
    pub sample: Option<Sample>,
}

impl Shared {
    async fn sample_all(&self) {
        let running: Vec<_> = self.registry.snapshots().into_iter().filter(|c| c.state.is_running()).collect();
        let samples = stream::iter(running).map(|container| async move {
            let sample = self.reading(&container).await?;
            Some(Change::Metrics(Origin::of(&container), MetricsSample::of(&sample)))
        });
        let changes: Vec<Change> = samples.buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await;
        if let Err(error) = self.store.apply(changes).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "what containers use could not be stored");
        }
    }

    async fn reading(&self, container: &Container) -> Option<Sample> {
        let read = self.engine.stats()?.sample(container);
        tokio::time::timeout(PATIENCE, read).await.ok()?.ok()
    }
}

impl Daemon {
    /// What was kept, by container, in the order of the names.
    pub async fn metrics(&self, query: &MetricsQuery) -> Result<Vec<MetricsSeries>> {
        let MetricsQuery { containers, stacks, since, until, points } = query;
        let filter = MetricsFilter { containers: containers.clone(), stacks: stacks.clone(), since: *since, until: *until };
        let mut all = self.shared().store.metrics(&filter).await.map_err(read_failed)?;
        for series in &mut all {
            series.samples = thinned(std::mem::take(&mut series.samples), *points);
        }
        Ok(all)
    }

    /// All containers, and what those that run use just now.
    pub async fn readings(&self) -> Vec<Reading> {
        let shared = self.shared();
        let all = stream::iter(self.visible()).map(|container| async move {
            let sample = if container.state.is_running() { shared.reading(&container).await } else { None };
            Reading { container, sample }
        });
        let mut all: Vec<Reading> = all.buffer_unordered(AT_ONCE).collect().await;
        all.sort_by(|a, b| a.container.name.cmp(&b.container.name));
        all
    }
}
