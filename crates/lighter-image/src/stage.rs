//! A transaction on the store: layers are unpacked into a staging directory while they arrive, and nothing exists until
//! [`Stage::commit`] has renamed them into place and replaced the state. Dropping a stage leaves nothing.
//!
//! `load` and `import` work through this, and so does whoever brings layers from elsewhere (pull, commit, build);
//! several threads may add layers to one stage at a time. A pull keeps each layer in a stage of its own, which other
//! pulls of the same layer share, and commits them together ([`ImageStore::commit_from`]).

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::codec::{CallerInput, Compression};
use crate::digest::{Digest, ImageId};
use crate::error::{ArchiveError, Error, Result};
use crate::hashing::HashTap;
use crate::index::NewIndex;
use crate::reference::Reference;
use crate::split::SplitWriter;
use crate::state::{LayerRecord, RootAttrs, State, TarForm};
use crate::store::ImageStore;
use crate::tarball::{BLOCK, Buffered, Source, TarReader, from_io, looks_like_header};
use crate::trash::remove_tree;
use crate::unpack::{Budget, Unpacked, unpack};

mod commit;

pub(crate) use commit::manifest_fits;

/// An image to be made; its layers must be in the stage or in the store.
#[derive(Debug, Clone, Default)]
pub struct NewImage {
    /// The configuration's bytes; their digest is the id.
    pub config: Vec<u8>,
    /// Its names, tags or digests; those that other images have move.
    pub names: Vec<Reference>,
    /// The manifest it came with; kept if the layers are stored as it says.
    pub manifest: Option<Vec<u8>>,
    /// The index that its names came with, if they did, and that it is kept for if it has none.
    pub index: Option<NewIndex>,
    /// The image it was made from on this machine.
    pub parent: Option<ImageId>,
}

/// Layers on their way into the store.
#[derive(Debug)]
pub struct Stage {
    store: ImageStore,
    dir: PathBuf,
    next: AtomicU64,
    budget: Mutex<Budget>,
    layers: Mutex<HashMap<Digest, StagedLayer>>,
    pinned: Mutex<Vec<Digest>>,
}

#[derive(Debug, Clone)]
pub(crate) struct StagedLayer {
    /// Files are at `<n>.fs`, `<n>.split`, `<n>.replaced`, `<n>.blob`.
    number: u64,
    /// Where the bytes as received are instead, for a layer that was gathered.
    gathered: Option<PathBuf>,
    pub(crate) diff_id: Digest,
    size: u64,
    root: Option<RootAttrs>,
    pub(crate) tar: TarForm,
}

impl ImageStore {
    /// Begins a transaction.
    ///
    /// # Errors
    /// When the staging directory cannot be made.
    pub fn stage(&self) -> Result<Stage> {
        let number = self.inner.next_stage.fetch_add(1, Ordering::Relaxed);
        let dir = self.inner.root.join("tmp").join(number.to_string());
        std::fs::create_dir(&dir).map_err(Error::io("create", &dir))?;
        let limits = self.inner.options.limits;
        Ok(Stage {
            store: self.clone(),
            dir,
            next: AtomicU64::new(0),
            budget: Mutex::new(Budget::new(limits.unpacked_bytes, limits.entries)),
            layers: Mutex::default(),
            pinned: Mutex::default(),
        })
    }
}

impl Stage {
    /// Unpacks a layer (plain, gzip or zstd) while it is read, and gives its diff id. When `blob` is given, the bytes read
    /// must have that digest.
    ///
    /// # Errors
    /// A damaged or hostile layer, a failing reader, a full disk. The stage stays usable.
    pub fn add_layer(&self, reader: impl Read, blob: Option<Digest>) -> Result<Digest> {
        let mut source = Buffered::new(CallerInput(reader));
        let layer = self.unpack_layer(&mut source)?;
        let actual = layer.tar.descriptor(layer.diff_id).0;
        match blob {
            Some(expected) if expected != actual => Err(ArchiveError::BlobDigest { expected, actual }.into()),
            _ => Ok(self.keep(layer)),
        }
    }

    /// As [`Stage::add_layer`] for a blob whose bytes are being written to [`ImageStore::partial_path`] by the caller, who
    /// also checks their digest: `reader` gives them and must end with an error if they are not what `blob` says. The file
    /// becomes the store's at the commit.
    ///
    /// # Errors
    /// As there.
    pub fn add_gathered(&self, reader: impl Read, blob: Digest, size: u64) -> Result<Digest> {
        let mut source = Buffered::new(CallerInput(reader));
        let path = self.store.partial_path(&blob);
        self.unpack_into(&mut source, Some((blob, size, path))).map(|layer| self.keep(layer))
    }

    /// The diff id of the layer that the store has under this blob digest; if there is one, it stays until this stage ends.
    pub fn use_stored_blob(&self, blob: &Digest) -> Option<Digest> {
        let mut pins = self.store.inner.pins.lock();
        let state = self.store.state();
        let layer = state.layers.values().find(|layer| layer.tar.descriptor(layer.diff_id).0 == *blob)?;
        *pins.entry(layer.diff_id).or_default() += 1;
        self.pinned.lock().push(layer.diff_id);
        Some(layer.diff_id)
    }

    /// As [`Stage::use_stored_blob`], by diff id.
    pub fn use_stored_layer(&self, diff_id: &Digest) -> bool {
        let mut pins = self.store.inner.pins.lock();
        if !self.store.state().layers.contains_key(diff_id) {
            return false;
        }
        *pins.entry(*diff_id).or_default() += 1;
        self.pinned.lock().push(*diff_id);
        true
    }

    pub(crate) fn keep(&self, layer: StagedLayer) -> Digest {
        let diff_id = layer.diff_id;
        self.layers.lock().entry(diff_id).or_insert(layer);
        diff_id
    }

    fn find(&self, diff_id: &Digest) -> Option<StagedLayer> {
        self.layers.lock().get(diff_id).cloned()
    }

    pub(crate) fn take_entry(&self) -> Result<(), ArchiveError> {
        self.budget.lock().take_entry()
    }

    /// Makes the images exist, all or none, and ends the stage.
    ///
    /// # Errors
    /// A configuration that does not parse, a layer that is nowhere, a full disk.
    pub fn commit(self, images: Vec<NewImage>) -> Result<Vec<ImageId>> {
        let store = self.store.clone();
        let result = store.commit_stages(&[&self], images);
        drop(self);
        store.sync_behind();
        result
    }

    /// Renames a layer's files to where they stay, and holds the layer there until this stage ends: others may share it.
    fn move_in(&self, layer: &StagedLayer, state: &mut State, moved: &mut Vec<PathBuf>) -> Result<LayerRecord> {
        let inner = &self.store.inner;
        let number = state.next_layer;
        state.next_layer += 1;
        let mut rename = |from: PathBuf, to: PathBuf| {
            std::fs::rename(&from, &to).map_err(Error::io("rename", &from))?;
            moved.push(to);
            Ok::<(), Error>(())
        };
        match &layer.tar {
            TarForm::Split { .. } => {
                if let Some(gathered) = &layer.gathered {
                    // Its content is in the files now. What stays behind would be used by the next pull.
                    let _ = std::fs::remove_file(gathered);
                }
                rename(self.path(layer.number, "split"), inner.split_path(number))?;
                let side = self.path(layer.number, "replaced");
                if side.exists() {
                    rename(side, inner.side_dir(number))?;
                }
            }
            TarForm::Blob { digest, .. } => {
                let own = || self.path(layer.number, "blob");
                rename(layer.gathered.clone().unwrap_or_else(own), inner.blob_path(digest))?;
            }
        }
        rename(self.path(layer.number, "fs"), inner.layer_dir(number))?;
        *inner.pins.lock().entry(layer.diff_id).or_default() += 1;
        self.pinned.lock().push(layer.diff_id);
        Ok(LayerRecord {
            diff_id: layer.diff_id,
            number,
            size: layer.size,
            root: layer.root,
            tar: layer.tar.clone(),
            unsynced: inner.boot_id(),
        })
    }

    fn path(&self, number: u64, what: &str) -> PathBuf {
        self.dir.join(format!("{number}.{what}"))
    }

    /// Unpacks, hashes and keeps one layer in one pass over `source`.
    pub(crate) fn unpack_layer(&self, source: &mut dyn Source) -> Result<StagedLayer> {
        self.unpack_into(source, None)
    }

    fn unpack_into(&self, mut source: &mut dyn Source, gathered: Option<(Digest, u64, PathBuf)>) -> Result<StagedLayer> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let compression = Compression::detect(source.peek(8).map_err(from_io)?)?;
        let (diff_id, unpacked, tar) = match compression {
            Compression::None => {
                let split = SplitWriter::create(&self.path(number, "split"))?;
                let (diff_id, size, unpacked) = self.unpack_plain(source, number, Some(split))?;
                (diff_id, unpacked, TarForm::Split { size })
            }
            _ if let Some((digest, size, _)) = &gathered => {
                let decoder = Buffered::new(compression.decoder(&mut source)?);
                let (diff_id, _, unpacked) = self.unpack_plain(decoder, number, None)?;
                // What follows the compressed data counts, too; and only the end tells whether the digest was right.
                io::copy(&mut source, &mut io::sink()).map_err(from_io)?;
                (diff_id, unpacked, TarForm::Blob { digest: *digest, size: *size, compression })
            }
            _ => {
                let mut compressed = HashTap::new(source, Some(&self.path(number, "blob")))?;
                let decoder = Buffered::new(compression.decoder(&mut compressed)?);
                let (diff_id, _, unpacked) = self.unpack_plain(decoder, number, None)?;
                compressed.drain().map_err(from_io)?;
                let (digest, size) = compressed.finish()?;
                (diff_id, unpacked, TarForm::Blob { digest, size, compression })
            }
        };
        let gathered = gathered.map(|(_, _, path)| path);
        Ok(StagedLayer { number, gathered, diff_id, size: unpacked.size, root: unpacked.root, tar })
    }

    fn unpack_plain(&self, mut source: impl Source, number: u64, split: Option<SplitWriter>) -> Result<(Digest, u64, Unpacked)> {
        let start = source.peek(BLOCK).map_err(from_io)?;
        if !start.is_empty() && !looks_like_header(start) {
            let short = start.len() < BLOCK;
            return Err(if short { ArchiveError::Truncated } else { ArchiveError::BadHeader }.into());
        }
        let root = self.path(number, "fs");
        std::fs::create_dir(&root).map_err(Error::io("create", &root))?;
        rustix::fs::chmod(&root, rustix::fs::Mode::from_raw_mode(0o755)).map_err(Error::io("set the mode of", &root))?;
        let mut tar = TarReader::new(HashTap::new(source, None)?);
        tar.split = split;
        // Taken as a whole while unpacking: layers that are unpacked at the same time each may use what was left.
        let before = *self.budget.lock();
        let mut budget = before;
        let result = unpack(&mut tar, &root, &self.path(number, "replaced"), &mut budget);
        self.settle(before, budget);
        let unpacked = result?;
        tar.drain()?;
        let (tap, split) = tar.into_parts();
        split.map(SplitWriter::finish).transpose()?;
        let (digest, size) = tap.finish()?;
        Ok((digest, size, unpacked))
    }

    fn settle(&self, before: Budget, after: Budget) {
        let mut budget = self.budget.lock();
        budget.bytes = budget.bytes.saturating_sub(before.bytes - after.bytes);
        budget.entries = budget.entries.saturating_sub(before.entries - after.entries);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Err(error) = remove_tree(&self.dir, &self.store.inner.root.join("trash")) {
            tracing::warn!(path = %self.dir.display(), %error, "could not remove a staging directory");
        }
        let pinned = std::mem::take(&mut *self.pinned.lock());
        if pinned.is_empty() {
            return;
        }
        let inner = &self.store.inner;
        {
            let mut pins = inner.pins.lock();
            for diff_id in pinned {
                if let Some(count) = pins.get_mut(&diff_id) {
                    *count -= 1;
                    if *count == 0 {
                        pins.remove(&diff_id);
                    }
                }
            }
        }
        // An image removed meanwhile left its layers to us.
        let mut state = State::clone(&self.store.state());
        if !state.drop_unreferenced(|_| false).is_empty()
            && let Err(error) = inner.change(|_| Ok(()))
        {
            tracing::warn!(%error, "could not remove unused layers");
        }
    }
}
