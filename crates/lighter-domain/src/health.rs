//! Health checks: what a container's configuration asks for, and what its probes' results come to. No clock, no I/O:
//! `lighter-core` runs the probes and shows what is kept here.

use crate::HealthConfig;
use crate::config::ContainerConfig;
use std::time::Duration;
use time::OffsetDateTime;

/// The newest results that are kept.
pub const RESULTS_KEPT: usize = 5;
/// dockerd's interval where none is given, and also its timeout.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);
const DEFAULT_START_INTERVAL: Duration = Duration::from_secs(5);
const DEFAULT_RETRIES: u32 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthStatus {
    Starting,
    Healthy,
    Unhealthy,
}

/// How one probe went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthResult {
    pub start: OffsetDateTime,
    pub end: OffsetDateTime,
    /// 0: healthy; -1: it took too long or could not be run.
    pub exit_code: i32,
    pub output: String,
}

/// The health of a container that has a check and was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    pub status: HealthStatus,
    /// Failures since the last success, those in the start period left out.
    pub failing_streak: u32,
    /// Oldest first, at most [`RESULTS_KEPT`].
    pub log: Vec<HealthResult>,
}

impl HealthStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }

    pub fn parse(s: &str) -> Option<Self> {
        [Self::Starting, Self::Healthy, Self::Unhealthy].into_iter().find(|status| status.as_str() == s)
    }
}

impl Health {
    /// At the start of a run. What earlier probes said stays readable, as with dockerd.
    pub fn starting(before: Option<Self>) -> Self {
        Self { status: HealthStatus::Starting, failing_streak: 0, log: before.map(|health| health.log).unwrap_or_default() }
    }

    /// Takes a result in, of a run that began at `started`. True when the status is another one afterwards.
    pub fn note(&mut self, check: &HealthConfig, started: OffsetDateTime, result: HealthResult) -> bool {
        let before = self.status;
        if result.exit_code == 0 {
            self.failing_streak = 0;
            self.status = HealthStatus::Healthy;
        } else if before != HealthStatus::Starting || result.start - started >= check.start_period() {
            self.failing_streak = self.failing_streak.saturating_add(1);
            if self.failing_streak >= check.retries_allowed() {
                self.status = HealthStatus::Unhealthy;
            }
        }
        self.log.push(result);
        let surplus = self.log.len().saturating_sub(RESULTS_KEPT);
        self.log.drain(..surplus);
        before != self.status
    }
}

impl HealthConfig {
    fn start_period(&self) -> Duration {
        nanos(self.start_period).unwrap_or_default()
    }

    fn retries_allowed(&self) -> u32 {
        u32::try_from(self.retries).ok().filter(|n| *n > 0).unwrap_or(DEFAULT_RETRIES)
    }

    /// How long one probe may take.
    pub fn probe_timeout(&self) -> Duration {
        nanos(self.timeout).unwrap_or(DEFAULT_INTERVAL)
    }

    /// The pause before the next probe of a container that has been up for `up`.
    pub fn pause(&self, status: HealthStatus, up: Duration) -> Duration {
        if status == HealthStatus::Starting && up < self.start_period() {
            nanos(self.start_interval).unwrap_or(DEFAULT_START_INTERVAL)
        } else {
            nanos(self.interval).unwrap_or(DEFAULT_INTERVAL)
        }
    }
}

impl ContainerConfig {
    /// The check and its command; `None` where there is none, or one of a kind that nobody knows (dockerd runs that as none).
    pub fn probe(&self) -> Option<(&HealthConfig, Vec<String>)> {
        let check = self.healthcheck.as_ref()?;
        let (kind, rest) = check.test.split_first()?;
        let shell = || {
            let own = self.shell.clone().filter(|shell| !shell.is_empty());
            own.unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()])
        };
        let command = match kind.as_str() {
            "CMD" => rest.to_vec(),
            "CMD-SHELL" => shell().into_iter().chain(rest.iter().cloned()).collect(),
            _ => return None,
        };
        Some((check, command))
    }
}

/// A duration as Go prints it (`1m30s`, `400ms`): it stands in a failed probe's output.
pub fn go_duration(d: Duration) -> String {
    let fraction = |whole: u128, rest: u128, digits: usize, unit: &str| {
        let tail = format!("{rest:0digits$}");
        let tail = tail.trim_end_matches('0');
        if tail.is_empty() { format!("{whole}{unit}") } else { format!("{whole}.{tail}{unit}") }
    };
    let nanos = d.as_nanos();
    match nanos {
        0 => "0s".to_owned(),
        1..=999 => format!("{nanos}ns"),
        1_000..=999_999 => fraction(nanos / 1_000, nanos % 1_000, 3, "µs"),
        1_000_000..=999_999_999 => fraction(nanos / 1_000_000, nanos % 1_000_000, 6, "ms"),
        _ => {
            let (minutes, rest) = (nanos / 60_000_000_000, nanos % 60_000_000_000);
            let seconds = fraction(rest / 1_000_000_000, rest % 1_000_000_000, 9, "s");
            match (minutes / 60, minutes % 60) {
                (0, 0) => seconds,
                (0, m) => format!("{m}m{seconds}"),
                (h, m) => format!("{h}h{m}m{seconds}"),
            }
        }
    }
}

/// Nanoseconds; what is not above zero is not given.
fn nanos(n: i64) -> Option<Duration> {
    u64::try_from(n).ok().filter(|n| *n > 0).map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn result(at: u64, exit_code: i32) -> HealthResult {
        let start = START + Duration::from_secs(at);
        HealthResult { start, end: start, exit_code, output: at.to_string() }
    }

    fn check(retries: i64, start_period: u64) -> HealthConfig {
        HealthConfig { retries, start_period: i64::try_from(start_period * 1_000_000_000).unwrap(), ..HealthConfig::default() }
    }

    #[test]
    fn failures_count_after_the_start_period_or_after_the_first_success() {
        let check = check(2, 10);
        let mut health = Health::starting(None);
        assert!(!health.note(&check, START, result(1, 1)));
        assert!(!health.note(&check, START, result(9, 1)));
        assert_eq!((health.status, health.failing_streak), (HealthStatus::Starting, 0));
        assert!(!health.note(&check, START, result(10, 1)));
        assert!(health.note(&check, START, result(11, -1)));
        assert_eq!((health.status, health.failing_streak), (HealthStatus::Unhealthy, 2));

        let mut health = Health::starting(Some(health));
        assert_eq!((health.status, health.failing_streak, health.log.len()), (HealthStatus::Starting, 0, 4));
        assert!(health.note(&check, START, result(1, 0)));
        assert!(!health.note(&check, START, result(2, 1)));
        assert_eq!((health.status, health.failing_streak), (HealthStatus::Healthy, 1));
        assert!(health.note(&check, START, result(3, 1)));
    }

    #[test]
    fn pauses() {
        let seconds = |n: i64| n * 1_000_000_000;
        let set = HealthConfig { interval: seconds(7), start_interval: seconds(1), ..check(0, 20) };
        let up = Duration::from_secs;
        assert_eq!(set.pause(HealthStatus::Starting, up(19)), up(1));
        assert_eq!(set.pause(HealthStatus::Starting, up(20)), up(7));
        assert_eq!(set.pause(HealthStatus::Healthy, up(1)), up(7));
        let unset = HealthConfig::default();
        assert_eq!((unset.pause(HealthStatus::Starting, up(0)), unset.probe_timeout()), (up(30), up(30)));
    }

    #[test]
    fn commands() {
        let of = |test: &[&str], shell: Option<&[&str]>| {
            let owned = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
            let healthcheck = Some(HealthConfig { test: owned(test), ..HealthConfig::default() });
            let config = ContainerConfig { healthcheck, shell: shell.map(owned), ..ContainerConfig::default() };
            config.probe().map(|(_, command)| command.join("|"))
        };
        assert_eq!(of(&["CMD", "a", "b c"], None).as_deref(), Some("a|b c"));
        assert_eq!(of(&["CMD-SHELL", "a b"], None).as_deref(), Some("/bin/sh|-c|a b"));
        assert_eq!(of(&["CMD-SHELL", "a b"], Some(&["/bin/ash", "-ec"])).as_deref(), Some("/bin/ash|-ec|a b"));
        for none in [&["NONE"][..], &[], &["BOGUS", "x"]] {
            assert_eq!(of(none, None), None, "{none:?}");
        }
    }

    #[test]
    fn durations_as_go_prints_them() {
        let of = |nanos| go_duration(Duration::from_nanos(nanos));
        for (nanos, text) in [
            (0, "0s"),
            (7, "7ns"),
            (1_500, "1.5µs"),
            (400_000_000, "400ms"),
            (1_000_000_000, "1s"),
            (1_500_000_000, "1.5s"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
        ] {
            assert_eq!(of(nanos), text);
        }
    }

    proptest! {
        #[test]
        fn the_log_is_bounded_and_the_last_success_is_healthy(codes in prop::collection::vec(-1i32..3, 1..30), retries in -1i64..5) {
            let check = check(retries, 0);
            let mut health = Health::starting(None);
            for (at, code) in codes.iter().enumerate() {
                let before = health.status;
                let changed = health.note(&check, START, result(at as u64, *code));
                prop_assert_eq!(changed, before != health.status);
                prop_assert!(health.log.len() <= RESULTS_KEPT);
                prop_assert_eq!(health.log.last().unwrap().exit_code, *code);
                if *code == 0 { prop_assert_eq!((health.status, health.failing_streak), (HealthStatus::Healthy, 0)); }
            }
        }
    }
}
