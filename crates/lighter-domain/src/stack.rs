//! Stacks: containers that belong together. A compose project is one by itself; its labels say what waits for what.

use crate::state::SummaryStatus;
use crate::{Container, ContainerState};
use std::collections::BTreeMap;
use time::OffsetDateTime;
use uuid::Uuid;

const SERVICE: &str = "com.docker.compose.service";
const DEPENDS_ON: &str = "com.docker.compose.depends_on";
const ONE_OFF: &str = "com.docker.compose.oneoff";
/// `dev`, `test` or `preview`: Lighter's own.
const ENVIRONMENT: &str = "lighter.environment";

/// What a service waits for before it starts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependency {
    pub service: String,
    /// `service_started`, `service_healthy`, `service_completed_successfully`.
    pub condition: String,
}

/// Service -> what it waits for.
pub type Graph = BTreeMap<String, Vec<Dependency>>;

/// A stack as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack {
    pub id: Uuid,
    pub name: String,
    pub description: Option<String>,
    pub created_at: OffsetDateTime,
    /// It is a compose project; else somebody made it by hand.
    pub compose: bool,
    pub environment: Option<String>,
    /// Of its containers: running if one runs, else paused if one is paused, else stopped.
    pub status: SummaryStatus,
    pub graph: Graph,
    pub containers: Vec<Uuid>,
}

/// Whether something of a stack's that is to run does not, or is unhealthy. A container that was to do something once, and did
/// it, is well; where nothing runs at all the stack is stopped, and that is all.
pub fn is_degraded<'a>(containers: impl IntoIterator<Item = &'a Container>) -> bool {
    let (mut live, mut well) = (false, true);
    for container in containers {
        let running = container.state.is_running();
        let exited = container.state == ContainerState::Exited && !container.manually_stopped;
        let done = exited && container.exit.as_ref().is_some_and(|e| e.code == 0);
        let unhealthy = container.health.as_ref().is_some_and(|h| h.status == crate::HealthStatus::Unhealthy);
        live |= running;
        well &= (running && !unhealthy) || done;
    }
    live && !well
}

impl Container {
    /// The compose service that it is an instance of.
    pub fn compose_service(&self) -> Option<&str> {
        self.config.labels.get(SERVICE).map(String::as_str)
    }

    /// It was made by `compose run`.
    pub fn is_one_off(&self) -> bool {
        self.config.labels.get(ONE_OFF).is_some_and(|v| v.eq_ignore_ascii_case("true"))
    }

    /// What its service waits for: `db:service_healthy:false,cache:service_started:true`, the last part of each being whether
    /// it is restarted with it.
    pub fn compose_dependencies(&self) -> Vec<Dependency> {
        let label = self.config.labels.get(DEPENDS_ON).map_or("", String::as_str);
        let one = |text: &str| {
            let mut parts = text.split(':');
            let service = parts.next().filter(|s| !s.is_empty())?.to_owned();
            let condition = parts.next().filter(|c| !c.is_empty()).unwrap_or("service_started").to_owned();
            Some(Dependency { service, condition })
        };
        label.split(',').filter_map(|text| one(text.trim())).collect()
    }

    /// What its stack is for, where a label says so.
    pub fn environment(&self) -> Option<&str> {
        self.config.labels.get(ENVIRONMENT).map(String::as_str).filter(|e| matches!(*e, "dev" | "test" | "preview"))
    }
}
