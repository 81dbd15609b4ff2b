//! Restart policies: whether a container that ended is started again, and when.

use lighter_domain::Container;
use lighter_domain::host_config::RestartPolicyName;
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(60);
/// A run as long as this resets the backoff.
const SETTLED: Duration = Duration::from_secs(10);

/// The growing pause between restarts of one container.
#[derive(Debug, Default)]
pub(crate) struct Backoff(Option<Duration>);

impl Backoff {
    /// The pause before the next start, after a run of length `ran`.
    pub fn next(&mut self, ran: Duration) -> Duration {
        let pause = match self.0 {
            Some(last) if ran < SETTLED => (last * 2).min(LONGEST),
            _ => FIRST,
        };
        self.0 = Some(pause);
        pause
    }
}

/// Whether the policy wants another start after an exit with `code`.
pub(crate) fn wanted(container: &Container, code: i32) -> bool {
    if container.manually_stopped {
        return false;
    }
    let policy = &container.host_config.restart_policy;
    match policy.name {
        RestartPolicyName::Unset | RestartPolicyName::No => false,
        RestartPolicyName::Always | RestartPolicyName::UnlessStopped => true,
        RestartPolicyName::OnFailure => code != 0 && tries_left(container),
    }
}

fn tries_left(container: &Container) -> bool {
    let most = container.host_config.restart_policy.maximum_retry_count;
    most <= 0 || i64::from(container.restart_count) < most
}

/// Whether the policy wants the container started when the daemon (or the machine) comes up and it does not run.
pub(crate) fn wanted_at_boot(container: &Container) -> bool {
    match container.host_config.restart_policy.name {
        RestartPolicyName::Always => true,
        RestartPolicyName::UnlessStopped => !container.manually_stopped,
        // As in dockerd, also after the user's stop, if that was a failure by its code: only `unless-stopped` remembers.
        RestartPolicyName::OnFailure => container.exit.as_ref().is_some_and(|e| e.code != 0 && tries_left(container)),
        RestartPolicyName::Unset | RestartPolicyName::No => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_to_a_minute_and_resets_after_a_settled_run() {
        let mut b = Backoff::default();
        let short = Duration::from_secs(1);
        assert_eq!(b.next(short), FIRST);
        assert_eq!(b.next(short), FIRST * 2);
        for _ in 0..20 {
            b.next(short);
        }
        assert_eq!(b.next(short), LONGEST);
        assert_eq!(b.next(Duration::from_secs(10)), FIRST);
    }
}
