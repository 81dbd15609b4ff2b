//! Other limits for this container, now if it runs, else with its next start.

use super::Actor;
use crate::events::of_container;
use crate::update::merged;
use lighter_domain::state::Request;
use lighter_domain::{HostConfig, Result};

impl Actor {
    pub(super) async fn update(&mut self, asked: &HostConfig) -> Result<()> {
        self.allowed(Request::Update)?;
        let mut container = (*self.container()).clone();
        container.host_config = merged(&container.host_config, asked)?;
        let engine = self.shared.engine.clone();
        let update = engine.update().ok_or_else(|| self.shared.lacks("updating a container"))?;
        if container.state.is_running() {
            self.shared.bounded("updating a container", update.update(&container)).await?;
        }
        let event = of_container(&container, "update", &[]);
        self.commit(container, vec![event]).await
    }
}
