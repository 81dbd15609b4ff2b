//! Images as every engine can describe them.

use crate::ContainerConfig;
use std::borrow::Cow;
use std::collections::BTreeMap;
use time::OffsetDateTime;

/// One image. Sizes in bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// `sha256:...`
    pub id: String,
    /// Familiar names (`busybox:latest`).
    pub repo_tags: Vec<String>,
    /// `busybox@sha256:...`
    pub repo_digests: Vec<String>,
    pub created: Option<OffsetDateTime>,
    pub last_tagged: Option<OffsetDateTime>,
    pub size: u64,
    pub config: ContainerConfig,
    pub architecture: String,
    pub variant: String,
    pub os: String,
    pub author: String,
    pub comment: String,
    pub docker_version: String,
    /// Diff ids, lowest first.
    pub layers: Vec<String>,
    /// Ids of the images for other platforms that come along with its names.
    pub companions: Vec<String>,
    /// Newest first.
    pub history: Vec<HistoryEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    pub created: Option<OffsetDateTime>,
    pub created_by: String,
    pub comment: String,
    pub size: u64,
    pub tags: Vec<String>,
    /// `sha256:...` of the newest entry, `<missing>` of the others.
    pub id: String,
}

/// Which containers use which image, for removal and pruning: image id -> users.
#[derive(Debug, Clone, Default)]
pub struct ImageUsers(pub BTreeMap<String, Vec<ImageUser>>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUser {
    /// 64 hex.
    pub container_id: String,
    pub running: bool,
    /// The reference that the container was created from.
    pub reference: String,
}

/// One line of the answer to an image removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageDeleted {
    /// A familiar name, and the id of the image that had it.
    Untagged { name: String, image: String },
    /// An image's id.
    Deleted(String),
    /// A layer's chain id.
    Layer(String),
}

/// What a prune keeps and takes.
#[derive(Debug, Clone, Default)]
pub struct ImagePrune {
    /// Only images without a tag (the default), else every unused one.
    pub dangling_only: bool,
    pub until: Option<OffsetDateTime>,
    pub filters: crate::filter::Filters,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImagePruned {
    pub deleted: Vec<ImageDeleted>,
    /// Bytes.
    pub space_reclaimed: u64,
}

/// What a load made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedImage {
    pub id: String,
    /// Familiar names; empty for an untagged image.
    pub names: Vec<String>,
}

/// `docker import`.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// `repo[:tag]`, or empty.
    pub reference: String,
    pub message: String,
    /// The configuration after `--change` instructions were applied by the caller.
    pub config: ContainerConfig,
    /// `os/arch[/variant]`, or empty for this machine's.
    pub platform: String,
}

/// `docker system df`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageDiskUsage {
    /// Bytes of all layers, each counted once.
    pub layers_size: u64,
    /// Image id -> bytes that it shares with another image.
    pub shared: BTreeMap<String, u64>,
}

/// Progress of a long operation on images, in the order of the API's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// A line of its own.
    Status(String),
    /// A line about something that has a name (`latest`: `Pulling from library/busybox`).
    Note { id: String, status: String },
    /// The state of one layer (`id`, short), with bytes done and to do (0: unknown) where there are any.
    Layer { id: String, status: Cow<'static, str>, amount: Option<(u64, u64)> },
    /// A push put this there. Size of the manifest, in bytes.
    Pushed { tag: String, digest: String, size: u64 },
}

/// Who asks a registry. Exactly one of its ways counts; empty is nobody in particular.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RegistryLogin {
    pub user: String,
    pub password: String,
    /// Given by the registry's authorisation server at a login, instead of a password.
    pub identity_token: String,
    /// For the registry itself.
    pub registry_token: String,
}

/// `docker pull`.
#[derive(Debug, Clone)]
pub struct ImagePull {
    /// `name`, `name:tag` or `name@digest`.
    pub name: String,
    /// Put in the place of the one in `name`: a tag or a digest. When both have none, it is all tags.
    pub tag: String,
    /// `os[/arch[/variant]]`, or empty for this machine's.
    pub platform: String,
    pub login: RegistryLogin,
}

/// `docker push`.
#[derive(Debug, Clone)]
pub struct ImagePush {
    /// Without a tag.
    pub name: String,
    /// Empty: all tags of that name.
    pub tag: String,
    /// The image for this one only, of a name for several; all when empty.
    pub platform: String,
    pub login: RegistryLogin,
}

/// What a registry has under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DistributionImage {
    pub media_type: String,
    pub digest: String,
    /// Of the manifest or index, in bytes.
    pub size: u64,
    pub platforms: Vec<ImagePlatform>,
}

/// What an image runs on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImagePlatform {
    pub architecture: String,
    pub os: String,
    /// May be empty.
    pub variant: String,
}

impl std::fmt::Display for ImagePlatform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant) }
    }
}

/// Where some content is, as manifests and indexes say it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContentDescriptor {
    pub media_type: String,
    pub digest: String,
    /// In bytes.
    pub size: u64,
    pub annotations: BTreeMap<String, String>,
    pub platform: Option<ImagePlatform>,
}

/// What a manifest of an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManifestKind {
    /// An image for a platform; its id if it is here, and the bytes of its unpacked files.
    Image {
        platform: ImagePlatform,
        id: Option<String>,
        unpacked: u64,
    },
    /// What a build attests of the image with this manifest.
    Attestation {
        of: String,
    },
    Unknown,
}

/// One manifest of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageManifest {
    pub descriptor: ContentDescriptor,
    /// Whether all that it names is here.
    pub available: bool,
    /// Bytes of that which are kept as they came.
    pub content: u64,
    pub kind: ManifestKind,
}

/// An image as a whole: its index and what that names, or its only manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageManifests {
    pub target: ContentDescriptor,
    pub manifests: Vec<ImageManifest>,
}

/// Which statements about an image are wanted.
#[derive(Debug, Clone, Default)]
pub struct AttestationQuery {
    /// This machine's when empty.
    pub platform: String,
    /// Their kinds; all when empty.
    pub predicates: Vec<String>,
    /// Whether the statements themselves, too.
    pub statements: bool,
}

/// A statement about an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    pub descriptor: ContentDescriptor,
    pub predicate: String,
    /// JSON.
    pub statement: Option<Vec<u8>>,
}

/// `docker rmi`.
#[derive(Debug, Clone, Default)]
pub struct ImageRemoval {
    pub reference: String,
    pub force: bool,
    pub no_prune: bool,
    /// Only the images for these (`os[/arch[/variant]]`); all of the name when empty.
    pub platforms: Vec<String>,
}

/// What garbage collection asks of an engine: to remove images that nobody uses, in this order.
#[derive(Debug, Clone, Default)]
pub struct ImageCollection {
    /// Image ids.
    pub order: Vec<CollectableImage>,
    /// Bytes of all layers, beyond which those that need not go do go.
    pub limit: Option<u64>,
    /// Only say what would be done.
    pub dry_run: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectableImage {
    pub id: String,
    /// Whether it goes in any case.
    pub always: bool,
}

/// What became, or would become, of that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CollectedImages {
    /// Ids of those of the order that went.
    pub ids: Vec<String>,
    pub deleted: Vec<ImageDeleted>,
    /// Bytes of all layers before and after.
    pub size_before: u64,
    pub size_after: u64,
}

/// One find of `docker search`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchResult {
    pub name: String,
    pub description: String,
    pub stars: i64,
    pub official: bool,
    pub automated: bool,
}

/// One image that a pull brought or found up to date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PulledImage {
    pub id: String,
    /// Familiar (`busybox:latest`).
    pub reference: String,
    /// Familiar, without tag or digest.
    pub name: String,
    /// `docker.io`, `localhost:5000`.
    pub registry: String,
    /// Of the manifest or index.
    pub digest: String,
}

/// What a push did, also when it failed in the middle.
#[derive(Debug)]
pub struct PushOutcome {
    /// What was asked for, familiar: reference and bare name.
    pub asked: (String, String),
    /// An image that was pushed, if any was.
    pub id: Option<String>,
    pub result: crate::Result<()>,
}

/// What a pull did, also when it failed in the middle.
#[derive(Debug)]
pub struct PullOutcome {
    /// What was asked for, familiar: reference and bare name.
    pub asked: (String, String),
    /// The one it was asked of.
    pub registry: String,
    pub pulled: Vec<PulledImage>,
    pub result: crate::Result<()>,
}

impl std::fmt::Debug for RegistryLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RegistryLogin(...)")
    }
}
