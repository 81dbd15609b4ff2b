//! Docker's own events as rows of `events`: appended by the writer, replayed by `docker events --since`.

use crate::run::Script;
use crate::{Result, StoreError};
use lighter_domain::event::{Event, EventKind, EventScope};
use sqlx::FromRow;
use sqlx::sqlite::SqlitePool;
use time::OffsetDateTime;

const TABLE: &str = "events";

/// Its id is that of the last row inserted.
pub(crate) fn insert(script: &mut Script, event: &Event) -> Result<()> {
    let Event { id: _, kind, action, actor_id, attributes, scope, time } = event;
    let attributes = serde_json::to_string(attributes).map_err(|source| StoreError::Encode { table: TABLE, source })?;
    script.add("INSERT INTO events (kind, action, actorId, attributes, scope, timeNano) VALUES (?, ?, ?, ?, ?, ?)", 1);
    script
        .bind(kind.as_str())?
        .bind(action.as_str())?
        .bind(actor_id.as_str())?
        .bind(attributes)?
        .bind(scope_name(*scope))?
        .bind(nanos(*time))?;
    Ok(())
}

/// The newest `limit` events with `since <= time <= until`, oldest first.
pub(crate) async fn between(
    pool: &SqlitePool,
    since: Option<OffsetDateTime>,
    until: Option<OffsetDateTime>,
    limit: u32,
) -> Result<Vec<Event>> {
    // Order by time: what `--since` means. The id settles events of one nanosecond.
    let mut events = fetch(
        pool,
        "SELECT id, kind, action, actorId, attributes, scope, timeNano FROM events \
         WHERE timeNano BETWEEN ? AND ? ORDER BY timeNano DESC, id DESC LIMIT ?",
        since.map_or(i64::MIN, nanos),
        until.map_or(i64::MAX, nanos),
        limit,
    )
    .await?;
    events.reverse();
    Ok(events)
}

/// At most `limit` events with an id above `after`, oldest first.
pub(crate) async fn after(pool: &SqlitePool, after: i64, limit: u32) -> Result<Vec<Event>> {
    fetch(
        pool,
        "SELECT id, kind, action, actorId, attributes, scope, timeNano FROM events \
         WHERE id > ? AND id <= ? ORDER BY id LIMIT ?",
        after,
        i64::MAX,
        limit,
    )
    .await
}

async fn fetch(pool: &SqlitePool, sql: &'static str, low: i64, high: i64, limit: u32) -> Result<Vec<Event>> {
    sqlx::query_as::<_, EventRow>(sql)
        .bind(low)
        .bind(high)
        .bind(limit)
        .fetch_all(pool)
        .await
        .map_err(StoreError::sql("reading the events"))?
        .into_iter()
        .map(Event::try_from)
        .collect()
}

/// Ids of containers that were removed under this name, oldest first. Walks the table: for questions that nothing else answers.
pub(crate) async fn ids_of_name(pool: &SqlitePool, name: &str) -> Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT actorId FROM events WHERE kind = 'container' AND action = 'destroy' \
         AND json_extract(attributes, '$.name') = ? ORDER BY id",
    )
    .bind(name)
    .fetch_all(pool)
    .await
    .map_err(StoreError::sql("looking for a container that is gone"))
}

pub(crate) async fn last_id(pool: &SqlitePool) -> Result<i64> {
    sqlx::query_scalar("SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)")
        .fetch_one(pool)
        .await
        .map_err(StoreError::sql("reading the last event's id"))
}

/// Nanoseconds since 1970; what lies beyond 1677 and 2262 is clamped.
fn nanos(t: OffsetDateTime) -> i64 {
    let nanos = t.unix_timestamp_nanos();
    i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}

fn scope_name(scope: EventScope) -> &'static str {
    match scope {
        EventScope::Local => "local",
        EventScope::Swarm => "swarm",
    }
}

#[derive(FromRow)]
#[sqlx(rename_all = "camelCase")]
struct EventRow {
    id: i64,
    kind: String,
    action: String,
    actor_id: String,
    attributes: String,
    scope: String,
    time_nano: i64,
}

impl TryFrom<EventRow> for Event {
    type Error = StoreError;

    fn try_from(row: EventRow) -> Result<Self> {
        let corrupt = |reason: String| StoreError::Corrupt { table: TABLE, id: row.id.to_string(), reason };
        Ok(Self {
            id: row.id,
            kind: EventKind::parse(&row.kind).ok_or_else(|| corrupt(format!("unknown kind {:?}", row.kind)))?,
            attributes: serde_json::from_str(&row.attributes).map_err(|e| corrupt(format!("attributes: {e}")))?,
            scope: match row.scope.as_str() {
                "local" => EventScope::Local,
                "swarm" => EventScope::Swarm,
                other => return Err(corrupt(format!("unknown scope {other:?}"))),
            },
            time: OffsetDateTime::from_unix_timestamp_nanos(i128::from(row.time_nano))
                .map_err(|e| corrupt(format!("timeNano: {e}")))?,
            action: row.action,
            actor_id: row.actor_id,
        })
    }
}
