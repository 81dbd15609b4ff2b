//! The history of pulls, `imagePulls`: appended by the writer. The rows of `images` take registry and date from it.

use crate::{Result, StoreError, timestamp};
use lighter_domain::resource::ImagePullRecord;
use sqlx::sqlite::SqliteConnection;

pub(crate) async fn insert(connection: &mut SqliteConnection, pull: &ImagePullRecord) -> Result<u64> {
    let ImagePullRecord { registry, name, reference, digest, image_id, error, pulled_at } = pull;
    let done = sqlx::query(
        "INSERT INTO imagePulls (registry, name, reference, digest, imageId, status, error, pulledAt) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(registry.as_str())
    .bind(name.as_str())
    .bind(reference.as_str())
    .bind(digest.as_deref())
    .bind(image_id.as_deref())
    .bind(if error.is_some() { "failed" } else { "pulled" })
    .bind(error.as_deref())
    .bind(timestamp::format(*pulled_at))
    .execute(connection)
    .await
    .map_err(StoreError::sql("writing a pull"))?;
    Ok(done.rows_affected())
}
