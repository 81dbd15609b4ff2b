//! Volumes, where the engine has a place for them.

use async_trait::async_trait;
use lighter_domain::Result;
use lighter_domain::volume::{NewVolume, Volume};
use std::sync::Arc;

/// The volumes of an engine. Whether one is in use is the core's to know.
#[async_trait]
pub trait Volumes: Send + Sync {
    /// By name. Cheap.
    async fn list(&self) -> Result<Vec<Arc<Volume>>>;

    /// `None`: there is none of that name. Cheap.
    async fn get(&self, name: &str) -> Result<Option<Arc<Volume>>>;

    /// Makes one. Must not be there; its name and options were checked.
    async fn create(&self, volume: NewVolume) -> Result<Arc<Volume>>;

    /// Removes one with all that is in it. One that is not there is a success.
    async fn remove(&self, name: &str) -> Result<()>;

    /// Bytes of its files.
    async fn size(&self, name: &str) -> Result<u64>;
}
