//! Archives with a `manifest.json`: docker save since 1.10, Podman, skopeo, jib, kaniko.

use serde::Deserialize;

use super::scan::Files;
use super::{check_config, oci, parse, parse_name};
use crate::digest::Digest;
use crate::error::{ArchiveError, Result};
use crate::import::Platform;
use crate::stage::NewImage;

const MAX_IMAGES: usize = 1000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

pub(super) fn images(files: &Files, platforms: &[Platform]) -> Result<Vec<NewImage>> {
    let items: Vec<Item> = parse("manifest.json", files.metadata("manifest.json")?)?;
    if items.len() > MAX_IMAGES {
        return Err(ArchiveError::TooLarge { what: "images", limit: MAX_IMAGES as u64 }.into());
    }
    let mut images = items.into_iter().map(|item| image(files, item)).collect::<Result<Vec<_>>>()?;
    if files.has("index.json") {
        oci::join_indexes(files, &mut images, platforms)?;
    }
    for image in images.iter().filter(|image| image.index.is_none()) {
        super::check_platform(image, platforms)?;
    }
    Ok(images)
}

fn image(files: &Files, item: Item) -> Result<NewImage> {
    let config = files.metadata(&item.config)?;
    // Where the name is the digest it must be right; older archives have `<id>.json`, likewise.
    let stem = item.config.strip_prefix("blobs/sha256/").or(item.config.strip_suffix(".json"));
    let expected = stem.and_then(|hex| format!("sha256:{hex}").parse::<Digest>().ok());
    let actual = Digest::of(config);
    if let Some(expected) = expected.filter(|expected| *expected != actual) {
        return Err(ArchiveError::BlobDigest { expected, actual }.into());
    }
    let layers = item.layers.unwrap_or_default().iter().map(|layer| files.layer(layer)).collect::<Result<Vec<_>, _>>();
    check_config(&item.config, config, &layers?)?;
    let names = item.repo_tags.unwrap_or_default();
    Ok(NewImage {
        config: config.to_vec(),
        names: names.iter().map(|name| parse_name(name)).collect::<Result<_>>()?,
        manifest: oci::manifest_of(files, actual),
        ..NewImage::default()
    })
}
