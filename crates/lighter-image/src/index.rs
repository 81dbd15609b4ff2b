//! Indexes: what a name stands for when there is an image for each of several platforms.
//!
//! A name leads to one image, as ever. If it came with an index it leads to that, too, and the index leads to the images
//! of other platforms that are here ("companions": they have no name of their own, and stay as long as the index does)
//! and to what builds attest of them. An index is kept byte for byte, for its digest is what it is called elsewhere; it
//! lives as long as a name has it.

mod attest;
mod summary;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::ImageConfig;
use crate::digest::{Digest, ImageId};
use crate::error::{ArchiveError, Error, Result};
use crate::import::Platform;
use crate::load::Descriptor;
use crate::reference::Reference;
use crate::state::State;
use crate::store::{Image, ImageStore, find};

pub use attest::Statement;
pub use summary::{ManifestInfo, ManifestKind, Manifests};

pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// An index that an image to be made belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIndex {
    /// As received.
    pub bytes: Vec<u8>,
    /// Which of its manifests the image has.
    pub manifest: Digest,
    /// Attestations of that image: their manifests, configurations and statements.
    pub blobs: Vec<Vec<u8>>,
}

/// What is stored of an index beside its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IndexRecord {
    pub(crate) digest: Digest,
    /// Its manifests whose images are here.
    pub(crate) images: BTreeMap<Digest, ImageId>,
    /// Attestations that are here.
    #[serde(default)]
    pub(crate) blobs: BTreeSet<Digest>,
}

/// An index, parsed.
#[derive(Debug, Clone, Default)]
pub struct Index {
    /// As received.
    pub raw: Arc<[u8]>,
    /// Its own, or OCI's if it says none.
    pub media_type: String,
    /// In its order.
    pub manifests: Vec<Descriptor>,
}

impl Index {
    /// Reads one.
    ///
    /// # Errors
    /// What is no index.
    pub fn parse(raw: &[u8]) -> Result<Self, ArchiveError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Raw {
            #[serde(default)]
            media_type: String,
            manifests: Vec<Descriptor>,
        }
        let bad = |error: serde_json::Error| ArchiveError::BadJson { file: "index".to_owned(), reason: error.to_string() };
        let Raw { mut media_type, manifests } = serde_json::from_slice(raw).map_err(bad)?;
        if media_type.is_empty() {
            OCI_INDEX.clone_into(&mut media_type);
        }
        Ok(Self { raw: raw.into(), media_type, manifests })
    }

    /// What it says of one of its manifests.
    pub fn descriptor(&self, manifest: &Digest) -> Option<&Descriptor> {
        self.manifests.iter().find(|descriptor| descriptor.digest == *manifest)
    }

    /// Those that are images.
    pub fn images(&self) -> impl Iterator<Item = &Descriptor> {
        self.manifests.iter().filter(|descriptor| !descriptor.is_artifact())
    }

    /// The attestations of one of its images.
    pub fn attestations<'a>(&'a self, of: &'a Digest) -> impl Iterator<Item = &'a Descriptor> {
        self.manifests.iter().filter(move |descriptor| descriptor.attests().is_some_and(|image| image == *of))
    }
}

/// The image for `want`: the one whose variant is asked for, else the first that fits. Attestations are none.
pub fn choose<'a>(descriptors: impl IntoIterator<Item = &'a Descriptor>, want: &Platform) -> Option<&'a Descriptor> {
    let images = descriptors.into_iter().filter(|descriptor| !descriptor.is_artifact());
    let mut fitting = images.filter(|d| d.platform.as_ref().is_some_and(|platform| platform.fits(want))).peekable();
    let first = fitting.peek().copied();
    fitting.find(|d| d.platform.as_ref().is_some_and(|platform| platform.variant == want.variant)).or(first)
}

/// An index in memory.
#[derive(Debug, Clone)]
pub(crate) struct Indexed {
    pub(crate) record: IndexRecord,
    pub(crate) parsed: Arc<Index>,
}

impl Indexed {
    /// To be followed by [`Indexed::read`].
    pub(crate) fn unread(record: IndexRecord) -> Self {
        Self { record, parsed: Arc::default() }
    }

    pub(crate) fn read(&mut self, raw: Vec<u8>) -> Result<(), ArchiveError> {
        self.parsed = Arc::new(Index::parse(&raw)?);
        Ok(())
    }

    /// All blobs that it needs, its own among them.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = Digest> {
        let IndexRecord { digest, images, blobs } = &self.record;
        std::iter::once(*digest).chain(images.keys().copied()).chain(blobs.iter().copied())
    }

    /// The image for a platform, if it is here.
    pub(crate) fn image_for(&self, want: &Platform) -> Option<(Digest, ImageId)> {
        let here = self.parsed.manifests.iter().filter(|descriptor| self.record.images.contains_key(&descriptor.digest));
        let chosen = choose(here, want)?.digest;
        self.record.images.get(&chosen).map(|id| (chosen, *id))
    }

    /// Whether all images in it are here.
    pub(crate) fn is_complete(&self) -> bool {
        self.parsed.images().all(|descriptor| self.record.images.contains_key(&descriptor.digest))
    }
}

impl NewIndex {
    /// Adds the image to the index, which comes to be if it is not there; its digest.
    pub(crate) fn put_into(self, state: &mut State, id: ImageId, write: impl Fn(Digest, &[u8]) -> Result<()>) -> Result<Digest> {
        let parsed = Index::parse(&self.bytes)?;
        let digest = Digest::of(&self.bytes);
        write(digest, &self.bytes)?;
        let mut blobs = BTreeSet::new();
        for blob in &self.blobs {
            let digest = Digest::of(blob);
            write(digest, blob)?;
            blobs.insert(digest);
        }
        let index = state.indexes.entry(digest).or_insert_with(|| Indexed {
            record: IndexRecord { digest, images: BTreeMap::new(), blobs: BTreeSet::new() },
            parsed: Arc::new(parsed),
        });
        index.record.images.insert(self.manifest, id);
        index.record.blobs.extend(blobs);
        Ok(digest)
    }
}

/// The images that the indexes of names hold, and one such index for each.
pub(crate) fn held(state: &State) -> HashMap<ImageId, &Digest> {
    let named = state.indexed.values().filter_map(|digest| Some((digest, state.indexes.get(digest)?)));
    named.flat_map(|(digest, index)| index.record.images.values().map(move |id| (*id, digest))).collect()
}

/// The index that goes with a text that was found to mean `id`: that of the name, or of any name of the image.
pub(crate) fn of(state: &State, text: &str, id: &ImageId) -> Option<Digest> {
    let name = Reference::parse(text).map(Reference::with_default_tag).ok();
    if let Some(name) = name.filter(|name| state.names.get(name) == Some(id)) {
        return state.indexed.get(&name).copied();
    }
    state.view.get(id).and_then(|image| image.index)
}

/// What a configuration is for; what it does not say is this machine's.
pub(crate) fn platform_of(config: &ImageConfig) -> Platform {
    let or = |text: &str, other: String| if text.is_empty() { other } else { text.to_owned() };
    let host = Platform::host();
    Platform {
        os: or(&config.os, host.os),
        architecture: or(&config.architecture, host.architecture),
        variant: config.variant.clone(),
    }
}

/// The image that a text means for a platform.
pub(crate) fn find_for(state: &State, text: &str, platform: &Platform) -> Result<ImageId> {
    let id = find(state, text)?;
    let index = of(state, text, &id).and_then(|digest| state.indexes.get(&digest));
    let fits = |id: &ImageId| state.view.get(id).is_some_and(|image| image.platform().fits(platform));
    let found = index.and_then(|index| index.image_for(platform)).map(|(_, id)| id).or_else(|| Some(id).filter(fits));
    let own = || state.view.get(&id).filter(|_| index.is_none()).map(|image| image.platform().to_string());
    found.ok_or_else(|| Error::NoPlatform { reference: text.to_owned(), platform: platform.to_string(), own: own() })
}

impl ImageStore {
    /// As [`ImageStore::get`], for a platform. Memory only.
    ///
    /// # Errors
    /// As there; [`Error::NoPlatform`] when there is an image, but not for that platform.
    pub fn get_for(&self, reference: &str, platform: &Platform) -> Result<Arc<Image>> {
        let state = self.state();
        let id = find_for(&state, reference, platform)?;
        state.view.get(&id).cloned().ok_or_else(|| Error::NoSuchImage(reference.to_owned()))
    }

    /// The other images of an image's index that are here. Memory only.
    pub fn companions(&self, image: &Image) -> Vec<ImageId> {
        let state = self.state();
        let index = image.index.and_then(|digest| state.indexes.get(&digest));
        let images = index.into_iter().flat_map(|index| index.record.images.values());
        images.filter(|id| **id != image.id).copied().collect()
    }

    /// The index that a name came with. Memory only.
    pub fn index_of(&self, name: &Reference) -> Option<Digest> {
        self.state().indexed.get(name).copied()
    }

    /// The index of that digest, if a name has it. Memory only.
    pub fn index(&self, digest: &Digest) -> Option<Arc<Index>> {
        self.state().indexes.get(digest).map(|index| Arc::clone(&index.parsed))
    }

    /// The image that one of an index' manifests led to. Memory only.
    pub fn index_image(&self, index: &Digest, manifest: &Digest) -> Option<Arc<Image>> {
        let state = self.state();
        let id = state.indexes.get(index)?.record.images.get(manifest)?;
        state.view.get(id).cloned()
    }

    /// The images of an index with their manifests, in its order, if all are here as their manifests say and can so be
    /// given to others; else none. Reads small files.
    pub fn whole_index(&self, digest: &Digest) -> Option<Vec<(Arc<Image>, Vec<u8>)>> {
        let state = self.state();
        let index = state.indexes.get(digest).filter(|index| index.is_complete())?;
        let found = self.exportable(&state, index);
        (found.len() == index.parsed.images().count()).then_some(found)
    }

    /// The images of an index that are here as their manifests say.
    pub(crate) fn exportable(&self, state: &State, index: &Indexed) -> Vec<(Arc<Image>, Vec<u8>)> {
        let one = |descriptor: &Descriptor| {
            let image = state.view.get(index.record.images.get(&descriptor.digest)?)?;
            let manifest = self.blob(&descriptor.digest)?;
            crate::stage::manifest_fits(&manifest, &image.config, state).then(|| (Arc::clone(image), manifest))
        };
        index.parsed.images().filter_map(one).collect()
    }

    /// A small blob, if it is here and undamaged.
    pub fn blob(&self, digest: &Digest) -> Option<Vec<u8>> {
        std::fs::read(self.inner.blob_path(digest)).ok().filter(|bytes| Digest::of(bytes) == *digest)
    }
}

#[cfg(test)]
mod tests;
