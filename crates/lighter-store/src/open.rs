//! Opening the file: its mode, its schema, the connections. Called by [`crate::Store::open`].

use crate::{Result, StoreError};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};
use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

const READERS: u32 = 4;
/// Another program may hold the file for a moment.
const BUSY: Duration = Duration::from_secs(5);
/// What a burst may leave of the write-ahead log, in bytes.
const LOG_KEPT: &str = "16777216";

/// Creates the file if need be, brings its schema up to date, and gives the writing connection and the pool of readers.
pub(crate) async fn open(path: &Path) -> Result<(SqliteConnection, SqlitePool)> {
    let file = path.to_owned();
    tokio::task::spawn_blocking(move || private(&file)).await.map_err(|e| failed(path, e))?.map_err(|e| failed(path, e))?;
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(BUSY).foreign_keys(true).disable_statement_logging();
    let mut writer = options
        .clone()
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .pragma("journal_size_limit", LOG_KEPT)
        .thread_name(|_| "store-writer".to_owned())
        .connect()
        .await
        .map_err(|e| failed(path, e))?;
    if let Err(error) = MIGRATIONS.run(&mut writer).await {
        let _ = writer.close().await;
        return Err(not_migrated(path, error));
    }
    let readers = SqlitePoolOptions::new()
        .min_connections(0)
        .max_connections(READERS)
        .idle_timeout(Duration::from_secs(30))
        // The file is local: a connection does not go stale, and to ask costs a round trip.
        .test_before_acquire(false)
        .connect_lazy_with(options.read_only(true).pragma("cache_size", "-1024").thread_name(|n| format!("store-reader{n}")));
    Ok((writer, readers))
}

/// Sees to it that the file exists and that only its owner may read it. SQLite gives `-wal` and `-shm` the mode of the file.
fn private(path: &Path) -> io::Result<()> {
    OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    for suffix in ["-wal", "-shm"] {
        let mut beside = path.as_os_str().to_owned();
        beside.push(suffix);
        match fs::set_permissions(PathBuf::from(beside), Permissions::from_mode(0o600)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn failed(path: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::Open { path: path.to_owned(), source: source.into() }
}

fn not_migrated(path: &Path, error: MigrateError) -> StoreError {
    let known = MIGRATIONS.iter().map(|m| m.version).max().unwrap_or_default();
    match error {
        MigrateError::VersionMissing(version) if version > known => StoreError::Newer { path: path.to_owned(), version, known },
        error => StoreError::Migrate { path: path.to_owned(), source: Box::new(error) },
    }
}
