//! `docker update`: other limits for a container that runs.

use crate::cgroup::limits::Limits;
use crate::engine::{Inner, LinuxEngine};
use crate::fail::Context as _;
use async_trait::async_trait;
use lighter_domain::{Container, HostConfig, Result};
use lighter_engine::{Review, Update};
use std::sync::Arc;

#[async_trait]
impl Update for LinuxEngine {
    fn review_update(&self, container: &Container, asked: &HostConfig) -> Result<Review> {
        crate::review::review_update(&self.inner, container, asked)
    }

    async fn update(&self, container: &Container) -> Result<()> {
        self.inner.update(container).await
    }
}

impl Inner {
    /// The limits of `container.host_config`; what it says of devices stays as it was.
    pub(crate) async fn update(self: &Arc<Self>, container: &Container) -> Result<()> {
        let slot = self.runs.slot(&container.id);
        let _held = slot.hold().await;
        let (this, container) = (Arc::clone(self), container.clone());
        let work = move || {
            let limits = Limits { devices: None, ..Limits::of(&container.host_config, &[])? };
            this.cgroups.update(&container, &limits)
        };
        tokio::task::spawn_blocking(work).await.context("updating was broken off")?
    }
}
