//! Changing the state, discarding what falls out of it, and getting it all onto the disk.

use std::collections::HashSet;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Inner;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::state::{Dropped, State};

impl Inner {
    /// Makes one change: on disk first, then visible. An error changes nothing.
    pub(crate) fn change<T>(&self, edit: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let _one_at_a_time = self.commit.lock();
        let mut next = State::clone(&self.state.read());
        let result = edit(&mut next)?;
        // Held until the new state is visible: whoever pins a layer must see whether it is still there.
        let pins = self.pins.lock();
        let dropped = next.drop_unreferenced(|layer| pins.contains_key(layer));
        next.refresh();
        next.write(&self.root)?;
        let blobs = (!dropped.is_empty()).then(|| &self.state.read().blobs() - &next.blobs());
        *self.state.write() = Arc::new(next);
        drop(pins);
        if let Some(blobs) = blobs {
            self.discard(&dropped, &blobs);
        }
        Ok(result)
    }

    /// Removes the files of what no image needs any more. Failing is not fatal: the next open does it again.
    fn discard(&self, dropped: &Dropped, blobs: &HashSet<Digest>) {
        for layer in &dropped.layers {
            let (layer_dir, side_dir) = (self.layer_dir(layer.number), self.side_dir(layer.number));
            for path in [layer_dir, self.split_path(layer.number), side_dir] {
                if let Err(error) = self.trash.take(&path) {
                    tracing::warn!(%error, "could not remove a layer");
                }
            }
            let _ = std::fs::remove_file(self.root.join("packed").join(layer.diff_id.hex()));
        }
        for digest in blobs {
            let _ = std::fs::remove_file(self.blob_path(digest));
        }
    }

    /// Puts the whole file system of the store on the disk.
    pub(crate) fn sync(&self) -> Result<()> {
        let dir = std::fs::File::open(&self.root).map_err(Error::io("open", &self.root))?;
        rustix::fs::syncfs(dir.as_fd()).map_err(Error::io("sync", &self.root))
    }

    pub(super) fn has_unsynced(&self) -> bool {
        self.state.read().layers.values().any(|layer| layer.unsynced.is_some())
    }

    /// Syncs until nothing is left; what is committed meanwhile found `syncing` set and relies on that.
    pub(super) fn sync_all(&self) {
        loop {
            let result = self.sync_and_note();
            self.syncing.store(false, Ordering::Release);
            if let Err(error) = result {
                tracing::warn!(%error, "could not sync the image store");
                return;
            }
            if !self.has_unsynced() || self.syncing.swap(true, Ordering::AcqRel) {
                return;
            }
        }
    }

    pub(super) fn sync_and_note(&self) -> Result<()> {
        let before = Arc::clone(&self.state.read());
        let unsynced = before.layers.values().filter(|layer| layer.unsynced.is_some());
        let written: Vec<_> = unsynced.map(|layer| (layer.diff_id, layer.number)).collect();
        self.sync()?;
        self.change(|state| {
            for (diff_id, number) in &written {
                if let Some(layer) = state.layers.get_mut(diff_id).filter(|layer| layer.number == *number) {
                    layer.unsynced = None;
                }
            }
            Ok(())
        })
    }
}
