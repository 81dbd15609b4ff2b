//! Connecting containers that run to networks, and taking them off.

use crate::engine::Inner;
use crate::fail::Context as _;
use crate::run::network::{join_of, starting};
use crate::run::{RunState, files, peers};
use lighter_domain::{Container, Error, Network, Placement, Result};
use lighter_network::Attachment;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

impl Inner {
    pub(super) async fn connect_live(self: &Arc<Self>, container: &Container, network: &Network) -> Result<Placement> {
        let slot = self.runs.slot(&container.id);
        let held = slot.hold().await;
        let netns = self.netns_of(container)?;
        let join = join_of(container, &network.name, &network.id)?;
        let (this, container, name) = (Arc::clone(self), container.clone(), network.name.clone());
        // Goes on when the caller goes away: what the kernel has is written down.
        let task = tokio::spawn(async move {
            let _held = held;
            let before = this.networks.attachment(container.id.as_str()).unwrap_or_default();
            let inside = netns.try_clone().context("cannot keep a namespace")?;
            let now = this.networks.join(container.id.as_str(), netns, join).await.map_err(|e| starting(&container, &e))?;
            this.open_names(&container, &now, inside.as_fd()).await?;
            let outcome = this.note(&container, &before, now).await;
            if outcome.is_err() {
                tracing::warn!(container = %container.id, network = name, "connected, but this could not be written down");
            }
            outcome
        });
        task.await.context("connecting was broken off")?
    }

    pub(super) async fn disconnect_live(self: &Arc<Self>, container: &Container, network: &Network) -> Result<Placement> {
        let slot = self.runs.slot(&container.id);
        let held = slot.hold().await;
        let netns = self.netns_of(container)?;
        let (this, container, id) = (Arc::clone(self), container.clone(), network.id.clone());
        let task = tokio::spawn(async move {
            let _held = held;
            let before = this.networks.attachment(container.id.as_str()).unwrap_or_default();
            let inside = netns.try_clone().context("cannot keep a namespace")?;
            let now = this.networks.leave(container.id.as_str(), netns, &id).await.map_err(|e| starting(&container, &e))?;
            this.dns.withdraw(&id, container.id.as_str());
            this.open_names(&container, &now, inside.as_fd()).await?;
            this.note(&container, &before, now).await
        });
        task.await.context("disconnecting was broken off")?
    }

    /// Writes down what a container has now.
    async fn note(self: &Arc<Self>, container: &Container, before: &Attachment, now: Attachment) -> Result<Placement> {
        let placement = self.placement(None, &now);
        let (this, container, before) = (Arc::clone(self), container.clone(), before.clone());
        let work = move || {
            files::replace_attachment(&this.layout.run_dir(&container.id), &now)?;
            this.update_hosts(&container, &before, &now)?;
            this.update_resolv_conf(&container, &before, &now)
        };
        tokio::task::spawn_blocking(work).await.context("writing was broken off")??;
        Ok(placement)
    }

    /// The network namespace of a container that runs. The caller holds its slot.
    fn netns_of(&self, container: &Container) -> Result<OwnedFd> {
        match self.runs.slot(&container.id).state() {
            RunState::Running { pid } => peers::namespace(pid, "net"),
            _ => Err(Error::conflict(format!("container {} is not running", container.id))),
        }
    }
}
