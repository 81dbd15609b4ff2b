//! OCI image layouts: `index.json`, nested indexes, one image of each for this machine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::scan::Files;
use super::{check_config, parse};
use crate::digest::{Digest, ImageId};
use crate::error::{ArchiveError, Error, Result};
use crate::import::Platform;
use crate::index::{Index, NewIndex, choose};
use crate::reference::Reference;
use crate::stage::NewImage;

const MAX_NESTING: usize = 4;
const MAX_IMAGES: usize = 1000;
pub(crate) const NAME: &str = "io.containerd.image.name";
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Points to a blob.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: Digest,
    #[serde(default)]
    pub size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

impl Descriptor {
    /// Without annotations.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        let media_type = media_type.to_owned();
        Self { media_type, digest, size, annotations: None, platform: None, artifact_type: None }
    }

    /// The image that an attestation is about.
    pub fn attests(&self) -> Option<Digest> {
        self.annotation("vnd.docker.reference.type").filter(|kind| *kind == "attestation-manifest")?;
        self.annotation("vnd.docker.reference.digest")?.parse().ok()
    }

    pub(crate) fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// Not an image: a build's attestation or another artifact.
    pub fn is_artifact(&self) -> bool {
        self.annotation("vnd.docker.reference.type").is_some()
            || self.artifact_type.is_some()
            || self.platform.as_ref().is_some_and(|platform| platform.os == "unknown")
    }
}

/// An image's manifest, OCI's or Docker's schema 2.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    #[serde(default)]
    pub schema_version: u32,
    #[serde(default)]
    pub media_type: String,
    pub config: Descriptor,
    #[serde(default)]
    pub layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Layout {
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
}

pub(super) fn images(files: &Files, platforms: &[Platform]) -> Result<Vec<NewImage>> {
    let top = top(files)?;
    if top.is_empty() {
        return Err(ArchiveError::NotAnImage.into());
    }
    let mut images: Vec<NewImage> = Vec::new();
    for descriptor in selected(&top)? {
        for new in members(files, descriptor, platforms)? {
            // One image under several names has one descriptor for each.
            match images.iter_mut().find(|image| image.config == new.config && image.index == new.index) {
                Some(known) => known.names.extend(new.names),
                None => images.push(new),
            }
        }
    }
    Ok(images)
}

/// Adds what the layout in a Docker archive says of indexes: the images of other platforms, and that a name is one's for all.
pub(super) fn join_indexes(files: &Files, images: &mut Vec<NewImage>, platforms: &[Platform]) -> Result<()> {
    for descriptor in top(files)? {
        if Index::parse(files.blob(&descriptor.digest).unwrap_or_default()).is_err() {
            continue;
        }
        let mut wanted = members(files, &descriptor, platforms)?;
        let all = members(files, &descriptor, &[])?;
        // What older readers take the name for is one of these.
        for image in images.extract_if(.., |image| image.index.is_none() && all.iter().any(|one| one.config == image.config)) {
            let Some(first) = wanted.first_mut() else { continue };
            let more = image.names.into_iter().filter(|name| !first.names.contains(name)).collect::<Vec<_>>();
            first.names.extend(more);
        }
        for new in wanted {
            match images.iter_mut().find(|image| image.config == new.config && image.index == new.index) {
                Some(known) => known.names.extend(new.names),
                None => images.push(new),
            }
        }
    }
    Ok(())
}

fn top(files: &Files) -> Result<Vec<Descriptor>> {
    let index: Layout = parse("index.json", files.metadata("index.json")?)?;
    let top = index.manifests.unwrap_or_default();
    if top.len() > MAX_IMAGES {
        return Err(ArchiveError::TooLarge { what: "images", limit: MAX_IMAGES as u64 }.into());
    }
    Ok(top)
}

/// Everything that has a name, and of the rest what is for this machine.
fn selected(top: &[Descriptor]) -> Result<Vec<&Descriptor>> {
    let named = |descriptor: &&Descriptor| !descriptor.is_artifact() && matches!(name(descriptor), Ok(Some(_)));
    let (mut chosen, rest): (Vec<_>, Vec<_>) = top.iter().partition(named);
    match fitting(&rest) {
        Ok(fitting) => chosen.extend(fitting),
        Err(error) if chosen.is_empty() => return Err(error.into()),
        Err(_) => {}
    }
    Ok(chosen)
}

/// The images of a descriptor: one, or of an index those that are in the archive and wanted. The first gets the name.
fn members(files: &Files, top: &Descriptor, platforms: &[Platform]) -> Result<Vec<NewImage>> {
    let raw = files.blob(&top.digest)?;
    let names: Vec<Reference> = name(top)?.into_iter().collect();
    let found = match Index::parse(raw) {
        Ok(index) => of_index(files, raw, &index)?,
        Err(_) => Vec::new(),
    };
    if found.is_empty() {
        let image = image(files, &resolve(files, top)?)?;
        super::check_platform(&image, platforms)?;
        return Ok(vec![NewImage { names, ..image }]);
    }
    let here = || found.iter().map(|(descriptor, _)| descriptor);
    let mut wanted = Vec::new();
    for platform in platforms {
        wanted.push(choose(here(), platform).ok_or_else(|| ArchiveError::Platform(platform.to_string()))?.digest);
    }
    let first = wanted.first().copied().or_else(|| choose(here(), &Platform::host()).map(|descriptor| descriptor.digest));
    let mut images: Vec<NewImage> = Vec::new();
    for (descriptor, image) in found {
        match Some(descriptor.digest) == first {
            true => images.insert(0, image),
            false if platforms.is_empty() || wanted.contains(&descriptor.digest) => images.push(image),
            false => {}
        }
    }
    if let Some(first) = images.first_mut() {
        first.names = names;
    }
    Ok(images)
}

/// The images of an index that are in the archive, with what is attested of them.
fn of_index(files: &Files, raw: &[u8], index: &Index) -> Result<Vec<(Descriptor, NewImage)>> {
    let mut found = Vec::new();
    for descriptor in index.images().take(MAX_IMAGES) {
        let Ok(data) = files.blob(&descriptor.digest) else { continue };
        if serde_json::from_slice::<Manifest>(data).is_err() {
            continue;
        }
        let image = match image(files, &descriptor.digest) {
            // An archive may hold some of the platforms that its index lists.
            Err(Error::Archive(ArchiveError::Missing(_))) => continue,
            image => image?,
        };
        let mut blobs = Vec::new();
        for attestation in index.attestations(&descriptor.digest) {
            let Ok(data) = files.blob(&attestation.digest) else { continue };
            let Ok(manifest) = serde_json::from_slice::<Manifest>(data) else { continue };
            let parts = std::iter::once(&manifest.config).chain(&manifest.layers);
            blobs.extend(parts.filter_map(|part| files.blob(&part.digest).ok()).map(<[u8]>::to_vec));
            blobs.push(data.to_vec());
        }
        let index = NewIndex { bytes: raw.to_vec(), manifest: descriptor.digest, blobs };
        found.push((descriptor.clone(), NewImage { index: Some(index), ..image }));
    }
    Ok(found)
}

fn image(files: &Files, digest: &Digest) -> Result<NewImage> {
    let data = files.blob(digest)?;
    let manifest: Manifest = parse(&digest.to_string(), data)?;
    let config = files.blob(&manifest.config.digest)?;
    let layers = manifest.layers.iter().map(|layer| files.layer_blob(&layer.digest)).collect::<Result<Vec<_>, _>>()?;
    check_config(&manifest.config.digest.to_string(), config, &layers)?;
    Ok(NewImage { config: config.to_vec(), manifest: Some(data.to_vec()), ..NewImage::default() })
}

/// The name that a descriptor gives. containerd and Docker write the whole name; in the OCI annotation stands whatever
/// the tool was told, often the mere tag, which is no name.
fn name(descriptor: &Descriptor) -> Result<Option<Reference>> {
    if let Some(name) = descriptor.annotation(NAME) {
        return Ok(Some(Reference::parse(name)?.with_default_tag()).filter(|name| name.digest().is_none()));
    }
    let name = descriptor.annotation(REF_NAME).filter(|name| name.contains([':', '/']));
    let name = name.and_then(|name| Reference::parse(name).ok()).map(Reference::with_default_tag);
    Ok(name.filter(|name| name.digest().is_none()))
}

/// Follows indexes to the manifest for this machine.
fn resolve(files: &Files, top: &Descriptor) -> Result<Digest, ArchiveError> {
    let mut digest = top.digest;
    for _ in 0..MAX_NESTING {
        let index: Layout = parse(&digest.to_string(), files.blob(&digest)?)?;
        let Some(manifests) = index.manifests else { return Ok(digest) };
        // An archive may hold some of the platforms that its index lists.
        let here: Vec<_> = manifests.into_iter().filter(|descriptor| files.blob(&descriptor.digest).is_ok()).collect();
        digest = fitting(&here.iter().collect::<Vec<_>>())?.first().ok_or_else(no_platform)?.digest;
    }
    Err(ArchiveError::TooLarge { what: "nested indexes", limit: MAX_NESTING as u64 })
}

/// Those for this machine; or the only one there is, for whom foreign programs can be run.
fn fitting<'a>(descriptors: &[&'a Descriptor]) -> Result<Vec<&'a Descriptor>, ArchiveError> {
    let host = Platform::host();
    let images: Vec<_> = descriptors.iter().copied().filter(|descriptor| !descriptor.is_artifact()).collect();
    let fits = |descriptor: &&Descriptor| descriptor.platform.as_ref().is_none_or(|platform| platform.fits(&host));
    let mut chosen: Vec<_> = images.iter().copied().filter(fits).collect();
    if chosen.is_empty() {
        chosen = images;
        if chosen.len() != 1 {
            return Err(no_platform());
        }
    }
    Ok(chosen)
}

fn no_platform() -> ArchiveError {
    let host = Platform::host();
    ArchiveError::Platform(format!("{}/{}", host.os, host.architecture))
}

/// The manifest of an image in an archive that also is an OCI layout.
pub(super) fn manifest_of(files: &Files, id: ImageId) -> Option<Vec<u8>> {
    let mut manifests =
        files.blobs().filter(|data| serde_json::from_slice::<Manifest>(data).is_ok_and(|manifest| manifest.config.digest == id));
    manifests.next().map(<[u8]>::to_vec)
}
