//! Images as records: names, ids and configurations, without a byte of content.

use crate::archive;
use crate::reference::{self, Wanted};
use async_trait::async_trait;
use lighter_domain::image::{
    Attestation, AttestationQuery, CollectedImages, ContentDescriptor, HistoryEntry, ImageCollection, ImageDeleted,
    ImageDiskUsage, ImageManifest, ImageManifests, ImagePlatform, ImagePrune, ImagePruned, ImageRemoval, ImageUser, ImageUsers,
    ImportOptions, LoadedImage, ManifestKind,
};
use lighter_domain::{ContainerConfig, Error, Image, Result};
use lighter_engine::{ByteStream, Images, Progress};
use parking_lot::RwLock;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use time::OffsetDateTime;
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;
use tokio_util::io::SyncIoBridge;

/// The image records of one engine, by id.
#[derive(Default)]
pub(crate) struct MemoryImages {
    images: RwLock<BTreeMap<String, Arc<Image>>>,
}

impl MemoryImages {
    /// A `busybox:latest` that was never loaded, so that a first `docker run busybox` works.
    pub(crate) fn with_busybox() -> Self {
        let config = ContainerConfig {
            env: vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()],
            cmd: Some(vec!["sh".to_owned()]),
            ..ContainerConfig::default()
        };
        let images = Self::default();
        images
            .insert(record(b"lighter-engine-memory busybox", config, "a record without content"), &["busybox:latest".to_owned()]);
        images
    }

    /// Adds an image (or finds it there) and moves `names` to it.
    fn insert(&self, image: Image, names: &[String]) -> LoadedImage {
        let id = image.id.clone();
        let mut images = self.images.write();
        for other in images.values_mut().filter(|i| i.id != id && i.repo_tags.iter().any(|t| names.contains(t))) {
            Arc::make_mut(other).repo_tags.retain(|t| !names.contains(t));
        }
        let entry = Arc::make_mut(images.entry(id.clone()).or_insert_with(|| Arc::new(image)));
        for name in names.iter().filter(|n| !entry.repo_tags.contains(n)).cloned().collect::<Vec<_>>() {
            entry.repo_tags.push(name);
        }
        entry.last_tagged = Some(OffsetDateTime::now_utc());
        LoadedImage { id, names: names.to_vec() }
    }

    fn find(&self, raw: &str) -> Result<Arc<Image>> {
        let images = self.images.read();
        let found = match reference::parse(raw) {
            Ok(Wanted::Id(id)) => images.get(&id),
            Ok(Wanted::Digest(digest)) => images.values().find(|i| i.repo_digests.contains(&digest)),
            Ok(Wanted::Name(name)) => images.values().find(|i| i.repo_tags.contains(&name)),
            Err(e) => return Err(e),
        };
        if let Some(image) = found.or_else(|| by_prefix(&images, raw)) {
            return Ok(Arc::clone(image));
        }
        let shown = match reference::parse(raw)? {
            Wanted::Name(name) => name,
            Wanted::Id(_) | Wanted::Digest(_) => raw.to_owned(),
        };
        Err(Error::not_found(format!("No such image: {shown}")))
    }
}

/// The one image whose id begins with these hex digits.
fn by_prefix<'a>(images: &'a BTreeMap<String, Arc<Image>>, raw: &str) -> Option<&'a Arc<Image>> {
    let hex = raw.strip_prefix("sha256:").unwrap_or(raw);
    if hex.is_empty() || hex.len() > 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let wanted = format!("sha256:{hex}");
    let mut found = images.range(wanted.clone()..).take_while(|(id, _)| id.starts_with(&wanted));
    let (_, image) = found.next()?;
    found.next().is_none().then_some(image)
}

fn record(seed: &[u8], config: ContainerConfig, comment: &str) -> Image {
    let id = format!("sha256:{}", hex::encode(Sha256::digest(seed)));
    Image {
        history: vec![HistoryEntry {
            created: Some(OffsetDateTime::UNIX_EPOCH),
            created_by: String::new(),
            comment: comment.to_owned(),
            size: 0,
            tags: Vec::new(),
            id: id.clone(),
        }],
        layers: vec![format!("sha256:{}", hex::encode(Sha256::digest(id.as_bytes())))],
        id,
        repo_tags: Vec::new(),
        repo_digests: Vec::new(),
        created: Some(OffsetDateTime::UNIX_EPOCH),
        last_tagged: None,
        size: 0,
        config,
        architecture: crate::architecture().to_owned(),
        variant: String::new(),
        os: "linux".to_owned(),
        author: String::new(),
        comment: comment.to_owned(),
        docker_version: String::new(),
        companions: Vec::new(),
    }
}

fn short(id: &str) -> &str {
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    hex.get(..12).unwrap_or(hex)
}

fn short_user(user: &ImageUser) -> &str {
    short(&user.container_id)
}

#[async_trait]
impl Images for MemoryImages {
    async fn list(&self) -> Result<Vec<Arc<Image>>> {
        let mut images: Vec<_> = self.images.read().values().cloned().collect();
        images.sort_by_key(|i| std::cmp::Reverse(i.created));
        Ok(images)
    }

    async fn get(&self, reference: &str) -> Result<Arc<Image>> {
        self.find(reference)
    }

    async fn get_for(&self, reference: &str, platform: &str) -> Result<Arc<Image>> {
        let image = self.find(reference)?;
        match platform_of(&image).to_string().starts_with(platform) {
            true => Ok(image),
            false => Err(Error::not_found(format!(
                "image with reference {reference} was found but its platform ({}) does not match the specified platform ({platform})",
                platform_of(&image)
            ))),
        }
    }

    /// There is no content, and so one made-up manifest for each image.
    async fn manifests(&self, id: &str) -> Result<ImageManifests> {
        let image = self.find(id)?;
        let media_type = "application/vnd.oci.image.manifest.v1+json".to_owned();
        let target = ContentDescriptor { media_type, digest: image.id.clone(), ..ContentDescriptor::default() };
        let kind = ManifestKind::Image { platform: platform_of(&image), id: Some(image.id.clone()), unpacked: image.size };
        let one = ImageManifest { descriptor: target.clone(), available: true, content: 0, kind };
        Ok(ImageManifests { target, manifests: vec![one] })
    }

    async fn attestations(&self, reference: &str, _query: &AttestationQuery) -> Result<Vec<Attestation>> {
        self.find(reference).map(|_| Vec::new())
    }

    async fn load(
        &self,
        archive: ByteStream,
        _platforms: &[String],
        progress: mpsc::Sender<Progress>,
    ) -> Result<Vec<LoadedImage>> {
        let bridge = SyncIoBridge::new(archive);
        let images = tokio::task::spawn_blocking(move || archive::read(bridge))
            .await
            .map_err(|e| Error::internal("reading the archive was interrupted").with_source(e))??;
        let mut loaded = Vec::new();
        for image in images {
            for layer in &image.layers {
                let layer = Progress::Layer { id: short(layer).to_owned(), status: "Loading layer".into(), amount: Some((1, 1)) };
                // Nobody listens any more: the load is finished all the same, for it is as good as done.
                let _ = progress.send(layer).await;
            }
            let names = image.repo_tags.clone();
            loaded.push(self.insert(image, &names));
        }
        Ok(loaded)
    }

    async fn save(&self, references: &[String], _platforms: &[String]) -> Result<ByteStream> {
        for reference in references {
            self.find(reference)?;
        }
        Err(Error::not_implemented("the memory engine keeps no image content: it cannot save images"))
    }

    async fn import(&self, mut archive: ByteStream, options: ImportOptions) -> Result<String> {
        let names = match options.reference.as_str() {
            "" => Vec::new(),
            raw => match reference::parse(raw)? {
                Wanted::Name(name) => vec![name],
                Wanted::Id(_) | Wanted::Digest(_) => return Err(Error::invalid("cannot import digest reference")),
            },
        };
        let (mut hash, mut size, mut buffer) = (Sha256::new(), 0u64, vec![0; 64 * 1024]);
        loop {
            let n = archive.read(&mut buffer).await.map_err(|e| Error::invalid("the archive cannot be read").with_source(e))?;
            if n == 0 {
                break;
            }
            hash.update(&buffer[..n]);
            size += n as u64;
        }
        hash.update(format!("{:?}", options.config));
        let now = OffsetDateTime::now_utc();
        let mut image = record(&hash.finalize(), options.config, &options.message);
        (image.size, image.created) = (size, Some(now));
        if let Some(entry) = image.history.first_mut() {
            (entry.size, entry.created) = (size, Some(now));
        }
        if let Some((os, arch)) = options.platform.split_once('/') {
            let (arch, variant) = arch.split_once('/').unwrap_or((arch, ""));
            (image.os, image.architecture, image.variant) = (os.to_owned(), arch.to_owned(), variant.to_owned());
        }
        Ok(self.insert(image, &names).id)
    }

    async fn tag(&self, source: &str, repository: &str, tag: &str) -> Result<String> {
        let name = reference::with_tag(repository, tag)?;
        let image = self.find(source)?;
        Ok(self.insert((*image).clone(), &[name]).id)
    }

    async fn remove(&self, removal: &ImageRemoval, users: &ImageUsers) -> Result<Vec<ImageDeleted>> {
        let ImageRemoval { reference: raw, force, no_prune: _, platforms } = removal;
        for platform in platforms {
            self.get_for(raw, platform).await?;
        }
        let image = self.find(raw)?;
        let name = match reference::parse(raw)? {
            Wanted::Name(name) if image.repo_tags.contains(&name) => Some(name),
            _ => None,
        };
        let users = users.0.get(&image.id).map(Vec::as_slice).unwrap_or_default();
        check_removal(&image, name.as_deref(), *force, users)?;
        let gone: Vec<String> = match &name {
            Some(name) => vec![name.clone()],
            None => image.repo_tags.clone(),
        };
        let last = gone.len() == image.repo_tags.len();
        let mut images = self.images.write();
        let mut deleted: Vec<_> = untagged(&image, &gone).collect();
        // A name that goes while a container uses the image leaves the image.
        if last && (name.is_none() || users.is_empty()) {
            images.remove(&image.id);
            deleted.push(ImageDeleted::Deleted(image.id.clone()));
        } else if let Some(entry) = images.get_mut(&image.id) {
            Arc::make_mut(entry).repo_tags.retain(|t| !gone.contains(t));
        }
        Ok(deleted)
    }

    async fn prune(&self, prune: &ImagePrune, users: &ImageUsers) -> Result<ImagePruned> {
        let mut pruned = ImagePruned::default();
        self.images.write().retain(|id, image| {
            let used = users.0.get(id).is_some_and(|u| !u.is_empty());
            let young = prune.until.is_some_and(|until| image.created.is_none_or(|created| created > until));
            let kept = used || young || (prune.dangling_only && !image.repo_tags.is_empty());
            if kept || !prune.filters.labels(&image.config.labels) {
                return true;
            }
            pruned.deleted.extend(untagged(image, &image.repo_tags));
            pruned.deleted.push(ImageDeleted::Deleted(id.clone()));
            pruned.space_reclaimed += image.size;
            false
        });
        Ok(pruned)
    }

    async fn collect(&self, collection: &ImageCollection, users: &ImageUsers) -> Result<CollectedImages> {
        let mut images = self.images.write();
        let size = |images: &BTreeMap<String, Arc<Image>>| images.values().map(|i| i.size).sum::<u64>();
        let mut left = images.clone();
        let mut done = CollectedImages { size_before: size(&left), ..CollectedImages::default() };
        for one in &collection.order {
            let wanted = one.always || collection.limit.is_some_and(|limit| size(&left) > limit);
            let free = users.0.get(&one.id).is_none_or(Vec::is_empty);
            if let Some(image) = Some(()).filter(|()| wanted && free).and_then(|()| left.remove(&one.id)) {
                done.ids.push(one.id.clone());
                done.deleted.extend(untagged(&image, &image.repo_tags));
                done.deleted.push(ImageDeleted::Deleted(one.id.clone()));
            }
        }
        done.size_after = size(&left);
        if !collection.dry_run {
            *images = left;
        }
        Ok(done)
    }

    async fn disk_usage(&self) -> Result<ImageDiskUsage> {
        let layers_size = self.images.read().values().map(|i| i.size).sum();
        Ok(ImageDiskUsage { layers_size, shared: BTreeMap::new() })
    }
}

fn untagged(image: &Image, names: &[String]) -> impl Iterator<Item = ImageDeleted> {
    names.iter().map(|name| ImageDeleted::Untagged { name: name.clone(), image: image.id.clone() })
}

fn platform_of(image: &Image) -> ImagePlatform {
    let (os, architecture, variant) = (image.os.clone(), image.architecture.clone(), image.variant.clone());
    ImagePlatform { architecture, os, variant }
}

/// Docker's four refusals.
fn check_removal(image: &Image, name: Option<&str>, force: bool, users: &[ImageUser]) -> Result<()> {
    let id = short(&image.id);
    let running = users.iter().find(|u| u.running);
    if let Some(name) = name {
        let last = image.repo_tags.len() == 1;
        let user = if force { None } else { running.or_else(|| users.first()) };
        return match user {
            Some(user) if last => Err(Error::conflict(format!(
                "conflict: unable to remove repository reference \"{name}\" (must force) - container {} is using its referenced image {id}",
                short_user(user)
            ))),
            _ => Ok(()),
        };
    }
    if let Some(user) = running {
        return Err(Error::conflict(format!(
            "conflict: unable to delete {id} (cannot be forced) - image is being used by running container {}",
            short_user(user)
        )));
    }
    if !force {
        if let Some(user) = users.first() {
            return Err(Error::conflict(format!(
                "conflict: unable to delete {id} (must be forced) - image is being used by stopped container {}",
                short_user(user)
            )));
        }
        if image.repo_tags.iter().map(|t| reference::repository(t)).collect::<std::collections::BTreeSet<_>>().len() > 1 {
            return Err(Error::conflict(format!(
                "conflict: unable to delete {id} (must be forced) - image is referenced in multiple repositories"
            )));
        }
    }
    Ok(())
}
