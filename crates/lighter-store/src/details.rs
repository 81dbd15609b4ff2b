//! What summaries of containers, images and volumes leave out, as columns beside them. The writer calls it, after the rows
//! themselves are written.

use crate::run::Script;
use crate::writer::PRUNE_STEP;
use crate::{Result, StoreError, timestamp};
use lighter_domain::volume::{LOCAL, Volume};
use lighter_domain::{Container, Image};
use sqlx::sqlite::SqliteConnection;
use time::OffsetDateTime;

fn json<T: serde::Serialize>(table: &'static str, value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|source| StoreError::Encode { table, source })
}

/// Where an image is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageSource {
    Build,
    Load,
    Import,
    Commit,
}

impl ImageSource {
    fn as_str(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Load => "load",
            Self::Import => "import",
            Self::Commit => "commit",
        }
    }
}

/// Before the image's rows, which take it over. Of an image that came twice the last way counts.
pub(crate) async fn image_source(connection: &mut SqliteConnection, image: &str, source: ImageSource) -> Result<u64> {
    let sql =
        "INSERT INTO imageSources (imageId, source) VALUES (?, ?) ON CONFLICT (imageId) DO UPDATE SET source = excluded.source";
    let done = sqlx::query(sql).bind(image).bind(source.as_str()).execute(connection).await;
    Ok(done.map_err(StoreError::sql("writing where an image is from"))?.rows_affected())
}

/// Of images that have no row and were last used before this moment, at most so many.
pub(crate) async fn prune_image_notes(connection: &mut SqliteConnection, before: OffsetDateTime) -> Result<u64> {
    let mut gone = 0;
    for sql in [
        "DELETE FROM imageUses WHERE imageId IN (SELECT imageId FROM imageUses WHERE usedAt < ?1 \
         AND imageId NOT IN (SELECT digest FROM images WHERE digest IS NOT NULL) LIMIT ?2)",
        "DELETE FROM imageSources WHERE imageId IN (SELECT imageId FROM imageSources WHERE ?1 IS NOT NULL \
         AND imageId NOT IN (SELECT digest FROM images WHERE digest IS NOT NULL) \
         AND imageId NOT IN (SELECT imageId FROM imageUses) \
         AND imageId NOT IN (SELECT imageId FROM imagePulls WHERE imageId IS NOT NULL) LIMIT ?2)",
    ] {
        let done = sqlx::query(sql).bind(timestamp::format(before)).bind(PRUNE_STEP).execute(&mut *connection).await;
        gone += done.map_err(StoreError::sql("forgetting images"))?.rows_affected();
    }
    Ok(gone)
}

pub(crate) async fn image(connection: &mut SqliteConnection, image: &Image) -> Result<u64> {
    let done = sqlx::query("UPDATE images SET labels = ? WHERE digest = ?")
        .bind(json("images", &image.config.labels)?)
        .bind(image.id.as_str())
        .execute(connection)
        .await;
    Ok(done.map_err(StoreError::sql("writing an image's labels"))?.rows_affected())
}

/// A volume that is a directory of the host by another name is a bind; all others are the engine's own.
pub(crate) async fn volume(connection: &mut SqliteConnection, volume: &Volume) -> Result<u64> {
    let option = |key: &str| volume.options.get(key).map(String::as_str).unwrap_or_default();
    let bind = option("o").split(',').any(|o| o == "bind" || o == "rbind");
    let backing = if bind { option("device") } else { volume.mountpoint.as_str() };
    let done = sqlx::query("UPDATE volumes SET type = ?, backingStore = ?, driver = ?, options = ?, labels = ? WHERE name = ?")
        .bind(if bind { "bind" } else { "managed" })
        .bind(backing)
        .bind(LOCAL)
        .bind(json("volumes", &volume.options)?)
        .bind(json("volumes", &volume.labels)?)
        .bind(volume.name.as_str())
        .execute(connection)
        .await;
    Ok(done.map_err(StoreError::sql("writing a volume's details"))?.rows_affected())
}

/// What the machine was when the container was made.
pub(crate) fn machine(script: &mut Script, container: &Container, kernel: &str, path: &str) -> Result<()> {
    script.add("UPDATE containers SET kernelVersion = ?, engineHostPath = nullif(?, '') WHERE id = ?", 1);
    script.bind(kernel)?.bind(path)?.bind(container.uuid.to_string())?;
    Ok(())
}

/// A cluster that was being started when the daemon ended starts no more.
pub(crate) async fn recover_clusters(connection: &mut SqliteConnection) -> Result<u64> {
    let done = sqlx::query("UPDATE devClusters SET state = 'error' WHERE state = 'starting'").execute(connection).await;
    Ok(done.map_err(StoreError::sql("recovering dev clusters"))?.rows_affected())
}
