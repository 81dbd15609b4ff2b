//! How the store fails. Callers branch on `Closed`, `Invalid` and `Conflict`; the rest is for the log.

use std::path::PathBuf;

/// The result of every store operation.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// A failure with its context; `Display` does not repeat the source.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// [`crate::Store::close`] was called, or the runtime is going down.
    #[error("the store is closed")]
    Closed,
    #[error("cannot open the database {path}")]
    Open {
        path: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A later Lighter wrote this file.
    #[error(
        "the database {path} has schema version {version}, which is newer than this program knows (up to {known}): use the version of Lighter that made it, or another data root"
    )]
    Newer { path: PathBuf, version: i64, known: i64 },
    #[error("cannot bring the database {path} to the present schema")]
    Migrate {
        path: PathBuf,
        #[source]
        source: Box<sqlx::migrate::MigrateError>,
    },
    #[error("the database cannot be copied to {path}")]
    Backup {
        path: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{doing} failed")]
    Sql {
        doing: &'static str,
        #[source]
        source: sqlx::Error,
    },
    /// A row that this program could not have written.
    #[error("row {id} of table {table} cannot be read: {reason}")]
    Corrupt { table: &'static str, id: String, reason: String },
    #[error("a value of {table} cannot be written as JSON")]
    Encode {
        table: &'static str,
        #[source]
        source: serde_json::Error,
    },
    /// A rule of the data model is broken; nothing was written.
    #[error("this {entity} is refused: {reason}")]
    Invalid { entity: &'static str, reason: &'static str },
    /// A unique or foreign key forbids it; nothing was written.
    #[error("{doing} conflicts with what is stored")]
    Conflict {
        doing: &'static str,
        #[source]
        source: Option<sqlx::Error>,
    },
    /// The transaction that a set of changes shared with others could not be committed; nothing of it was written.
    #[error("the changes could not be committed: {reason}")]
    Commit { reason: String },
    /// The disk refuses the recorded events and their buffer is full: this event is lost.
    #[error("the event cannot be recorded: the buffer of {capacity} is full and the last write failed")]
    Full { capacity: usize },
}

impl StoreError {
    /// Sorts an error of sqlx: constraints are conflicts, the rest is internal.
    pub(crate) fn sql(doing: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| {
            let constraint = source
                .as_database_error()
                .is_some_and(|e| e.is_unique_violation() || e.is_foreign_key_violation() || e.is_check_violation());
            if constraint { Self::Conflict { doing, source: Some(source) } } else { Self::Sql { doing, source } }
        }
    }
}
