//! What a container uses, read from its control groups and its network namespace. Nothing of the container's is run.
//!
//! Each version of control groups has its own files and its own reader; what a kernel lacks counts as nothing.

mod net;
mod v1;
mod v2;

use crate::engine::{Inner, LinuxEngine};
use crate::fail::Context as _;
use crate::run::RunState;
use async_trait::async_trait;
use lighter_domain::sample::{CpuSample, Sample};
use lighter_domain::{Container, Error, Result};
use lighter_engine::Stats;
use lighter_supervisor_proto::Cgroups as Groups;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use time::OffsetDateTime;

/// The kernel's unit of processor time in its tables: a hundredth of a second on every Linux there is.
const TICK: u64 = 10_000_000;

#[async_trait]
impl Stats for LinuxEngine {
    async fn sample(&self, container: &Container) -> Result<Sample> {
        self.inner.sample(container).await
    }
}

impl Inner {
    pub(crate) async fn sample(self: &Arc<Self>, container: &Container) -> Result<Sample> {
        let id = &container.id;
        let RunState::Running { pid } = self.runs.slot(id).state() else {
            return Err(Error::conflict(format!("container {id} is not running")));
        };
        let groups = self.cgroups.groups_of(container);
        let own_network = container.host_config.network_mode != "host";
        let machine = self.description.memory_total;
        let work = move || {
            let networks = if own_network { net::read(pid) } else { BTreeMap::new() };
            let mut sample = Sample {
                read_at: OffsetDateTime::now_utc(),
                cpu: CpuSample::default(),
                memory: Default::default(),
                pids: 0,
                pids_limit: None,
                block_io: Vec::new(),
                networks,
            };
            match &groups {
                Groups { v2: Some(dir), .. } => v2::read(dir, &mut sample),
                Groups { v1, v2: None } => v1::read(v1, &mut sample),
            }
            if sample.memory.limit == 0 || sample.memory.limit > machine {
                sample.memory.limit = machine;
            }
            whole_machine(&text(Path::new("/proc/stat")), &mut sample.cpu);
            sample
        };
        tokio::task::spawn_blocking(work).await.context("reading was broken off")
    }
}

/// Empty when it is not there.
fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// A file with one number; `max` and nonsense are none.
fn number(path: &Path) -> Option<u64> {
    text(path).trim().parse().ok()
}

/// A file with a name and a number on each line.
fn table(path: &Path) -> BTreeMap<String, u64> {
    let pair = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), value.trim().parse().ok()?))
    };
    text(path).lines().filter_map(pair).collect()
}

/// From `/proc/stat`: all time of all processors (but what guests and other machines took), and how many there are.
fn whole_machine(stat: &str, cpu: &mut CpuSample) {
    for line in stat.lines() {
        let Some(rest) = line.strip_prefix("cpu") else { continue };
        match rest.strip_prefix(' ') {
            Some(all) => {
                let ticks = all.split_ascii_whitespace().take(7).filter_map(|n| n.parse::<u64>().ok());
                cpu.system = ticks.fold(0, u64::saturating_add).saturating_mul(TICK);
            }
            None => cpu.online += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine() {
        let mut cpu = CpuSample::default();
        whole_machine("cpu  1 2 3 4 5 6 7 800 900 0\ncpu0 1 1\ncpu1 0 1\nintr 5\n", &mut cpu);
        assert_eq!((cpu.system, cpu.online), (28 * TICK, 2));
    }
}
