//! The pull of one tag or digest: what it stands for, what of that is missing, and its names.

use std::sync::Arc;

use lighter_domain::image::Progress;
use lighter_image::{
    Descriptor, Digest, Image, ImageConfig, ImageStore, Manifest, NewImage, NewIndex, Platform, Reference, Stage,
};

use super::layer::Job;
use super::{Pulled, Registries, Tell, attest, in_store, say, show};
use crate::error::{Error, Result};
use crate::manifest::{self, MAX_CONFIG, Parsed, Received};
use crate::repository::Repository;

/// The pull of one tag or digest.
pub(super) struct One<'a> {
    pub(super) registries: &'a Registries,
    pub(super) repository: &'a Repository,
    pub(super) reference: &'a Reference,
    pub(super) platform: Option<&'a Platform>,
    pub(super) tell: &'a Tell,
}

/// What an image is made of, all checked and in stages.
struct Fetched {
    image: NewImage,
    base: Stage,
    layers: Vec<Arc<Job>>,
}

impl One<'_> {
    /// Also whether the name stands for something else than before.
    pub(super) async fn pull(&self) -> Result<(Pulled, bool)> {
        let wanted = self.reference.digest().or(self.reference.tag()).unwrap_or("latest");
        let listening = self.tell.closed();
        let fetching = async {
            let digest = match self.reference.digest().and_then(|digest| digest.parse().ok()) {
                Some(digest) => Some(digest),
                None => self.repository.digest_of(wanted).await?,
            };
            if let Some((digest, image)) = digest.and_then(|digest| Some((digest, self.known(&digest)?))) {
                self.announce().await;
                return Ok((digest, Ok(image)));
            }
            let received = self.repository.manifest(wanted).await?;
            let digest = received.digest;
            let parsed = received.parse()?;
            self.announce().await;
            self.fetch(received, parsed).await.map(|fetched| (digest, Err(fetched)))
        };
        let (digest, found) = tokio::select! {
            result = fetching => result?,
            () = listening => return Err(Error::Cancelled),
        };
        let before = self.store().get(&self.reference.to_string()).ok().map(|image| image.id);
        let names = self.names(&digest);
        let id = match found {
            Ok((image, index)) => self.rename(image, index, names).await?,
            Err(fetched) => self.commit(fetched, names).await?,
        };
        say(self.tell, format!("Digest: {digest}")).await;
        Ok((Pulled { reference: self.reference.clone(), id, digest }, before != Some(id)))
    }

    fn store(&self) -> &ImageStore {
        &self.registries.shop.store
    }

    async fn announce(&self) {
        let id = match self.reference.digest() {
            Some(_) => self.reference.familiar(),
            None => self.reference.tag().unwrap_or("latest").to_owned(),
        };
        let status = format!("Pulling from {}", self.reference.path());
        let _ = self.tell.send(Progress::Note { id, status }).await;
    }

    /// The names that the image gets: what was asked for, and the digest.
    fn names(&self, digest: &Digest) -> Vec<Reference> {
        let by_digest = self.reference.clone().with_digest_only(&digest.to_string());
        match self.reference.digest() {
            Some(_) => vec![by_digest],
            None => vec![self.reference.clone(), by_digest],
        }
    }

    /// The image that this very manifest or index led to before, for the same platform, and the index.
    fn known(&self, digest: &Digest) -> Option<(Arc<Image>, Option<NewIndex>)> {
        let host = Platform::host();
        let want = self.platform.unwrap_or(&host);
        if let Some(index) = self.store().index(digest) {
            let manifest = lighter_image::choose(&index.manifests, want)?.digest;
            let image = self.store().index_image(digest, &manifest)?;
            return Some((image, Some(NewIndex { bytes: index.raw.to_vec(), manifest, blobs: Vec::new() })));
        }
        let name = self.reference.clone().with_digest_only(&digest.to_string());
        let image = self.store().get(&name.to_string()).ok()?;
        // One that an index led to before indexes were kept is pulled again, and finds all layers there.
        (image.manifest == Some(*digest) && image.platform().fits(want)).then_some((image, None))
    }

    /// Gives an image that is there its names.
    async fn rename(&self, image: Arc<Image>, index: Option<NewIndex>, names: Vec<Reference>) -> Result<Digest> {
        let id = image.id;
        let digest = index.as_ref().map(|index| Digest::of(&index.bytes));
        let has = |name: &Reference| image.repo_tags.contains(&name.familiar()) || image.repo_digests.contains(&name.familiar());
        if names.iter().all(|name| has(name) && self.store().index_of(name) == digest) {
            return Ok(id);
        }
        let store = self.store().clone();
        let new = NewImage { config: image.raw_config.to_vec(), names, index, ..NewImage::default() };
        in_store(move || {
            let stage = store.stage()?;
            if !image.layers().iter().all(|diff_id| stage.use_stored_layer(diff_id)) {
                return Err(lighter_image::Error::NoSuchImage(id.to_string()));
            }
            store.commit_from(&[&stage], vec![new])
        })
        .await?;
        Ok(id)
    }

    async fn commit(&self, fetched: Fetched, names: Vec<Reference>) -> Result<Digest> {
        let store = self.store().clone();
        let Fetched { mut image, base, layers } = fetched;
        image.names = names;
        let ids = in_store(move || {
            let stages: Vec<&Stage> = std::iter::once(&base).chain(layers.iter().map(|job| &*job.stage)).collect();
            store.commit_from(&stages, vec![image])
        });
        ids.await?.into_iter().next().ok_or(Error::Cancelled)
    }

    /// From a manifest or index to an image whose layers are all there.
    async fn fetch(&self, received: Received, parsed: Parsed) -> Result<Fetched> {
        let (received, manifest, index) = match parsed {
            Parsed::Image(manifest) => (received, manifest, None),
            Parsed::Index(descriptors) => {
                let host = Platform::host();
                let chosen = manifest::choose(&descriptors, self.platform.unwrap_or(&host))?.digest;
                let of_platform = self.repository.manifest(&chosen.to_string()).await?;
                match of_platform.parse()? {
                    Parsed::Image(manifest) => (of_platform, manifest, Some((received, descriptors, chosen))),
                    Parsed::Index(_) => return Err(Error::Unsupported("an index in an index is not supported".to_owned())),
                }
            }
        };
        manifest::check(&manifest)?;
        let there = self.store().get_by_id(&manifest.config.digest);
        let raw = match &there {
            Some(image) => image.raw_config.to_vec(),
            None => self.repository.small_blob(&manifest.config.digest, MAX_CONFIG).await?,
        };
        let diff_ids = check_config(&raw, &manifest)?;
        let base = self.store().stage()?;
        // Of an image that is there under another name nothing is told.
        let layers = match there.is_some() && diff_ids.iter().all(|diff_id| base.use_stored_layer(diff_id)) {
            true => Vec::new(),
            false => self.layers(&manifest, &diff_ids, &base).await?,
        };
        let index = match index {
            Some((received, descriptors, manifest)) => {
                let blobs = attest::fetch(self.repository, &descriptors, &manifest).await;
                Some(NewIndex { bytes: received.bytes, manifest, blobs })
            }
            None => None,
        };
        let image = NewImage { config: raw, manifest: Some(received.bytes), index, ..NewImage::default() };
        Ok(Fetched { image, base, layers })
    }

    /// Gets the layers that are not there, all at once as far as there are slots.
    async fn layers(&self, manifest: &Manifest, diff_ids: &[Digest], base: &Stage) -> Result<Vec<Arc<Job>>> {
        let mut missing: Vec<(&Descriptor, Digest)> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for (layer, diff_id) in manifest.layers.iter().zip(diff_ids) {
            if !seen.insert(layer.digest) {
                continue;
            }
            let there = base.use_stored_layer(diff_id);
            show::first(self.tell, &layer.digest, there).await;
            if !there {
                missing.push((layer, *diff_id));
            }
        }
        let fetches = missing.iter().map(|(layer, diff_id)| self.layer(layer, *diff_id));
        let fetched = futures::future::try_join_all(fetches).await;
        if fetched.as_ref().is_err_and(Error::is_no_space) {
            // Layers that did fit are of no use without the others, and would keep the disk full.
            missing.iter().for_each(|(layer, _)| self.registries.discard(&layer.digest));
        }
        fetched
    }

    async fn layer(&self, layer: &Descriptor, expected: Digest) -> Result<Arc<Job>> {
        loop {
            let (job, ours) = self.registries.job(self.repository, layer)?;
            let end = show::follow(self.tell, &layer.digest, layer.size, job.watch()).await;
            match end {
                Ok(actual) if actual == expected => return Ok(job),
                Ok(_) => {
                    return Err(Error::Unsupported("layers from manifest don't match image configuration".to_owned()));
                }
                Err(error) => {
                    self.registries.forget(&layer.digest, &job);
                    // Another's registry, or another's credentials, may have been the reason.
                    if ours {
                        return Err(error);
                    }
                }
            }
        }
    }
}

/// The diff ids of a configuration that fits its manifest and this system.
fn check_config(raw: &[u8], manifest: &Manifest) -> Result<Vec<Digest>> {
    let bad = |e: serde_json::Error| Error::Unsupported(format!("invalid image configuration: {e}"));
    let config: ImageConfig = serde_json::from_slice(raw).map_err(bad)?;
    if !config.os.is_empty() && config.os != "linux" {
        return Err(Error::Unsupported(format!("image operating system {:?} cannot be used on this platform", config.os)));
    }
    if config.rootfs.diff_ids.len() != manifest.layers.len() {
        return Err(Error::Unsupported("invalid rootfs in image configuration".to_owned()));
    }
    Ok(config.rootfs.diff_ids)
}
