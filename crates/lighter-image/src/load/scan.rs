//! The one pass over an archive.

use std::collections::HashMap;
use std::io::{self, BufRead, Read};

use super::LoadEvent;
use crate::codec::{CallerInput, Compression};
use crate::digest::Digest;
use crate::error::{ArchiveError, Error, Result};
use crate::resolve::components;
use crate::stage::Stage;
use crate::tarball::{BLOCK, Buffered, EntryKind, Source, TarReader, from_io, looks_like_header};

/// All metadata of one archive together.
const MAX_METADATA: usize = 64 << 20;
/// Files of one archive (their names are kept in memory) and layers in it.
const MAX_FILES: usize = 100_000;
const MAX_LAYERS: usize = 10_000;
const PROGRESS_STEP: u64 = 512 * 1024;
const BLOBS: &str = "blobs/sha256/";

/// What a file of an archive turned out to be.
#[derive(Debug)]
pub(super) enum Found {
    Metadata(Vec<u8>),
    /// An unpacked layer, in the stage or in the store, by diff id.
    Layer(Digest),
    /// Looked like a layer and was none that can be used.
    BadLayer(ArchiveError),
    /// None of ours, or too large to be metadata.
    Unknown,
}

/// The files of an archive by their names, cleaned.
#[derive(Debug, Default)]
pub(super) struct Files {
    found: HashMap<String, Found>,
    /// Symbolic and hard links: name to name, both from the archive's root.
    links: HashMap<String, String>,
    metadata: usize,
    layers: usize,
}

impl Files {
    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.found.keys().map(String::as_str)
    }

    pub(super) fn metadata(&self, name: &str) -> Result<&[u8], ArchiveError> {
        match self.get(name) {
            Some(Found::Metadata(data)) => Ok(data),
            Some(_) => Err(ArchiveError::BadJson { file: name.to_owned(), reason: "not JSON, or too large".to_owned() }),
            None => Err(ArchiveError::Missing(name.to_owned())),
        }
    }

    /// A blob of an OCI layout, checked.
    pub(super) fn blob(&self, digest: &Digest) -> Result<&[u8], ArchiveError> {
        let data = self.metadata(&format!("{BLOBS}{}", digest.hex()))?;
        match Digest::of(data) {
            actual if actual == *digest => Ok(data),
            actual => Err(ArchiveError::BlobDigest { expected: *digest, actual }),
        }
    }

    /// The diff id of a layer.
    pub(super) fn layer(&self, name: &str) -> Result<Digest, ArchiveError> {
        match self.get(name) {
            Some(Found::Layer(diff_id)) => Ok(*diff_id),
            Some(Found::BadLayer(error)) => Err(error.clone()),
            Some(_) => Err(ArchiveError::BadHeader),
            None => Err(ArchiveError::Missing(name.to_owned())),
        }
    }

    pub(super) fn layer_blob(&self, digest: &Digest) -> Result<Digest, ArchiveError> {
        self.layer(&format!("{BLOBS}{}", digest.hex()))
    }

    /// All metadata that is a blob of an OCI layout.
    pub(super) fn blobs(&self) -> impl Iterator<Item = &[u8]> {
        self.found.iter().filter(|(name, _)| name.starts_with(BLOBS)).filter_map(|(_, found)| match found {
            Found::Metadata(data) => Some(&data[..]),
            _ => None,
        })
    }

    fn get(&self, name: &str) -> Option<&Found> {
        let parts = components(name.as_bytes()).ok()?;
        let mut name = String::from_utf8(parts.join(&b'/')).ok()?;
        // Old docker saves link equal layers to each other; a chain of links is short or a loop.
        for _ in 0..16 {
            if let Some(found) = self.found.get(&name) {
                return Some(found);
            }
            name.clone_from(self.links.get(&name)?);
        }
        None
    }

    fn insert(&mut self, name: String, found: Found) -> Result<(), ArchiveError> {
        if self.found.len() + self.links.len() >= MAX_FILES {
            return Err(ArchiveError::TooLarge { what: "files", limit: MAX_FILES as u64 });
        }
        self.links.remove(&name);
        self.found.insert(name, found);
        Ok(())
    }
}

/// Reads the whole archive: layers go to the stage, the rest comes back.
pub(super) fn scan(
    reader: impl Read,
    stage: &Stage,
    metadata_limit: u64,
    progress: &mut dyn FnMut(LoadEvent<'_>),
) -> Result<Files> {
    let mut raw = Buffered::new(CallerInput(reader));
    let compression = Compression::detect(raw.peek(8).map_err(from_io)?)?;
    let mut source: Box<dyn Source + '_> = match compression {
        Compression::None => Box::new(raw),
        _ => Box::new(Buffered::new(compression.decoder(raw)?)),
    };
    if !looks_like_header(source.peek(BLOCK).map_err(from_io)?) {
        return Err(ArchiveError::NotAnImage.into());
    }
    let mut tar = TarReader::new(source);
    let mut scan = Scan { stage, metadata_limit, progress, files: Files::default() };
    while let Some(entry) = tar.next()? {
        stage.take_entry()?;
        let parts = components(&entry.path)?;
        let Ok(name) = String::from_utf8(parts.join(&b'/')) else { continue };
        let link = match entry.kind {
            EntryKind::File => {
                scan.file(&mut tar, name, entry.stored)?;
                continue;
            }
            EntryKind::Symlink if !entry.link.starts_with(b"/") => {
                let dir = name.rfind('/').map_or("", |end| &name[..end]);
                [dir.as_bytes(), b"/", &entry.link].concat()
            }
            EntryKind::Symlink | EntryKind::HardLink => entry.link,
            _ => continue,
        };
        // A link out of the archive leads nowhere.
        let Ok(target) = components(&link) else { continue };
        if let Ok(target) = String::from_utf8(target.join(&b'/')) {
            if scan.files.found.len() + scan.files.links.len() >= MAX_FILES {
                return Err(ArchiveError::TooLarge { what: "files", limit: MAX_FILES as u64 }.into());
            }
            scan.files.found.remove(&name);
            scan.files.links.insert(name, target);
        }
    }
    // The end of a compressed stream holds its checksum.
    tar.drain()?;
    Ok(scan.files)
}

struct Scan<'a> {
    stage: &'a Stage,
    metadata_limit: u64,
    progress: &'a mut dyn FnMut(LoadEvent<'_>),
    files: Files,
}

impl Scan<'_> {
    fn file<S: Source>(&mut self, tar: &mut TarReader<S>, name: String, size: u64) -> Result<()> {
        let mut payload = tar.payload_reader();
        let start = payload.peek(BLOCK).map_err(from_io)?;
        let compressed = !matches!(Compression::detect(start), Ok(Compression::None));
        if compressed || looks_like_header(start) {
            let found = self.layer(&mut payload, &name, size)?;
            return Ok(self.files.insert(name, found)?);
        }
        let known = matches!(name.as_str(), "repositories" | "oci-layout") || name.ends_with("VERSION");
        let json = known || name.ends_with("json") || matches!(start.trim_ascii_start().first(), Some(b'{' | b'['));
        let fits = size <= self.metadata_limit && self.files.metadata as u64 + size <= MAX_METADATA as u64;
        if !json || !fits {
            return Ok(self.files.insert(name, Found::Unknown)?);
        }
        let mut data = Vec::new();
        payload.read_to_end(&mut data).map_err(from_io)?;
        self.files.metadata += data.len();
        Ok(self.files.insert(name, Found::Metadata(data))?)
    }

    fn layer(&mut self, payload: &mut dyn Source, name: &str, size: u64) -> Result<Found> {
        self.files.layers += 1;
        if self.files.layers > MAX_LAYERS {
            return Err(ArchiveError::TooLarge { what: "layers", limit: MAX_LAYERS as u64 }.into());
        }
        let blob = name.strip_prefix(BLOBS).and_then(|hex| format!("sha256:{hex}").parse::<Digest>().ok());
        if let Some(diff_id) = blob.and_then(|blob| self.stage.use_stored_blob(&blob)) {
            return Ok(Found::Layer(diff_id));
        }
        let id = layer_label(name);
        let mut source = Watched { inner: payload, id: &id, current: 0, shown: 0, total: size, progress: self.progress };
        let layer = match self.stage.unpack_layer(&mut source) {
            Ok(layer) => layer,
            // Whether this matters shows when something names it.
            Err(Error::Archive(error)) if !matches!(error, ArchiveError::TooLarge { .. }) => {
                return Ok(Found::BadLayer(error));
            }
            Err(error) => return Err(error),
        };
        source.show(true);
        let actual = layer.tar.descriptor(layer.diff_id).0;
        match blob {
            Some(expected) if expected != actual => Ok(Found::BadLayer(ArchiveError::BlobDigest { expected, actual })),
            _ => Ok(Found::Layer(self.stage.keep(layer))),
        }
    }
}

/// The 12 hex digits that clients show, if the name has them.
fn layer_label(name: &str) -> String {
    let mut parts = name.split(['/', '.']);
    match parts.find(|part| part.len() == 64 && part.bytes().all(|b| b.is_ascii_hexdigit())) {
        Some(hex) => hex[..12].to_owned(),
        None => name.chars().take(64).collect(),
    }
}

/// Tells how much has been read.
struct Watched<'a, 'b> {
    inner: &'a mut dyn Source,
    id: &'a str,
    current: u64,
    shown: u64,
    total: u64,
    progress: &'a mut (dyn FnMut(LoadEvent<'_>) + 'b),
}

impl Watched<'_, '_> {
    fn show(&mut self, always: bool) {
        if always || self.current >= self.shown + PROGRESS_STEP {
            self.shown = self.current;
            (self.progress)(LoadEvent::Layer { id: self.id, current: self.current, total: self.total });
        }
    }
}

impl Read for Watched<'_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let n = available.len().min(out.len());
        out[..n].copy_from_slice(&available[..n]);
        self.consume(n);
        Ok(n)
    }
}

impl BufRead for Watched<'_, '_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        self.inner.consume(n);
        self.current += n as u64;
        self.show(false);
    }
}

impl Source for Watched<'_, '_> {
    fn peek(&mut self, n: usize) -> io::Result<&[u8]> {
        self.inner.peek(n)
    }
}
