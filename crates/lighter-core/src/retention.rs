//! What grows with use is kept within bounds: now and then the oldest records are removed from the store, and the oldest pipelines
//! with what belongs to them.
//!
//! `Store::prune` goes in small steps, so that no other write waits for it.

use crate::daemon::Daemon;
use tokio::time::{MissedTickBehavior, interval};

/// Prunes until the daemon stops.
pub(crate) async fn serve(daemon: Daemon) {
    let shared = daemon.shared().clone();
    let mut times = interval(shared.config.prune_interval);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = times.tick() => {}
            () = shared.stop.cancelled() => return,
        }
        daemon.prune_pipelines().await;
        match shared.store.prune(shared.config.retention).await {
            Ok(pruned) => tracing::debug!(?pruned, "old records"),
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "old records could not be removed"),
        }
    }
}
