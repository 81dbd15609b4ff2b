//! Images, where the engine owns them.

use crate::ByteStream;
use async_trait::async_trait;
use lighter_domain::image::{
    Attestation, AttestationQuery, CollectedImages, ImageCollection, ImageDeleted, ImageDiskUsage, ImageManifests, ImagePrune,
    ImagePruned, ImageRemoval, ImageUsers, ImportOptions, LoadedImage,
};
use lighter_domain::{ContainerId, Image, Result};
use std::sync::Arc;
use tokio::sync::mpsc;

pub use lighter_domain::image::Progress;

/// The image store of an engine. Errors are worded as dockerd words them ("No such image: ...").
#[async_trait]
pub trait Images: Send + Sync {
    async fn list(&self) -> Result<Vec<Arc<Image>>>;

    /// By full or short id, `name[:tag]` or `name@digest`.
    async fn get(&self, reference: &str) -> Result<Arc<Image>>;

    /// The one for a platform (`os[/arch[/variant]]`), where a name has images for several.
    async fn get_for(&self, reference: &str, platform: &str) -> Result<Arc<Image>>;

    /// What an image consists of, by its full id.
    async fn manifests(&self, id: &str) -> Result<ImageManifests>;

    /// What builds say of an image; nothing is no error.
    async fn attestations(&self, reference: &str, query: &AttestationQuery) -> Result<Vec<Attestation>>;

    /// Reads an archive (docker archive or OCI layout; plain, gzip or zstd). Half-read archives leave nothing. Of images
    /// for several platforms only those named are wanted, if any is.
    async fn load(&self, archive: ByteStream, platforms: &[String], progress: mpsc::Sender<Progress>)
    -> Result<Vec<LoadedImage>>;

    /// Writes an archive that `load` and other engines read. Unknown names fail before the first byte. Platforms as for
    /// `load`.
    async fn save(&self, references: &[String], platforms: &[String]) -> Result<ByteStream>;

    /// Makes a one-layer image of a root file system archive; its id.
    async fn import(&self, archive: ByteStream, options: ImportOptions) -> Result<String>;

    /// Gives `source` one more name; its id.
    async fn tag(&self, source: &str, repository: &str, tag: &str) -> Result<String>;

    async fn remove(&self, removal: &ImageRemoval, users: &ImageUsers) -> Result<Vec<ImageDeleted>>;

    async fn prune(&self, prune: &ImagePrune, users: &ImageUsers) -> Result<ImagePruned>;

    /// Removes what is to be collected and is used by nobody.
    async fn collect(&self, collection: &ImageCollection, users: &ImageUsers) -> Result<CollectedImages>;

    async fn disk_usage(&self) -> Result<ImageDiskUsage>;

    /// Where the files of an image are that is a container's mount of that number, for `inspect`; empty if that is nowhere.
    fn mounted_at(&self, _container: &ContainerId, _number: usize) -> String {
        String::new()
    }
}
