//! Manifests and indexes: telling one from the other, and choosing from an index.

use lighter_image::{Descriptor, Digest, Image, Manifest, Platform};
use serde::Deserialize;

use crate::error::{Error, Result};

/// What we ask for, and so what we understand.
pub(crate) const ACCEPTED: &[&str] = &[
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
];
/// The longest manifest or index, in bytes.
pub(crate) const MAX_MANIFEST: usize = 4 << 20;
/// The longest image configuration, in bytes.
pub(crate) const MAX_CONFIG: usize = 4 << 20;

const CONFIGS: &[&str] = &["application/vnd.docker.container.image.v1+json", "application/vnd.oci.image.config.v1+json"];

/// A manifest as the registry gave it; its digest has been checked if it was known.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: Digest,
    pub(crate) media_type: String,
}

/// What it is.
#[derive(Debug)]
pub(crate) enum Parsed {
    Image(Box<Manifest>),
    Index(Vec<Descriptor>),
}

impl Received {
    pub(crate) fn parse(&self) -> Result<Parsed> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Probe {
            #[serde(default)]
            schema_version: u32,
            #[serde(default)]
            manifests: Option<Vec<Descriptor>>,
        }
        let bad = |e: serde_json::Error| Error::Unsupported(format!("manifest {} is not valid: {e}", self.digest));
        let probe: Probe = serde_json::from_slice(&self.bytes).map_err(bad)?;
        if probe.schema_version == 1 {
            return Err(Error::Unsupported(
                "Docker Image Format v1 and Docker Image manifest version 2, schema 1 are not supported: use a newer image"
                    .to_owned(),
            ));
        }
        match probe.manifests {
            Some(manifests) => Ok(Parsed::Index(manifests)),
            None => serde_json::from_slice(&self.bytes).map(|manifest| Parsed::Image(Box::new(manifest))).map_err(bad),
        }
    }
}

/// Refuses what is in a registry but is no image that can be run from its layers.
pub(crate) fn check(manifest: &Manifest) -> Result<()> {
    if !CONFIGS.contains(&manifest.config.media_type.as_str()) {
        return Err(Error::Unsupported(format!("unsupported media type {}", manifest.config.media_type)));
    }
    for layer in &manifest.layers {
        let kind = layer.media_type.as_str();
        if kind.contains(".foreign.") || kind.contains(".nondistributable.") {
            return Err(Error::Unsupported(format!("layer {} is foreign ({kind}): it is not in the registry", layer.digest)));
        }
        let is_layer = kind.contains("rootfs.diff.tar") || kind.contains("image.layer.v1.tar");
        if !is_layer || kind.contains("encrypted") {
            return Err(Error::Unsupported(format!("unsupported media type {kind}")));
        }
    }
    Ok(())
}

/// The image for `want` in an index: the one whose variant is asked for, else the first that fits.
pub(crate) fn choose<'a>(index: &'a [Descriptor], want: &Platform) -> Result<&'a Descriptor> {
    lighter_image::choose(index, want).ok_or_else(|| Error::NoPlatform(want.to_string()))
}

/// A manifest for an image that has none: Docker's own kind, which every registry takes, unless a layer needs OCI's.
pub(crate) fn compose(image: &Image, layers: &[Descriptor]) -> Result<Vec<u8>> {
    const DOCKER: [&str; 3] = [ACCEPTED[0], CONFIGS[0], "application/vnd.docker.image.rootfs.diff.tar"];
    const OCI: [&str; 3] = [ACCEPTED[2], CONFIGS[1], "application/vnd.oci.image.layer.v1.tar"];
    let oci = layers.iter().any(|layer| layer.media_type.ends_with("+zstd"));
    let [manifest, config, plain] = if oci { OCI } else { DOCKER };
    let kind = |layer: &Descriptor| match layer.media_type.rsplit_once('+') {
        Some((_, packing)) if oci => format!("{plain}+{packing}"),
        Some((_, packing)) => format!("{plain}.{packing}"),
        None => plain.to_owned(),
    };
    let manifest = Manifest {
        schema_version: 2,
        media_type: manifest.to_owned(),
        config: Descriptor::new(config, image.id, image.raw_config.len() as u64),
        layers: layers.iter().map(|layer| Descriptor::new(&kind(layer), layer.digest, layer.size)).collect(),
    };
    serde_json::to_vec(&manifest).map_err(|e| Error::Invalid(e.to_string()))
}
