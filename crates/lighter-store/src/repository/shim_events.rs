//! The record of requests, for those who ask afterwards. [`Store::record`] writes most of it.

use crate::{Change, Result, Store, shim_event};
use lighter_domain::{ShimEvent, ShimEventFilter};
use tokio::sync::watch;

/// All recorded requests. Made by [`Store::shim_events`]. What was recorded a moment ago may still be on its way:
/// [`Store::flush`] first if that matters.
#[derive(Debug)]
pub struct ShimEvents<'a> {
    pub(crate) store: &'a Store,
}

impl ShimEvents<'_> {
    /// Stores one event durably and gives it back with its id.
    pub async fn append(&self, mut event: ShimEvent) -> Result<ShimEvent> {
        let applied = self.store.apply(vec![Change::ShimEvent(event.clone())]).await?;
        event.id = applied.shim_event_ids.first().copied().unwrap_or_default();
        Ok(event)
    }

    /// The newest `limit`, newest first.
    pub async fn fetch_all(&self, limit: u32) -> Result<Vec<ShimEvent>> {
        self.filter(&ShimEventFilter { limit: Some(limit), ..ShimEventFilter::default() }).await
    }

    pub async fn fetch(&self, id: i64) -> Result<Option<ShimEvent>> {
        let only = ShimEventFilter { after_id: id.checked_sub(1), before_id: id.checked_add(1), ..ShimEventFilter::default() };
        Ok(self.filter(&only).await?.into_iter().find(|event| event.id == id))
    }

    /// Those that meet all conditions, newest first.
    pub async fn filter(&self, filter: &ShimEventFilter) -> Result<Vec<ShimEvent>> {
        shim_event::filter(self.store.readers(), filter).await
    }

    /// The same, oldest first: for who follows with [`ShimEventFilter::after_id`].
    pub async fn follow(&self, filter: &ShimEventFilter) -> Result<Vec<ShimEvent>> {
        shim_event::follow(self.store.readers(), filter).await
    }

    /// The id of the last event ever stored; 0 when there was none.
    pub async fn last_id(&self) -> Result<i64> {
        shim_event::last_id(self.store.readers()).await
    }

    /// Changes whenever events were stored.
    pub fn stored(&self) -> watch::Receiver<()> {
        self.store.recorder().stored.subscribe()
    }
}
