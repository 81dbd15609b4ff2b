//! The lines that are searched: `logStreams`, `logLines`, `logGaps` and the index of words `logSearch`, which triggers keep.
//!
//! A container that prints as fast as it can brings tens of thousands of lines a second: statements are few and wide, and
//! callers bring at most some hundred lines in one unit of work, so that other writes come in between.

use crate::json::any_of;
use crate::{Result, StoreError, timestamp};
use lighter_domain::{LogFilter, LogGap, LogLevel, LogLine, LogMark, LogSource, NewLogLine, Origin};
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqlitePool};
use sqlx::{Arguments as _, AssertSqlSafe, FromRow};
use std::sync::{Arc, LazyLock};
use uuid::Uuid;

const TABLE: &str = "logLines";
const COLUMNS: usize = 5;
/// Rows of one statement, widest first.
const WIDTHS: [usize; 3] = [100, 10, 1];
/// Gaps that are told.
const MOST_GAPS: u32 = 20;

static STATEMENTS: LazyLock<[Arc<str>; WIDTHS.len()]> = LazyLock::new(|| {
    let row = format!("({})", ["?"; COLUMNS].join(","));
    WIDTHS.map(|width| {
        let rows = vec![row.as_str(); width].join(",");
        format!("INSERT INTO logLines (streamId, timestamp, level, source, message) VALUES {rows}").into()
    })
});

/// What one look at a container's log found.
#[derive(Debug, Clone)]
pub struct LogBatch {
    pub stream: Origin,
    pub lines: Vec<NewLogLine>,
    /// Where the next look goes on.
    pub mark: LogMark,
    /// The last line before lines that were passed over, and the first one after them.
    pub gap: Option<(LogMark, LogMark)>,
}

/// Stores a batch inside the writer's transaction.
pub(crate) async fn append(connection: &mut SqliteConnection, batch: &LogBatch) -> Result<u64> {
    let LogBatch { stream, lines, mark, gap } = batch;
    let Origin { container, shim_id, name, stack } = stream;
    let id: i64 = sqlx::query_scalar(
        "INSERT INTO logStreams (containerId, shimContainerId, name, stack, readUntil, readAtUntil) VALUES (?, ?, ?, ?, ?, ?) \
         ON CONFLICT (containerId) DO UPDATE SET name = excluded.name, stack = excluded.stack, \
         readUntil = excluded.readUntil, readAtUntil = excluded.readAtUntil RETURNING id",
    )
    .bind(container.to_string())
    .bind(shim_id.as_str())
    .bind(name.as_str())
    .bind(stack.as_deref())
    .bind(timestamp::format(mark.at))
    .bind(mark.lines)
    .fetch_one(&mut *connection)
    .await
    .map_err(StoreError::sql("writing a log's stream"))?;
    if let Some((since, until)) = gap {
        sqlx::query("INSERT INTO logGaps (streamId, since, until) VALUES (?, ?, ?)")
            .bind(id)
            .bind(timestamp::format(since.at))
            .bind(timestamp::format(until.at))
            .execute(&mut *connection)
            .await
            .map_err(StoreError::sql("writing a log's gap"))?;
    }
    let mut rest = &lines[..];
    for (width, statement) in WIDTHS.into_iter().zip(STATEMENTS.iter()) {
        while rest.len() >= width {
            let (now, later) = rest.split_at(width);
            rest = later;
            let arguments = bind(id, now).map_err(sqlx::Error::Encode).map_err(StoreError::sql("encoding log lines"))?;
            sqlx::query_with(AssertSqlSafe(Arc::clone(statement)), arguments)
                .execute(&mut *connection)
                .await
                .map_err(StoreError::sql("writing log lines"))?;
        }
    }
    Ok(lines.len() as u64)
}

fn bind(stream: i64, lines: &[NewLogLine]) -> Result<SqliteArguments, sqlx::error::BoxDynError> {
    let mut arguments = SqliteArguments::default();
    arguments.reserve(lines.len() * COLUMNS, 0);
    for NewLogLine { at, source, level, message } in lines {
        arguments.add(stream)?;
        arguments.add(timestamp::format(*at))?;
        arguments.add(level.map(LogLevel::as_str))?;
        arguments.add(source.as_str())?;
        arguments.add(message.as_str())?;
    }
    Ok(arguments)
}

/// How far a container's log was looked at. For one that an older version looked at: as far as its newest line.
pub(crate) async fn mark(pool: &SqlitePool, container: Uuid) -> Result<Option<LogMark>> {
    let row: Option<(String, u32)> = sqlx::query_as(
        "SELECT readUntil, readAtUntil FROM logStreams WHERE containerId = ?1 AND readUntil IS NOT NULL \
         UNION ALL SELECT createdAt, 1 FROM (SELECT createdAt FROM containerLogs WHERE containerId = ?1 ORDER BY id DESC LIMIT 1) \
         LIMIT 1",
    )
    .bind(container.to_string())
    .fetch_optional(pool)
    .await
    .map_err(StoreError::sql("reading how far a log was read"))?;
    Ok(row.and_then(|(at, lines)| Some(LogMark { at: timestamp::parse(&at)?, lines })))
}

/// Columns and conditions; `$from` finds the lines.
macro_rules! select {
    ($from:literal) => {
        concat!(
            "SELECT l.id, s.shimContainerId, s.name, s.stack, l.timestamp, l.level, l.source, l.message FROM ",
            $from,
            " JOIN logStreams s ON s.id = l.streamId WHERE l.id < ?2 \
             AND (?3 IS NULL OR EXISTS (SELECT 1 FROM json_each(?3) WHERE substr(s.shimContainerId, 1, length(value)) = value)) \
             AND (?4 IS NULL OR s.stack IN (SELECT value FROM json_each(?4))) \
             AND (?5 IS NULL OR l.level IN (SELECT value FROM json_each(?5))) \
             AND (?6 IS NULL OR l.source = ?6) AND (?7 IS NULL OR l.timestamp >= ?7) AND (?8 IS NULL OR l.timestamp <= ?8) "
        )
    };
}

const BY_WORDS: &str = concat!(
    select!("logSearch f JOIN logLines l ON l.id = f.rowid"),
    "AND logSearch MATCH ?1 AND f.rowid < ?2 ORDER BY f.rowid DESC LIMIT ?9"
);
const ALL: &str = concat!(select!("logLines l"), "AND ?1 IS NULL ORDER BY l.id DESC LIMIT ?9");

/// The newest that were stored first.
pub(crate) async fn search(pool: &SqlitePool, terms: Option<&str>, filter: &LogFilter) -> Result<Vec<LogLine>> {
    let LogFilter { query: _, containers, stacks, levels, source, since, until, before_id, limit } = filter;
    let levels: Vec<&str> = levels.iter().map(|level| level.as_str()).collect();
    sqlx::query_as::<_, LineRow>(if terms.is_some() { BY_WORDS } else { ALL })
        .bind(terms)
        .bind(before_id.unwrap_or(i64::MAX))
        .bind(any_of(TABLE, containers)?)
        .bind(any_of(TABLE, stacks)?)
        .bind(any_of(TABLE, &levels)?)
        .bind(source.map(LogSource::as_str))
        .bind(since.map(timestamp::format))
        .bind(until.map(timestamp::format))
        .bind(*limit)
        .fetch_all(pool)
        .await
        .map_err(StoreError::sql("searching log lines"))?
        .into_iter()
        .map(LogLine::try_from)
        .collect()
}

/// The newest gaps where the filter looks.
pub(crate) async fn gaps(pool: &SqlitePool, filter: &LogFilter) -> Result<Vec<LogGap>> {
    let rows: Vec<(String, String, String, String)> = sqlx::query_as(
        "SELECT s.shimContainerId, s.name, g.since, g.until FROM logGaps g JOIN logStreams s ON s.id = g.streamId \
         WHERE (?1 IS NULL OR EXISTS (SELECT 1 FROM json_each(?1) WHERE substr(s.shimContainerId, 1, length(value)) = value)) \
         AND (?2 IS NULL OR s.stack IN (SELECT value FROM json_each(?2))) \
         AND (?3 IS NULL OR g.until >= ?3) AND (?4 IS NULL OR g.since <= ?4) ORDER BY g.id DESC LIMIT ?5",
    )
    .bind(any_of(TABLE, &filter.containers)?)
    .bind(any_of(TABLE, &filter.stacks)?)
    .bind(filter.since.map(timestamp::format))
    .bind(filter.until.map(timestamp::format))
    .bind(MOST_GAPS)
    .fetch_all(pool)
    .await
    .map_err(StoreError::sql("reading what of logs was passed over"))?;
    rows.into_iter()
        .map(|(container_id, container, since, until)| {
            let date = |text: &str| {
                timestamp::parse(text).ok_or_else(|| StoreError::Corrupt {
                    table: "logGaps",
                    id: container_id.clone(),
                    reason: format!("{text:?} is not a date"),
                })
            };
            Ok(LogGap { since: date(&since)?, until: date(&until)?, container_id: container_id.clone(), container })
        })
        .collect()
}

/// Streams of containers that are gone and of which no line is left.
pub(crate) async fn prune_streams(connection: &mut SqliteConnection, most: u32) -> Result<u64> {
    let done = sqlx::query(
        "DELETE FROM logStreams WHERE id IN (SELECT s.id FROM logStreams s \
         WHERE NOT EXISTS (SELECT 1 FROM containers c WHERE c.id = s.containerId) \
         AND NOT EXISTS (SELECT 1 FROM logLines l WHERE l.streamId = s.id) LIMIT ?)",
    )
    .bind(most)
    .execute(connection)
    .await
    .map_err(StoreError::sql("pruning the streams of logs"))?;
    Ok(done.rows_affected())
}

#[derive(FromRow)]
#[sqlx(rename_all = "camelCase")]
struct LineRow {
    id: i64,
    shim_container_id: String,
    name: String,
    stack: Option<String>,
    timestamp: String,
    level: Option<String>,
    source: String,
    message: String,
}

impl TryFrom<LineRow> for LogLine {
    type Error = StoreError;

    fn try_from(row: LineRow) -> Result<Self> {
        let corrupt = |reason: String| StoreError::Corrupt { table: TABLE, id: row.id.to_string(), reason };
        Ok(Self {
            id: row.id,
            at: timestamp::parse(&row.timestamp).ok_or_else(|| corrupt("timestamp is not a date".to_owned()))?,
            source: LogSource::parse(&row.source).ok_or_else(|| corrupt(format!("unknown source {:?}", row.source)))?,
            level: row.level.as_deref().and_then(LogLevel::parse),
            container_id: row.shim_container_id,
            container: row.name,
            stack: row.stack,
            message: row.message,
        })
    }
}
