//! Registries, where the engine gets images from them by itself.

use async_trait::async_trait;
use lighter_domain::Result;
use lighter_domain::image::{
    DistributionImage, ImagePull, ImagePush, Progress, PullOutcome, PushOutcome, RegistryLogin, SearchResult,
};
use tokio::sync::mpsc;

/// Images to and from registries. Errors are worded as dockerd words them.
#[async_trait]
pub trait Registry: Send + Sync {
    /// Brings images. A full channel slows the pull down, a closed one ends it; what is there by then is in the outcome.
    async fn pull(&self, pull: &ImagePull, progress: mpsc::Sender<Progress>) -> PullOutcome;

    /// Sends images. Progress as for a pull.
    async fn push(&self, push: &ImagePush, progress: mpsc::Sender<Progress>) -> PushOutcome;

    /// Whether `server` (empty: Docker Hub) believes the login; gives an identity token to keep instead of the password, or
    /// an empty text.
    async fn log_in(&self, server: &str, login: &RegistryLogin) -> Result<String>;

    /// What the registry has under a name.
    async fn distribution(&self, name: &str, login: &RegistryLogin) -> Result<DistributionImage>;

    /// Asks the registry in `term` (none: Docker Hub) for at most `limit` repositories.
    async fn search(&self, term: &str, limit: u32, login: &RegistryLogin) -> Result<Vec<SearchResult>>;
}
