//! What the daemon says of itself: `info` and `system df`.

use crate::daemon::Daemon;
use crate::requests::{DiskUsage, ImageListQuery, Info, ListQuery};
use lighter_domain::{ContainerState, Error, Result};
use std::path::Path;
use uuid::Uuid;

/// The daemon's own identity, made at its first start.
pub(crate) fn daemon_id(data_root: &Path) -> Result<String> {
    let path = data_root.join("engine-id");
    match std::fs::read_to_string(&path) {
        Ok(id) if Uuid::parse_str(id.trim()).is_ok() => return Ok(id.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(Error::internal(format!("reading {}", path.display())).with_source(error)),
    }
    let id = Uuid::new_v4().to_string();
    std::fs::write(&path, &id).map_err(|e| Error::internal(format!("writing {}", path.display())).with_source(e))?;
    Ok(id)
}

/// The machine's name; `localhost` where it has none.
pub(crate) fn host_name() -> String {
    let read = |path| std::fs::read_to_string(path).ok().map(|s: String| s.trim().to_owned()).filter(|s| !s.is_empty());
    read("/proc/sys/kernel/hostname").or_else(|| read("/etc/hostname")).unwrap_or_else(|| "localhost".to_owned())
}

impl Daemon {
    pub async fn info(&self) -> Result<Info> {
        let shared = self.shared();
        let containers = shared.registry.snapshots();
        let paused = containers.iter().filter(|c| matches!(c.state, ContainerState::Paused { .. })).count();
        let live = containers.iter().filter(|c| c.state.is_running() || c.state == ContainerState::Restarting).count();
        let images = match shared.engine.images() {
            Some(images) => images.list().await?.len(),
            None => 0,
        };
        Ok(Info {
            daemon_id: shared.daemon_id.clone(),
            host_name: shared.host_name.clone(),
            data_root: shared.config.data_root.display().to_string(),
            engine: self.describe(),
            containers_running: live - paused,
            containers_paused: paused,
            containers_stopped: containers.len() - live,
            images,
            event_listeners: shared.bus.listeners(),
            debug: shared.config.debug,
            logging_driver: Some(shared.config.defaults.log.driver.clone())
                .filter(|d| !d.is_empty())
                .unwrap_or_else(|| "json-file".to_owned()),
            warnings: shared.description.warnings.clone(),
        })
    }

    pub async fn disk_usage(&self) -> Result<DiskUsage> {
        let images = self.images(ImageListQuery::default()).await?;
        let layers = match self.shared().engine.images() {
            Some(engine) => engine.disk_usage().await?,
            None => lighter_domain::image::ImageDiskUsage::default(),
        };
        let containers = self.list(ListQuery { all: true, size: true, ..ListQuery::default() }).await?;
        let volumes = self.volumes_used().await?;
        Ok(DiskUsage { images, layers, containers, volumes })
    }
}
