//! Start-up: what the store remembers and what the engine finds are brought into agreement, before the first request.

use crate::actor;
use crate::create::QUEUE;
use crate::daemon::{Shared, store_failed};
use crate::events::of_container;
use crate::registry::Entry;
use crate::{health, restart};
use lighter_domain::{Container, ContainerId, ContainerState, Event, Exit, Result};
use lighter_engine::{Found, FoundState};
use lighter_store::Change;
use std::collections::HashMap;
use std::sync::Arc;
use time::OffsetDateTime;
use tokio::sync::mpsc;

pub(crate) async fn run(shared: &Arc<Shared>) -> Result<()> {
    let loaded = shared.store.load_containers().await.map_err(store_failed)?;
    for problem in &loaded.problems {
        tracing::error!(table = problem.table, id = problem.id, reason = %problem.reason, "a row of the store is not usable");
    }
    let found = shared.engine.list().await?;
    let mut states: HashMap<ContainerId, FoundState> = found.into_iter().map(|Found { id, state }| (id, state)).collect();
    let (mut changes, mut events, mut kept, mut removed) = (vec![Change::RecoverClusters], Vec::new(), Vec::new(), Vec::new());
    for container in loaded.items {
        let state = states.remove(&container.id);
        let before = container.clone();
        let (container, told) = settle(container, state);
        events.extend(told);
        if goes_away(&container) {
            changes.push(Change::DeleteContainer(container.uuid));
            events.push(of_container(&container, "destroy", &[]));
            removed.push(container);
            continue;
        }
        let container = Arc::new(container);
        if *container != before {
            changes.push(Change::PutContainer(container.clone()));
        }
        // A database of before stacks has none.
        if container.compose_project().is_some() {
            changes.push(Change::JoinStack(container.clone()));
        }
        kept.push(container);
    }
    for container in &removed {
        shared.engine.remove(&container.id).await?;
    }
    shared.persist(changes, events).await?;
    shared.take_over_volumes(&kept).await?;
    shared.take_over_networks(&kept).await?;
    for container in &removed {
        shared.take_volumes(container, container.host_config.auto_remove).await;
    }
    // A container that nobody remembers has no name, no configuration and no client: it is ended and removed.
    shared.engine.reconcile(&kept).await?;
    if shared.engine.images().is_some() {
        shared.images_changed(Vec::new()).await?;
    }
    for container in kept {
        shared.registry.reserve(&container.name, &container.id)?;
        let (commands, queue) = mpsc::channel(QUEUE);
        let entry = Arc::new(Entry::new(container, commands));
        shared.registry.insert(entry.clone());
        actor::spawn(shared.clone(), entry, queue);
    }
    Ok(())
}

/// A container whose removal was under way, or that was to go with its end.
fn goes_away(container: &Container) -> bool {
    container.state == ContainerState::Removing
        || (container.host_config.auto_remove && container.state == ContainerState::Exited)
}

/// The truth about one container after the daemon was away, and the events that tell of what happened meanwhile.
fn settle(mut container: Container, found: Option<FoundState>) -> (Container, Vec<Event>) {
    let believed_live = container.state.is_running() || container.state == ContainerState::Starting;
    match found {
        Some(FoundState::Running { pid, started_at, paused, placement }) => {
            container.state = if paused { ContainerState::Paused { pid } } else { ContainerState::Running { pid } };
            container.started_at = Some(started_at);
            crate::networks::place_again(&mut container, placement);
            (container, Vec::new())
        }
        Some(FoundState::Exited(exit)) if believed_live => ended(container, exit),
        // The machine went down with it: no exit status was left behind.
        Some(FoundState::Idle | FoundState::Exited(_)) | None if believed_live => {
            let exit = Exit { code: 255, oom_killed: false, finished_at: OffsetDateTime::now_utc() };
            ended(container, exit)
        }
        Some(FoundState::Exited(_) | FoundState::Idle) | None => {
            health::stopped(&mut container);
            let boot = matches!(container.state, ContainerState::Exited) && restart::wanted_at_boot(&container);
            if boot {
                container.state = ContainerState::Restarting;
            }
            (container, Vec::new())
        }
    }
}

fn ended(mut container: Container, exit: Exit) -> (Container, Vec<Event>) {
    let code = exit.code;
    container.exit = Some(exit);
    health::stopped(&mut container);
    let again = restart::wanted(&container, code) || restart::wanted_at_boot(&container);
    container.state = if again { ContainerState::Restarting } else { ContainerState::Exited };
    let event = of_container(&container, "die", &[("exitCode", code.to_string())]);
    (container, vec![event])
}
