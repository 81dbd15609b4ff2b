//! Pausing: the freezer of either version.

use crate::fail::Context as _;
use lighter_domain::{Error, Result};
use lighter_supervisor_proto as proto;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A frozen group is reached when every task has come out of the kernel; one in an uninterruptible wait may take long.
const PATIENCE: Duration = Duration::from_secs(10);

enum Freezer {
    V1(PathBuf),
    V2(PathBuf),
}

fn find(groups: &proto::Cgroups) -> Option<Freezer> {
    if let Some(dir) = &groups.v2 {
        return Some(Freezer::V2(dir.clone()));
    }
    groups.v1.iter().find(|d| d.join("freezer.state").exists()).map(|d| Freezer::V1(d.clone()))
}

pub(super) fn is_frozen(groups: &proto::Cgroups) -> bool {
    match find(groups) {
        Some(Freezer::V1(dir)) => state_v1(&dir).as_deref().is_some_and(|s| s != "THAWED"),
        Some(Freezer::V2(dir)) => std::fs::read_to_string(dir.join("cgroup.freeze")).is_ok_and(|s| s.trim() == "1"),
        None => false,
    }
}

pub(super) fn set(groups: &proto::Cgroups, frozen: bool) -> Result<()> {
    let Some(freezer) = find(groups) else {
        return Err(Error::not_implemented("the linux engine cannot pause: this machine has no freezer control group"));
    };
    let started = Instant::now();
    loop {
        if freezer.write(frozen)? {
            return Ok(());
        }
        if started.elapsed() > PATIENCE {
            if frozen {
                let _ = freezer.write(false);
            }
            return Err(Error::internal("the container's processes did not freeze in time"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

impl Freezer {
    /// Asks once more (a task forked meanwhile can undo it on version 1), and says whether it has come true.
    fn write(&self, frozen: bool) -> Result<bool> {
        match self {
            Self::V1(dir) => {
                let word = if frozen { "FROZEN" } else { "THAWED" };
                let file = dir.join("freezer.state");
                super::write(&file, word).at("cannot write", &file)?;
                Ok(state_v1(dir).as_deref() == Some(word))
            }
            Self::V2(dir) => {
                let file = dir.join("cgroup.freeze");
                super::write(&file, if frozen { "1" } else { "0" }).at("cannot write", &file)?;
                let events = std::fs::read_to_string(dir.join("cgroup.events")).at("cannot read events of", dir)?;
                Ok(events.lines().any(|l| l == if frozen { "frozen 1" } else { "frozen 0" }))
            }
        }
    }
}

fn state_v1(dir: &Path) -> Option<String> {
    std::fs::read_to_string(dir.join("freezer.state")).ok().map(|s| s.trim().to_owned())
}
