//! Finding again, at start-up, what an earlier daemon left: running containers, ended ones, and rubbish.

use super::{RunState, client, files, socket};
use crate::cgroup::Cgroups;
use crate::engine::Inner;
use crate::fail::Context as _;
use crate::networks::in_full;
use lighter_domain::{Container, ContainerId, Error, Result};
use lighter_engine::{Found, FoundState};
use lighter_supervisor_proto::{Ready, Reply, Request, files as names};
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a supervisor may take to answer. One that is wedged is still there.
const PATIENCE: Duration = Duration::from_secs(5);
/// A container that was being started when the daemon died needs a moment; so many times 10 ms.
const STARTING: u32 = 500;

impl Inner {
    /// Fills the slots from the run directories, and takes the addresses that are in use. Called once, by `open`.
    pub(crate) async fn recover(&self) -> Result<()> {
        let mut live = Vec::new();
        for id in self.run_ids().await? {
            let dir = self.layout.run_dir(&id);
            let slot = self.runs.slot(&id);
            let mut held = slot.hold().await;
            held.dirty = true;
            held.groups = files::launch(&dir).map(|l| l.cgroups);
            match self.look(&id).await {
                Some(FoundState::Running { pid, .. }) => {
                    slot.set_state(RunState::Running { pid });
                    live.extend(files::attachment(&dir).map(|attachment| (id.as_str().to_owned(), attachment)));
                }
                Some(FoundState::Exited(exit)) => slot.set_state(RunState::Ended(exit)),
                Some(FoundState::Idle) | None => {}
            }
        }
        let ids: Vec<String> = live.iter().map(|(id, _)| id.clone()).collect();
        let restored = self.networks.restore(live).await;
        let restored = restored.map_err(|e| Error::internal(format!("cannot restore the network: {}", in_full(&e))))?;
        for (container, (attachment, lost)) in ids.iter().zip(restored) {
            for error in &lost {
                tracing::warn!(container, error = in_full(error), "a container's network could not be restored");
            }
            if let Some(id) = ContainerId::parse(container).filter(|_| !lost.is_empty()) {
                files::replace_attachment(&self.layout.run_dir(&id), &attachment)?;
            }
        }
        Ok(())
    }

    async fn run_ids(&self) -> Result<Vec<ContainerId>> {
        let runs = self.layout.runs();
        tokio::task::spawn_blocking(move || ids_in(&runs)).await.context("reading the run directories was broken off")
    }

    /// The state of a run directory's container; `None`: nothing was started in it.
    async fn look(&self, id: &ContainerId) -> Option<FoundState> {
        let dir = self.layout.run_dir(id);
        let launch = files::launch(&dir)?;
        for _ in 0..STARTING {
            match tokio::time::timeout(PATIENCE, client::ask(&dir, &Request::Status)).await {
                Ok(Ok(Reply::Status { pid, started_at })) if files::exit(&dir).is_none() => {
                    return Some(self.as_running(&dir, pid, started_at, Cgroups::is_frozen(&launch.cgroups)));
                }
                Ok(Err(e)) if socket::is_gone(&e) => break,
                Err(_) => {
                    // Wedged; what it said when it started still holds.
                    if let Some(Ready::Started { pid, started_at }) = files::ready(&dir) {
                        return Some(self.as_running(&dir, pid, started_at, false));
                    }
                    break;
                }
                Ok(_) if files::exit(&dir).is_some() || matches!(files::ready(&dir), Some(Ready::Failed(_))) => break,
                Ok(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
        self.autopsy(id).await.ok().map(FoundState::Exited)
    }

    fn as_running(&self, dir: &Path, pid: u32, started_at: i64, paused: bool) -> FoundState {
        let placement = self.placement(None, &files::attachment(dir).unwrap_or_default());
        FoundState::Running { pid, started_at: files::time_of(started_at), paused, placement }
    }

    /// A container that ran when its addresses and ports were taken again runs for whoever lists it, though it has ended since:
    /// who waits for it hears so at once, and only he lets go of what it held.
    fn as_recovered(&self, id: &ContainerId, state: FoundState) -> FoundState {
        let dir = self.layout.run_dir(id);
        if matches!(state, FoundState::Exited(_))
            && let Some(RunState::Running { pid }) = self.runs.known(id).map(|slot| slot.state())
            && let Some(Ready::Started { started_at, .. }) = files::ready(&dir)
        {
            return self.as_running(&dir, pid, started_at, false);
        }
        state
    }

    /// What is there: containers with a run, then those that have only a writable layer.
    pub(crate) async fn list(self: &Arc<Self>) -> Result<Vec<Found>> {
        let mut found = Vec::new();
        let mut seen = HashSet::new();
        for id in self.run_ids().await? {
            let Some(state) = self.look(&id).await else { continue };
            seen.insert(id.clone());
            found.push(Found { state: self.as_recovered(&id, state), id });
        }
        let this = Arc::clone(self);
        let made = tokio::task::spawn_blocking(move || this.snapshots.list()).await.context("listing was broken off")?;
        for name in made.context("cannot list the writable layers")? {
            let Some(id) = ContainerId::parse(&name).filter(|id| !seen.contains(id)) else { continue };
            let state = match self.runs.known(&id).map(|s| s.state()) {
                Some(RunState::Ended(exit)) => FoundState::Exited(exit),
                _ => FoundState::Idle,
            };
            found.push(Found { id, state });
        }
        Ok(found)
    }

    /// Removes whatever belongs to no container of `known`.
    pub(crate) async fn reconcile(self: &Arc<Self>, containers: &[Arc<Container>]) -> Result<()> {
        for container in containers {
            self.note_images(container);
        }
        // Those that run wait for answers.
        self.reopen_names(containers).await;
        let known: HashSet<ContainerId> = containers.iter().map(|c| c.id.clone()).collect();
        let this = Arc::clone(self);
        let present = tokio::task::spawn_blocking(move || this.everything()).await.context("looking around was broken off")?;
        for id in present.difference(&known) {
            tracing::info!(container = %id, "removing what is left of an unknown container");
            if let Err(e) = self.expel(id).await {
                tracing::warn!(container = %id, error = %e, "cannot remove an unknown container");
            }
        }
        let running: HashSet<ContainerId> = self.runs.running().into_iter().collect();
        let (volumes, users) = (Arc::clone(&self.volumes), containers.iter().filter(|c| running.contains(&c.id)));
        let users: Vec<Arc<Container>> = users.cloned().collect();
        let this = Arc::clone(self);
        let settle = move || {
            volumes.settle(&users);
            let subnets =
                this.all_networks().iter().flat_map(|n| n.ipam.pools.clone()).map(|pool| pool.subnet).collect::<Vec<_>>();
            for container in &users {
                if let Err(error) = this.mend_hosts(container, &subnets) {
                    tracing::warn!(container = %container.id, %error, "the hosts of a container could not be looked at");
                }
            }
        };
        tokio::task::spawn_blocking(settle).await.context("looking at volumes was broken off")?;
        let live: Vec<String> = running.iter().map(|id| id.as_str().to_owned()).collect();
        let elsewhere = containers.iter().filter(|c| !c.host_config.cgroup_parent.is_empty()).cloned().collect::<Vec<_>>();
        let this = Arc::clone(self);
        let sweep = move || this.cgroups.remove_empty(&running, elsewhere.iter().map(AsRef::as_ref));
        tokio::task::spawn_blocking(sweep).await.context("removing control groups was broken off")?;
        self.networks.reconcile(&live).await.map(drop).map_err(|e| Error::internal(format!("cannot reconcile the network: {e}")))
    }

    /// All ids of which there is any trace in our own directories. Blocking.
    fn everything(&self) -> HashSet<ContainerId> {
        let mut ids: HashSet<_> = ids_in(&self.layout.runs()).into_iter().chain(ids_in(&self.layout.containers())).collect();
        ids.extend(self.snapshots.list().unwrap_or_default().iter().filter_map(|n| ContainerId::parse(n)));
        ids
    }

    /// Ends and removes a container that nobody knows.
    async fn expel(self: &Arc<Self>, id: &ContainerId) -> Result<()> {
        let slot = self.runs.slot(id);
        {
            let mut held = slot.hold().await;
            held.dirty = true;
            let groups = held.groups.clone().unwrap_or_else(|| self.cgroups.under_parent(id.as_str()));
            held.groups = Some(groups.clone());
            let killed = tokio::task::spawn_blocking(move || Cgroups::kill_all(&groups)).await;
            killed.context("killing was broken off")?;
        }
        if self.layout.run_dir(id).join(names::LAUNCH).exists() {
            let _ = tokio::time::timeout(PATIENCE, self.wait(id)).await;
        }
        slot.set_state(RunState::Idle);
        self.remove(id).await
    }
}

fn ids_in(dir: &Path) -> Vec<ContainerId> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    entries.flatten().filter_map(|e| ContainerId::parse(e.file_name().to_str()?)).collect()
}
