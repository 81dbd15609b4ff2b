//! A start: asked for by a client, by a restart, or by the restart policy.

use super::Actor;
use crate::events::of_container;
use crate::health::{self, Monitor};
use crate::receipt::Receipt;
use crate::wording;
use lighter_domain::state::Request;
use lighter_domain::{Container, ContainerState, Error, Exit, Result};
use lighter_engine::{StartFailure, Started};
use time::OffsetDateTime;

impl Actor {
    pub(super) async fn start_on_request(&mut self, receipt: &Receipt) -> Result<()> {
        if !self.allowed(Request::Start)? {
            return Err(Error::not_modified(""));
        }
        self.restart_at = None;
        let mut container = (*self.container()).clone();
        container.restart_count = 0;
        container.manually_stopped = false;
        self.start(container, receipt).await
    }

    pub(super) async fn start(&mut self, mut container: Container, receipt: &Receipt) -> Result<()> {
        let patience = self.shared.config.engine_timeout;
        let mut call = match self.late_start.take() {
            Some(call) => call,
            None => {
                let asked = match self.ready(&mut container).await {
                    Ok(asked) => asked,
                    Err(error) => return self.settle_start(container, Err(error.into()), receipt).await,
                };
                let engine = self.shared.engine.clone();
                Box::pin(async move { engine.start(&asked).await })
            }
        };
        let Ok(outcome) = tokio::time::timeout(patience, &mut call).await else {
            self.late_start = Some(call);
            return Err(wording::no_answer("starting a container", patience));
        };
        self.settle_start(container, outcome, receipt).await
    }

    /// What must be so before the engine is asked to start it; the container as the engine gets it.
    async fn ready(&mut self, container: &mut Container) -> Result<Container> {
        self.shared.check_ports(container).await?;
        self.shared.join_networks(container).await?;
        self.shared.for_engine(container)
    }

    pub(super) async fn on_late_start(&mut self, outcome: Result<Started, StartFailure>) {
        self.late_start = None;
        let container = (*self.container()).clone();
        if let Err(error) = self.settle_start(container, outcome, &Receipt::default()).await {
            tracing::warn!(id = %self.entry.id, %error, "a start that took too long has failed");
        }
    }

    async fn settle_start(
        &mut self,
        mut container: Container,
        outcome: Result<Started, StartFailure>,
        receipt: &Receipt,
    ) -> Result<()> {
        match outcome {
            Ok(started) => {
                container.state = ContainerState::Running { pid: started.pid };
                container.started_at = Some(started.started_at);
                crate::networks::place(&mut container, started.placement);
                container.error = String::new();
                health::begin(&mut container);
                self.health = Monitor::of(&container);
                self.watch_run();
                let mut events = crate::volumes::mounted(&container);
                events.extend(crate::networks::joined(&container, &self.shared.network_uses.of(&container.id)));
                events.push(of_container(&container, "start", &[]));
                self.commit_for(receipt, container, events).await
            }
            Err(failure) => {
                container.error = failure.error.to_string();
                self.shared.network_uses.release(&container.id);
                // Docker keeps a container that never ran as created, and any other as exited.
                if container.started_at.is_some() {
                    container.state = ContainerState::Exited;
                }
                container.exit =
                    Some(Exit { code: failure.exit_code, oom_killed: false, finished_at: OffsetDateTime::now_utc() });
                let auto_remove = container.host_config.auto_remove;
                self.commit(container, Vec::new()).await?;
                self.entry.life.send_modify(|life| life.last.clone_from(&self.container().exit));
                if auto_remove && let Err(error) = self.remove(&Receipt::default()).await {
                    tracing::warn!(id = %self.entry.id, %error, "a container that did not start could not be removed");
                }
                Err(failure.error)
            }
        }
    }
}
