//! Layers on their way out, one at a time: what a push gives to a registry.

use std::io::Write;
use std::path::PathBuf;

use crate::digest::Digest;
use crate::error::Result;
use crate::load::Descriptor;
use crate::state::{LayerRecord, TarForm, write_atomically};
use crate::store::ImageStore;

/// A layer of the store.
#[derive(Debug)]
pub struct StoredLayer {
    store: ImageStore,
    record: LayerRecord,
}

impl ImageStore {
    /// The layer of that diff id. Hold it in a [`Stage`](crate::Stage) while it is used. Memory only.
    pub fn stored_layer(&self, diff_id: &Digest) -> Option<StoredLayer> {
        let record = self.state().layers.get(diff_id).cloned()?;
        Some(StoredLayer { store: self.clone(), record })
    }
}

impl StoredLayer {
    /// Digest, size and OCI media type of what [`StoredLayer::write`] gives.
    pub fn descriptor(&self) -> Descriptor {
        let (digest, size, media_type) = self.record.tar.descriptor(self.record.diff_id);
        Descriptor::new(media_type, digest, size)
    }

    /// Whether it is kept compressed, as it came.
    pub fn is_packed(&self) -> bool {
        matches!(self.record.tar, TarForm::Blob { .. })
    }

    /// Writes the layer as it came in.
    ///
    /// # Errors
    /// Damaged content, a failing writer.
    pub fn write(&self, out: &mut dyn Write) -> Result<()> {
        self.store.write_layer(&self.record, out)
    }

    fn note(&self) -> PathBuf {
        self.store.inner.root.join("packed").join(self.record.diff_id.hex())
    }

    /// Digest and size that a plain layer had when it was compressed for a registry, as far as that is remembered.
    pub fn packed_as(&self) -> Option<(Digest, u64)> {
        let text = std::fs::read_to_string(self.note()).ok()?;
        let (digest, size) = text.split_once(' ')?;
        Some((digest.parse().ok()?, size.parse().ok()?))
    }

    /// Remembers that, so that the next push need not compress to find out whether the registry has it.
    ///
    /// # Errors
    /// A full disk.
    pub fn remember(&self, digest: Digest, size: u64) -> Result<()> {
        write_atomically(&self.note(), format!("{digest} {size}").as_bytes())
    }
}
