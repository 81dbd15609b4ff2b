//! `dockerShimMappings`, for those who ask afterwards. [`crate::Change::PutContainer`] writes the rows.

use crate::{Result, StoreError, timestamp};
use lighter_domain::ShimMapping;
use sqlx::FromRow;
use sqlx::sqlite::SqlitePool;
use uuid::Uuid;

const TABLE: &str = "dockerShimMappings";

/// At most `limit`, in the order of the ids that clients see, from the one after `after` on.
pub(crate) async fn page(pool: &SqlitePool, after: &str, limit: u32) -> Result<Vec<ShimMapping>> {
    sqlx::query_as::<_, MappingRow>(
        "SELECT m.containerId, m.shimContainerId, c.name, m.engineContainerId, m.apiVersion, m.unsupportedFlags, m.lastAccessedAt \
         FROM dockerShimMappings m JOIN containers c ON c.id = m.containerId \
         WHERE m.shimContainerId > ? ORDER BY m.shimContainerId LIMIT ?",
    )
    .bind(after)
    .bind(limit)
    .fetch_all(pool)
    .await
    .map_err(StoreError::sql("reading the mappings"))?
    .into_iter()
    .map(ShimMapping::try_from)
    .collect()
}

#[derive(FromRow)]
#[sqlx(rename_all = "camelCase")]
struct MappingRow {
    container_id: String,
    shim_container_id: String,
    name: String,
    engine_container_id: String,
    api_version: String,
    unsupported_flags: String,
    last_accessed_at: String,
}

impl TryFrom<MappingRow> for ShimMapping {
    type Error = StoreError;

    fn try_from(row: MappingRow) -> Result<Self> {
        let corrupt = |reason: String| StoreError::Corrupt { table: TABLE, id: row.container_id.clone(), reason };
        Ok(Self {
            container_id: Uuid::parse_str(&row.container_id).map_err(|e| corrupt(format!("containerId: {e}")))?,
            unsupported_flags: serde_json::from_str(&row.unsupported_flags)
                .map_err(|e| corrupt(format!("unsupportedFlags: {e}")))?,
            last_accessed_at: timestamp::parse(&row.last_accessed_at)
                .ok_or_else(|| corrupt("lastAccessedAt is not a date".to_owned()))?,
            shim_container_id: row.shim_container_id,
            name: row.name,
            engine_container_id: row.engine_container_id,
            api_version: row.api_version,
        })
    }
}
