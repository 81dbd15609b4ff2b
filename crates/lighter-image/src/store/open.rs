//! Opening: what the state names must be there, and what it does not name must go.

use std::collections::HashSet;
use std::path::Path;

use super::*;
use crate::state::TarForm;

impl Inner {
    pub(super) fn open(root: &Path, options: StoreOptions) -> Result<Self> {
        let root = root.to_owned();
        make_dir(&root)?;
        for part in ["blobs/sha256", "layers", "packed", "partial", "splits", "tmp"] {
            make_dir(&root.join(part))?;
        }
        let boot_file = Path::new("/proc/sys/kernel/random/boot_id");
        let boot_id = std::fs::read_to_string(boot_file).map_err(Error::io("read", boot_file))?.trim().to_owned();
        let trash = Trash::open(root.join("trash"))?;
        let inner = Self {
            state: RwLock::default(),
            commit: Mutex::new(()),
            pins: Mutex::default(),
            next_stage: AtomicU64::new(0),
            syncing: AtomicBool::new(false),
            sync_thread: Mutex::default(),
            root,
            options,
            trash,
            boot_id,
        };
        let mut state = State::read(&inner.root)?;
        let damaged = inner.load_configs(&mut state) | inner.drop_damaged(&mut state) | inner.load_indexes(&mut state);
        let dropped = state.drop_unreferenced(|_| false);
        state.refresh();
        if damaged || !dropped.is_empty() {
            state.write(&inner.root)?;
        }
        inner.remove_orphans(&state)?;
        *inner.state.write() = Arc::new(state);
        Ok(inner)
    }

    /// Reads and checks the configuration of each image; one without is dropped.
    fn load_configs(&self, state: &mut State) -> bool {
        let ids: Vec<_> = state.images.keys().copied().collect();
        let mut damaged = false;
        for id in ids {
            let raw = std::fs::read(self.blob_path(&id)).ok().filter(|raw| Digest::of(raw) == id);
            let parsed = raw.as_deref().and_then(|raw| serde_json::from_slice(raw).ok());
            if let (Some(raw), Some(parsed)) = (raw, parsed) {
                state.configs.insert(id, Loaded { parsed: Arc::new(parsed), raw: raw.into() });
            } else {
                tracing::warn!(image = %id, "dropping an image whose configuration is damaged");
                remove_image(state, id);
                damaged = true;
            }
        }
        damaged
    }

    /// Reads and checks each index. A name whose index is damaged keeps its image.
    fn load_indexes(&self, state: &mut State) -> bool {
        let before = state.indexes.len();
        state.indexes.retain(|digest, index| {
            let raw = std::fs::read(self.blob_path(digest)).ok().filter(|raw| Digest::of(raw) == *digest);
            raw.is_some_and(|raw| index.read(raw).is_ok())
        });
        state.indexes.len() != before
    }

    /// Drops images with a layer that is missing or that a power failure may have cut.
    fn drop_damaged(&self, state: &mut State) -> bool {
        let bad = |layer: &LayerRecord| {
            let cut = layer.unsynced.as_ref().is_some_and(|boot| *boot != self.boot_id);
            let tar = match &layer.tar {
                TarForm::Blob { digest, .. } => self.blob_path(digest),
                TarForm::Split { .. } => self.split_path(layer.number),
            };
            cut || !self.layer_dir(layer.number).is_dir() || !tar.is_file()
        };
        let gone: HashSet<_> = state.layers.extract_if(|_, layer| bad(layer)).map(|(diff_id, _)| diff_id).collect();
        let needs_gone =
            |config: &Loaded| config.parsed.rootfs.diff_ids.iter().any(|id| gone.contains(id) || !state.layers.contains_key(id));
        let lost: Vec<_> = state.configs.iter().filter(|(_, config)| needs_gone(config)).map(|(id, _)| *id).collect();
        for id in &lost {
            tracing::warn!(image = %id, "dropping an image whose layers are damaged");
            remove_image(state, *id);
        }
        !gone.is_empty() || !lost.is_empty()
    }

    fn remove_orphans(&self, state: &State) -> Result<()> {
        let numbers: HashSet<_> = state.layers.values().map(|layer| layer.number.to_string()).collect();
        let blobs: HashSet<_> = state.blobs().iter().map(Digest::hex).collect();
        self.sweep("tmp", |_| false)?;
        let diff_ids: HashSet<_> = state.layers.keys().map(Digest::hex).collect();
        self.sweep("packed", |name| diff_ids.contains(name))?;
        self.sweep("partial", |name| !is_old(&self.root.join("partial").join(name)))?;
        self.sweep("layers", |name| numbers.contains(name))?;
        self.sweep("splits", |name| numbers.contains(name.strip_suffix(".replaced").unwrap_or(name)))?;
        self.sweep("blobs/sha256", |name| blobs.contains(name))
    }

    fn sweep(&self, part: &str, keep: impl Fn(&str) -> bool) -> Result<()> {
        let dir = self.root.join(part);
        for entry in std::fs::read_dir(&dir).map_err(Error::io("read", &dir))?.flatten() {
            if !entry.file_name().to_str().is_some_and(&keep) {
                self.trash.take(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// Whether a broken download was left alone for so long that nobody will go on with it.
fn is_old(path: &Path) -> bool {
    const KEPT: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 3600);
    let changed = std::fs::metadata(path).and_then(|meta| meta.modified());
    changed.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > KEPT))
}

fn remove_image(state: &mut State, id: ImageId) {
    state.images.remove(&id);
    state.configs.remove(&id);
    state.names.retain(|_, of| *of != id);
}
