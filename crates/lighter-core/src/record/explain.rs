//! What became of what was asked of one container.

use super::read_failed;
use crate::daemon::Daemon;
use crate::requests::CreateContainer;
use lighter_domain::{Container, ContainerConfig, Error, Result, ShimEvent, ShimEventFilter};
use std::sync::Arc;

/// Requests that are shown.
const MOST_EVENTS: u32 = 200;

/// A container, one of which nothing was asked, and the requests that were about it.
#[derive(Debug, Clone)]
pub struct Explained {
    /// 64 hexadecimal digits.
    pub id: String,
    /// None when it is gone.
    pub container: Option<Arc<Container>>,
    /// As the same image gives it to who asks for nothing more; what differs from it was asked for.
    pub plain: Option<Container>,
    /// Newest first.
    pub events: Vec<ShimEvent>,
}

impl Daemon {
    /// Everything that is known of a container, also of one that is gone.
    pub async fn explain(&self, reference: &str) -> Result<Explained> {
        let id = self.ids_of(reference).await?.pop().ok_or_else(|| crate::wording::no_such_container(reference))?;
        let container = self.resolve(&id);
        let filter = ShimEventFilter { containers: vec![id.clone()], limit: Some(MOST_EVENTS), ..ShimEventFilter::default() };
        let events = self.recorded(&filter).await?;
        if container.is_none() && events.is_empty() {
            return Err(crate::wording::no_such_container(reference));
        }
        let id = events.first().and_then(|e| e.container_id.clone()).unwrap_or(id);
        let plain = match &container {
            Some(container) => self.plain(container).await,
            None => None,
        };
        Ok(Explained { id, container, plain, events })
    }

    /// None where the image is gone, too.
    async fn plain(&self, container: &Container) -> Option<Container> {
        let config = ContainerConfig { image: container.image_id.clone(), ..ContainerConfig::default() };
        let request = CreateContainer { config, api_version: container.api_version.clone(), ..CreateContainer::default() };
        self.prepare(request).await.ok()
    }
}

impl crate::daemon::Shared {
    /// Whether anything can be read from the record.
    pub(crate) async fn record_answers(&self) -> Result<(), Error> {
        self.store.last_event_id().await.map(drop).map_err(read_failed)
    }
}
