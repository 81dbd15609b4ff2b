//! What can go wrong with images, in four kinds that the engine maps to API statuses.
//!
//! Texts that Docker's clients show or parse are dockerd's.

use std::io;
use std::path::{Path, PathBuf};

use crate::digest::{Digest, ImageId};
use crate::reference::ReferenceError;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How the API answers an [`Error`]: 404, 409, 400 or 500.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// No such image.
    NotFound,
    /// The image is in use.
    Conflict,
    /// The caller's reference, archive or option is bad.
    InvalidArgument,
    /// The disk, or the store itself.
    Internal,
}

/// An image operation that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No image of that name or id; holds the familiar name asked for.
    #[error("No such image: {0}")]
    NoSuchImage(String),
    /// A short id fits several images.
    #[error("multiple IDs found with provided prefix: {0}")]
    AmbiguousId(String),
    /// There is an image, but none for that platform.
    #[error("image with reference {reference} was found but {} the specified platform ({platform})", match own {
        Some(own) => format!("its platform ({own}) does not match"),
        None => "does not provide".to_owned(),
    })]
    NoPlatform {
        /// As the caller wrote it.
        reference: String,
        /// The one asked for.
        platform: String,
        /// The only one that there is.
        own: Option<String>,
    },
    /// The same of an archive to be written.
    #[error("no suitable export target found for platform {0}")]
    NoExport(String),
    /// An attestation was not brought along with its image.
    #[error("attestation {0} is not available locally")]
    NoAttestation(Digest),
    /// Not a reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A reference with a digest where a tag is wanted.
    #[error("refusing to create a tag with a digest reference")]
    TagWithDigest,
    /// A name in an archive that is not `repository:tag`.
    #[error("invalid tag {0:?}")]
    InvalidTag(String),
    /// Removing a name would leave an image in use without one.
    #[error(
        "conflict: unable to remove repository reference {reference:?} (must force) - container {container} is using its referenced image {image}"
    )]
    ReferenceInUse {
        /// The name as the caller wrote it.
        reference: String,
        /// Short container id.
        container: String,
        /// Short image id.
        image: String,
    },
    /// Removing an image that something needs.
    #[error("conflict: unable to delete {image} ({}) - {reason}", if *.hard { "cannot be forced" } else { "must be forced" })]
    ImageInUse {
        /// Short image id.
        image: String,
        /// Whether `force` would not help either.
        hard: bool,
        /// Docker's words.
        reason: String,
        /// Whether a container is the reason.
        used: bool,
    },
    /// The archive is not one, is damaged, or goes past a bound.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The caller's stream failed: the client went away, or what it sent is cut.
    #[error("reading the archive: {0}")]
    Input(#[source] io::Error),
    /// The caller's writer failed.
    #[error("writing the archive: {0}")]
    Output(#[source] io::Error),
    /// A file operation of the store failed.
    #[error("{op} {}: {}", path.display(), io_words(source))]
    Io {
        /// What was done, e.g. `create`.
        op: &'static str,
        /// To which path.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The stored state cannot be read.
    #[error("image store state {} is damaged: {source}", path.display())]
    BadState {
        /// The state file.
        path: PathBuf,
        /// Where it is wrong.
        source: serde_json::Error,
    },
    /// The stored state is of a later version.
    #[error("image store state has version {0}, which this build does not know")]
    StateVersion(u32),
    /// A stored blob is not what its name says.
    #[error("stored content {0} is damaged")]
    DamagedContent(Digest),
    /// An image names a layer that is not in the store.
    #[error("layer {layer} of image {image} is missing")]
    MissingLayer {
        /// The image.
        image: ImageId,
        /// The layer's diff id.
        layer: Digest,
    },
    /// A container id that cannot be a directory name.
    #[error("invalid container id {0:?} for a snapshot")]
    BadSnapshotId(String),
    /// A snapshot of that container is there already.
    #[error("snapshot of container {0} exists")]
    SnapshotExists(String),
}

impl Error {
    /// Which of the four kinds this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSuchImage(_) | Self::NoPlatform { .. } | Self::NoExport(_) | Self::NoAttestation(_) => ErrorKind::NotFound,
            Self::ReferenceInUse { .. } | Self::ImageInUse { .. } | Self::SnapshotExists(_) => ErrorKind::Conflict,
            Self::AmbiguousId(_)
            | Self::Reference(_)
            | Self::TagWithDigest
            | Self::InvalidTag(_)
            | Self::BadSnapshotId(_)
            | Self::Archive(_)
            | Self::Input(_) => ErrorKind::InvalidArgument,
            Self::Output(_)
            | Self::Io { .. }
            | Self::BadState { .. }
            | Self::StateVersion(_)
            | Self::DamagedContent(_)
            | Self::MissingLayer { .. } => ErrorKind::Internal,
        }
    }

    /// `map_err(Error::io("create", path))`.
    pub(crate) fn io<E: Into<io::Error>>(op: &'static str, path: &Path) -> impl FnOnce(E) -> Self {
        move |source| Self::Io { op, path: path.to_owned(), source: source.into() }
    }
}

/// An I/O error as Go words it: `no space left on device`.
pub fn io_words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error ").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// What is wrong with an archive.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum ArchiveError {
    /// It ends in the middle.
    #[error("unexpected EOF")]
    Truncated,
    /// Not a tar header.
    #[error("archive/tar: invalid tar header")]
    BadHeader,
    /// The decompressor refused the data.
    #[error("corrupt {format} data: {reason}")]
    Corrupt {
        /// `gzip` or `zstd`.
        format: &'static str,
        /// The decoder's words.
        reason: String,
    },
    /// Compressed in a way that is not supported.
    #[error("{0}-compressed archives are not supported, use gzip, zstd or no compression")]
    Compression(&'static str),
    /// Neither of the known layouts.
    #[error("invalid archive: no manifest.json, index.json or repositories file in it")]
    NotAnImage,
    /// A name that would leave the root or is no name.
    #[error("invalid entry name {0:?}")]
    BadName(String),
    /// A hard link whose target is not there.
    #[error("invalid hard link {name:?} to {target:?}")]
    BadLink {
        /// The entry.
        name: String,
        /// Its target.
        target: String,
    },
    /// Could not make what an entry says, below the layer's root.
    #[error("cannot unpack {name:?}: {reason}")]
    Entry {
        /// The entry.
        name: String,
        /// Why not.
        reason: String,
    },
    /// A directory in place of something else, or the other way round, where that is not wanted.
    #[error("cannot overwrite {} {name:?} with {} {place:?}",
        if *.existing_is_dir { "directory" } else { "non-directory" },
        if *.existing_is_dir { "non-directory" } else { "directory" })]
    Overwrite {
        /// The entry.
        name: String,
        /// Where the archive goes.
        place: String,
        /// Whether a directory is there.
        existing_is_dir: bool,
    },
    /// A bound was passed.
    #[error("archive exceeds the limit of {limit} {what}")]
    TooLarge {
        /// Of what.
        what: &'static str,
        /// How many are allowed.
        limit: u64,
    },
    /// A metadata file is named but not there.
    #[error("invalid archive: {0} is missing")]
    Missing(String),
    /// A metadata file does not parse.
    #[error("invalid {file}: {reason}")]
    BadJson {
        /// Which.
        file: String,
        /// Where.
        reason: String,
    },
    /// Layers and diff ids do not fit together.
    #[error("invalid manifest, layers length mismatch: expected {expected}, got {actual}")]
    LayerCount {
        /// Diff ids in the configuration.
        expected: usize,
        /// Layers in the manifest.
        actual: usize,
    },
    /// A layer is not the one that the configuration names.
    #[error("invalid diffID for layer {index}: expected {:?}, got {:?}", expected.to_string(), actual.to_string())]
    DiffId {
        /// Which layer, bottom first.
        index: usize,
        /// The configuration's.
        expected: Digest,
        /// What was unpacked.
        actual: Digest,
    },
    /// A blob is not what its name says.
    #[error("invalid content: expected {expected}, got {actual}")]
    BlobDigest {
        /// Its name.
        expected: Digest,
        /// Its content.
        actual: Digest,
    },
    /// Not an image for Linux.
    #[error("cannot load {0} image on linux")]
    Os(String),
    /// Nothing in an index fits this machine.
    #[error("no image found in the archive for platform {0}")]
    Platform(String),
    /// Not a platform.
    #[error("{0:?}: {1}: invalid argument")]
    BadPlatform(String, &'static str),
    /// More layers than an overlay takes.
    #[error("max depth exceeded")]
    TooDeep,
    /// A malformed digest.
    #[error("invalid digest {0:?}")]
    BadDigest(String),
}
