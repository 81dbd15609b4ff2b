//! Pausing containers through the freezer of their control groups.

use crate::cgroup::Cgroups;
use crate::engine::Inner;
use crate::fail::Context as _;
use crate::run::files;
use lighter_domain::{ContainerId, Error, Result};

impl Inner {
    pub(crate) async fn freeze(&self, id: &ContainerId, frozen: bool) -> Result<()> {
        let dir = self.running_dir(id)?;
        let id = id.clone();
        let work = move || {
            let launch = files::launch(&dir).ok_or_else(|| Error::conflict(format!("container {id} is not running")))?;
            Cgroups::freeze(&launch.cgroups, frozen)
        };
        tokio::task::spawn_blocking(work).await.context("pausing was broken off")?
    }
}
