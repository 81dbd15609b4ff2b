//! The record as it grows: served from the store in the order of its ids, woken by the writer, so that a slow reader slows
//! nobody and misses nothing that is not pruned.

use super::read_failed;
use crate::daemon::{Daemon, store_failed};
use futures::{Stream, StreamExt as _, stream};
use lighter_domain::{Result, ShimEvent, ShimEventFilter};
use std::collections::VecDeque;
use std::pin::Pin;
use tokio::sync::watch;

/// Events that are read from the store at once.
const PAGE: u32 = 500;

pub type RecordStream = Pin<Box<dyn Stream<Item = ShimEvent> + Send>>;

struct Follower {
    daemon: Daemon,
    stored: watch::Receiver<()>,
    filter: ShimEventFilter,
    ready: VecDeque<ShimEvent>,
}

impl Follower {
    async fn next(&mut self) -> Option<ShimEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            self.stored.borrow_and_update();
            match self.page().await {
                Ok(false) => {}
                Ok(true) => continue,
                Err(error) => {
                    tracing::error!(%error, "the record could not be followed");
                    return None;
                }
            }
            self.stored.changed().await.ok()?;
        }
    }

    /// Reads what is new; whether there was anything, wanted or not.
    async fn page(&mut self) -> Result<bool> {
        let events = self.daemon.shared().store.shim_events().follow(&self.filter).await.map_err(read_failed)?;
        if let Some(last) = events.last() {
            self.filter.after_id = Some(last.id);
        }
        self.ready.extend(events);
        Ok(!self.ready.is_empty())
    }
}

impl Daemon {
    /// The newest `past` recorded requests, oldest first, and then each new one.
    pub async fn follow_recorded(&self, filter: ShimEventFilter, past: u32) -> Result<RecordStream> {
        let store = &self.shared().store;
        let stored = store.shim_events().stored();
        store.flush().await.map_err(store_failed)?;
        // What is stored between these two reads is new; it is not in the first, for that ends at `last`.
        let last = store.shim_events().last_id().await.map_err(read_failed)?;
        let before = ShimEventFilter { before_id: last.checked_add(1), limit: Some(past), ..filter.clone() };
        let mut ready: VecDeque<ShimEvent> = VecDeque::new();
        if past > 0 {
            ready.extend(store.shim_events().filter(&before).await.map_err(read_failed)?.into_iter().rev());
        }
        let filter = ShimEventFilter { after_id: Some(last), before_id: None, limit: Some(PAGE), ..filter };
        let follower = Follower { daemon: self.clone(), stored, filter, ready };
        Ok(stream::unfold(follower, |mut f| async move { f.next().await.map(|event| (event, f)) }).boxed())
    }
}
