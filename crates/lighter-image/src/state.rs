//! What exists: names, images, layers. One value in memory, one file on disk, replaced as a whole.
//!
//! Readers take the current [`State`] and never wait. A change copies it, writes the copy to disk and only then makes
//! it current, so what was answered is what is stored.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::codec::Compression;
use crate::config::ImageConfig;
use crate::digest::{Digest, ImageId};
use crate::error::{Error, Result};
use crate::index::{IndexRecord, Indexed};
use crate::reference::Reference;
use crate::store::Image;

const VERSION: u32 = 1;
const FILE_NAME: &str = "state.json";

/// What the root directory of an image looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootAttrs {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Default for RootAttrs {
    fn default() -> Self {
        Self { mode: 0o755, uid: 0, gid: 0 }
    }
}

/// In which form a layer's tar can be given out again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "form", rename_all = "lowercase")]
pub(crate) enum TarForm {
    /// Uncompressed, split into the unpacked files and the rest.
    Split { size: u64 },
    /// As received.
    Blob { digest: Digest, size: u64, compression: Compression },
}

impl TarForm {
    /// Digest, size and media type of what `save` and `push` give out for the layer `diff_id`.
    pub(crate) fn descriptor(&self, diff_id: Digest) -> (Digest, u64, &'static str) {
        match self {
            Self::Split { size } => (diff_id, *size, Compression::None.layer_media_type()),
            Self::Blob { digest, size, compression } => (*digest, *size, compression.layer_media_type()),
        }
    }
}

/// An unpacked layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LayerRecord {
    pub(crate) diff_id: Digest,
    /// `layers/<number>`: short, for all of an image's layers must fit in one mount option page.
    pub(crate) number: u64,
    /// Bytes of its files.
    pub(crate) size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) root: Option<RootAttrs>,
    pub(crate) tar: TarForm,
    /// Set until the files are known to be on the disk: the boot in which they were written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unsynced: Option<String>,
}

/// An image; what it is made of is in its configuration blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImageRecord {
    pub(crate) id: ImageId,
    /// The image that it was built or committed from on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<ImageId>,
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub(crate) last_tagged: Option<OffsetDateTime>,
    /// Removed by force while a stopped container uses it: kept for that container only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) detached: bool,
    /// The manifest it came with, when its layers are stored as that says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) manifest: Option<Digest>,
}

#[derive(Serialize, Deserialize)]
struct StateFile {
    version: u32,
    next_layer: u64,
    images: Vec<ImageRecord>,
    layers: Vec<LayerRecord>,
    names: BTreeMap<String, ImageId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    indexes: Vec<IndexRecord>,
    /// Names that came with an index.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    indexed: BTreeMap<String, Digest>,
}

/// The configuration of an image in memory.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    pub(crate) parsed: Arc<ImageConfig>,
    pub(crate) raw: Arc<[u8]>,
}

/// Everything at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    pub(crate) next_layer: u64,
    pub(crate) images: HashMap<ImageId, ImageRecord>,
    pub(crate) configs: HashMap<ImageId, Loaded>,
    pub(crate) layers: HashMap<Digest, LayerRecord>,
    pub(crate) names: BTreeMap<Reference, ImageId>,
    pub(crate) indexes: HashMap<Digest, Indexed>,
    /// The indexes of the names that have one; each of these is in `names`, too.
    pub(crate) indexed: BTreeMap<Reference, Digest>,
    /// What readers get; made anew by [`State::refresh`]. Without detached images.
    pub(crate) view: HashMap<ImageId, Arc<Image>>,
}

impl State {
    /// Reads the file below `root`; an empty state if there is none. Configurations and indexes are still to be loaded.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let path = root.join(FILE_NAME);
        let data = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            result => result.map_err(Error::io("read", &path))?,
        };
        let file: StateFile = serde_json::from_slice(&data).map_err(|source| Error::BadState { path: path.clone(), source })?;
        if file.version != VERSION {
            return Err(Error::StateVersion(file.version));
        }
        let names = file.names.into_iter().map(|(name, id)| Ok((Reference::parse(&name)?, id)));
        let indexed = file.indexed.into_iter().map(|(name, index)| Ok((Reference::parse(&name)?, index)));
        Ok(Self {
            next_layer: file.next_layer,
            images: file.images.into_iter().map(|image| (image.id, image)).collect(),
            layers: file.layers.into_iter().map(|layer| (layer.diff_id, layer)).collect(),
            names: names.collect::<Result<_>>()?,
            indexes: file.indexes.into_iter().map(|record| (record.digest, Indexed::unread(record))).collect(),
            indexed: indexed.collect::<Result<_>>()?,
            ..Self::default()
        })
    }

    /// Replaces the file below `root`; durable on return.
    pub(crate) fn write(&self, root: &Path) -> Result<()> {
        let mut images: Vec<_> = self.images.values().cloned().collect();
        images.sort_by_key(|image| image.id);
        let mut layers: Vec<_> = self.layers.values().cloned().collect();
        layers.sort_by_key(|layer| layer.number);
        let mut indexes: Vec<_> = self.indexes.values().map(|index| index.record.clone()).collect();
        indexes.sort_by_key(|index| index.digest);
        let file = StateFile {
            version: VERSION,
            next_layer: self.next_layer,
            images,
            layers,
            names: self.names.iter().map(|(name, id)| (name.to_string(), *id)).collect(),
            indexes,
            indexed: self.indexed.iter().map(|(name, index)| (name.to_string(), *index)).collect(),
        };
        let path = root.join(FILE_NAME);
        let data = serde_json::to_vec(&file).map_err(|source| Error::BadState { path: path.clone(), source })?;
        write_atomically(&path, &data)
    }

    /// Makes the view fit the rest.
    pub(crate) fn refresh(&mut self) {
        let mut names: HashMap<ImageId, Vec<&Reference>> = HashMap::new();
        for (name, id) in &self.names {
            names.entry(*id).or_default().push(name);
        }
        let held = crate::index::held(self);
        let images = self.images.values().filter(|record| !record.detached);
        let view = images.filter_map(|record| {
            let config = self.configs.get(&record.id)?;
            let names = names.get(&record.id).map(Vec::as_slice).unwrap_or_default();
            let mut image = Image::assemble(record, config, names, &self.layers);
            image.index = names.iter().find_map(|name| self.indexed.get(*name)).or(held.get(&record.id).copied()).copied();
            image.companion = names.is_empty() && image.index.is_some();
            Some((record.id, Arc::new(image)))
        });
        self.view = view.collect();
    }

    /// Takes layers out that no image needs and `keep` does not hold, configurations of no image, indexes of no name.
    pub(crate) fn drop_unreferenced(&mut self, keep: impl Fn(&Digest) -> bool) -> Dropped {
        let images = &self.images;
        let configs: Vec<_> = self.configs.keys().filter(|id| !images.contains_key(id)).copied().collect();
        for id in &configs {
            self.configs.remove(id);
        }
        self.indexed.retain(|name, index| self.names.contains_key(name) && self.indexes.contains_key(index));
        let named: HashSet<_> = self.indexed.values().copied().collect();
        let indexes = self.indexes.extract_if(|digest, _| !named.contains(digest)).count();
        for index in self.indexes.values_mut() {
            index.record.images.retain(|_, id| images.contains_key(id));
        }
        let used: HashSet<_> = self.configs.values().flat_map(|config| config.parsed.rootfs.diff_ids.iter().copied()).collect();
        let unused = |layer: &LayerRecord| !used.contains(&layer.diff_id) && !keep(&layer.diff_id);
        let layers = self.layers.extract_if(|_, layer| unused(layer)).map(|(_, layer)| layer).collect();
        Dropped { configs, layers, indexes }
    }

    /// Digests of all blobs that must stay.
    pub(crate) fn blobs(&self) -> HashSet<Digest> {
        let layers = self.layers.values().filter_map(|layer| match &layer.tar {
            TarForm::Blob { digest, .. } => Some(*digest),
            TarForm::Split { .. } => None,
        });
        let manifests = self.images.values().filter_map(|image| image.manifest);
        let indexes = self.indexes.values().flat_map(Indexed::blobs);
        self.images.keys().copied().chain(manifests).chain(layers).chain(indexes).collect()
    }

    /// Names of an image, tags before digests, each in order.
    pub(crate) fn names_of(&self, id: &ImageId) -> Vec<Reference> {
        let mut names: Vec<_> = self.names.iter().filter(|(_, of)| *of == id).map(|(name, _)| name.clone()).collect();
        names.sort_by_key(|name| name.digest().is_some());
        names
    }
}

/// What [`State::drop_unreferenced`] took out.
pub(crate) struct Dropped {
    pub(crate) configs: Vec<ImageId>,
    pub(crate) layers: Vec<LayerRecord>,
    /// How many.
    pub(crate) indexes: usize,
}

impl Dropped {
    pub(crate) fn is_empty(&self) -> bool {
        self.configs.is_empty() && self.layers.is_empty() && self.indexes == 0
    }
}

/// Writes beside, syncs, renames, syncs the directory.
pub(crate) fn write_atomically(path: &Path, data: &[u8]) -> Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside).map_err(Error::io("create", &beside))?;
    file.write_all(data).map_err(Error::io("write", &beside))?;
    file.sync_data().map_err(Error::io("sync", &beside))?;
    std::fs::rename(&beside, path).map_err(Error::io("rename", &beside))?;
    let parent: PathBuf = path.parent().map(Path::to_owned).unwrap_or_default();
    let dir = File::open(&parent).map_err(Error::io("open", &parent))?;
    dir.sync_all().map_err(Error::io("sync", &parent))
}
