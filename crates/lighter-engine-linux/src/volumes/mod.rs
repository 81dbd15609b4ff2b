//! Volumes on this machine: `<data-root>/volumes/<name>/_data`, and beside it what they were made with.
//!
//! The directories are the record: a volume exists when its `volume.json` does, which is written last. A volume with a
//! device (`type`, `o`, `device`) is mounted on its `_data` while a container that runs, or a copy, uses it.

mod copy_up;
mod device;

pub(crate) use device::InUse;

use crate::engine::LinuxEngine;
use crate::fail::{Context as _, in_gos_words};
use crate::run::files::{discard, remove_tree};
use async_trait::async_trait;
use lighter_domain::container::{MountKind, MountPoint};
use lighter_domain::volume::{self, NewVolume, Volume};
use lighter_domain::{Container, Error, Result};
use lighter_engine::Volumes;
use parking_lot::{Mutex, RwLock};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use time::OffsetDateTime;

const DATA: &str = "_data";
const RECORD: &str = "volume.json";

/// All volumes of one data root.
pub(crate) struct VolumeStore {
    root: PathBuf,
    all: RwLock<BTreeMap<String, Arc<Volume>>>,
    /// By volume with a device: who has it mounted.
    users: Mutex<HashMap<String, HashSet<String>>>,
}

/// What `volume.json` says.
#[derive(Serialize, Deserialize)]
struct Record {
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    options: BTreeMap<String, String>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
}

impl VolumeStore {
    /// Reads what is there. Blocking.
    pub(crate) fn open(root: PathBuf) -> Result<Self> {
        remove_tree(&root.join(".trash"))?;
        // Containers' users may pass, and see no names.
        std::fs::DirBuilder::new().recursive(true).mode(0o701).create(&root).at("cannot make", &root)?;
        crate::run::start::make_private_dir(&root.join(".trash"))?;
        let store = Self { root, all: RwLock::default(), users: Mutex::default() };
        for entry in std::fs::read_dir(&store.root).at("cannot read", &store.root)?.flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            if volume::check_name(&name).is_err() {
                continue;
            }
            match store.read(&name) {
                Some(found) => drop(store.all.write().insert(name, Arc::new(found))),
                // Half made, by a daemon that died; what was put there by hand stays.
                None => drop(std::fs::remove_dir(store.data(&name)).and_then(|()| std::fs::remove_dir(entry.path()))),
            }
        }
        Ok(store)
    }

    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.root.join(name).join(DATA)
    }

    fn read(&self, name: &str) -> Option<Volume> {
        let text = std::fs::read(self.root.join(name).join(RECORD)).ok()?;
        let Record { labels, options, created_at } = serde_json::from_slice(&text).ok()?;
        Some(self.volume(NewVolume { name: name.to_owned(), labels, options }, created_at))
    }

    fn volume(&self, new: NewVolume, created_at: OffsetDateTime) -> Volume {
        let mountpoint = self.data(&new.name).display().to_string();
        Volume { name: new.name, mountpoint, labels: new.labels, options: new.options, created_at }
    }

    fn create(&self, new: NewVolume) -> Result<Arc<Volume>> {
        let dir = self.root.join(&new.name);
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o701).create(&dir);
        made.and_then(|()| match std::fs::DirBuilder::new().mode(0o755).create(dir.join(DATA)) {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            result => result,
        })
        .at("cannot make", &dir)?;
        let record = Record { labels: new.labels.clone(), options: new.options.clone(), created_at: OffsetDateTime::now_utc() };
        let (path, staged) = (dir.join(RECORD), dir.join("volume.json.new"));
        let text = serde_json::to_vec(&record).at("cannot encode", &path)?;
        std::fs::write(&staged, text).and_then(|()| std::fs::rename(&staged, &path)).at("cannot write", &path)?;
        let made = Arc::new(self.volume(new, record.created_at));
        self.all.write().insert(made.name.clone(), Arc::clone(&made));
        Ok(made)
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.unmount(name)?;
        discard(&self.root.join(name), &self.root.join(".trash"))?;
        self.all.write().remove(name);
        Ok(())
    }

    fn get(&self, name: &str) -> Option<Arc<Volume>> {
        self.all.read().get(name).cloned()
    }
}

/// The volumes among a container's mounts.
pub(crate) fn of(container: &Container) -> impl Iterator<Item = &MountPoint> {
    container.mounts.iter().filter(|m| m.kind == MountKind::Volume)
}

/// Says of parts of volumes what is not there. They are opened for good by the supervisor.
pub(crate) fn check_parts(container: &Container) -> Result<()> {
    for point in of(container).filter(|m| !m.subpath.is_empty()) {
        let root = Path::new(&point.source);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root_fd = rustix::fs::open(root, flags, Mode::empty()).at("cannot open", root)?;
        lighter_image::open_below(&root_fd, point.subpath.as_bytes(), OFlags::PATH, ResolveFlags::empty()).map_err(|e| {
            let (path, why) = (root.join(&point.subpath), in_gos_words(e));
            Error::internal(format!("cannot access path {0}: lstat {0}: {why}", path.display()))
        })?;
    }
    Ok(())
}

/// Whether nothing is in a directory.
fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none())
}

#[async_trait]
impl Volumes for LinuxEngine {
    async fn list(&self) -> Result<Vec<Arc<Volume>>> {
        Ok(self.inner.volumes.all.read().values().cloned().collect())
    }

    async fn get(&self, name: &str) -> Result<Option<Arc<Volume>>> {
        Ok(self.inner.volumes.get(name))
    }

    async fn create(&self, volume: NewVolume) -> Result<Arc<Volume>> {
        let inner = Arc::clone(&self.inner);
        let made = tokio::task::spawn_blocking(move || inner.volumes.create(volume)).await;
        made.context("making a volume was broken off")?
    }

    async fn remove(&self, name: &str) -> Result<()> {
        let (inner, name) = (Arc::clone(&self.inner), name.to_owned());
        let gone = tokio::task::spawn_blocking(move || inner.volumes.remove(&name)).await;
        gone.context("removing a volume was broken off")?
    }

    async fn size(&self, name: &str) -> Result<u64> {
        let data = self.inner.volumes.data(name);
        let size = tokio::task::spawn_blocking(move || lighter_image::tree_size(&data)).await;
        size.context("measuring a volume was broken off")?.map_err(|e| Error::internal(e.to_string()))
    }
}
