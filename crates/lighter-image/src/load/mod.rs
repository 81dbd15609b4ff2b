//! `docker load`: archives of every age, in one pass.
//!
//! The files of an archive come in any order, and the list of what they are often comes last. So every file that looks
//! like a layer is unpacked into the stage as it passes, and small JSON is kept; what the layers belong to is settled at
//! the end, and what nothing names is dropped with the stage.

mod docker;
mod legacy;
pub(crate) mod oci;
mod scan;

use std::io::Read;

use serde::Deserialize;

use crate::config::ImageConfig;
use crate::digest::{Digest, ImageId};
use crate::error::{ArchiveError, Error, Result};
use crate::import::Platform;
use crate::reference::Reference;
use crate::stage::NewImage;
use crate::store::ImageStore;

pub use oci::{Descriptor, Manifest};

/// What happens while an archive is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadEvent<'a> {
    /// A layer is being unpacked.
    Layer {
        /// Short id, or its name in the archive.
        id: &'a str,
        /// Bytes read.
        current: u64,
        /// Bytes of it in the archive.
        total: u64,
    },
    /// A line for the user, with its newline.
    Note(&'a str),
}

/// An image that an archive held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedImage {
    /// Its id.
    pub id: ImageId,
    /// The names it got, familiar; empty when the archive gave it none.
    pub names: Vec<String>,
}

impl ImageStore {
    /// Loads all images of an archive: Docker's of any version or an OCI layout; plain, gzip or zstd.
    /// All images come to exist together or none does.
    ///
    /// # Errors
    /// A damaged, hostile or unknown archive, a failing reader, a full disk; nothing is left then.
    pub fn load(&self, reader: impl Read, progress: &mut dyn FnMut(LoadEvent<'_>)) -> Result<Vec<LoadedImage>> {
        self.load_for(reader, &[], progress)
    }

    /// As [`ImageStore::load`]: of images for several platforms only these.
    ///
    /// # Errors
    /// As there; when an image is not for such a platform.
    pub fn load_for(
        &self,
        reader: impl Read,
        platforms: &[Platform],
        progress: &mut dyn FnMut(LoadEvent<'_>),
    ) -> Result<Vec<LoadedImage>> {
        let stage = self.stage()?;
        let files = scan::scan(reader, &stage, self.inner.options.limits.metadata_bytes, progress)?;
        let images = if files.has("manifest.json") {
            docker::images(&files, platforms)?
        } else if files.has("index.json") {
            oci::images(&files, platforms)?
        } else if files.has("repositories") || files.names().any(|name| name.ends_with("/json")) {
            let images = legacy::images(&files)?;
            images.iter().try_for_each(|image| check_platform(image, platforms))?;
            images
        } else {
            return Err(ArchiveError::NotAnImage.into());
        };
        self.note_renames(&images, progress);
        let names: Vec<Option<Vec<String>>> = images.iter().map(|image| told_names(image, &images)).collect();
        let ids = stage.commit(images)?;
        Ok(ids.into_iter().zip(names).filter_map(|(id, names)| Some(LoadedImage { id, names: names? })).collect())
    }

    fn note_renames(&self, images: &[NewImage], progress: &mut dyn FnMut(LoadEvent<'_>)) {
        let state = self.state();
        for image in images {
            let id = Digest::of(&image.config);
            for name in &image.names {
                if let Some(old) = state.names.get(name).filter(|old| **old != id) {
                    let name = name.familiar();
                    progress(LoadEvent::Note(&format!(
                        "The image {name} already exists, renaming the old one with ID {old} to empty string\n"
                    )));
                }
            }
        }
    }
}

/// The names by which an image is told of; none for one that comes along with another of its index.
fn told_names(image: &NewImage, all: &[NewImage]) -> Option<Vec<String>> {
    let bytes = |image: &NewImage| image.index.as_ref().map(|index| Digest::of(&index.bytes));
    let leads = |other: &&NewImage| !other.names.is_empty() && bytes(other) == bytes(image);
    if image.names.is_empty() && image.index.is_some() && all.iter().find(leads).is_some() {
        return None;
    }
    Some(image.names.iter().map(Reference::familiar).collect())
}

/// Whether an image that stands for itself is for all of these platforms.
fn check_platform(image: &NewImage, platforms: &[Platform]) -> Result<(), ArchiveError> {
    let config: ImageConfig = parse("image configuration", &image.config)?;
    let is = crate::index::platform_of(&config);
    match platforms.iter().find(|platform| !is.fits(platform)) {
        Some(other) => Err(ArchiveError::Platform(other.to_string())),
        None => Ok(()),
    }
}

/// Parses a metadata file.
fn parse<'a, T: Deserialize<'a>>(file: &str, data: &'a [u8]) -> Result<T, ArchiveError> {
    serde_json::from_slice(data).map_err(|error| ArchiveError::BadJson { file: file.to_owned(), reason: error.to_string() })
}

/// Checks a configuration against the layers that the archive gives it, bottom first.
fn check_config(file: &str, config: &[u8], layers: &[Digest]) -> Result<ImageConfig, ArchiveError> {
    let config: ImageConfig = parse(file, config)?;
    if !config.os.is_empty() && config.os != "linux" {
        return Err(ArchiveError::Os(config.os));
    }
    let expected = &config.rootfs.diff_ids;
    if expected.len() != layers.len() {
        return Err(ArchiveError::LayerCount { expected: expected.len(), actual: layers.len() });
    }
    for (index, (&expected, &actual)) in expected.iter().zip(layers).enumerate() {
        if expected != actual {
            return Err(ArchiveError::DiffId { index, expected, actual });
        }
    }
    Ok(config)
}

/// A name in an archive: with a tag, without a digest.
fn parse_name(text: &str) -> Result<Reference> {
    let name = Reference::parse(text)?;
    if name.tag().is_none() || name.digest().is_some() {
        return Err(Error::InvalidTag(text.to_owned()));
    }
    Ok(name)
}

#[cfg(test)]
mod tests;
