//! The end of a container: asked for by a client, by `--rm`, or by a start that failed.

use super::{Actor, Reply, answer};
use crate::events::of_container;
use crate::receipt::Receipt;
use crate::requests::RemoveOptions;
use crate::wording;
use lighter_domain::state::{Decision, Request, decide};
use lighter_domain::{Container, ContainerState, Event, Result, Signal};
use lighter_store::Change;
use std::sync::Arc;
use std::time::Duration;

impl Actor {
    pub(super) async fn remove_on_request(&mut self, options: RemoveOptions, reference: &str, receipt: &Receipt, reply: Reply) {
        if let Decision::Denied(reason) = decide(&self.container().state, Request::Remove { force: options.force }) {
            return answer(reply, Err(wording::removal_denied(reference, &self.entry.id, reason)));
        }
        self.restart_at = None;
        self.take_volumes = options.volumes;
        if self.run.is_none() {
            let result = self.remove(receipt).await;
            return answer(reply, result);
        }
        match self.signal(Signal::KILL, true).await {
            Ok(()) => self.ending.remove.push(reply),
            Err(error) => answer(reply, Err(wording::prefixed("Could not kill running container", &error))),
        }
    }

    pub(super) async fn remove(&mut self, receipt: &Receipt) -> Result<()> {
        let before = self.container();
        let mut container = (*before).clone();
        container.state = ContainerState::Removing;
        self.entry.publish(Arc::new(container.clone()));
        self.shared.index_last_logs(before.clone()).await;
        let removal = self.shared.engine.remove(&self.entry.id);
        if let Err(error) = self.shared.bounded("removing a container", removal).await {
            container.state = ContainerState::Dead;
            self.commit(container, Vec::new()).await?;
            return Err(wording::prefixed(
                &format!("container {}: driver failed to remove root filesystem", self.entry.id),
                &error,
            ));
        }
        self.shared.take_volumes(&before, self.take_volumes || before.host_config.auto_remove).await;
        let event = of_container(&container, "destroy", &[]);
        let stored = match self.persist_removal(&container, event, receipt).await {
            Ok(stored) => stored,
            Err(error) => {
                container.state = ContainerState::Dead;
                self.entry.publish(Arc::new(container));
                return Err(error);
            }
        };
        self.shared.forget(&self.entry.id);
        self.shared.bus.publish(stored);
        self.gone = true;
        self.entry.life.send_modify(|life| {
            life.live = false;
            life.removed = true;
        });
        Ok(())
    }

    /// On a full disk the removal itself makes room, in the background: it is tried again for a while.
    async fn persist_removal(&mut self, container: &Container, event: Event, receipt: &Receipt) -> Result<Vec<Event>> {
        let mut tries = 30;
        loop {
            let change = Change::DeleteContainer(container.uuid);
            match self.shared.persist_for(receipt, None, vec![change], vec![event.clone()]).await {
                Err(error) if tries > 0 => tracing::warn!(id = %container.id, %error, "a removal is tried again"),
                result => return result,
            }
            tries -= 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
