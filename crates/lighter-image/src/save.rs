//! `docker save`: an OCI layout that is also a Docker archive for older readers, the same bytes each time.
//!
//! The lists stand in front of the layers, so that who loads it knows what comes. Layers are given out as they came in:
//! compressed ones as received, plain ones put together again from the unpacked files and checked on the way.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::index::OCI_INDEX;
use crate::load::oci::{Descriptor, NAME, REF_NAME};
use crate::reference::Reference;
use crate::split;
use crate::state::{LayerRecord, TarForm};
use crate::store::ImageStore;
use crate::tarball::TarWriter;

mod plan;

pub use plan::SavePlan;
use plan::{MANIFEST_TYPE, Planned, PlannedIndex, media_type_of};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl ImageStore {
    /// Saves the images of these names or ids to `writer`; see [`ImageStore::resolve_save`].
    ///
    /// # Errors
    /// No such image, a damaged layer, a failing writer.
    pub fn save(&self, names: &[&str], writer: impl Write) -> Result<()> {
        self.resolve_save(names, &[])?.write(writer)
    }
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

impl SavePlan {
    /// Writes the archive.
    ///
    /// # Errors
    /// A damaged layer, a failing writer.
    pub fn write(&self, writer: impl Write) -> Result<()> {
        let mut tar = TarWriter::new(io::BufWriter::with_capacity(256 * 1024, writer));
        let mut put =
            |name: &str, data: &[u8]| tar.file(name, data.len() as u64, |out| out.write_all(data).map_err(Error::Output));
        put("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        put("index.json", self.index().to_string().as_bytes())?;
        put("manifest.json", json!(self.items()).to_string().as_bytes())?;
        put("repositories", json!(self.repositories()).to_string().as_bytes())?;
        tar.directory("blobs/")?;
        tar.directory("blobs/sha256/")?;
        let mut small = BTreeMap::new();
        let mut layers = BTreeMap::new();
        for PlannedIndex { index, blobs, .. } in &self.indexes {
            small.extend(blobs.iter().map(|blob| (Digest::of(blob), &blob[..])));
            small.insert(Digest::of(&index.raw), &index.raw[..]);
        }
        for planned in &self.images {
            small.insert(Digest::of(&planned.manifest), &planned.manifest[..]);
            small.insert(planned.image.id, &planned.image.raw_config[..]);
            layers.extend(planned.layers.iter().map(|layer| (layer.tar.descriptor(layer.diff_id).0, layer)));
        }
        for (digest, data) in small {
            tar.file(&blob_name(&digest), data.len() as u64, |out| out.write_all(data).map_err(Error::Output))?;
        }
        for (digest, layer) in layers {
            let size = layer.tar.descriptor(layer.diff_id).1;
            tar.file(&blob_name(&digest), size, |out| self.store.write_layer(layer, out))?;
        }
        tar.finish()
    }

    fn index(&self) -> serde_json::Value {
        let mut manifests = Vec::new();
        for planned in self.images.iter().filter(|planned| planned.alone) {
            let digest = Digest::of(&planned.manifest);
            let media_type = media_type_of(&planned.manifest).unwrap_or_else(|| MANIFEST_TYPE.to_owned());
            let mut descriptor = Descriptor::new(&media_type, digest, planned.manifest.len() as u64);
            descriptor.platform = Some(planned.image.platform());
            push_named(&mut manifests, &descriptor, &planned.names);
        }
        for PlannedIndex { index, names, .. } in &self.indexes {
            let descriptor = Descriptor::new(&index.media_type, Digest::of(&index.raw), index.raw.len() as u64);
            push_named(&mut manifests, &descriptor, names);
        }
        json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests })
    }

    fn items(&self) -> Vec<Item> {
        let item = |planned: &Planned| Item {
            config: blob_name(&planned.image.id),
            repo_tags: (!planned.names.is_empty()).then(|| planned.names.iter().map(Reference::familiar).collect()),
            layers: planned.layers.iter().map(|l| blob_name(&l.tar.descriptor(l.diff_id).0)).collect(),
        };
        self.images.iter().map(item).collect()
    }

    /// For readers from before `manifest.json`; the value is the top layer, as dockerd writes it.
    fn repositories(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        let mut repositories: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for planned in &self.images {
            let Some(top) = planned.layers.last() else { continue };
            for name in &planned.names {
                let tag = name.tag().unwrap_or_default().to_owned();
                let tags = repositories.entry(name.familiar_name()).or_default();
                tags.insert(tag, top.tar.descriptor(top.diff_id).0.hex());
            }
        }
        repositories
    }
}

/// A descriptor for each name, or one without.
fn push_named(manifests: &mut Vec<Descriptor>, descriptor: &Descriptor, names: &[Reference]) {
    for name in names {
        let tag = name.tag().unwrap_or_default().to_owned();
        let annotations = [(NAME.to_owned(), name.to_string()), (REF_NAME.to_owned(), tag)];
        manifests.push(Descriptor { annotations: Some(annotations.into()), ..descriptor.clone() });
    }
    if names.is_empty() {
        manifests.push(descriptor.clone());
    }
}

impl ImageStore {
    /// Writes a layer's tar as it came in; wrong content is an error at the end.
    pub(crate) fn write_layer(&self, layer: &LayerRecord, out: &mut dyn Write) -> Result<()> {
        let inner = &self.inner;
        let mut checked = Checked { out, hasher: Sha256::new() };
        match &layer.tar {
            TarForm::Split { .. } => {
                let (split, side) = (inner.split_path(layer.number), inner.side_dir(layer.number));
                split::join(&split, &inner.layer_dir(layer.number), &side, &mut checked)?;
            }
            TarForm::Blob { digest, size, .. } => {
                let path = inner.blob_path(digest);
                let mut file = std::fs::File::open(&path).map_err(Error::io("open", &path))?;
                split::copy(&mut file, *size, &mut vec![0; 256 * 1024], &path, &mut checked)?;
            }
        }
        let digest = layer.tar.descriptor(layer.diff_id).0;
        if Digest::from_hasher(checked.hasher) != digest {
            return Err(Error::DamagedContent(digest));
        }
        Ok(())
    }
}

struct Checked<'a> {
    out: &'a mut dyn Write,
    hasher: Sha256,
}

impl Write for Checked<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let n = self.out.write(data)?;
        self.hasher.update(&data[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests;
