//! The image store behind the engine's seam: its blocking calls on blocking threads, its types in the domain's.

use crate::engine::{Inner, LinuxEngine};
use crate::fail::Context as _;
use async_trait::async_trait;
use lighter_domain::image::{
    Attestation, AttestationQuery, CollectedImages, ImageCollection, ImageDeleted, ImageDiskUsage, ImageManifests, ImagePrune,
    ImagePruned, ImageRemoval, ImageUsers, ImportOptions, LoadedImage,
};
use lighter_domain::{ContainerId, Error, ErrorKind, Image, Result};
use lighter_engine::{ByteStream, Images, Progress};
use lighter_image::{Collect, ImageId, ImageStore, LoadEvent, Platform, PruneOptions, RemoveOptions, Removed, Use};
use std::io::{self, Read};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::io::SyncIoBridge;

mod convert;

use convert::{describe, descriptor, import_options, label_filters, manifest, platforms_from};
pub(crate) use convert::{platform_from, stored};

#[async_trait]
impl Images for LinuxEngine {
    async fn list(&self) -> Result<Vec<Arc<Image>>> {
        self.inner.blocking(|store| Ok(store.list().iter().map(|i| Arc::new(describe(store, i))).collect())).await
    }

    async fn get(&self, reference: &str) -> Result<Arc<Image>> {
        let store = &self.inner.images;
        store.get(reference).map(|image| Arc::new(describe(store, &image))).map_err(told)
    }

    async fn get_for(&self, reference: &str, platform: &str) -> Result<Arc<Image>> {
        let store = &self.inner.images;
        store.get_for(reference, &platform_from(platform)?).map(|image| Arc::new(describe(store, &image))).map_err(told)
    }

    async fn manifests(&self, id: &str) -> Result<ImageManifests> {
        let id = id.to_owned();
        let work = move |store: &ImageStore| {
            let found = store.manifests(&*store.get(&id).map_err(told)?);
            let manifests = found.manifests.into_iter().map(manifest).collect();
            Ok(ImageManifests { target: descriptor(found.target), manifests })
        };
        self.inner.blocking(work).await
    }

    async fn attestations(&self, reference: &str, query: &AttestationQuery) -> Result<Vec<Attestation>> {
        let (reference, query) = (reference.to_owned(), query.clone());
        let work = move |store: &ImageStore| {
            let platform = if query.platform.is_empty() { Platform::host() } else { platform_from(&query.platform)? };
            let found = store.attestations(&reference, &platform, &query.predicates, query.statements).map_err(told)?;
            let one = |s: lighter_image::Statement| Attestation {
                descriptor: descriptor(s.descriptor),
                predicate: s.predicate,
                statement: s.body,
            };
            Ok(found.into_iter().map(one).collect())
        };
        self.inner.blocking(work).await
    }

    async fn load(
        &self,
        archive: ByteStream,
        platforms: &[String],
        progress: mpsc::Sender<Progress>,
    ) -> Result<Vec<LoadedImage>> {
        let store = self.inner.images.clone();
        let platforms = platforms_from(platforms)?;
        let work = move || {
            let reader = Guarded { archive: SyncIoBridge::new(archive), progress: progress.clone() };
            let mut tell = |event: LoadEvent<'_>| {
                let event = match event {
                    LoadEvent::Layer { id, current, total } => {
                        Progress::Layer { id: id.to_owned(), status: "Loading layer".into(), amount: Some((current, total)) }
                    }
                    LoadEvent::Note(text) => Progress::Status(text.trim_end().to_owned()),
                };
                // Nobody listens any more: the next read says so.
                let _ = progress.blocking_send(event);
            };
            let loaded = store.load_for(reader, &platforms, &mut tell).map_err(told)?;
            Ok(loaded.into_iter().map(|l| LoadedImage { id: l.id.to_string(), names: l.names }).collect())
        };
        tokio::task::spawn_blocking(work).await.context("loading was broken off")?
    }

    async fn save(&self, references: &[String], platforms: &[String]) -> Result<ByteStream> {
        let names = references.to_vec();
        let platforms = platforms_from(platforms)?;
        let work = move |store: &ImageStore| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            store.resolve_save(&names, &platforms).map_err(told)
        };
        let plan = self.inner.blocking(work).await?;
        Ok(crate::stream::of_writer(move |out| plan.write(out).map_err(io::Error::other)))
    }

    async fn import(&self, archive: ByteStream, options: ImportOptions) -> Result<String> {
        let store = self.inner.images.clone();
        let options = import_options(options)?;
        let work = move || store.import(SyncIoBridge::new(archive), options).map(|id| id.to_string()).map_err(told);
        tokio::task::spawn_blocking(work).await.context("importing was broken off")?
    }

    async fn tag(&self, source: &str, repository: &str, tag: &str) -> Result<String> {
        let (source, repository, tag) = (source.to_owned(), repository.to_owned(), tag.to_owned());
        self.inner.blocking(move |store| store.tag(&source, &repository, &tag).map(|id| id.to_string()).map_err(told)).await
    }

    async fn remove(&self, removal: &ImageRemoval, users: &ImageUsers) -> Result<Vec<ImageDeleted>> {
        let ImageRemoval { reference, force, no_prune, platforms } = removal.clone();
        let users = users.clone();
        let options = RemoveOptions { force, prune_parents: !no_prune };
        let platforms = platforms_from(&platforms)?;
        let work = move |store: &ImageStore| {
            let user = |id: &ImageId| user_of(&users, id);
            match platforms.is_empty() {
                true => store.remove(&reference, options, &user),
                false => store.remove_platforms(&reference, &platforms, options, &user),
            }
            .map_err(told)
        };
        Ok(self.inner.blocking(work).await?.into_iter().map(deleted).collect())
    }

    async fn prune(&self, prune: &ImagePrune, users: &ImageUsers) -> Result<ImagePruned> {
        let users = users.clone();
        let labels = label_filters(&prune.filters);
        let options = PruneOptions { dangling_only: prune.dangling_only, until: prune.until, labels };
        let report = self.inner.blocking(move |store| store.prune(&options, &|id| user_of(&users, id)).map_err(told)).await?;
        let deleted = report.removed.into_iter().map(deleted).collect();
        Ok(ImagePruned { deleted, space_reclaimed: report.space_reclaimed })
    }

    async fn collect(&self, collection: &ImageCollection, users: &ImageUsers) -> Result<CollectedImages> {
        let ImageCollection { order, limit, dry_run } = collection.clone();
        // What is gone by now has not to be collected.
        let order = order.iter().filter_map(|image| Some((image.id.parse().ok()?, image.always))).collect();
        let (what, users) = (Collect { order, limit, dry_run }, users.clone());
        let done = self.inner.blocking(move |store| store.collect(&what, &|id| user_of(&users, id)).map_err(told)).await?;
        Ok(CollectedImages {
            ids: done.ids.iter().map(ToString::to_string).collect(),
            deleted: done.removed.into_iter().map(deleted).collect(),
            size_before: done.size_before,
            size_after: done.size_after,
        })
    }

    async fn disk_usage(&self) -> Result<ImageDiskUsage> {
        let usage = self.inner.images.usage();
        let shared = usage.images.into_iter().map(|i| (i.id.to_string(), i.shared_size)).collect();
        Ok(ImageDiskUsage { layers_size: usage.layers_size, shared })
    }

    fn mounted_at(&self, container: &ContainerId, number: usize) -> String {
        crate::image_mounts::place(&self.inner.layout, container, number).display().to_string()
    }
}

impl Inner {
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&ImageStore) -> Result<T> + Send + 'static) -> Result<T> {
        let store = self.images.clone();
        tokio::task::spawn_blocking(move || work(&store)).await.context("an image operation was broken off")?
    }
}

/// An archive that ends with an error when nobody wants to hear of it any more.
struct Guarded {
    archive: SyncIoBridge<ByteStream>,
    progress: mpsc::Sender<Progress>,
}

impl Read for Guarded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.progress.is_closed() {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the client went away"));
        }
        self.archive.read(buffer)
    }
}

/// The store's errors are worded as dockerd words them.
pub(crate) fn told(error: lighter_image::Error) -> Error {
    let kind = match error.kind() {
        lighter_image::ErrorKind::NotFound => ErrorKind::NotFound,
        lighter_image::ErrorKind::Conflict => ErrorKind::Conflict,
        lighter_image::ErrorKind::InvalidArgument => ErrorKind::InvalidArgument,
        lighter_image::ErrorKind::Internal => ErrorKind::Internal,
    };
    Error::new(kind, error.to_string()).with_source(error)
}

/// Of several containers the running one is told.
fn user_of(users: &ImageUsers, id: &ImageId) -> Option<Use> {
    let all = users.0.get(&id.to_string())?;
    let user = all.iter().find(|u| u.running).or_else(|| all.first())?;
    Some(Use { container_id: user.container_id.clone(), running: user.running })
}

fn deleted(removed: Removed) -> ImageDeleted {
    match removed {
        Removed::Untagged(name, image) => ImageDeleted::Untagged { name, image: image.to_string() },
        Removed::Deleted(id) => ImageDeleted::Deleted(id.to_string()),
        Removed::DeletedLayer(id) => ImageDeleted::Layer(id.to_string()),
    }
}
