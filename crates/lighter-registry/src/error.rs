//! What can go wrong between us and a registry, in dockerd's words.

use std::io;
use std::sync::Arc;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How the API answers an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// 400
    InvalidArgument,
    /// 401
    Unauthorized,
    /// 403
    Forbidden,
    /// 404
    NotFound,
    /// 429
    TooManyRequests,
    /// 500
    Internal,
}

/// A transfer that failed. Cheap to clone: several pulls may wait for one layer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The request did not get an answer; `reason` as Go's HTTP client words it.
    #[error("{method} \"{url}\": {reason}")]
    Transport {
        /// `Get`, `Head`, ...
        method: &'static str,
        /// Without user information.
        url: String,
        /// e.g. `dial tcp 127.0.0.1:5000: connect: connection refused`.
        reason: String,
        /// Whether asking again may help.
        transient: bool,
    },
    /// The request could not even be made: what it needs was not to be had.
    #[error("{method} \"{url}\": {cause}")]
    Refused {
        /// `Get`, `Head`, ...
        method: &'static str,
        /// For what.
        url: String,
        /// Why not.
        cause: Box<Error>,
    },
    /// A name and a password are wanted, and there are none.
    #[error("no basic auth credentials")]
    NoCredentials,
    /// The registry's own error: a code of the distribution specification and what it says.
    #[error("{}: {message}", code.to_lowercase().replace('_', " "))]
    Registry {
        /// e.g. `MANIFEST_UNKNOWN`.
        code: String,
        /// Its words.
        message: String,
    },
    /// A status that the protocol does not know here.
    #[error("received unexpected HTTP status: {0}")]
    Status(http::StatusCode),
    /// An answer that cannot be understood.
    #[error("error parsing HTTP {status} response body: {reason}")]
    Answer {
        /// With which it came.
        status: u16,
        /// Why not.
        reason: String,
    },
    /// There is no such image, or nobody may know of it.
    #[error("{what}: {cause}")]
    NotFound {
        /// `manifest for x not found` and the like.
        what: String,
        /// The registry's words.
        cause: Box<Error>,
    },
    /// No such image here.
    #[error("{0}")]
    Missing(String),
    /// The index has nothing for the platform.
    #[error("no matching manifest for {0} in the manifest list entries")]
    NoPlatform(String),
    /// Not an image, or one that cannot be run here.
    #[error("{0}")]
    Unsupported(String),
    /// Content is not what its digest says.
    #[error("{what} verification failed for digest {digest}")]
    Verification {
        /// `filesystem layer`, `manifest`, `image config`.
        what: &'static str,
        /// The digest asked for.
        digest: String,
    },
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The registry refused a login.
    #[error("login attempt to {url} failed with status: {status}")]
    Login {
        /// Where.
        url: String,
        /// How.
        status: http::StatusCode,
    },
    /// A registry that cannot be searched.
    #[error("Unexpected status code {0}")]
    Search(u16),
    /// The certificates or keys for a registry cannot be used.
    #[error("{0}")]
    Certificates(String),
    /// A file of the download could not be written or read.
    #[error("{op}: {}", lighter_image::io_words(source))]
    File {
        /// What was done to which file.
        op: String,
        /// Why it failed.
        source: Arc<io::Error>,
    },
    /// The image store refused it.
    #[error(transparent)]
    Store(Arc<lighter_image::Error>),
    /// Nobody waits for it any more.
    #[error("context canceled")]
    Cancelled,
}

impl Error {
    /// How the API answers it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Registry { code, .. } => match code.as_str() {
                "UNAUTHORIZED" => ErrorKind::Unauthorized,
                "DENIED" => ErrorKind::Forbidden,
                "TOOMANYREQUESTS" => ErrorKind::TooManyRequests,
                "MANIFEST_UNKNOWN" | "NAME_UNKNOWN" | "BLOB_UNKNOWN" => ErrorKind::NotFound,
                "NAME_INVALID" | "TAG_INVALID" | "MANIFEST_INVALID" => ErrorKind::InvalidArgument,
                _ => ErrorKind::Internal,
            },
            Self::Refused { cause, .. } => cause.kind(),
            Self::NotFound { .. } | Self::Missing(_) | Self::NoPlatform(_) => ErrorKind::NotFound,
            Self::Invalid(_) | Self::Unsupported(_) => ErrorKind::InvalidArgument,
            Self::Store(error) => match error.kind() {
                lighter_image::ErrorKind::NotFound => ErrorKind::NotFound,
                lighter_image::ErrorKind::Conflict | lighter_image::ErrorKind::InvalidArgument => ErrorKind::InvalidArgument,
                lighter_image::ErrorKind::Internal => ErrorKind::Internal,
            },
            Self::Transport { .. }
            | Self::NoCredentials
            | Self::Status(_)
            | Self::Answer { .. }
            | Self::Verification { .. }
            | Self::Login { .. }
            | Self::Search(_)
            | Self::Certificates(_)
            | Self::File { .. }
            | Self::Cancelled => ErrorKind::Internal,
        }
    }

    /// Whether the same request may succeed when it is made again.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Transport { transient, .. } => *transient,
            Self::Status(status) => status.is_server_error(),
            Self::Registry { code, .. } => code == "TOOMANYREQUESTS",
            Self::Verification { .. } => true,
            _ => false,
        }
    }

    /// Whether the disk is full.
    pub(crate) fn is_no_space(&self) -> bool {
        let full = |error: &io::Error| matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        match self {
            Self::File { source, .. } => full(source),
            Self::Store(error) => matches!(&**error, lighter_image::Error::Io { source, .. } if full(source)),
            _ => false,
        }
    }

    /// Turns a registry's refusal of `reference` into what `docker pull` shows.
    pub(crate) fn about(self, reference: &lighter_image::Reference) -> Self {
        let Self::Registry { code, .. } = &self else { return self };
        let what = match code.as_str() {
            "DENIED" => format!(
                "pull access denied for {}, repository does not exist or may require 'docker login'",
                reference.familiar_name()
            ),
            "MANIFEST_UNKNOWN" => format!("manifest for {} not found", reference.familiar()),
            "NAME_UNKNOWN" => format!("repository {} not found", reference.familiar_name()),
            _ => return self,
        };
        Self::NotFound { what, cause: Box::new(self) }
    }

    /// Of a push dockerd shows the reason alone.
    pub(crate) fn into_pushed(self) -> Self {
        match self {
            Self::Refused { cause, .. } => *cause,
            other => other,
        }
    }

    pub(crate) fn file(op: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { op: op.into(), source: Arc::new(source) }
    }
}

impl From<lighter_image::Error> for Error {
    fn from(error: lighter_image::Error) -> Self {
        Self::Store(Arc::new(error))
    }
}
