//! What builds attest of an image comes along with it: small blobs, named by the index. An image without them is an image
//! all the same, so what cannot be had is left out.

use lighter_image::{Descriptor, Digest};

use crate::error::{Error, Result};
use crate::manifest::{MAX_CONFIG, Parsed};
use crate::repository::Repository;

/// The longest statement that is kept, and all of one image together, in bytes. They are in memory until the image is.
const MAX_STATEMENT: usize = 8 << 20;
const MAX_ALL: usize = 16 << 20;

/// The attestations of one of an index' images: manifests, configurations and statements.
pub(super) async fn fetch(repository: &Repository, index: &[Descriptor], of: &Digest) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for descriptor in index.iter().filter(|descriptor| descriptor.attests().is_some_and(|image| image == *of)) {
        let room = MAX_ALL.saturating_sub(all.iter().map(Vec::len).sum());
        match one(repository, descriptor, room).await {
            Ok(blobs) => all.extend(blobs),
            Err(error) => tracing::info!(attestation = %descriptor.digest, %error, "an image is pulled without its attestation"),
        }
    }
    all
}

async fn one(repository: &Repository, descriptor: &Descriptor, room: usize) -> Result<Vec<Vec<u8>>> {
    let received = repository.manifest(&descriptor.digest.to_string()).await?;
    let Parsed::Image(manifest) = received.parse()? else {
        return Err(Error::Unsupported("an attestation is an index".to_owned()));
    };
    let announced = manifest.layers.iter().map(|layer| layer.size).fold(manifest.config.size, u64::saturating_add);
    if announced > room as u64 {
        return Err(Error::Unsupported(format!("{announced} bytes are too much")));
    }
    let mut blobs = vec![repository.small_blob(&manifest.config.digest, MAX_CONFIG).await?];
    for layer in &manifest.layers {
        let limit = MAX_STATEMENT.min(usize::try_from(layer.size).unwrap_or(MAX_STATEMENT));
        blobs.push(repository.small_blob(&layer.digest, limit).await?);
    }
    blobs.push(received.bytes);
    Ok(blobs)
}
