//! What builds attest of an image: in-toto statements, in manifests of their own beside the image's in its index.

use serde::Deserialize;

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::import::Platform;
use crate::index::{choose, of};
use crate::load::{Descriptor, Manifest};
use crate::store::{ImageStore, find};

/// Says what kind of statement a layer is.
const PREDICATE: &str = "in-toto.io/predicate-type";

/// One statement.
#[derive(Debug, Clone)]
pub struct Statement {
    /// Where it is.
    pub descriptor: Descriptor,
    /// What it is about: an address.
    pub predicate: String,
    /// The statement itself, if it was asked for: JSON.
    pub body: Option<Vec<u8>>,
}

impl Manifest {
    /// The blobs that it names.
    pub(super) fn parts(&self) -> Vec<Digest> {
        std::iter::once(self.config.digest).chain(self.layers.iter().map(|layer| layer.digest)).collect()
    }
}

impl ImageStore {
    /// What is attested of the image for `platform` that `reference` means: all statements, or those of some predicates.
    /// With `bodies` they are read, too.
    ///
    /// # Errors
    /// No such image, none for that platform, or attestations that are not here.
    pub fn attestations(
        &self,
        reference: &str,
        platform: &Platform,
        predicates: &[String],
        bodies: bool,
    ) -> Result<Vec<Statement>> {
        let state = self.state();
        let id = find(&state, reference)?;
        let Some(index) = of(&state, reference, &id).and_then(|digest| state.indexes.get(&digest)) else {
            return Ok(Vec::new());
        };
        let missing = || Error::NoPlatform { reference: reference.to_owned(), platform: platform.to_string(), own: None };
        let image = choose(&index.parsed.manifests, platform).ok_or_else(missing)?;
        let mut statements = Vec::new();
        for descriptor in index.parsed.attestations(&image.digest) {
            let absent = || Error::NoAttestation(descriptor.digest);
            for layer in self.attestation(&descriptor.digest).ok_or_else(absent)?.layers {
                let Some(predicate) = layer.annotation(PREDICATE).map(str::to_owned) else { continue };
                if !predicates.is_empty() && !predicates.contains(&predicate) {
                    continue;
                }
                let body = bodies.then(|| self.blob(&layer.digest).ok_or(Error::NoAttestation(layer.digest))).transpose()?;
                statements.push(Statement { descriptor: layer, predicate, body });
            }
        }
        Ok(statements)
    }

    /// An attestation's manifest, if it is here.
    pub(super) fn attestation(&self, digest: &Digest) -> Option<Manifest> {
        self.blob(digest).and_then(|raw| Manifest::deserialize(&mut serde_json::Deserializer::from_slice(&raw)).ok())
    }
}
