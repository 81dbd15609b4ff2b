//! `docker update`: which limits may change into which, in dockerd's words. The actor carries it out.

use crate::actor::Command;
use crate::daemon::Daemon;
use crate::{merge, wording};
use lighter_domain::host_config::RestartPolicyName;
use lighter_domain::{Error, HostConfig, Result};
use tokio::sync::oneshot;

impl Daemon {
    /// Changes what `asked` names: limits that are not zero, and the restart policy. The warnings.
    pub async fn update(&self, reference: &str, asked: HostConfig) -> Result<Vec<String>> {
        merge::check_restart_policy(&asked)?;
        let entry = self.entry(reference)?;
        let shared = self.shared();
        let update = shared.engine.update().ok_or_else(|| shared.lacks("updating a container"))?;
        let review = update.review_update(&entry.snapshot(), &asked)?;
        let (reply, answer) = oneshot::channel();
        let gone = || wording::no_such_container(entry.id.as_str());
        entry.commands.send(Command::Update { asked: Box::new(asked), reply }).await.map_err(|_| gone())?;
        let result = answer.await.map_err(|_| gone())?;
        result.map_err(|error| wording::prefixed(&format!("Cannot update container {}", entry.id), &error))?;
        Ok(review.warnings)
    }
}

/// `current` with what `asked` changes of it.
pub(crate) fn merged(current: &HostConfig, asked: &HostConfig) -> Result<HostConfig> {
    refuse_conflicts(current, asked)?;
    let mut new = current.clone();
    let mut number = |field: fn(&mut HostConfig) -> &mut i64, value: i64| {
        if value != 0 {
            *field(&mut new) = value;
        }
    };
    number(|h| &mut h.cpu_shares, asked.cpu_shares);
    number(|h| &mut h.nano_cpus, asked.nano_cpus);
    number(|h| &mut h.cpu_period, asked.cpu_period);
    number(|h| &mut h.cpu_quota, asked.cpu_quota);
    number(|h| &mut h.cpu_realtime_period, asked.cpu_realtime_period);
    number(|h| &mut h.cpu_realtime_runtime, asked.cpu_realtime_runtime);
    number(|h| &mut h.memory, asked.memory);
    number(|h| &mut h.memory_swap, asked.memory_swap);
    number(|h| &mut h.memory_reservation, asked.memory_reservation);
    if asked.blkio_weight != 0 {
        new.blkio_weight = asked.blkio_weight;
    }
    for (mine, theirs) in [(&mut new.cpuset_cpus, &asked.cpuset_cpus), (&mut new.cpuset_mems, &asked.cpuset_mems)] {
        if !theirs.is_empty() {
            mine.clone_from(theirs);
        }
    }
    if let Some(limit) = asked.pids_limit {
        // As dockerd shows it: no limit is 0 from now on.
        new.pids_limit = Some(limit.max(0));
    }
    if asked.restart_policy.name != RestartPolicyName::Unset {
        new.restart_policy = asked.restart_policy.clone();
    }
    Ok(new)
}

fn refuse_conflicts(current: &HostConfig, asked: &HostConfig) -> Result<()> {
    let conflicts = [
        (
            asked.nano_cpus > 0 && current.cpu_period > 0,
            "Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set",
        ),
        (
            asked.nano_cpus > 0 && current.cpu_quota > 0,
            "Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set",
        ),
        (
            asked.cpu_period > 0 && current.nano_cpus > 0,
            "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set",
        ),
        (
            asked.cpu_quota > 0 && current.nano_cpus > 0,
            "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set",
        ),
        (
            asked.memory != 0 && asked.memory_swap == 0 && asked.memory > current.memory_swap && current.memory_swap >= 0,
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
        ),
        (
            current.auto_remove && !matches!(asked.restart_policy.name, RestartPolicyName::Unset | RestartPolicyName::No),
            "Restart policy cannot be updated because AutoRemove is enabled for the container",
        ),
    ];
    match conflicts.into_iter().find(|(conflict, _)| *conflict) {
        Some((_, words)) => Err(Error::conflict(words)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lighter_domain::host_config::RestartPolicy;

    fn limits(memory: i64, memory_swap: i64) -> HostConfig {
        HostConfig { memory, memory_swap, ..HostConfig::default() }
    }

    #[test]
    fn what_is_not_named_stays() {
        let current = HostConfig { cpu_shares: 7, pids_limit: Some(9), ..limits(100, 200) };
        assert_eq!(merged(&current, &HostConfig::default()).unwrap(), current);
        let new = merged(&current, &HostConfig { pids_limit: Some(-1), ..limits(50, -1) }).unwrap();
        assert_eq!((new.memory, new.memory_swap, new.cpu_shares, new.pids_limit), (50, -1, 7, Some(0)));
    }

    #[test]
    fn conflicts() {
        let words = |current: &HostConfig, asked: &HostConfig| merged(current, asked).unwrap_err().message().to_owned();
        let cpus = HostConfig { nano_cpus: 5, ..HostConfig::default() };
        let quota = HostConfig { cpu_quota: 5, ..HostConfig::default() };
        assert!(words(&cpus, &quota).contains("CPU Quota cannot be updated"));
        assert!(words(&quota, &cpus).contains("Nano CPUs cannot be updated"));
        assert!(words(&limits(100, 200), &limits(300, 0)).contains("memoryswap"));
        assert!(merged(&limits(100, -1), &limits(300, 0)).is_ok() && merged(&limits(100, 200), &limits(300, 400)).is_ok());
        let policy = RestartPolicy { name: RestartPolicyName::Always, maximum_retry_count: 0 };
        let removed = HostConfig { auto_remove: true, ..HostConfig::default() };
        assert!(words(&removed, &HostConfig { restart_policy: policy, ..HostConfig::default() }).contains("AutoRemove"));
    }
}
