//! The end of a transaction: layers are renamed into place, and the state that names them is replaced.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use super::{NewImage, Stage};
use crate::config::ImageConfig;
use crate::digest::{Digest, ImageId};
use crate::error::{ArchiveError, Error, Result};
use crate::state::{ImageRecord, Loaded, State};
use crate::store::{ImageStore, Inner, MAX_LAYERS, touch};

impl ImageStore {
    /// Makes images of layers from several stages exist, all or none. The stages stay: another commit may use the same layers.
    ///
    /// # Errors
    /// A configuration that does not parse, a layer that is nowhere, a full disk.
    pub fn commit_from(&self, stages: &[&Stage], images: Vec<NewImage>) -> Result<Vec<ImageId>> {
        let result = self.commit_stages(stages, images);
        self.sync_behind();
        result
    }

    pub(super) fn commit_stages(&self, stages: &[&Stage], images: Vec<NewImage>) -> Result<Vec<ImageId>> {
        let inner = &self.inner;
        let parsed = images.into_iter().map(Prepared::new).collect::<Result<Vec<_>>>()?;
        if inner.boot_id().is_none() {
            inner.sync()?;
        }
        let Some(first) = stages.first() else { return Ok(Vec::new()) };
        let mut moved = Vec::new();
        let result = inner.change(|state| {
            let mut ids = Vec::new();
            for image in parsed {
                for diff_id in &image.parsed.rootfs.diff_ids {
                    if state.layers.contains_key(diff_id) {
                        continue;
                    }
                    let missing = || Error::MissingLayer { image: image.id, layer: *diff_id };
                    let (stage, layer) = stages.iter().find_map(|s| Some((s, s.find(diff_id)?))).ok_or_else(missing)?;
                    let record = stage.move_in(&layer, state, &mut moved)?;
                    state.layers.insert(*diff_id, record);
                }
                ids.push(image.put_into(state, |digest, data| write_blob(inner, &first.dir, digest, data))?);
            }
            Ok(ids)
        });
        if result.is_err() {
            for path in moved {
                let _ = inner.trash.take(&path);
            }
        }
        result
    }
}

struct Prepared {
    id: ImageId,
    parsed: ImageConfig,
    new: NewImage,
}

impl Prepared {
    fn new(new: NewImage) -> Result<Self> {
        let parsed: ImageConfig = serde_json::from_slice(&new.config)
            .map_err(|error| ArchiveError::BadJson { file: "image configuration".to_owned(), reason: error.to_string() })?;
        if parsed.rootfs.diff_ids.len() > MAX_LAYERS {
            return Err(ArchiveError::TooDeep.into());
        }
        Ok(Self { id: Digest::of(&new.config), parsed, new })
    }

    fn put_into(self, state: &mut State, write: impl Fn(Digest, &[u8]) -> Result<()>) -> Result<ImageId> {
        let id = self.id;
        write(id, &self.new.config)?;
        let manifest = match self.new.manifest {
            Some(manifest) if manifest_fits(&manifest, &self.parsed, state) || self.new.index.is_some() => {
                let fits = manifest_fits(&manifest, &self.parsed, state);
                let digest = Digest::of(&manifest);
                write(digest, &manifest)?;
                // That of an index is kept in any case, for its own digest.
                fits.then_some(digest)
            }
            _ => None,
        };
        let record = state.images.entry(id).or_insert_with(|| ImageRecord {
            id,
            parent: None,
            last_tagged: None,
            detached: false,
            manifest: None,
        });
        record.detached = false;
        record.parent = self.new.parent.or(record.parent);
        record.manifest = record.manifest.or(manifest);
        state.configs.insert(id, Loaded { parsed: Arc::new(self.parsed), raw: self.new.config.into() });
        let index = self.new.index.map(|index| index.put_into(state, id, &write)).transpose()?;
        let named = !self.new.names.is_empty();
        for name in self.new.names {
            match index {
                Some(index) => state.indexed.insert(name.clone(), index),
                None => state.indexed.remove(&name),
            };
            state.names.insert(name, id);
        }
        if named {
            touch(state, id);
        }
        Ok(id)
    }
}

/// Whether the layers in a manifest are, byte for byte, what the store holds for the image.
pub(crate) fn manifest_fits(manifest: &[u8], config: &ImageConfig, state: &State) -> bool {
    let Ok(manifest) = serde_json::from_slice::<crate::load::Manifest>(manifest) else { return false };
    let stored = config.rootfs.diff_ids.iter().map(|id| state.layers.get(id).map(|l| l.tar.descriptor(*id).0));
    stored.eq(manifest.layers.iter().map(|layer| Some(layer.digest)))
}

/// Puts a small blob in place; it is an orphan until an image names it.
fn write_blob(inner: &Inner, staging: &Path, digest: Digest, data: &[u8]) -> Result<()> {
    let path = inner.blob_path(&digest);
    if path.exists() {
        return Ok(());
    }
    let beside = staging.join(digest.hex());
    let mut file = File::create(&beside).map_err(Error::io("create", &beside))?;
    file.write_all(data).map_err(Error::io("write", &beside))?;
    file.sync_data().map_err(Error::io("sync", &beside))?;
    std::fs::rename(&beside, &path).map_err(Error::io("rename", &beside))
}
