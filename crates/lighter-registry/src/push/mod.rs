//! `docker push`: from images in the store to names in a registry, told step by step.

mod upload;

use std::collections::BTreeSet;
use std::sync::Arc;

use lighter_domain::image::Progress;
use lighter_image::{Descriptor, Digest, Image, ImageStore, Index, Manifest, NewImage, NewIndex, Platform, Reference, Stage};
use tokio::sync::Semaphore;

use crate::client::Session;
use crate::credentials::Credentials;
use crate::endpoint;
use crate::error::{Error, Result};
use crate::manifest;
use crate::pull::{Registries, Tell, in_store, say};
use crate::repository::Repository;
use upload::Upload;

/// More repositories than this are not asked to lend one layer.
const MAX_LENDERS: usize = 4;

/// What to push.
#[derive(Debug)]
pub struct PushRequest {
    /// With a tag, or all tags of the name.
    pub reference: Reference,
    /// Which image of a name for several; all if they are here when `None`.
    pub platform: Option<Platform>,
    /// For the registry in `reference`.
    pub credentials: Credentials,
}

impl Registries {
    /// Pushes; the ids of what arrived are in `done`, also after an error.
    ///
    /// # Errors
    /// Whatever the registry, the network or the disk say.
    pub async fn push(&self, request: &PushRequest, tell: &Tell, done: &mut Vec<Digest>) -> Result<()> {
        let whole = &request.reference;
        say(tell, format!("The push refers to repository [{}]", whole.name())).await;
        let images = self.to_push(whole)?;
        let lenders = self.lenders(whole, images.iter().map(|(_, image)| &**image));
        let mut last = Error::Invalid(format!("no endpoint for {}", whole.domain()));
        for endpoint in endpoint::for_push(&self.settings, whole.domain()) {
            let session = match Session::open(&self.settings, &endpoint, &request.credentials).await {
                Ok(session) => session,
                Err(error) => {
                    last = error;
                    continue;
                }
            };
            let repository = Repository::for_push(Arc::new(session), whole.path(), &lenders);
            for (reference, image) in &images {
                let image = match &request.platform {
                    Some(platform) => &self.shop.store.get_for(&reference.to_string(), platform)?,
                    None => image,
                };
                let one = One { registries: self, repository: &repository, reference, image, tell };
                let pushing = one.push(request.platform.is_none());
                tokio::select! {
                    result = pushing => result.map_err(Error::into_pushed)?,
                    () = tell.closed() => return Err(Error::Cancelled),
                }
                done.push(image.id);
            }
            return Ok(());
        }
        Err(last)
    }

    /// The tags that are meant, and their images.
    fn to_push(&self, whole: &Reference) -> Result<Vec<(Reference, Arc<Image>)>> {
        if whole.digest().is_some() {
            return Err(Error::Invalid("cannot push a digest reference".to_owned()));
        }
        let store = &self.shop.store;
        let prefix = format!("{}:", whole.familiar_name());
        let mut all = Vec::new();
        for image in store.list() {
            for tag in image.repo_tags.iter().filter(|tag| tag.starts_with(&prefix)) {
                let reference = Reference::parse(tag).map_err(lighter_image::Error::from)?;
                if reference.name() == whole.name() {
                    all.push((reference, Arc::clone(&image)));
                }
            }
        }
        all.sort_by(|a, b| a.0.cmp(&b.0));
        if all.is_empty() {
            let what = format!("An image does not exist locally with the tag: {}", whole.familiar_name());
            return Err(Error::Missing(what));
        }
        if whole.tag().is_some() {
            all.retain(|(reference, _)| reference.tag() == whole.tag());
        }
        match all.is_empty() {
            true => Err(Error::Missing(format!("tag does not exist: {}", whole.familiar()))),
            false => Ok(all),
        }
    }

    /// Repositories of the same registry that are known to have had layers of these images: they can lend them.
    fn lenders<'a>(&self, whole: &Reference, images: impl Iterator<Item = &'a Image>) -> Vec<String> {
        let layers: BTreeSet<Digest> = images.flat_map(|image| image.layers().to_vec()).collect();
        let mut found = BTreeSet::new();
        for other in self.shop.store.list() {
            if !other.layers().iter().any(|layer| layers.contains(layer)) {
                continue;
            }
            let names = other.repo_digests.iter().filter_map(|name| Reference::parse(name).ok());
            found.extend(names.filter(|n| n.domain() == whole.domain() && n.path() != whole.path()).map(|n| n.path().to_owned()));
        }
        found.into_iter().take(MAX_LENDERS).collect()
    }
}

/// The push of one tag.
struct One<'a> {
    registries: &'a Registries,
    repository: &'a Repository,
    reference: &'a Reference,
    image: &'a Image,
    tell: &'a Tell,
}

impl One<'_> {
    /// `whole`: what the name stands for on all platforms, if all of it is here.
    async fn push(&self, whole: bool) -> Result<()> {
        let store = &self.registries.shop.store;
        let index = store.index_of(self.reference).filter(|_| whole).and_then(|digest| Whole::of(store, &digest));
        let stage = store.stage()?;
        let tag = self.reference.tag().unwrap_or("latest");
        let (bytes, index) = match index {
            Some(whole) => {
                for (image, manifest) in &whole.images {
                    let one = One { image, ..*self };
                    one.image(&stage, Some(manifest)).await?;
                    self.repository.put_manifest(&Digest::of(manifest).to_string(), manifest).await?;
                }
                for (manifest, parts) in &whole.others {
                    for part in parts {
                        self.small(part).await?;
                    }
                    self.repository.put_manifest(&Digest::of(manifest).to_string(), manifest).await?;
                }
                (whole.index.raw.to_vec(), Some(whole.index))
            }
            None => (self.image(&stage, store.manifest(self.image)?.as_deref()).await?, None),
        };
        let digest = self.repository.put_manifest(tag, &bytes).await?;
        let size = bytes.len();
        self.remember(digest, bytes, index.is_some(), stage).await?;
        say(self.tell, format!("{tag}: digest: {digest} size: {size}")).await;
        let pushed = Progress::Pushed { tag: tag.to_owned(), digest: digest.to_string(), size: size as u64 };
        let _ = self.tell.send(pushed).await;
        Ok(())
    }

    /// Sends what an image is made of; gives its manifest, the one that was kept or a new one.
    async fn image(&self, stage: &Stage, kept: Option<&[u8]>) -> Result<Vec<u8>> {
        if !self.image.layers().iter().all(|layer| stage.use_stored_layer(layer)) {
            return Err(Error::Missing(format!("tag does not exist: {}", self.reference.familiar())));
        }
        let layers = self.layers(kept.is_some()).await?;
        self.small(&self.image.raw_config).await?;
        match kept {
            Some(bytes) => Ok(bytes.to_vec()),
            None => manifest::compose(self.image, &layers),
        }
    }

    /// Sends what the registry does not have; gives what the manifest says of each layer, bottom first.
    async fn layers(&self, as_kept: bool) -> Result<Vec<Descriptor>> {
        let mut unique: Vec<Digest> = Vec::new();
        for layer in self.image.layers() {
            if !unique.contains(layer) {
                unique.push(*layer);
            }
        }
        for layer in unique.iter().rev() {
            let status = "Preparing".into();
            let _ = self.tell.send(Progress::Layer { id: layer.short(), status, amount: None }).await;
        }
        let slots = Semaphore::new(self.registries.settings.max_uploads.max(1));
        let uploads = unique.iter().map(|layer| async {
            let _slot = slots.acquire().await.map_err(|_| Error::Cancelled)?;
            let stored = self.registries.shop.store.stored_layer(layer).ok_or(Error::Cancelled)?;
            let upload =
                Upload { repository: self.repository, layer: Arc::new(stored), id: layer.short(), tell: self.tell, as_kept };
            upload.run(self.registries.settings.max_attempts).await
        });
        let sent = futures::future::try_join_all(uploads).await?;
        let of = |layer: &Digest| unique.iter().position(|u| u == layer).and_then(|at| sent.get(at)).cloned();
        self.image.layers().iter().map(|layer| of(layer).ok_or(Error::Cancelled)).collect()
    }

    /// Sends a small blob.
    async fn small(&self, bytes: &[u8]) -> Result<()> {
        let digest = Digest::of(bytes);
        if self.repository.has_blob(&digest).await? {
            return Ok(());
        }
        let Some(place) = self.repository.begin_upload(None).await? else { return Ok(()) };
        self.repository.finish_upload(&place, &digest, bytes.to_vec()).await
    }

    /// The image gets the digest as a name: that is what it is called there.
    async fn remember(&self, digest: Digest, bytes: Vec<u8>, is_index: bool, stage: Stage) -> Result<()> {
        let name = self.reference.clone().with_digest_only(&digest.to_string());
        if self.image.repo_digests.contains(&name.familiar()) {
            return Ok(());
        }
        let mut image = NewImage { config: self.image.raw_config.to_vec(), names: vec![name], ..NewImage::default() };
        match self.own_manifest(&digest).filter(|_| is_index) {
            Some(manifest) => image.index = Some(NewIndex { bytes, manifest, blobs: Vec::new() }),
            None => image.manifest = Some(bytes),
        }
        let store = self.registries.shop.store.clone();
        in_store(move || store.commit_from(&[&stage], vec![image])).await.map(|_| ())
    }

    /// Which manifest of an index the image has.
    fn own_manifest(&self, index: &Digest) -> Option<Digest> {
        let store = &self.registries.shop.store;
        let parsed = store.index(index)?;
        let is = |manifest: &Digest| store.index_image(index, manifest).is_some_and(|image| image.id == self.image.id);
        parsed.images().map(|descriptor| descriptor.digest).find(is)
    }
}

/// An index of which everything is here.
struct Whole {
    index: Arc<Index>,
    /// With their manifests.
    images: Vec<(Arc<Image>, Vec<u8>)>,
    /// Manifests of attestations and the like, with the blobs they name.
    others: Vec<(Vec<u8>, Vec<Vec<u8>>)>,
}

impl Whole {
    fn of(store: &ImageStore, digest: &Digest) -> Option<Self> {
        let (index, images) = (store.index(digest)?, store.whole_index(digest)?);
        let other = |descriptor: &Descriptor| {
            let bytes = store.blob(&descriptor.digest)?;
            let manifest: Manifest = serde_json::from_slice(&bytes).ok()?;
            let parts = std::iter::once(&manifest.config).chain(&manifest.layers);
            Some((bytes, parts.map(|part| store.blob(&part.digest)).collect::<Option<Vec<_>>>()?))
        };
        let others = index.manifests.iter().filter(|d| d.is_artifact()).map(other).collect::<Option<_>>()?;
        Some(Self { index, images, others })
    }
}
