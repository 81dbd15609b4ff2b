//! What the daemon knows of what was asked of it: the recorded requests, the mappings, and what can be made of them.
//!
//! `lighter-api` asks for it under `/lighter/v1`. Reading the record changes nothing; that it was read is itself recorded.

mod access;
mod doctor;
mod explain;
mod follow;
mod ports;
mod stacks;

pub use explain::Explained;
pub use follow::RecordStream;
pub use ports::{PortState, PortUse};
pub use stacks::StackView;

pub(crate) use access::{Access, serve as note_access};

use crate::daemon::{Daemon, store_failed};
use lighter_domain::{Result, ShimEvent, ShimEventFilter, ShimMapping};
use lighter_engine::ByteStream;

impl Daemon {
    /// Recorded requests, newest first; what was recorded before this call is among them.
    pub async fn recorded(&self, filter: &ShimEventFilter) -> Result<Vec<ShimEvent>> {
        let store = &self.shared().store;
        store.flush().await.map_err(store_failed)?;
        store.shim_events().filter(filter).await.map_err(read_failed)
    }

    /// What clients call containers, in the order of the ids, after `after`.
    pub async fn mappings(&self, after: &str, limit: u32) -> Result<Vec<ShimMapping>> {
        let shared = self.shared();
        shared.store_accesses().await;
        shared.store.shim_mappings(after, limit).await.map_err(read_failed)
    }

    /// Ids that a name or an id has, or had: of the container that is there, else of those that are gone.
    pub async fn ids_of(&self, reference: &str) -> Result<Vec<String>> {
        if let Some(container) = self.resolve(reference) {
            return Ok(vec![container.id.as_str().to_owned()]);
        }
        let name = reference.strip_prefix('/').unwrap_or(reference);
        let mut ids = self.shared().store.ids_of_name(name).await.map_err(read_failed)?;
        let hex = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase());
        if ids.is_empty() && hex(reference) {
            ids.push(reference.to_owned());
        }
        Ok(ids)
    }

    /// What is wrong with the database; empty when it is sound.
    pub async fn check_store(&self) -> Result<Vec<String>> {
        self.shared().store.check().await.map_err(read_failed)
    }

    /// A copy of the database, as it is at this moment. It lies beside the database while it is read, without a name.
    pub async fn backup_store(&self) -> Result<ByteStream> {
        let shared = self.shared();
        let path = shared.config.data_root.join(format!(".backup-{}", uuid::Uuid::new_v4()));
        shared.store.backup(&path).await.map_err(store_failed)?;
        let opened = tokio::fs::File::open(&path).await;
        let removed = tokio::fs::remove_file(&path).await;
        let failed = |e| lighter_domain::Error::internal("the copy of the database cannot be read").with_source(e);
        let file = opened.map_err(failed)?;
        removed.map_err(failed)?;
        Ok(Box::pin(file))
    }
}

/// A failure to read what is stored.
pub(crate) fn read_failed(error: lighter_store::StoreError) -> lighter_domain::Error {
    lighter_domain::Error::internal("the record could not be read").with_source(error)
}
