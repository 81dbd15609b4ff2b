//! Images: the engine has them; here are the events, the store's rows, and who uses which.

use crate::daemon::{Daemon, Shared};
use crate::events;
use crate::requests::{ImageListQuery, ImageUsage, ImportImage};
use lighter_domain::container::MountKind;
use lighter_domain::event::EventKind;
use lighter_domain::filter::Filters;
use lighter_domain::image::{
    Attestation, AttestationQuery, ImageDeleted, ImageManifests, ImagePrune, ImagePruned, ImageRemoval, ImageUser, ImageUsers,
    ImportOptions, LoadedImage,
};
use lighter_domain::resource::{ImagePullRecord, ImageSummary};
use lighter_domain::{ContainerConfig, Error, Event, Image, Result};
use lighter_engine::{ByteStream, Images, Progress};
use lighter_store::{Change, ImageSource, RowChange};
use regex::Regex;
use std::collections::BTreeMap;
use std::sync::Arc;
use time::OffsetDateTime;
use tokio::sync::mpsc;
use uuid::Uuid;

impl Shared {
    pub(crate) fn images(&self) -> Result<&dyn Images> {
        self.engine.images().ok_or_else(|| self.lacks("images"))
    }

    pub(crate) fn image_users(&self) -> ImageUsers {
        let mut users = ImageUsers::default();
        for container in self.registry.snapshots() {
            let user = |reference: &str| ImageUser {
                container_id: container.id.as_str().to_owned(),
                running: container.state.is_running(),
                reference: reference.to_owned(),
            };
            users.0.entry(container.image_id.clone()).or_default().push(user(&container.config.image));
            for point in container.mounts.iter().filter(|m| m.kind == MountKind::Image) {
                users.0.entry(point.image_id.clone()).or_default().push(user(&point.name));
            }
        }
        users
    }

    /// Brings the store's `images` table in line with the engine and tells of what happened, in one step.
    pub(crate) async fn images_changed(&self, events: Vec<Event>) -> Result<()> {
        self.images_pulled(Vec::new(), events).await
    }

    /// The same after pulls.
    pub(crate) async fn images_pulled(&self, pulls: Vec<ImagePullRecord>, events: Vec<Event>) -> Result<()> {
        let all = self.images()?.list().await?;
        let rows = all.iter().flat_map(|image| summaries(image)).collect();
        let mut changes: Vec<Change> = pulls.into_iter().map(Change::ImagePull).collect();
        changes.extend(events.iter().filter_map(source));
        changes.push(Change::Images(RowChange::ReplaceAll(rows)));
        changes.extend(all.into_iter().filter(|image| !image.config.labels.is_empty()).map(Change::ImageDetails));
        let stored = self.persist(changes, events).await?;
        self.bus.publish(stored);
        Ok(())
    }
}

/// Where an image is from, by the event that tells of its coming.
fn source(event: &Event) -> Option<Change> {
    let source = match (event.kind, event.action.as_str()) {
        (EventKind::Image, "load") => ImageSource::Load,
        (EventKind::Image, "import") => ImageSource::Import,
        (EventKind::Image, "create") => ImageSource::Commit,
        (EventKind::Image, "build") => ImageSource::Build,
        _ => return None,
    };
    Some(Change::ImageSource(event.actor_id.clone(), source))
}

/// One row per name; an image without one has a row by its digest.
fn summaries(image: &Image) -> Vec<ImageSummary> {
    let row = |name: &str, tag: &str| ImageSummary {
        id: Uuid::nil(),
        name: name.to_owned(),
        tag: tag.to_owned(),
        digest: Some(image.id.clone()),
        size_bytes: i64::try_from(image.size).ok(),
        created_at: image.created.unwrap_or(OffsetDateTime::UNIX_EPOCH),
    };
    if image.repo_tags.is_empty() {
        return vec![row("", "")];
    }
    image.repo_tags.iter().filter_map(|r| r.rsplit_once(':')).map(|(name, tag)| row(name, tag)).collect()
}

pub(crate) fn event(action: &str, id: &str, name: &str, labels: &BTreeMap<String, String>) -> Event {
    let mut attributes = labels.clone();
    attributes.insert("name".to_owned(), name.to_owned());
    events::new(EventKind::Image, action, id, attributes)
}

/// What of a removal is told: names and images, not layers. `labels` are those of images before.
pub(crate) fn deletions(removed: &[ImageDeleted], labels: &Labels) -> Vec<Event> {
    let none = BTreeMap::new();
    let told = |action, id: &String| event(action, id, id, labels.get(id).unwrap_or(&none));
    let one = |r: &ImageDeleted| match r {
        ImageDeleted::Untagged { name: _, image } => Some(told("untag", image)),
        ImageDeleted::Deleted(id) => Some(told("delete", id)),
        ImageDeleted::Layer(_) => None,
    };
    removed.iter().filter_map(one).collect()
}

/// The labels of images, by id.
pub(crate) type Labels = BTreeMap<String, BTreeMap<String, String>>;

/// As they are before a removal, also of images that come along with others.
pub(crate) async fn labels(images: &dyn Images) -> Result<Labels> {
    let mut labels = Labels::new();
    for image in images.list().await? {
        for id in &image.companions {
            if let Ok(companion) = images.get(id).await {
                labels.insert(id.clone(), companion.config.labels.clone());
            }
        }
        labels.insert(image.id.clone(), image.config.labels.clone());
    }
    Ok(labels)
}

const FILTERS: &[&str] = &["dangling", "label", "label!", "before", "since", "reference", "until"];

impl Daemon {
    pub async fn images(&self, query: ImageListQuery) -> Result<Vec<(Arc<Image>, ImageUsage)>> {
        let shared = self.shared();
        let filters = &query.filters;
        filters.only(FILTERS)?;
        let images = shared.images()?;
        let dangling = filters.boolean("dangling")?;
        let before = times(images, filters.get("before")).await?.into_iter().min();
        let since = times(images, filters.get("since")).await?.into_iter().max();
        let until = crate::list::prune_until(filters)?;
        let patterns: Vec<Regex> = filters.get("reference").iter().map(|p| glob(p)).collect::<Result<_>>()?;
        let usage = images.disk_usage().await?;
        let users = self.shared().image_users();
        let selected = images.list().await?.into_iter().filter_map(|image| {
            let image = by_reference(image, &patterns)?;
            let keep = dangling.is_none_or(|d| d == image.repo_tags.is_empty())
                && filters.labels(&image.config.labels)
                // An image without a date is neither older nor newer, and not old.
                && before.is_none_or(|at| image.created.is_none_or(|created| created < at))
                && since.is_none_or(|at| image.created.is_none_or(|created| created > at))
                && until.is_none_or(|at| image.created.is_some_and(|created| created < at));
            keep.then_some(image)
        });
        let with_usage = selected.map(|image| {
            let ids = std::iter::once(&image.id).chain(&image.companions);
            let containers = ids.filter_map(|id| users.0.get(id)).map(|users| users.len() as u64).sum();
            let shared_size = usage.shared.get(&image.id).copied().unwrap_or(0);
            (image, ImageUsage { containers, shared_size })
        });
        Ok(with_usage.collect())
    }

    pub async fn image(&self, reference: &str) -> Result<Arc<Image>> {
        self.shared().images()?.get(reference).await
    }

    /// The image for a platform, where a name has images for several.
    pub async fn image_for(&self, reference: &str, platform: &str) -> Result<Arc<Image>> {
        self.shared().images()?.get_for(reference, platform).await
    }

    /// What an image consists of, and the containers of each of its images.
    pub async fn image_manifests(&self, image: &Image) -> Result<(ImageManifests, ImageUsers)> {
        Ok((self.shared().images()?.manifests(&image.id).await?, self.shared().image_users()))
    }

    pub async fn image_attestations(&self, reference: &str, query: &AttestationQuery) -> Result<Vec<Attestation>> {
        self.shared().images()?.attestations(reference, query).await
    }

    pub async fn image_load(
        &self,
        archive: ByteStream,
        platforms: &[String],
        progress: mpsc::Sender<Progress>,
    ) -> Result<Vec<LoadedImage>> {
        let shared = self.shared();
        let loaded = shared.images()?.load(archive, platforms, progress).await?;
        let mut told = Vec::new();
        for image in &loaded {
            let labels = self.image(&image.id).await.map(|i| i.config.labels.clone()).unwrap_or_default();
            told.push(event("load", &image.id, &image.id, &labels));
        }
        shared.images_changed(told).await?;
        Ok(loaded)
    }

    pub async fn image_save(&self, references: &[String], platforms: &[String]) -> Result<ByteStream> {
        let shared = self.shared();
        let images = shared.images()?;
        let stream = images.save(references, platforms).await?;
        let mut told: Vec<Event> = Vec::new();
        for reference in references {
            // A name without a tag may stand for others than its `latest`.
            let Ok(image) = images.get(reference).await else { continue };
            if told.iter().all(|event| event.actor_id != image.id) {
                told.push(event("save", &image.id, &image.id, &image.config.labels));
            }
        }
        shared.emit(told).await?;
        Ok(stream)
    }

    pub async fn image_import(&self, archive: ByteStream, import: ImportImage) -> Result<String> {
        let shared = self.shared();
        let mut config = ContainerConfig::default();
        crate::changes::apply(&mut config, &import.changes)?;
        let reference = match (import.repository.as_str(), import.tag.as_str()) {
            (repository, "") => repository.to_owned(),
            (repository, tag) => format!("{repository}:{tag}"),
        };
        let options = ImportOptions { reference: reference.clone(), message: import.message, config, platform: import.platform };
        let id = shared.images()?.import(archive, options).await?;
        let labels = self.image(&id).await.map(|image| image.config.labels.clone()).unwrap_or_default();
        let mut told = Vec::new();
        if !reference.is_empty() {
            let tagged = if import.tag.is_empty() && !has_tag(&reference) { format!("{reference}:latest") } else { reference };
            told.push(event("tag", &id, familiar(&tagged), &labels));
        }
        told.push(event("import", &id, &id, &labels));
        shared.images_changed(told).await?;
        Ok(id)
    }

    pub async fn image_tag(&self, source: &str, repository: &str, tag: &str) -> Result<()> {
        let shared = self.shared();
        let images = shared.images()?;
        let id = images.tag(source, repository, tag).await?;
        let labels = images.get(&id).await?.config.labels.clone();
        let repository = familiar(repository);
        let name = if tag.is_empty() { format!("{repository}:latest") } else { format!("{repository}:{tag}") };
        shared.images_changed(vec![event("tag", &id, &name, &labels)]).await
    }

    pub async fn image_remove(&self, removal: ImageRemoval) -> Result<Vec<ImageDeleted>> {
        let shared = self.shared();
        let images = shared.images()?;
        let labels = labels(images).await?;
        let removed = images.remove(&removal, &shared.image_users()).await?;
        shared.images_changed(deletions(&removed, &labels)).await?;
        Ok(removed)
    }

    pub async fn images_prune(&self, filters: &Filters) -> Result<ImagePruned> {
        filters.only(&["dangling", "label", "label!", "until"])?;
        let shared = self.shared();
        let until = crate::list::prune_until(filters)?;
        let dangling_only = filters.boolean("dangling")?.unwrap_or(true);
        let prune = ImagePrune { dangling_only, until, filters: filters.clone() };
        let images = shared.images()?;
        let labels = labels(images).await?;
        let pruned = images.prune(&prune, &shared.image_users()).await?;
        let attributes = BTreeMap::from([("reclaimed".to_owned(), pruned.space_reclaimed.to_string())]);
        let mut told = deletions(&pruned.deleted, &labels);
        told.push(events::new(EventKind::Image, "prune", "", attributes));
        shared.images_changed(told).await?;
        Ok(pruned)
    }
}

/// When the images of these names were made.
async fn times(images: &dyn Images, references: &[String]) -> Result<Vec<OffsetDateTime>> {
    let mut all = Vec::new();
    for reference in references {
        all.extend(images.get(reference).await?.created);
    }
    Ok(all)
}

fn has_tag(reference: &str) -> bool {
    reference.rsplit('/').next().is_some_and(|last| last.contains(':'))
}

/// A name as people write it: without Docker Hub's domain and its `library`.
pub(crate) fn familiar(repository: &str) -> &str {
    let path = repository.strip_prefix("docker.io/").unwrap_or(repository);
    path.strip_prefix("library/").unwrap_or(path)
}

/// Keeps the names that match one of the patterns; `None` when there are patterns and none matches.
fn by_reference(image: Arc<Image>, patterns: &[Regex]) -> Option<Arc<Image>> {
    if patterns.is_empty() {
        return Some(image);
    }
    let matches = |reference: &String| {
        let repository = reference.split_once('@').or_else(|| reference.rsplit_once(':')).map_or(reference.as_str(), |(r, _)| r);
        patterns.iter().any(|p| p.is_match(reference) || p.is_match(repository))
    };
    let mut copy = (*image).clone();
    copy.repo_tags.retain(matches);
    copy.repo_digests.retain(matches);
    (!copy.repo_tags.is_empty() || !copy.repo_digests.is_empty()).then(|| Arc::new(copy))
}

/// A shell pattern (`busy*`, `*/app:1.?`) as a regular expression; `*` stops at a slash.
fn glob(pattern: &str) -> Result<Regex> {
    let mut out = String::from("^");
    for c in pattern.chars() {
        match c {
            '*' => out.push_str("[^/]*"),
            '?' => out.push_str("[^/]"),
            '[' | ']' => out.push(c),
            _ => out.push_str(&regex::escape(&c.to_string())),
        }
    }
    out.push('$');
    Regex::new(&out).map_err(|_| Error::invalid(format!("invalid filter 'reference={pattern}'")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_patterns() {
        for (pattern, text, want) in [
            ("busy*", "busybox", true),
            ("busy*", "busybox:latest", true),
            ("*", "a/b", false),
            ("b?sybox", "busybox", true),
            ("a.c", "abc", false),
        ] {
            assert_eq!(glob(pattern).unwrap().is_match(text), want, "{pattern} {text}");
        }
    }
}
