//! What is said of make-believe containers: the processes that their records hold, and that they use nothing.

use crate::process::Phase;
use crate::{MemoryEngine, not_running};
use async_trait::async_trait;
use lighter_domain::sample::{CpuSample, MemorySample, Sample};
use lighter_domain::{Container, HostConfig, Result};
use lighter_engine::{ProcessList, Review, Stats, Top, Update};
use std::collections::BTreeMap;
use time::OffsetDateTime;

#[async_trait]
impl Stats for MemoryEngine {
    /// Zeros, but for the number of processes: nothing runs.
    async fn sample(&self, container: &Container) -> Result<Sample> {
        let processes = self.processes(container)?;
        let online = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX));
        Ok(Sample {
            read_at: OffsetDateTime::now_utc(),
            cpu: CpuSample { online, ..CpuSample::default() },
            memory: MemorySample::default(),
            pids: processes.len() as u64,
            pids_limit: None,
            block_io: Vec::new(),
            networks: BTreeMap::new(),
        })
    }
}

#[async_trait]
impl Top for MemoryEngine {
    /// The columns of `ps -ef`, whatever is asked for.
    async fn top(&self, container: &Container, _ps_args: &str) -> Result<ProcessList> {
        let titles = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"].map(str::to_owned).to_vec();
        let command = std::iter::once(&container.path).chain(&container.args).map(String::as_str).collect::<Vec<_>>().join(" ");
        let row = |(n, (pid, started)): (usize, (u32, OffsetDateTime))| {
            let since = format!("{:02}:{:02}", started.hour(), started.minute());
            let command = if n == 0 { command.as_str() } else { "exec" };
            ["root", &pid.to_string(), "0", "0", &since, "?", "00:00:00", command].map(str::to_owned).to_vec()
        };
        Ok(ProcessList { titles, processes: self.processes(container)?.into_iter().enumerate().map(row).collect() })
    }
}

#[async_trait]
impl Update for MemoryEngine {
    fn review_update(&self, _container: &Container, _asked: &HostConfig) -> Result<Review> {
        Ok(Review::default())
    }

    /// Nothing runs, so that nothing is limited: the record is the daemon's.
    async fn update(&self, container: &Container) -> Result<()> {
        self.processes(container).map(drop)
    }
}

impl MemoryEngine {
    /// The container's own first, then what was started in it.
    fn processes(&self, container: &Container) -> Result<Vec<(u32, OffsetDateTime)>> {
        let slot = self.slot(&container.id)?;
        let Phase::Running { pid, started_at } = slot.process.phase() else { return Err(not_running(&container.id)) };
        let running = |phase| match phase {
            Phase::Running { pid, started_at } => Some((pid, started_at)),
            Phase::Idle | Phase::Ended(_) | Phase::Gone => None,
        };
        let mut execs: Vec<_> = slot.execs.lock().values().filter_map(|exec| running(exec.phase())).collect();
        execs.sort_unstable();
        Ok(std::iter::once((pid, started_at)).chain(execs).collect())
    }
}
