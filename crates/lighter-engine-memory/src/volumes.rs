//! Volumes as records: they have names, labels and options, and nothing in them.

use crate::MemoryEngine;
use async_trait::async_trait;
use lighter_domain::Result;
use lighter_domain::volume::{NewVolume, Volume};
use lighter_engine::Volumes;
use std::sync::Arc;
use time::OffsetDateTime;

#[async_trait]
impl Volumes for MemoryEngine {
    async fn list(&self) -> Result<Vec<Arc<Volume>>> {
        Ok(self.volumes.read().values().cloned().collect())
    }

    async fn get(&self, name: &str) -> Result<Option<Arc<Volume>>> {
        Ok(self.volumes.read().get(name).cloned())
    }

    async fn create(&self, volume: NewVolume) -> Result<Arc<Volume>> {
        let NewVolume { name, labels, options } = volume;
        let mountpoint = format!("/memory/volumes/{name}/_data");
        let made = Arc::new(Volume { name, mountpoint, labels, options, created_at: OffsetDateTime::now_utc() });
        self.volumes.write().insert(made.name.clone(), Arc::clone(&made));
        Ok(made)
    }

    async fn remove(&self, name: &str) -> Result<()> {
        self.volumes.write().remove(name);
        Ok(())
    }

    async fn size(&self, _name: &str) -> Result<u64> {
        Ok(0)
    }
}
