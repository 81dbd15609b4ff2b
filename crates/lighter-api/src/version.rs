//! API versions: the range that is served, and reading the prefix of a path.

use std::fmt;

/// What `docker version` shows for the server. Tools parse it as semver and want at least 25; the build part is Lighter's own version.
pub const SERVER_VERSION: &str = "29.0.0-lighter.0.1.0";
pub const LIGHTER_VERSION: &str = env!("CARGO_PKG_VERSION");
pub const API_VERSION: &str = "1.56";
pub const MIN_API_VERSION: &str = "1.24";

/// The minor of an API version of major 1, which is the only one there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion(pub u32);

pub const NEWEST: ApiVersion = ApiVersion(56);
pub const OLDEST: ApiVersion = ApiVersion(24);

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.0)
    }
}

/// A path's first segment, where it has the form of a version.
#[derive(Debug, PartialEq, Eq)]
pub enum Prefix<'a> {
    None,
    Served(ApiVersion),
    TooOld(&'a str),
    TooNew(&'a str),
}

impl Prefix<'_> {
    /// `segment` is what stands between the first two slashes: `v1.47`, `containers`.
    pub fn of(segment: &str) -> Prefix<'_> {
        let Some(number) = segment.strip_prefix('v') else { return Prefix::None };
        if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Prefix::None;
        }
        // Compared number by number, as dockerd does; a number too large to be one is just large.
        let mut parts = number.split('.').map(|p| p.parse::<u32>().unwrap_or(if p.is_empty() { 0 } else { u32::MAX }));
        let (major, minor) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        match major {
            1 if (OLDEST.0..=NEWEST.0).contains(&minor) => Prefix::Served(ApiVersion(minor)),
            0 => Prefix::TooOld(number),
            1 if minor < OLDEST.0 => Prefix::TooOld(number),
            _ => Prefix::TooNew(number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        assert_eq!(Prefix::of("v1.47"), Prefix::Served(ApiVersion(47)));
        assert_eq!(Prefix::of("v1.24"), Prefix::Served(OLDEST));
        assert_eq!(Prefix::of("v1.040"), Prefix::Served(ApiVersion(40)));
        assert_eq!(Prefix::of("v1.23"), Prefix::TooOld("1.23"));
        assert_eq!(Prefix::of("v1"), Prefix::TooOld("1"));
        assert_eq!(Prefix::of("v1.99"), Prefix::TooNew("1.99"));
        assert_eq!(Prefix::of("v99999999999999999999.1"), Prefix::TooNew("99999999999999999999.1"));
        for none in ["", "v", "volumes", "containers", "v1.x", "V1.40", "1.40", "v-1"] {
            assert_eq!(Prefix::of(none), Prefix::None, "{none}");
        }
        assert_eq!(API_VERSION, NEWEST.to_string());
        assert_eq!(MIN_API_VERSION, OLDEST.to_string());
        assert!(SERVER_VERSION.ends_with(LIGHTER_VERSION));
    }
}
