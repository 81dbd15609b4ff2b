//! Looking after the file itself, while the daemon works: is it sound, and a copy of it.
//!
//! Both read with connections of their own, beside the pool: they can take long, and nobody else shall wait for them.

use crate::{Result, StoreError};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// More faults than this are not told one by one.
const MOST_FAULTS: usize = 100;

async fn connect(path: &Path) -> Result<SqliteConnection> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true).disable_statement_logging();
    options.connect().await.map_err(StoreError::sql("opening the database once more"))
}

/// SQLite's own examination, and that of references between tables. Empty: all is well.
pub(crate) async fn check(path: &Path) -> Result<Vec<String>> {
    let mut connection = connect(path).await?;
    let said: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check(100)")
        .fetch_all(&mut connection)
        .await
        .map_err(StoreError::sql("checking the database"))?;
    let mut faults: Vec<String> = said.into_iter().filter(|line| line != "ok").collect();
    let dangling: Vec<(String, Option<i64>, String)> =
        sqlx::query_as("SELECT \"table\", rowid, parent FROM pragma_foreign_key_check")
            .fetch_all(&mut connection)
            .await
            .map_err(StoreError::sql("checking the references"))?;
    faults.extend(dangling.iter().map(|(table, row, parent)| {
        format!("row {} of {table} refers to a row of {parent} that is not there", row.unwrap_or_default())
    }));
    faults.truncate(MOST_FAULTS);
    // It was only read from.
    let _ = connection.close().await;
    Ok(faults)
}

/// Writes a copy as of this moment to `to`, which must not exist, readable by its owner alone.
pub(crate) async fn backup(path: &Path, to: &Path) -> Result<()> {
    // SQLite writes into an empty file, which has its mode already.
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    made.map_err(|source| StoreError::Backup { path: to.to_owned(), source: Box::new(source) })?;
    let result = copy(path, to).await;
    if result.is_err() {
        let _ = std::fs::remove_file(to);
    }
    result
}

async fn copy(path: &Path, to: &Path) -> Result<()> {
    let failed = |source: sqlx::Error| StoreError::Backup { path: to.to_owned(), source: Box::new(source) };
    let mut connection = connect(path).await?;
    let name = to.to_str().ok_or_else(|| failed(sqlx::Error::Configuration("the path is not UTF-8".into())))?;
    sqlx::query("VACUUM INTO ?").bind(name).execute(&mut connection).await.map_err(failed)?;
    let _ = connection.close().await;
    Ok(())
}
