//! What an image consists of, manifest by manifest: `docker images --tree`, `docker inspect` with `manifests`.

use std::collections::HashSet;

use crate::digest::{Digest, ImageId};
use crate::import::Platform;
use crate::index::Indexed;
use crate::load::Descriptor;
use crate::state::{State, TarForm};
use crate::store::{Image, ImageStore};

/// What a manifest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManifestKind {
    /// An image, for that platform.
    Image(Platform),
    /// What a build attests of the image with that manifest.
    Attestation(Digest),
    /// Neither.
    Unknown,
}

/// One manifest of an image.
#[derive(Debug, Clone)]
pub struct ManifestInfo {
    /// As the index has it.
    pub descriptor: Descriptor,
    /// Whether all that it names is here.
    pub available: bool,
    /// Bytes of that which are kept as they came.
    pub content: u64,
    /// Bytes of the unpacked files.
    pub unpacked: u64,
    /// The image, if it is one and here.
    pub image: Option<ImageId>,
    /// What it is.
    pub kind: ManifestKind,
}

/// An image as a whole.
#[derive(Debug, Clone)]
pub struct Manifests {
    /// The index, or the only manifest.
    pub target: Descriptor,
    /// In the order of the index.
    pub manifests: Vec<ManifestInfo>,
}

impl ImageStore {
    /// The manifests of an image. Reads a small file or two.
    pub fn manifests(&self, image: &Image) -> Manifests {
        let state = self.state();
        if let Some(index) = image.index.and_then(|digest| state.indexes.get(&digest)) {
            let target = Descriptor::new(&index.parsed.media_type, index.record.digest, index.parsed.raw.len() as u64);
            let manifests = index.parsed.manifests.iter().map(|descriptor| self.manifest_info(&state, index, descriptor));
            return Manifests { target, manifests: manifests.collect() };
        }
        let (media_type, bytes) = self.own_manifest(&state, image);
        let target = Descriptor::new(&media_type, Digest::of(&bytes), bytes.len() as u64);
        let (content, unpacked) = sizes(&state, image);
        let info = ManifestInfo {
            descriptor: target.clone(),
            available: true,
            content: content + bytes.len() as u64,
            unpacked,
            image: Some(image.id),
            kind: ManifestKind::Image(image.platform()),
        };
        Manifests { target, manifests: vec![info] }
    }

    fn manifest_info(&self, state: &State, index: &Indexed, descriptor: &Descriptor) -> ManifestInfo {
        let here = index.record.images.get(&descriptor.digest).and_then(|id| state.view.get(id));
        let mut info = ManifestInfo {
            descriptor: descriptor.clone(),
            available: here.is_some(),
            content: 0,
            unpacked: 0,
            image: here.map(|image| image.id),
            kind: match descriptor.attests() {
                Some(of) => ManifestKind::Attestation(of),
                None if descriptor.is_artifact() => ManifestKind::Unknown,
                None => ManifestKind::Image(descriptor.platform.clone().unwrap_or_default()),
            },
        };
        if let Some(image) = here {
            let (content, unpacked) = sizes(state, image);
            (info.content, info.unpacked) = (content + descriptor.size, unpacked);
        } else if index.record.blobs.contains(&descriptor.digest) {
            let size = |digest: &Digest| std::fs::metadata(self.inner.blob_path(digest)).map_or(0, |meta| meta.len());
            let parts = self.attestation(&descriptor.digest).map(|m| m.parts()).unwrap_or_default();
            info.available = parts.iter().all(|part| index.record.blobs.contains(part));
            let unique: HashSet<_> = parts.iter().filter(|part| index.record.blobs.contains(*part)).collect();
            info.content = descriptor.size + unique.into_iter().map(size).sum::<u64>();
        }
        info
    }
}

/// Bytes of an image's configuration and packed layers, and of its unpacked ones.
fn sizes(state: &State, image: &Image) -> (u64, u64) {
    let unique: HashSet<_> = image.layers().iter().collect();
    let layers = || unique.iter().filter_map(|diff_id| state.layers.get(*diff_id));
    let packed = layers().map(|layer| match &layer.tar {
        TarForm::Blob { size, .. } => *size,
        TarForm::Split { .. } => 0,
    });
    (image.raw_config.len() as u64 + packed.sum::<u64>(), layers().map(|layer| layer.size).sum())
}
