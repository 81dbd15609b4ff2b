//! Docker's image references: `[domain/]path[:tag][@digest]`, normalised and familiar.
//!
//! Hand-written rather than regular expressions: the grammar is small, the texts of errors depend on where it fails,
//! and every request with an image name goes through here. Used by the store and by whoever parses names in the API.

use std::fmt;

const DEFAULT_DOMAIN: &str = "docker.io";
const LEGACY_DOMAIN: &str = "index.docker.io";
const OFFICIAL: &str = "library/";
const DEFAULT_TAG: &str = "latest";
const MAX_NAME: usize = 255;

/// Why a text is no reference, in Docker's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Anything that the grammar does not allow.
    #[error("invalid reference format")]
    Format,
    /// Upper case in the repository.
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    Uppercase(String),
    /// A bare image id where a name is wanted.
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    LooksLikeId(String),
    /// Too long.
    #[error("repository name must not be more than 255 characters")]
    TooLong,
    /// A tag that the grammar does not allow.
    #[error("invalid tag format")]
    Tag,
    /// The tag would look like a digest.
    #[error("refusing to create an ambiguous tag using digest algorithm as name")]
    Ambiguous,
    /// A digest of an algorithm that nobody knows.
    #[error("unsupported digest algorithm")]
    DigestAlgorithm,
    /// A digest of the wrong length.
    #[error("invalid checksum digest length")]
    DigestLength,
}

/// A normalised reference. Ordered and displayed in its canonical form.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<String>,
}

impl Reference {
    /// Parses and normalises: `busybox` becomes `docker.io/library/busybox`. Adds no default tag.
    ///
    /// # Errors
    /// [`ReferenceError`], in dockerd's words.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        if is_full_hex_id(text) {
            return Err(ReferenceError::LooksLikeId(text.to_owned()));
        }
        let (domain, remainder) = split_domain(text);
        let remote = remainder.split(':').next().unwrap_or_default();
        if remote.chars().any(char::is_uppercase) {
            return Err(ReferenceError::Uppercase(remote.to_owned()));
        }
        let (name_tag, digest) = match remainder.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (remainder.as_str(), None),
        };
        let (path, tag) = match name_tag.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (name_tag, None),
        };
        let digest_ok = digest.is_none_or(is_digest_form);
        if !is_domain(&domain) || !path.split('/').all(is_path_component) || !tag.is_none_or(is_tag) || !digest_ok {
            return Err(ReferenceError::Format);
        }
        if path.len() > MAX_NAME {
            return Err(ReferenceError::TooLong);
        }
        if let Some(digest) = digest {
            check_digest(digest)?;
        }
        Ok(Self { domain, path: path.to_owned(), tag: tag.map(str::to_owned), digest: digest.map(str::to_owned) })
    }

    /// A name and a tag given apart, as in `POST /images/{name}/tag`. An empty tag means `latest`.
    ///
    /// # Errors
    /// As [`Reference::parse`]; also when `repo` holds a digest.
    pub fn from_repo_and_tag(repo: &str, tag: &str) -> Result<Self, ReferenceError> {
        let mut reference = Self::parse(repo)?;
        if !tag.is_empty() {
            if !is_tag(tag) {
                return Err(ReferenceError::Tag);
            }
            reference.tag = Some(tag.to_owned());
            reference.digest = None;
        }
        if reference.familiar_name() == "sha256" {
            return Err(ReferenceError::Ambiguous);
        }
        Ok(reference.with_default_tag())
    }

    /// The same with `latest` when there is neither tag nor digest.
    #[must_use]
    pub fn with_default_tag(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some(DEFAULT_TAG.to_owned());
        }
        self
    }

    /// The same repository, by digest only.
    #[must_use]
    pub fn with_digest_only(mut self, digest: &str) -> Self {
        self.tag = None;
        self.digest = Some(digest.to_owned());
        self
    }

    /// The registry, e.g. `docker.io` or `localhost:5000`.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository within the registry, e.g. `library/busybox`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag, if there is one.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest with its algorithm, if there is one.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// Domain and path: `docker.io/library/busybox`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The name as people write it: `busybox`, `foo/bar`, `localhost:5000/x`.
    pub fn familiar_name(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return self.name();
        }
        match self.path.strip_prefix(OFFICIAL) {
            Some(short) if !short.contains('/') => short.to_owned(),
            _ => self.path.clone(),
        }
    }

    /// The whole reference as people write it: `busybox:latest`.
    pub fn familiar(&self) -> String {
        format!("{}{}", self.familiar_name(), Suffix(self))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.domain, self.path, Suffix(self))
    }
}

impl std::str::FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::parse(text)
    }
}

struct Suffix<'a>(&'a Reference);

impl fmt::Display for Suffix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(tag) = &self.0.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.0.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// Whether `text` is 64 lower-case hex digits: an image id, not a name.
pub(crate) fn is_full_hex_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn split_domain(text: &str) -> (String, String) {
    let Some((first, rest)) = text.split_once('/') else {
        return (DEFAULT_DOMAIN.to_owned(), format!("{OFFICIAL}{text}"));
    };
    let (domain, remainder) = if first == LEGACY_DOMAIN {
        (DEFAULT_DOMAIN, rest)
    } else if first == "localhost" || first.contains(['.', ':']) || first.chars().any(char::is_uppercase) {
        (first, rest)
    } else {
        (DEFAULT_DOMAIN, text)
    };
    // Only what precedes a tag or digest counts: a slash cannot follow in a valid reference anyway.
    if domain == DEFAULT_DOMAIN && !remainder.contains('/') {
        return (domain.to_owned(), format!("{OFFICIAL}{remainder}"));
    }
    (domain.to_owned(), remainder.to_owned())
}

fn is_domain(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(v6) => match v6.split_once(']') {
            Some((address, rest)) => {
                let valid = !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
                return valid && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port));
            }
            None => return false,
        },
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    port.is_none_or(is_port) && host.split('.').all(is_domain_component)
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_domain_component(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
}

/// Lower-case words joined by one of `.`, `_`, `__` or any number of `-`.
fn is_path_component(text: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    if !bytes.first().copied().is_some_and(is_word) || !bytes.last().copied().is_some_and(is_word) {
        return false;
    }
    let joins = text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    joins.filter(|join| !join.is_empty()).all(|join| matches!(join, "." | "_" | "__") || join.bytes().all(|b| b == b'-'))
}

fn is_tag(text: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let bytes = text.as_bytes();
    bytes.len() <= 128
        && bytes.first().copied().is_some_and(is_word)
        && bytes.iter().all(|&b| is_word(b) || b == b'.' || b == b'-')
}

fn is_digest_form(text: &str) -> bool {
    let Some((algorithm, digits)) = text.split_once(':') else { return false };
    let component = |part: &str| {
        part.bytes().next().is_some_and(|b| b.is_ascii_alphabetic()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    algorithm.split(['-', '_', '+', '.']).all(component) && digits.len() >= 32 && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

fn check_digest(text: &str) -> Result<(), ReferenceError> {
    let (algorithm, digits) = text.split_once(':').ok_or(ReferenceError::Format)?;
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return Err(ReferenceError::DigestAlgorithm),
    };
    if digits.len() != length {
        return Err(ReferenceError::DigestLength);
    }
    if digits.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(ReferenceError::Format);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
