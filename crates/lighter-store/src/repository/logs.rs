//! The newest lines that each container printed. The whole log is the engine's file; this is what stays searchable.

use super::rows;
use crate::{Change, Result, Store, StoreError, timestamp};
use lighter_domain::resource::ContainerLog;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Arguments, AssertSqlSafe, FromRow};
use std::sync::{Arc, LazyLock};
use time::OffsetDateTime;
use uuid::Uuid;

const TABLE: &str = "containerLogs";
/// Lines that are kept of each container.
pub const LOG_LINES_KEPT: usize = 500;
/// Rows of one statement, widest first.
const WIDTHS: [usize; 3] = [50, 8, 1];

static STATEMENTS: LazyLock<[Arc<str>; WIDTHS.len()]> = LazyLock::new(|| {
    WIDTHS.map(|width| {
        format!("INSERT INTO containerLogs (containerId, line, createdAt) VALUES {}", vec!["(?,?,?)"; width].join(",")).into()
    })
});

/// The log lines of all containers. Made by [`Store::container_logs`].
#[derive(Debug)]
pub struct ContainerLogs<'a> {
    pub(crate) store: &'a Store,
}

impl ContainerLogs<'_> {
    /// Appends and prunes, in one transaction.
    pub async fn append(&self, container: Uuid, lines: Vec<(OffsetDateTime, String)>) -> Result<()> {
        self.store.apply(vec![Change::Logs { container, lines }]).await.map(drop)
    }

    /// The newest `limit` lines of a container, oldest first.
    pub async fn fetch(&self, container: Uuid, limit: u32) -> Result<Vec<ContainerLog>> {
        let rows: Vec<LogRow> = sqlx::query_as(
            "SELECT id, containerId, line, createdAt FROM containerLogs WHERE containerId = ? ORDER BY id DESC LIMIT ?",
        )
        .bind(container.to_string())
        .bind(limit)
        .fetch_all(self.store.readers())
        .await
        .map_err(StoreError::sql("reading log lines"))?;
        rows.into_iter().rev().map(ContainerLog::try_from).collect()
    }

    /// Lines of all containers, oldest first: at most `limit`, with ids above `after_id`.
    pub async fn fetch_all(&self, after_id: i64, limit: u32) -> Result<Vec<ContainerLog>> {
        let rows: Vec<LogRow> =
            sqlx::query_as("SELECT id, containerId, line, createdAt FROM containerLogs WHERE id > ? ORDER BY id LIMIT ?")
                .bind(after_id)
                .bind(limit)
                .fetch_all(self.store.readers())
                .await
                .map_err(StoreError::sql("reading log lines"))?;
        rows.into_iter().map(ContainerLog::try_from).collect()
    }

    /// Removes all but the newest [`LOG_LINES_KEPT`] lines; how many went. Appending does it, too.
    pub async fn prune(&self, container: Uuid) -> Result<u64> {
        Ok(self.store.apply(vec![Change::Logs { container, lines: Vec::new() }]).await?.rows_affected)
    }
}

/// Appends inside the writer's transaction, then prunes. Lines that would be pruned at once are not written at all.
pub(crate) async fn append(
    connection: &mut SqliteConnection,
    container: Uuid,
    lines: &[(OffsetDateTime, String)],
) -> Result<u64> {
    let id: Arc<str> = container.to_string().into();
    let mut rest = &lines[lines.len().saturating_sub(LOG_LINES_KEPT)..];
    let mut affected = 0;
    for (width, statement) in WIDTHS.into_iter().zip(STATEMENTS.iter()) {
        while rest.len() >= width {
            let (now, later) = rest.split_at(width);
            rest = later;
            let arguments = bind(&id, now).map_err(sqlx::Error::Encode).map_err(StoreError::sql("encoding log lines"))?;
            affected += sqlx::query_with(AssertSqlSafe(Arc::clone(statement)), arguments)
                .execute(&mut *connection)
                .await
                .map_err(StoreError::sql("writing log lines"))?
                .rows_affected();
        }
    }
    let pruned = sqlx::query(
        "DELETE FROM containerLogs WHERE containerId = ?1 AND id <= \
         (SELECT id FROM containerLogs WHERE containerId = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
    )
    .bind(&*id)
    .bind(i64::try_from(LOG_LINES_KEPT).unwrap_or(i64::MAX))
    .execute(connection)
    .await
    .map_err(StoreError::sql("pruning log lines"))?;
    Ok(affected + pruned.rows_affected())
}

fn bind(container: &Arc<str>, lines: &[(OffsetDateTime, String)]) -> Result<SqliteArguments, sqlx::error::BoxDynError> {
    let mut arguments = SqliteArguments::default();
    arguments.reserve(lines.len() * 3, 0);
    for (at, line) in lines {
        arguments.add(Arc::clone(container))?;
        arguments.add(line.as_str())?;
        arguments.add(timestamp::format(*at))?;
    }
    Ok(arguments)
}

#[derive(FromRow)]
#[sqlx(rename_all = "camelCase")]
struct LogRow {
    id: i64,
    container_id: String,
    line: String,
    created_at: String,
}

impl TryFrom<LogRow> for ContainerLog {
    type Error = StoreError;

    fn try_from(row: LogRow) -> Result<Self> {
        let id = row.id.to_string();
        Ok(Self {
            id: row.id,
            container_id: rows::uuid(TABLE, &id, &row.container_id)?,
            created_at: rows::date(TABLE, &id, "createdAt", &row.created_at)?,
            line: row.line,
        })
    }
}
