//! A look at the machine: what works, what does not, and what to do about it.

use crate::daemon::Daemon;
use lighter_domain::finding::{Finding, Verdict};
use std::path::Path;

/// Of the data root's disk; below it containers and builds fail soon.
const LITTLE_SPACE: u64 = 1 << 30;
const LITTLE_SHARE: u64 = 20;

impl Daemon {
    /// What the engine finds, and what every engine needs.
    pub async fn diagnose(&self) -> Vec<Finding> {
        let shared = self.shared();
        let description = &shared.description;
        let mut found = vec![Finding::good("engine", format!("{} on {}", description.name, description.operating_system))];
        found.extend(shared.engine.diagnose().await);
        found.extend(space(&shared.config.data_root));
        found.push(match shared.record_answers().await {
            Ok(()) => Finding::good("database", "answers"),
            Err(error) => Finding::bad(
                "database",
                Verdict::Problem,
                format!("cannot be read: {error}"),
                "see the daemon's log; `lighter store check` examines the file",
            ),
        });
        found
    }
}

/// How full the disk below `path` is.
fn space(path: &Path) -> Option<Finding> {
    let disk = rustix::fs::statvfs(path).ok()?;
    let (free, total) = (disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize);
    let used = 100 - (free * 100).checked_div(total).unwrap_or(100);
    let said = format!("{} GiB free below {} ({used}% used)", free >> 30, path.display());
    let inodes = disk.f_files > 0 && disk.f_favail < disk.f_files / LITTLE_SHARE;
    Some(if free < LITTLE_SPACE || inodes {
        let said = if inodes { format!("{said}, and hardly any inodes") } else { said };
        Finding::bad("disk", Verdict::Warning, said, "remove unused images, containers and volumes: docker system prune")
    } else {
        Finding::good("disk", said)
    })
}
