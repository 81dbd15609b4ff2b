//! A container's life: its states and the pure decision what a request may do in each of them.
//!
//! `lighter-core`'s actor is the only caller that changes a state; 204, 304 and 409 fall out of [`decide`].

use time::OffsetDateTime;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// As Docker reports it: 128 + signal number for a killed process, 125..127 for one that could not start.
    pub code: i32,
    pub oom_killed: bool,
    pub finished_at: OffsetDateTime,
}

/// The state, with what is only true in it. What outlives a run (last exit, last start) is kept in [`crate::Container`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerState {
    Created,
    Starting,
    Running {
        pid: u32,
    },
    Paused {
        pid: u32,
    },
    /// Ended, and the restart policy will start it again.
    Restarting,
    Exited,
    Removing,
    /// Removal failed half-way; only another removal is possible.
    Dead,
}

/// What a client or the daemon wants of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    Start,
    Stop,
    Kill,
    Restart,
    Pause,
    Unpause,
    Exec,
    Attach,
    Resize,
    Top,
    Update,
    Rename,
    Remove { force: bool },
}

/// The verdict of [`decide`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Proceed,
    /// 304 where the API has it, else a success without effect.
    AlreadyDone,
    Denied(Reason),
}

/// Why a request is denied; `lighter-core` words it as dockerd does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    NotRunning,
    Paused,
    NotPaused,
    AlreadyPaused,
    Restarting,
    /// Removal of a live container without force.
    Running,
    RemovalInProgress,
    MarkedForRemoval,
}

impl ContainerState {
    /// Docker's `State.Status`.
    pub fn docker_status(&self) -> &'static str {
        match self {
            Self::Created | Self::Starting => "created",
            Self::Running { .. } => "running",
            Self::Paused { .. } => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
            Self::Removing => "removing",
            Self::Dead => "dead",
        }
    }

    /// The store's `state` column.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Starting => "starting",
            Self::Running { .. } => "running",
            Self::Paused { .. } => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "stopped",
            Self::Removing => "removing",
            Self::Dead => "error",
        }
    }

    /// The three-valued `status` of a container summary, derived here and nowhere else.
    pub fn summary_status(&self) -> SummaryStatus {
        match self {
            Self::Running { .. } | Self::Starting | Self::Restarting => SummaryStatus::Running,
            Self::Paused { .. } => SummaryStatus::Paused,
            Self::Created | Self::Exited | Self::Removing | Self::Dead => SummaryStatus::Stopped,
        }
    }

    /// The container's init process, in the daemon's pid namespace.
    pub fn pid(&self) -> Option<u32> {
        match self {
            Self::Running { pid } | Self::Paused { pid } => Some(*pid),
            Self::Created | Self::Starting | Self::Restarting | Self::Exited | Self::Removing | Self::Dead => None,
        }
    }

    /// Docker's `State.Running` (true while paused, too).
    pub fn is_running(&self) -> bool {
        self.pid().is_some()
    }
}

/// `containers.status` of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SummaryStatus {
    Running,
    Stopped,
    Paused,
}

impl SummaryStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Paused => "paused",
        }
    }

    pub fn parse(s: &str) -> Option<Self> {
        match s {
            "running" => Some(Self::Running),
            "stopped" => Some(Self::Stopped),
            "paused" => Some(Self::Paused),
            _ => None,
        }
    }
}

/// Whether `request` may go on in `state`. Pure and exhaustive on both sides.
pub fn decide(state: &ContainerState, request: Request) -> Decision {
    use ContainerState as S;
    use Decision::{AlreadyDone, Denied, Proceed};
    use Request as R;
    match (request, state) {
        (R::Remove { .. }, S::Removing) => Denied(Reason::RemovalInProgress),
        (R::Remove { .. }, S::Created | S::Exited | S::Dead) | (R::Remove { force: true }, _) => Proceed,
        (R::Remove { force: false }, S::Paused { .. }) => Denied(Reason::Paused),
        (R::Remove { force: false }, S::Restarting) => Denied(Reason::Restarting),
        (R::Remove { force: false }, S::Starting | S::Running { .. }) => Denied(Reason::Running),
        (R::Rename, _) => Proceed,
        (_, S::Removing | S::Dead) => Denied(Reason::MarkedForRemoval),

        (R::Start, S::Created | S::Exited | S::Restarting) => Proceed,
        (R::Start, S::Starting | S::Running { .. }) => AlreadyDone,
        (R::Start, S::Paused { .. }) => Denied(Reason::Paused),

        (R::Stop, S::Starting | S::Running { .. } | S::Paused { .. } | S::Restarting) => Proceed,
        (R::Stop, S::Created | S::Exited) => AlreadyDone,

        (R::Restart | R::Update, _) => Proceed,

        (R::Kill, S::Running { .. } | S::Paused { .. } | S::Restarting) => Proceed,
        (R::Kill | R::Pause | R::Resize | R::Exec | R::Top, S::Created | S::Starting | S::Exited) => Denied(Reason::NotRunning),

        (R::Pause, S::Running { .. }) => Proceed,
        (R::Pause, S::Paused { .. }) => Denied(Reason::AlreadyPaused),
        (R::Pause | R::Exec | R::Resize | R::Top, S::Restarting) => Denied(Reason::Restarting),

        (R::Unpause, S::Paused { .. }) => Proceed,
        (R::Unpause, S::Created | S::Starting | S::Running { .. } | S::Restarting | S::Exited) => Denied(Reason::NotPaused),

        (R::Exec, S::Running { .. }) | (R::Resize | R::Top, S::Running { .. } | S::Paused { .. }) => Proceed,
        (R::Exec, S::Paused { .. }) => Denied(Reason::Paused),

        (R::Attach, S::Paused { .. }) => Denied(Reason::Paused),
        (R::Attach, S::Restarting) => Denied(Reason::Restarting),
        (R::Attach, S::Created | S::Starting | S::Running { .. } | S::Exited) => Proceed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_state() -> impl Strategy<Value = ContainerState> {
        prop_oneof![
            Just(ContainerState::Created),
            Just(ContainerState::Starting),
            (1u32..).prop_map(|pid| ContainerState::Running { pid }),
            (1u32..).prop_map(|pid| ContainerState::Paused { pid }),
            Just(ContainerState::Restarting),
            Just(ContainerState::Exited),
            Just(ContainerState::Removing),
            Just(ContainerState::Dead),
        ]
    }

    proptest! {
        #[test]
        fn forced_removal_is_possible_unless_one_is_under_way(state in any_state()) {
            let d = decide(&state, Request::Remove { force: true });
            prop_assert_eq!(d == Decision::Proceed, state != ContainerState::Removing);
        }

        #[test]
        fn unforced_removal_never_touches_a_live_container(state in any_state()) {
            let d = decide(&state, Request::Remove { force: false });
            if state.is_running() { prop_assert!(matches!(d, Decision::Denied(_))); }
        }

        #[test]
        fn only_a_live_process_is_paused_killed_or_entered(state in any_state()) {
            for r in [Request::Pause, Request::Exec, Request::Unpause, Request::Resize] {
                if decide(&state, r) == Decision::Proceed { prop_assert!(state.is_running(), "{:?} {:?}", r, state); }
            }
        }

        #[test]
        fn nothing_but_removal_and_rename_happens_to_what_is_being_removed(
            r in prop_oneof![Just(Request::Start), Just(Request::Stop), Just(Request::Kill), Just(Request::Restart), Just(Request::Exec), Just(Request::Attach)],
        ) {
            for s in [ContainerState::Removing, ContainerState::Dead] {
                prop_assert_eq!(decide(&s, r), Decision::Denied(Reason::MarkedForRemoval));
            }
        }

        #[test]
        fn start_and_stop_are_idempotent(pid in 1u32..) {
            prop_assert_eq!(decide(&ContainerState::Running { pid }, Request::Start), Decision::AlreadyDone);
            prop_assert_eq!(decide(&ContainerState::Exited, Request::Stop), Decision::AlreadyDone);
        }

        #[test]
        fn summary_status_agrees_with_liveness(state in any_state()) {
            if state.is_running() { prop_assert!(state.summary_status() != SummaryStatus::Stopped); }
            prop_assert_eq!(SummaryStatus::parse(state.summary_status().as_str()), Some(state.summary_status()));
        }
    }
}
