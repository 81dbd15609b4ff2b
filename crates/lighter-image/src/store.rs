//! The store itself: opening, looking up, committing changes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use rustix::fs::Mode;
use time::OffsetDateTime;

use crate::config::ImageConfig;
use crate::digest::{Digest, ImageId};
use crate::error::{Error, Result};
use crate::import::Platform;
use crate::reference::{Reference, is_full_hex_id};
use crate::state::{ImageRecord, LayerRecord, Loaded, RootAttrs, State};
use crate::trash::Trash;

mod commit;
mod open;

/// Overlay stacks deeper than this are refused, as dockerd does.
pub(crate) const MAX_LAYERS: usize = 127;

/// When the contents of new layers are on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Soon after the image exists: `syncfs` runs behind it. Should power fail in between, the next open finds the layer
    /// marked as unsynced in an earlier boot and drops its images: the image or nothing, and no load waits for the disk.
    #[default]
    Behind,
    /// Before the image exists.
    Before,
}

/// Bounds on what one archive may bring.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of unpacked files, all layers together.
    pub unpacked_bytes: u64,
    /// Entries of the archive and of all its layers.
    pub entries: u64,
    /// Bytes of one manifest, index or configuration.
    pub metadata_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { unpacked_bytes: 256 << 30, entries: 8_000_000, metadata_bytes: 4 << 20 }
    }
}

/// How to open a store.
#[derive(Debug, Clone, Copy, Default)]
pub struct StoreOptions {
    /// See [`Durability`].
    pub durability: Durability,
    /// See [`Limits`].
    pub limits: Limits,
}

/// The local images. Cheap to clone; all clones are one store. One process at a time may have a root open.
#[derive(Debug, Clone)]
pub struct ImageStore {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) root: PathBuf,
    pub(crate) options: StoreOptions,
    state: RwLock<Arc<State>>,
    /// Held while a change is made; readers do not need it.
    commit: Mutex<()>,
    /// Layers that a load or pull under way counts on.
    pub(crate) pins: Mutex<HashMap<Digest, usize>>,
    pub(crate) trash: Trash,
    pub(crate) next_stage: AtomicU64,
    syncing: AtomicBool,
    sync_thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    boot_id: String,
}

/// One image as it was when asked for.
#[derive(Debug, Clone)]
pub struct Image {
    /// Digest of the configuration.
    pub id: ImageId,
    /// Familiar `name:tag`s, in the order of their full names.
    pub repo_tags: Vec<String>,
    /// Familiar `name@digest`s, likewise.
    pub repo_digests: Vec<String>,
    /// The configuration, parsed.
    pub config: Arc<ImageConfig>,
    /// The configuration as stored.
    pub raw_config: Arc<[u8]>,
    /// Bytes of the files in its layers.
    pub size: u64,
    /// When it was made, as its configuration says.
    pub created: Option<OffsetDateTime>,
    /// When it last got a name here.
    pub last_tagged: Option<OffsetDateTime>,
    /// The image it was made from on this machine.
    pub parent: Option<ImageId>,
    /// Digest of the manifest it came with, if kept.
    pub manifest: Option<Digest>,
    /// The index that one of its names came with.
    pub index: Option<Digest>,
    /// Without a name of its own, and kept for an index that has one.
    pub companion: bool,
}

impl Image {
    pub(crate) fn assemble(
        record: &ImageRecord,
        config: &Loaded,
        names: &[&Reference],
        layers: &HashMap<Digest, LayerRecord>,
    ) -> Self {
        let familiar = |digests: bool| {
            let names = names.iter().filter(move |name| name.digest().is_some() == digests);
            names.map(|name| name.familiar()).collect()
        };
        let diff_ids = &config.parsed.rootfs.diff_ids;
        Self {
            id: record.id,
            repo_tags: familiar(false),
            repo_digests: familiar(true),
            config: Arc::clone(&config.parsed),
            raw_config: Arc::clone(&config.raw),
            size: diff_ids.iter().filter_map(|id| layers.get(id)).map(|layer| layer.size).sum(),
            created: config.parsed.created.as_deref().and_then(parse_time),
            last_tagged: record.last_tagged,
            parent: record.parent,
            manifest: record.manifest,
            index: None,
            companion: false,
        }
    }

    /// Diff ids, bottom first.
    pub fn layers(&self) -> &[Digest] {
        &self.config.rootfs.diff_ids
    }

    /// What it runs on; what its configuration does not say is this machine's.
    pub fn platform(&self) -> Platform {
        crate::index::platform_of(&self.config)
    }

    /// Whether it has no tag.
    pub fn is_dangling(&self) -> bool {
        self.repo_tags.is_empty()
    }
}

pub(crate) fn parse_time(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok()
}

/// The layers of an image as overlayfs wants them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerStack {
    /// Topmost first, none twice, at most 127. Mount with `fsconfig` and `lowerdir+`, one at a time; for `mount(2)` change
    /// to [`ImageStore::layers_root`] and use the last parts only, which fit a page.
    pub dirs: Vec<PathBuf>,
    /// What the root directory shall be: that of the upper directory counts for overlayfs.
    pub root: RootAttrs,
}

impl ImageStore {
    /// Opens or makes the store below `root`, and removes what a crash left half-made.
    ///
    /// # Errors
    /// When the directory or the state in it cannot be used.
    pub fn open(root: &Path) -> Result<Self> {
        Self::open_with(root, StoreOptions::default())
    }

    /// As [`ImageStore::open`], with options.
    ///
    /// # Errors
    /// As [`ImageStore::open`].
    pub fn open_with(root: &Path, options: StoreOptions) -> Result<Self> {
        Inner::open(root, options).map(|inner| Self { inner: Arc::new(inner) }).inspect(Self::sync_behind)
    }

    /// Finds an image by full id, `name[:tag]`, `name@digest`, or the beginning of an id, in this order. Memory only.
    ///
    /// # Errors
    /// [`Error::NoSuchImage`], [`Error::AmbiguousId`], or a malformed reference.
    pub fn get(&self, reference: &str) -> Result<Arc<Image>> {
        let state = self.state();
        let id = find(&state, reference)?;
        state.view.get(&id).cloned().ok_or_else(|| Error::NoSuchImage(reference.to_owned()))
    }

    /// The image of that id. Memory only.
    pub fn get_by_id(&self, id: &ImageId) -> Option<Arc<Image>> {
        self.state().view.get(id).cloned()
    }

    /// All images but companions, newest first. Memory only.
    pub fn list(&self) -> Vec<Arc<Image>> {
        let mut images = self.list_all();
        images.retain(|image| !image.companion);
        images
    }

    /// All images, newest first. Memory only.
    pub fn list_all(&self) -> Vec<Arc<Image>> {
        let mut images: Vec<_> = self.state().view.values().cloned().collect();
        images.sort_by(|a, b| b.created.cmp(&a.created).then(a.id.cmp(&b.id)));
        images
    }

    /// Where the layers of an image are. Works for images removed by force under a stopped container too. Memory only.
    ///
    /// # Errors
    /// [`Error::NoSuchImage`].
    pub fn layer_stack(&self, id: &ImageId) -> Result<LayerStack> {
        let state = self.state();
        let config = state.configs.get(id).ok_or_else(|| Error::NoSuchImage(id.to_string()))?;
        let mut seen = std::collections::HashSet::new();
        let (mut dirs, mut root) = (Vec::new(), None);
        // A layer that occurs twice counts where it is topmost: it hides all of itself further down.
        for diff_id in config.parsed.rootfs.diff_ids.iter().rev().filter(|diff_id| seen.insert(**diff_id)) {
            let layer = state.layers.get(diff_id).ok_or(Error::MissingLayer { image: *id, layer: *diff_id })?;
            dirs.push(self.inner.layer_dir(layer.number));
            root = root.or(layer.root);
        }
        Ok(LayerStack { dirs, root: root.unwrap_or_default() })
    }

    /// The directories of [`ImageStore::layer_stack`].
    ///
    /// # Errors
    /// As there.
    pub fn layer_dirs(&self, id: &ImageId) -> Result<Vec<PathBuf>> {
        self.layer_stack(id).map(|stack| stack.dirs)
    }

    /// The directory that holds all layer directories.
    pub fn layers_root(&self) -> PathBuf {
        self.inner.root.join("layers")
    }

    /// Gives an image another name; one that some image has moves. An empty tag means `latest`.
    ///
    /// # Errors
    /// No such image, or a malformed name.
    pub fn tag(&self, source: &str, repo: &str, tag: &str) -> Result<ImageId> {
        let name = Reference::from_repo_and_tag(repo, tag)?;
        if name.digest().is_some() {
            return Err(Error::TagWithDigest);
        }
        self.inner.change(|state| {
            let id = find(state, source)?;
            match crate::index::of(state, source, &id) {
                Some(index) => state.indexed.insert(name.clone(), index),
                None => state.indexed.remove(&name),
            };
            state.names.insert(name, id);
            touch(state, id);
            Ok(id)
        })
    }

    /// Where the bytes of a blob are gathered until they are all there. What a broken download left is found here again,
    /// even after a crash; [`Stage::add_gathered`](crate::Stage::add_gathered) takes it in the end.
    pub fn partial_path(&self, blob: &Digest) -> PathBuf {
        self.inner.root.join("partial").join(blob.hex())
    }

    /// The manifest that an image came with, if it was kept. Reads a small file.
    ///
    /// # Errors
    /// A failing disk.
    pub fn manifest(&self, image: &Image) -> Result<Option<Vec<u8>>> {
        let Some(digest) = image.manifest else { return Ok(None) };
        let path = self.inner.blob_path(&digest);
        std::fs::read(&path).map(Some).map_err(Error::io("read", &path))
    }

    pub(crate) fn state(&self) -> Arc<State> {
        Arc::clone(&self.inner.state.read())
    }

    /// Waits until all layers are on the disk and noted to be. For an orderly end; nothing depends on it.
    ///
    /// # Errors
    /// A failing disk.
    pub fn flush(&self) -> Result<()> {
        let thread = self.inner.sync_thread.lock().take();
        if let Some(thread) = thread {
            // A panic in it has been reported.
            let _ = thread.join();
        }
        if self.inner.has_unsynced() { self.inner.sync_and_note() } else { Ok(()) }
    }

    /// Puts everything on the disk in a thread and notes that.
    pub(crate) fn sync_behind(&self) {
        if !self.inner.has_unsynced() || self.inner.syncing.swap(true, Ordering::AcqRel) {
            return;
        }
        let inner = Arc::clone(&self.inner);
        match std::thread::Builder::new().name("image-sync".to_owned()).spawn(move || inner.sync_all()) {
            Ok(thread) => *self.inner.sync_thread.lock() = Some(thread),
            Err(error) => {
                self.inner.syncing.store(false, Ordering::Release);
                tracing::warn!(%error, "could not start a thread to sync the image store");
            }
        }
    }
}

/// Notes that an image got a name.
pub(crate) fn touch(state: &mut State, id: ImageId) {
    if let Some(record) = state.images.get_mut(&id) {
        record.last_tagged = Some(OffsetDateTime::now_utc());
        record.detached = false;
    }
}

/// Resolves as dockerd does.
pub(crate) fn find(state: &State, text: &str) -> Result<ImageId> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    if is_full_hex_id(digits) {
        let id: ImageId = format!("sha256:{digits}").parse()?;
        return state.view.contains_key(&id).then_some(id).ok_or_else(|| Error::NoSuchImage(id.to_string()));
    }
    let name = Reference::parse(text)?.with_default_tag();
    let missing = || Error::NoSuchImage(name.familiar());
    // With tag and digest both, the digest is what counts.
    let key = match name.digest() {
        Some(digest) => name.clone().with_digest_only(digest),
        None => name.clone(),
    };
    if let Some(id) = state.names.get(&key) {
        return Ok(*id);
    }
    if digits.is_empty() || !digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(missing());
    }
    let mut fitting = state.view.keys().filter(|id| id.hex().starts_with(digits));
    match (fitting.next(), fitting.next()) {
        (Some(id), None) => Ok(*id),
        (Some(_), Some(_)) => Err(Error::AmbiguousId(text.to_owned())),
        _ => Err(missing()),
    }
}

impl Inner {
    pub(crate) fn layer_dir(&self, number: u64) -> PathBuf {
        self.root.join("layers").join(number.to_string())
    }

    pub(crate) fn split_path(&self, number: u64) -> PathBuf {
        self.root.join("splits").join(number.to_string())
    }

    pub(crate) fn side_dir(&self, number: u64) -> PathBuf {
        self.root.join("splits").join(format!("{number}.replaced"))
    }

    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }

    pub(crate) fn boot_id(&self) -> Option<String> {
        (self.options.durability == Durability::Behind).then(|| self.boot_id.clone())
    }
}

fn make_dir(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(Error::io("create", path))?;
    // Set-user-id files of images must not be reachable for the machine's users.
    rustix::fs::chmod(path, Mode::from_raw_mode(0o700)).map_err(Error::io("set the mode of", path))
}

#[cfg(test)]
mod tests;
