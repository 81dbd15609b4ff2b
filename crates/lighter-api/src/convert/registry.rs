//! What registries are asked and answer.

use crate::convert::image;
use crate::failure::Failure;
use lighter_domain::filter::Filters;
use lighter_domain::image::{DistributionImage, RegistryLogin, SearchResult};
use lighter_wire::auth::{self, AuthConfig};
use lighter_wire::image as wire;

/// Who asks, from `X-Registry-Auth`.
pub fn login(headers: &http::HeaderMap) -> RegistryLogin {
    let header = headers.get("x-registry-auth").and_then(|value| value.to_str().ok()).unwrap_or_default();
    login_of(auth::from_header(header))
}

pub fn login_of(config: AuthConfig) -> RegistryLogin {
    let AuthConfig { username, password, auth: _, server_address: _, identity_token, registry_token } = config;
    RegistryLogin { user: username, password, identity_token, registry_token }
}

pub fn distribution(found: &DistributionImage) -> wire::Distribution<'_> {
    let DistributionImage { media_type, digest, size, platforms } = found;
    wire::Distribution {
        descriptor: wire::Descriptor { media_type, digest, size: *size, annotations: None, platform: None },
        platforms: platforms.iter().map(image::platform).collect(),
    }
}

pub fn found(found: &SearchResult) -> wire::SearchResult<'_> {
    let SearchResult { name, description, stars, official, automated } = found;
    wire::SearchResult { star_count: *stars, is_official: *official, name, is_automated: *automated, description }
}

/// The greatest of the `stars` filters.
pub fn least_stars(filters: &Filters) -> Result<i64, Failure> {
    let one = |text: &String| text.parse::<i64>().map_err(|_| Failure::bad_request(format!("invalid filter 'stars={text}'")));
    Ok(filters.get("stars").iter().map(one).collect::<Result<Vec<_>, _>>()?.into_iter().max().unwrap_or(0))
}
