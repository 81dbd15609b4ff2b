//! When each container was last asked for, for its mapping. Noted in memory at every request and stored now and then.

use crate::daemon::{Daemon, Shared};
use lighter_store::Change;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use time::OffsetDateTime;
use tokio::time::{MissedTickBehavior, interval};

const INTERVAL: Duration = Duration::from_secs(30);

/// Nanoseconds since 1970; negative once stored.
#[derive(Debug, Default)]
pub(crate) struct Access(AtomicI64);

impl Access {
    fn note(&self) {
        let now = i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos()).unwrap_or(i64::MAX);
        self.0.store(now, Ordering::Relaxed);
    }

    /// The last access, if it was not taken yet.
    fn take(&self) -> Option<OffsetDateTime> {
        let at = self.0.swap(0, Ordering::Relaxed);
        (at != 0).then(|| OffsetDateTime::from_unix_timestamp_nanos(i128::from(at)).ok()).flatten()
    }
}

impl Daemon {
    /// A client asks for a container.
    pub fn accessed(&self, reference: &str) {
        if let Ok(entry) = self.shared().registry.find(reference) {
            entry.access.note();
        }
    }
}

impl Shared {
    pub(crate) async fn store_accesses(&self) {
        let touched = |entry: Arc<crate::registry::Entry>| {
            let at = entry.access.take()?;
            Some(Change::TouchShimMapping { container: entry.snapshot().uuid, at })
        };
        let changes: Vec<Change> = self.registry.entries().into_iter().filter_map(touched).collect();
        if let Err(error) = self.store.apply(changes).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "when containers were asked for could not be stored");
        }
    }
}

/// Stores accesses until the daemon stops.
pub(crate) async fn serve(shared: Arc<Shared>) {
    let mut times = interval(INTERVAL);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = times.tick() => shared.store_accesses().await,
            () = shared.stop.cancelled() => return,
        }
    }
}
