//! What grows with use is kept within bounds: now and then the oldest events and requests are removed from the store.
//!
//! `Store::prune` goes in small steps, so that no other write waits for it.

use crate::daemon::Shared;
use std::sync::Arc;
use tokio::time::{MissedTickBehavior, interval};

/// Prunes until the daemon stops.
pub(crate) async fn serve(shared: Arc<Shared>) {
    let mut times = interval(shared.config.prune_interval);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = times.tick() => {}
            () = shared.stop.cancelled() => return,
        }
        match shared.store.prune(shared.config.retention).await {
            Ok(pruned) => tracing::debug!(?pruned, "old records"),
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "old records could not be removed"),
        }
    }
}
