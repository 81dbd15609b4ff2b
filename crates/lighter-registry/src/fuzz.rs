//! What the fuzz target for manifests calls: what a registry may answer.

use http::{HeaderMap, HeaderValue};
use lighter_image::{Digest, Platform};

use crate::auth::Scheme;
use crate::manifest::{self, Parsed, Received};

/// A manifest or index as a registry sends it; and the same bytes as a challenge.
pub fn manifest(data: &[u8]) {
    let received = Received { bytes: data.to_vec(), digest: Digest::of(data), media_type: String::new() };
    match received.parse() {
        Ok(Parsed::Image(image)) => drop(manifest::check(&image)),
        Ok(Parsed::Index(index)) => drop(manifest::choose(&index, &Platform::host()).cloned()),
        Err(_) => {}
    }
    if let Ok(value) = HeaderValue::from_bytes(data) {
        let headers = HeaderMap::from_iter([(http::header::WWW_AUTHENTICATE, value)]);
        let _ = Scheme::of(&headers);
        let _ = crate::auth::refused_by_challenge(&headers);
    }
}
