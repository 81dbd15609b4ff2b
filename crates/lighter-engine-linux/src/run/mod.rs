//! Containers that run: one [`Slot`] each, with what the engine holds for the present run.
//!
//! The truth about a run is kept by its supervisor and in its run directory; a slot only remembers what saves asking.
//! Everything that changes a run holds the slot's lock, also when the caller has gone away.

pub(crate) mod client;
pub(crate) mod end;
pub(crate) mod failure;
pub(crate) mod files;
pub(crate) mod network;
pub(crate) mod peers;
mod prepare;
pub(crate) mod recover;
pub(crate) mod socket;
mod spawn;
pub(crate) mod start;

pub(crate) use spawn::Program;

use lighter_domain::{ContainerId, Exit};
use lighter_supervisor_proto as proto;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use tokio::sync::OwnedMutexGuard;

/// All slots. A container gets one when it is first mentioned, and loses it when it is removed.
#[derive(Default)]
pub(crate) struct Runs(Mutex<HashMap<ContainerId, Arc<Slot>>>);

/// One container.
#[derive(Default)]
pub(crate) struct Slot {
    /// Held by whoever changes the run.
    held: Arc<tokio::sync::Mutex<Held>>,
    /// Read without waiting for a change under way.
    state: Mutex<RunState>,
}

/// What is held for the present run, or for the next.
#[derive(Default)]
pub(crate) struct Held {
    /// Bound by an attachment before the start; the supervisor takes it over.
    pub listener: Option<UnixListener>,
    pub groups: Option<proto::Cgroups>,
    /// Whether there is something of a run to be cleaned up.
    pub dirty: bool,
}

/// How far the present run is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum RunState {
    /// None since the container was made.
    #[default]
    Idle,
    Running {
        pid: u32,
    },
    Ended(Exit),
}

impl Runs {
    pub(crate) fn slot(&self, id: &ContainerId) -> Arc<Slot> {
        Arc::clone(self.0.lock().entry(id.clone()).or_default())
    }

    /// The slot of a container that has been mentioned before.
    pub(crate) fn known(&self, id: &ContainerId) -> Option<Arc<Slot>> {
        self.0.lock().get(id).cloned()
    }

    pub(crate) fn forget(&self, id: &ContainerId) {
        self.0.lock().remove(id);
    }

    /// Those with something running.
    pub(crate) fn running(&self) -> Vec<ContainerId> {
        let all = self.0.lock();
        all.iter().filter(|(_, s)| matches!(s.state(), RunState::Running { .. })).map(|(id, _)| id.clone()).collect()
    }
}

impl Slot {
    pub(crate) async fn hold(&self) -> OwnedMutexGuard<Held> {
        Arc::clone(&self.held).lock_owned().await
    }

    pub(crate) fn state(&self) -> RunState {
        self.state.lock().clone()
    }

    pub(crate) fn set_state(&self, state: RunState) {
        *self.state.lock() = state;
    }

    /// Notes the end of the run; the first news counts. Whether it was that.
    pub(crate) fn ended(&self, exit: &Exit) -> bool {
        let mut state = self.state.lock();
        let first = !matches!(*state, RunState::Ended(_));
        if first {
            *state = RunState::Ended(exit.clone());
        }
        first
    }
}
