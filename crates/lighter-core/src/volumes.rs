//! Volumes: making, listing, removing, and which containers use which.

use crate::daemon::{Daemon, Shared};
use crate::events;
use crate::requests::{CreateVolume, VolumeUse, VolumesPruned};
use lighter_domain::container::{MountKind, MountPoint};
use lighter_domain::event::EventKind;
use lighter_domain::filter::Filters;
use lighter_domain::host_config::VolumeOptions;
use lighter_domain::resource::VolumeSummary;
use lighter_domain::volume::{self, ANONYMOUS, NewVolume, Volume};
use lighter_domain::{Container, ContainerId, Error, Event, Result, id};
use lighter_engine::Volumes;
use lighter_store::{Change, RowChange};
use parking_lot::Mutex;
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use uuid::Uuid;

/// Which containers have which volumes: from before a container's creation until its removal.
#[derive(Default)]
pub(crate) struct Uses {
    index: Mutex<UseIndex>,
    /// Held while a volume is looked for and made.
    gate: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct UseIndex {
    by_volume: BTreeMap<String, BTreeSet<ContainerId>>,
    removing: BTreeSet<String>,
}

impl Uses {
    /// Notes that a container has a volume. Fails while that is being removed.
    pub fn hold(&self, name: &str, container: &ContainerId) -> Result<()> {
        let mut index = self.index.lock();
        if index.removing.contains(name) {
            return Err(Error::conflict(format!("volume {name} is being removed")));
        }
        index.by_volume.entry(name.to_owned()).or_default().insert(container.clone());
        Ok(())
    }

    pub fn release(&self, container: &ContainerId) {
        self.index.lock().by_volume.retain(|_, users| {
            users.remove(container);
            !users.is_empty()
        });
    }

    fn users(&self, name: &str) -> usize {
        self.index.lock().by_volume.get(name).map_or(0, BTreeSet::len)
    }

    /// From here on nobody gets the volume any more; fails while somebody has it.
    fn begin_removal(&self, name: &str) -> Result<()> {
        let mut index = self.index.lock();
        if let Some(users) = index.by_volume.get(name) {
            let ids: Vec<&str> = users.iter().map(ContainerId::as_str).collect();
            return Err(Error::conflict(format!("remove {name}: volume is in use - [{}]", ids.join(", "))));
        }
        index.removing.insert(name.to_owned());
        Ok(())
    }

    fn end_removal(&self, name: &str) {
        self.index.lock().removing.remove(name);
    }
}

/// An event of a volume.
fn event(action: &str, name: &str, extra: &[(&str, String)]) -> Event {
    let mut attributes = BTreeMap::from([("driver".to_owned(), volume::LOCAL.to_owned())]);
    attributes.extend(extra.iter().map(|(k, v)| ((*k).to_owned(), v.clone())));
    events::new(EventKind::Volume, action, name, attributes)
}

fn of(container: &Container) -> impl Iterator<Item = &MountPoint> {
    container.mounts.iter().filter(|m| m.kind == MountKind::Volume)
}

/// That a container's volumes are mounted for its run.
pub(crate) fn mounted(container: &Container) -> Vec<Event> {
    let one = |m: &MountPoint| {
        let extra = [
            ("container", container.id.as_str().to_owned()),
            ("destination", m.destination.clone()),
            ("read/write", m.rw.to_string()),
            ("propagation", m.propagation.clone()),
        ];
        event("mount", &m.name, &extra)
    };
    of(container).map(one).collect()
}

/// That they are not any more.
pub(crate) fn unmounted(container: &Container) -> Vec<Event> {
    of(container).map(|m| event("unmount", &m.name, &[("container", container.id.as_str().to_owned())])).collect()
}

impl Shared {
    fn volumes(&self) -> Result<&dyn Volumes> {
        self.engine.volumes().ok_or_else(|| self.lacks("named volumes"))
    }

    /// Brings the store's `volumes` table in line with the engine and tells of what happened, in one step.
    async fn volumes_changed(&self, events: Vec<Event>) -> Result<()> {
        let row = |v: Arc<Volume>| VolumeSummary {
            id: Uuid::nil(),
            name: v.name.clone(),
            mount_path: v.mountpoint.clone(),
            size_bytes: None,
            created_at: v.created_at,
            updated_at: v.created_at,
        };
        let all = self.volumes()?.list().await?;
        let rows = all.iter().cloned().map(row).collect();
        let mut changes = vec![Change::Volumes(RowChange::ReplaceAll(rows))];
        changes.extend(all.into_iter().map(Change::VolumeDetails));
        let stored = self.persist(changes, events).await?;
        self.bus.publish(stored);
        Ok(())
    }

    /// At start-up.
    pub(crate) async fn take_over_volumes(&self, containers: &[Arc<Container>]) -> Result<()> {
        for container in containers {
            of(container).try_for_each(|m| self.volume_uses.hold(&m.name, &container.id))?;
        }
        if self.engine.volumes().is_some() { self.volumes_changed(Vec::new()).await } else { Ok(()) }
    }

    /// The volume of that name, made if it is missing; whether it was. An existing one is taken as it is.
    async fn volume(&self, new: NewVolume) -> Result<(Arc<Volume>, bool)> {
        volume::check_name(&new.name)?;
        let volumes = self.volumes()?;
        let _gate = self.volume_uses.gate.lock().await;
        if let Some(found) = volumes.get(&new.name).await? {
            return Ok((found, false));
        }
        volume::check_options(&new.name, &new.options)?;
        Ok((volumes.create(new).await?, true))
    }

    /// Gives a new container its volumes: made where they are missing, and held. What was made is told by the caller.
    pub(crate) async fn give_volumes(&self, container: &mut Container) -> Result<()> {
        let id = container.id.clone();
        let asked = |destination: &str| {
            let same = |m: &&lighter_domain::host_config::Mount| crate::mounts::clean(&m.target) == destination;
            container.host_config.mounts.iter().find(same).and_then(|m| m.volume.clone()).unwrap_or_default()
        };
        let mut told = Vec::new();
        let mut sources = Vec::new();
        for point in of(container) {
            let VolumeOptions { labels, driver_options, .. } = asked(&point.destination);
            let mut labels = Some(labels).filter(|l| !l.is_empty());
            if point.anonymous {
                labels.get_or_insert_default().insert(ANONYMOUS.to_owned(), String::new());
            }
            volume::check_driver(&point.name, &container.host_config.volume_driver)?;
            self.volume_uses.hold(&point.name, &id)?;
            let new = NewVolume { name: point.name.clone(), labels, options: driver_options };
            let (found, made) = self.volume(new).await?;
            if made {
                told.push(event("create", &point.name, &[]));
            }
            sources.push((point.destination.clone(), found.mountpoint.clone()));
        }
        for (destination, source) in sources {
            if let Some(point) = container.mounts.iter_mut().find(|m| m.destination == destination) {
                point.source = source;
            }
        }
        if told.is_empty() { Ok(()) } else { self.volumes_changed(told).await }
    }

    /// A container is gone: its volumes are free, and with `anonymous` those that nobody named go, too.
    pub(crate) async fn take_volumes(&self, container: &Container, anonymous: bool) {
        self.volume_uses.release(&container.id);
        if !anonymous {
            return;
        }
        for point in of(container).filter(|m| m.anonymous) {
            // Another container may still have it.
            match self.remove_volume(&point.name).await {
                Ok(()) => {}
                Err(e) if e.kind() == lighter_domain::ErrorKind::Conflict => {}
                Err(error) => tracing::warn!(volume = point.name, %error, "an anonymous volume could not be removed"),
            }
        }
    }

    async fn remove_volume(&self, name: &str) -> Result<()> {
        self.volume_uses.begin_removal(name)?;
        let removed = match self.volumes() {
            Ok(volumes) => volumes.remove(name).await,
            Err(error) => Err(error),
        };
        self.volume_uses.end_removal(name);
        removed?;
        self.volumes_changed(vec![event("destroy", name, &[])]).await
    }
}

impl Daemon {
    pub async fn volume_create(&self, request: CreateVolume) -> Result<Arc<Volume>> {
        let CreateVolume { mut name, driver, mut labels, options } = request;
        if name.is_empty() {
            name = id::random_hex64();
            labels.get_or_insert_default().insert(ANONYMOUS.to_owned(), String::new());
        }
        volume::check_driver(&name, &driver)?;
        let shared = self.shared();
        let (volume, made) = shared.volume(NewVolume { name, labels, options }).await?;
        if made {
            shared.volumes_changed(vec![event("create", &volume.name, &[])]).await?;
        }
        Ok(volume)
    }

    pub async fn volume(&self, name: &str) -> Result<Arc<Volume>> {
        let found = self.shared().volumes()?.get(name).await?;
        found.ok_or_else(|| Error::not_found(format!("get {name}: no such volume")))
    }

    pub async fn volumes(&self, filters: &Filters) -> Result<Vec<Arc<Volume>>> {
        filters.only(&["dangling", "driver", "label", "label!", "name"])?;
        let shared = self.shared();
        let dangling = filters.boolean("dangling")?;
        let names: Vec<Regex> = filters.get("name").iter().filter_map(|n| Regex::new(n).ok()).collect();
        let mut all = shared.volumes()?.list().await?;
        all.retain(|v| {
            let none = BTreeMap::new();
            dangling.is_none_or(|d| d == (shared.volume_uses.users(&v.name) == 0))
                && filters.exact("driver", volume::LOCAL)
                && filters.labels(v.labels.as_ref().unwrap_or(&none))
                && (!filters.contains("name") || names.iter().any(|n| n.is_match(&v.name)))
        });
        Ok(all)
    }

    /// `force`: one that is not there is fine.
    pub async fn volume_remove(&self, name: &str, force: bool) -> Result<()> {
        match self.volume(name).await {
            Err(error) if force && error.kind() == lighter_domain::ErrorKind::NotFound => return Ok(()),
            found => found?,
        };
        self.shared().remove_volume(name).await
    }

    /// Removes unused volumes: those that nobody named, or `all`. One with options of its driver stays, as in dockerd.
    pub async fn volumes_prune(&self, filters: &Filters, all_by_default: bool) -> Result<VolumesPruned> {
        filters.only(&["all", "label", "label!"])?;
        let all = filters.boolean("all")?.unwrap_or(all_by_default);
        let shared = self.shared();
        let volumes = shared.volumes()?;
        let mut pruned = VolumesPruned::default();
        let none = BTreeMap::new();
        for volume in volumes.list().await? {
            let wanted = (all || volume.is_anonymous()) && volume.options.is_empty();
            if !wanted || !filters.labels(volume.labels.as_ref().unwrap_or(&none)) || shared.volume_uses.users(&volume.name) > 0 {
                continue;
            }
            let size = volumes.size(&volume.name).await.unwrap_or(0);
            match shared.remove_volume(&volume.name).await {
                Ok(()) => {
                    pruned.deleted.push(volume.name.clone());
                    pruned.space_reclaimed += size;
                }
                Err(error) => tracing::warn!(volume = volume.name, %error, "a volume could not be pruned"),
            }
        }
        let mut attributes = BTreeMap::new();
        attributes.insert("reclaimed".to_owned(), pruned.space_reclaimed.to_string());
        shared.emit(vec![events::new(EventKind::Volume, "prune", "", attributes)]).await?;
        Ok(pruned)
    }

    /// All volumes with who uses them and what they take.
    pub(crate) async fn volumes_used(&self) -> Result<Vec<VolumeUse>> {
        let shared = self.shared();
        let Some(volumes) = shared.engine.volumes() else { return Ok(Vec::new()) };
        let mut all = Vec::new();
        for volume in volumes.list().await? {
            // One that vanished meanwhile, or that its device does not give, has no size.
            let size = volumes.size(&volume.name).await.ok();
            all.push(VolumeUse { containers: shared.volume_uses.users(&volume.name), size, volume });
        }
        Ok(all)
    }
}
