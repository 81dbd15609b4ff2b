//! When images were last used: by containers (`imageUses`, kept by triggers) and by pulls (`imagePulls`).

use crate::{Result, Store, StoreError, timestamp};
use std::collections::BTreeMap;
use time::OffsetDateTime;

impl Store {
    /// By image id; images that were never used nor pulled are not in it.
    pub async fn image_uses(&self) -> Result<BTreeMap<String, OffsetDateTime>> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT imageId, max(at) FROM (
                SELECT imageId, usedAt AS at FROM imageUses
                UNION ALL SELECT imageId, pulledAt FROM imagePulls WHERE status = 'pulled' AND imageId IS NOT NULL
            ) GROUP BY imageId",
        )
        .fetch_all(self.readers())
        .await
        .map_err(StoreError::sql("reading the uses of images"))?;
        Ok(rows.into_iter().filter_map(|(id, at)| Some((id, timestamp::parse(&at)?))).collect())
    }
}
