//! Just enough of Docker's image references for records in memory: familiar names with their default tag.
//!
//! `lighter-image` has the whole grammar; an engine that has no registry needs none of it. Used by [`crate::images`].

use lighter_domain::{Error, Result};

/// What a client means by a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A full image id, `sha256:...`.
    Id(String),
    /// A familiar name with a tag, `busybox:latest`. It may also be read as a short id.
    Name(String),
    /// A familiar name with a digest.
    Digest(String),
}

/// Parses `name[:tag]`, `name@sha256:...` or `sha256:...`.
pub(crate) fn parse(raw: &str) -> Result<Wanted> {
    if raw.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && is_hex(hex)) {
        return Ok(Wanted::Id(raw.to_owned()));
    }
    if let Some((name, digest)) = raw.split_once('@') {
        let (name, _) = split_tag(name);
        let hex = digest.strip_prefix("sha256:").ok_or_else(bad)?;
        return match hex.len() == 64 && is_hex(hex) {
            true => Ok(Wanted::Digest(format!("{}@{digest}", familiar(name)?))),
            false => Err(bad()),
        };
    }
    let (name, tag) = split_tag(raw);
    if tag == Some("") {
        return Err(bad());
    }
    with_tag(name, tag.unwrap_or("latest")).map(Wanted::Name)
}

/// The familiar name of `repository:tag`; an empty tag is `latest`.
pub(crate) fn with_tag(repository: &str, tag: &str) -> Result<String> {
    let tag = if tag.is_empty() { "latest" } else { tag };
    let starts_well = tag.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    let goes_on_well = tag.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if !starts_well || !goes_on_well || tag.len() > 128 {
        return Err(bad());
    }
    Ok(format!("{}:{tag}", familiar(repository)?))
}

/// The name without its tag.
pub(crate) fn repository(name: &str) -> &str {
    split_tag(name).0
}

fn split_tag(raw: &str) -> (&str, Option<&str>) {
    match raw.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (raw, None),
    }
}

fn familiar(name: &str) -> Result<&str> {
    let short = name.strip_prefix("docker.io/").or_else(|| name.strip_prefix("index.docker.io/")).unwrap_or(name);
    let short = short.strip_prefix("library/").unwrap_or(short);
    // A registry's host may have upper-case letters and a port, the path may not.
    let (host, path) = match short.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        _ => ("", short),
    };
    let host_ok =
        !host.starts_with(['.', '-', ':']) && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':'));
    let part_ok = |part: &str| {
        let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        edge(part.bytes().next())
            && edge(part.bytes().last())
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-'))
    };
    match host_ok && short.len() <= 255 && path.split('/').all(part_ok) {
        true => Ok(short),
        false => Err(bad()),
    }
}

fn is_hex(s: &str) -> bool {
    s.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn bad() -> Error {
    Error::invalid("invalid reference format")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name() {
        for raw in ["busybox", "busybox:latest", "docker.io/library/busybox", "library/busybox:latest"] {
            assert_eq!(parse(raw).unwrap(), Wanted::Name("busybox:latest".into()), "{raw}");
        }
        assert_eq!(parse("localhost:5000/a/b").unwrap(), Wanted::Name("localhost:5000/a/b:latest".into()));
        let hex = "a".repeat(64);
        assert_eq!(parse(&format!("sha256:{hex}")).unwrap(), Wanted::Id(format!("sha256:{hex}")));
        assert_eq!(parse(&format!("a:1@sha256:{hex}")).unwrap(), Wanted::Digest(format!("a@sha256:{hex}")));
    }

    #[test]
    fn nonsense_is_refused() {
        for raw in ["", ":", "UPPER", "a b", "a:b c", "/a", "a/", "a@sha256:zz", "a:-x", "../x", "a:"] {
            assert_eq!(parse(raw).unwrap_err().message(), "invalid reference format", "{raw}");
        }
    }
}
