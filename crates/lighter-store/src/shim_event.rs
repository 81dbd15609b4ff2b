//! The record of requests as rows of `shimEvents`: how they are written many at a time, and how they are read and filtered.
//!
//! Each request pays for its row, so it is written with prepared statements of a few fixed widths and the table has no
//! index beside its key: questions are rare and scan from the newest row.

use crate::json::any_of;
use crate::run::{Script, run};
use crate::{Result, StoreError, timestamp};
use lighter_domain::{ShimEvent, ShimEventFilter, ShimStatus};
use sqlx::error::BoxDynError;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqlitePool};
use sqlx::{Arguments, AssertSqlSafe, FromRow};
use std::sync::{Arc, LazyLock};
use time::OffsetDateTime;

const TABLE: &str = "shimEvents";
/// What requests of one kind have in common, and what each has of its own.
const SHARED: &str = "status, containerId, image, kind, method, path, apiVersion, httpStatus, client, error, unsupportedFlags, \
                      hostPaths, peerUid, peerPid, stack";
const SHARED_COUNT: usize = 15;
const OWN: &str = "timestamp, durationMicros, requestId";
const OWN_COUNT: usize = 3;

/// Rows of one statement, widest first: a batch is cut greedily, so that only these few statements are ever prepared.
const WIDTHS: [usize; 3] = [64, 8, 1];

static STATEMENTS: LazyLock<[Arc<str>; WIDTHS.len()]> = LazyLock::new(|| {
    let tuple = format!("({})", ["?"; SHARED_COUNT + OWN_COUNT].join(","));
    WIDTHS.map(|width| format!("INSERT INTO shimEvents ({SHARED}, {OWN}) VALUES {}", vec![&*tuple; width].join(",")).into())
});

/// Events of one [`Run`], which is written with one statement.
const LONGEST_RUN: usize = STEP * STEP;
const STEP: usize = 32;

/// Bytes of the own columns of one row, as the statements below take them: a timestamp, a duration in as many digits, and a
/// request's id.
const TEXT: usize = TIMESTAMP + DURATION + REQUEST_ID;
const TIMESTAMP: usize = 30;
const DURATION: usize = 10;
const REQUEST_ID: usize = 16;

/// ?1: the own columns of all rows; ?2: how many; ?3 and so on: the shared columns.
static RUN_STATEMENT: LazyLock<Arc<str>> = LazyLock::new(|| {
    let shared: Vec<String> = (3..).take(SHARED_COUNT).map(|n| format!("?{n}")).collect();
    format!("INSERT INTO shimEvents ({SHARED}, {OWN}) SELECT {}, {} FROM {}", shared.join(","), own_columns(), numbers()).into()
});

/// ?1 and ?2 as above; ?3: the run.
static UNPACK_STATEMENT: LazyLock<Arc<str>> = LazyLock::new(|| {
    let (own, numbers) = (own_columns(), numbers());
    format!(
        "INSERT INTO shimEvents (id, {SHARED}, {OWN}) SELECT firstId + number, {SHARED}, {own} \
         FROM shimEventRuns CROSS JOIN {numbers} WHERE firstId = ?3"
    )
    .into()
});

/// Those of row `number`.
fn own_columns() -> String {
    let mut at = 1;
    let columns = [(TIMESTAMP, "TEXT"), (DURATION, "INTEGER"), (REQUEST_ID, "TEXT")].map(|(length, kind)| {
        let column = format!("CAST(substr(?1, number * {TEXT} + {at}, {length}) AS {kind})");
        at += length;
        column
    });
    columns.join(",")
}

/// The numbers below ?2.
fn numbers() -> String {
    let digits: Vec<String> = (0..STEP).map(|n| format!("({n})")).collect();
    let digits = digits.join(",");
    format!(
        "(SELECT high.column1 * {STEP} + low.column1 AS number \
         FROM (VALUES {digits}) AS high CROSS JOIN (VALUES {digits}) AS low LIMIT ?2)"
    )
}

/// One event; its id is that of the last row inserted.
pub(crate) fn add(script: &mut Script, event: &ShimEvent) -> Result<()> {
    let [.., one] = &*STATEMENTS;
    script.add(one, 1);
    script.bind_all(|arguments| {
        bind_shared(arguments, event)?;
        bind_own(arguments, event)
    })
}

/// An event, and those after it that differ in their own columns only, as a client that asks again and again leaves them. Of
/// these only the own columns are kept, packed, and SQLite gets many in one piece: most of an event's cost is that its values
/// are copied again and again, and this keeps the record cheap just where requests are most frequent.
#[derive(Debug)]
pub(crate) struct Run {
    first: Box<ShimEvent>,
    /// When that came, in nanoseconds since the epoch, if others can join it.
    began: Option<i64>,
    /// Of all, if others can join.
    packed: Vec<u8>,
}

impl Run {
    pub(crate) fn new(first: Box<ShimEvent>, own: Option<Own>) -> Self {
        let packed = own.and_then(|own| own.packed(own.nanos)).map(Vec::from).unwrap_or_default();
        Self { first, began: own.map(|own| own.nanos), packed }
    }

    /// How many events it is.
    pub(crate) fn count(&self) -> usize {
        (self.packed.len() / PACKED).max(1)
    }

    /// Takes the event in, if it is one more of these.
    pub(crate) fn join(&mut self, event: &ShimEvent, own: Option<Own>) -> bool {
        let (Some(began), Some(own)) = (self.began, own) else { return false };
        if self.count() == LONGEST_RUN || !alike(&self.first, event) {
            return false;
        }
        let Some(packed) = own.packed(began) else { return false };
        self.packed.extend_from_slice(&packed);
        true
    }
}

/// Bytes of the own columns of one event of a run, little-endian: nanoseconds after the run's first event (4, signed),
/// microseconds that it took (4), the request's id (8).
const PACKED: usize = 16;

/// The own columns of an event that may be one of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Own {
    /// Since the epoch.
    nanos: i64,
    micros: u32,
    /// As it is written in hexadecimal digits.
    id: u64,
}

impl Own {
    /// None for one that is alone in any case.
    pub(crate) fn of(event: &ShimEvent) -> Option<Self> {
        Some(Self {
            nanos: i64::try_from(event.timestamp.unix_timestamp_nanos()).ok()?,
            micros: u32::try_from(event.duration_micros).ok()?,
            id: hex(event.request_id.as_bytes())?,
        })
    }

    fn packed(self, first: i64) -> Option<[u8; PACKED]> {
        let offset = i32::try_from(self.nanos.checked_sub(first)?).ok()?;
        let mut out = [0; PACKED];
        out[..4].copy_from_slice(&offset.to_le_bytes());
        out[4..8].copy_from_slice(&self.micros.to_le_bytes());
        out[8..].copy_from_slice(&self.id.to_le_bytes());
        Some(out)
    }
}

/// The number that sixteen digits of the kind that ids are written in mean.
fn hex(digits: &[u8]) -> Option<u64> {
    let digits: &[u8; REQUEST_ID] = digits.try_into().ok()?;
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u64::from(value))
    })
}

/// The own columns of packed events whose first one came at `first`, as statements take them.
fn texts(first: OffsetDateTime, packed: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(packed.len() / PACKED * TEXT);
    let (events, _) = packed.as_chunks::<PACKED>();
    for event in events {
        let [o0, o1, o2, o3, m0, m1, m2, m3, id @ ..] = *event;
        let offset = time::Duration::nanoseconds(i32::from_le_bytes([o0, o1, o2, o3]).into());
        let (micros, id) = (u32::from_le_bytes([m0, m1, m2, m3]), u64::from_le_bytes(id));
        out.extend_from_slice(timestamp::text(first.saturating_add(offset), &mut { timestamp::BUFFER }).as_bytes());
        let mut rest = [0; DURATION + REQUEST_ID];
        timestamp::digits::<10>(&mut rest[..DURATION], micros.into());
        timestamp::digits::<16>(&mut rest[DURATION..], id);
        out.extend_from_slice(&rest);
    }
    out
}

/// Inserts all, in order, inside the caller's transaction.
pub(crate) async fn insert(connection: &mut SqliteConnection, runs: &[Run]) -> Result<()> {
    let mut rest = runs;
    while let Some(first) = rest.first() {
        let alone = rest.iter().take_while(|run| run.count() == 1).count();
        if alone == 0 {
            insert_run(connection, first).await?;
        } else {
            insert_mixed(connection, &rest[..alone]).await?;
        }
        rest = &rest[alone.max(1)..];
    }
    Ok(())
}

async fn insert_run(connection: &mut SqliteConnection, run: &Run) -> Result<()> {
    let mut arguments = SqliteArguments::default();
    arguments.reserve(2 + SHARED_COUNT, 0);
    execute(connection, &RUN_STATEMENT, arguments, |arguments| {
        arguments.add(texts(run.first.timestamp, &run.packed))?;
        arguments.add(run.count() as i64)?;
        bind_shared(arguments, &run.first)
    })
    .await
}

/// The runs of one [`insert_packed`]: the texts of so many statements at most are kept prepared.
pub(crate) const PACKED_TOGETHER: usize = 4;

/// A transaction that stores runs as they are, with ids reserved: a tenth of the cost of rows; [`unpack`] makes these. Each of
/// them is more than one event.
pub(crate) async fn insert_packed(connection: &mut SqliteConnection, runs: &[Run]) -> Result<()> {
    static INSERT: LazyLock<String> = LazyLock::new(|| {
        let shared = ["?"; SHARED_COUNT].join(",");
        format!(
            "INSERT INTO shimEventRuns (firstId, {SHARED}, timestamp, own) \
             VALUES ((SELECT seq + 1 FROM sqlite_sequence WHERE name = 'shimEvents'), {shared}, ?, ?)"
        )
    });
    let mut script = Script::default();
    script.add("BEGIN IMMEDIATE", 1);
    for run in runs {
        script.add(&INSERT, 1);
        script.bind_all(|arguments| bind_shared(arguments, &run.first))?;
        script.bind(timestamp::shared(run.first.timestamp))?.bind(run.packed.as_slice())?;
        script.add("UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'shimEvents'", 1);
        script.bind(run.count() as i64)?;
    }
    script.add("COMMIT", 1);
    script.run(connection).await.map(drop).map_err(StoreError::sql("writing shim events"))
}

/// How many runs are packed.
pub(crate) async fn packed(connection: &mut SqliteConnection) -> Result<u64> {
    let count = sqlx::query_scalar("SELECT count(*) FROM shimEventRuns").fetch_one(connection);
    count.await.map_err(StoreError::sql("counting packed shim events"))
}

/// Makes rows of the oldest packed run, inside the caller's transaction; whether there was one.
pub(crate) async fn unpack(connection: &mut SqliteConnection) -> Result<bool> {
    let oldest = "SELECT firstId, timestamp, own FROM shimEventRuns ORDER BY firstId LIMIT 1";
    let oldest = sqlx::query_as::<_, (i64, String, Vec<u8>)>(oldest).fetch_optional(&mut *connection).await;
    let Some((id, first, own)) = oldest.map_err(StoreError::sql("reading packed shim events"))? else { return Ok(false) };
    let corrupt = || StoreError::Corrupt { table: "shimEventRuns", id: id.to_string(), reason: "timestamp is not a date".into() };
    let first = timestamp::parse(&first).ok_or_else(corrupt)?;
    execute(connection, &UNPACK_STATEMENT, SqliteArguments::default(), |arguments| {
        arguments.add(texts(first, &own))?;
        arguments.add((own.len() / PACKED) as i64)?;
        arguments.add(id)
    })
    .await?;
    let gone = run(connection, sqlx::query("DELETE FROM shimEventRuns WHERE firstId = ?").bind(id)).await;
    gone.map(|_| true).map_err(StoreError::sql("removing packed shim events"))
}

async fn insert_mixed(connection: &mut SqliteConnection, mut alone: &[Run]) -> Result<()> {
    for (width, statement) in WIDTHS.into_iter().zip(STATEMENTS.iter()) {
        while alone.len() >= width {
            let (now, later) = alone.split_at(width);
            alone = later;
            let mut arguments = SqliteArguments::default();
            arguments.reserve(width * (SHARED_COUNT + OWN_COUNT), 0);
            execute(connection, statement, arguments, |arguments| {
                now.iter().try_for_each(|run| {
                    bind_shared(arguments, &run.first)?;
                    bind_own(arguments, &run.first)
                })
            })
            .await?;
        }
    }
    Ok(())
}

async fn execute(
    connection: &mut SqliteConnection,
    statement: &Arc<str>,
    mut arguments: SqliteArguments,
    bind: impl FnOnce(&mut SqliteArguments) -> Result<(), BoxDynError>,
) -> Result<()> {
    bind(&mut arguments).map_err(sqlx::Error::Encode).map_err(StoreError::sql("encoding shim events"))?;
    let statement = sqlx::query_with(AssertSqlSafe(Arc::clone(statement)), arguments);
    run(connection, statement).await.map(drop).map_err(StoreError::sql("writing shim events"))
}

/// Whether the shared columns of both are equal.
fn alike(a: &ShimEvent, b: &ShimEvent) -> bool {
    let ShimEvent {
        id: _,
        status,
        container_id,
        image,
        kind,
        timestamp: _,
        method,
        path,
        api_version,
        http_status,
        duration_micros: _,
        client,
        request_id: _,
        error,
        unsupported_flags,
        host_paths,
        peer_uid,
        peer_pid,
        stack,
    } = a;
    *status == b.status
        && *http_status == b.http_status
        && *kind == b.kind
        && *path == b.path
        && *method == b.method
        && *client == b.client
        && *api_version == b.api_version
        && *container_id == b.container_id
        && *image == b.image
        && *error == b.error
        && *unsupported_flags == b.unsupported_flags
        && *host_paths == b.host_paths
        && *peer_uid == b.peer_uid
        && *peer_pid == b.peer_pid
        && *stack == b.stack
}

fn bind_shared(arguments: &mut SqliteArguments, event: &ShimEvent) -> Result<(), BoxDynError> {
    let ShimEvent {
        id: _,
        status,
        container_id,
        image,
        kind,
        timestamp: _,
        method,
        path,
        api_version,
        http_status,
        duration_micros: _,
        client,
        request_id: _,
        error,
        unsupported_flags,
        host_paths,
        peer_uid,
        peer_pid,
        stack,
    } = event;
    let list = |l: &[String]| if l.is_empty() { Ok(None) } else { serde_json::to_string(l).map(Some) };
    arguments.add(status.as_str())?;
    arguments.add(container_id.as_deref())?;
    arguments.add(image.as_deref())?;
    arguments.add(kind.as_ref())?;
    arguments.add(method.as_ref())?;
    arguments.add(path.as_str())?;
    arguments.add(api_version.as_deref())?;
    arguments.add(*http_status)?;
    arguments.add(client.as_deref())?;
    arguments.add(error.as_deref())?;
    arguments.add(list(unsupported_flags)?)?;
    arguments.add(list(host_paths)?)?;
    arguments.add(*peer_uid)?;
    arguments.add(*peer_pid)?;
    arguments.add(stack.as_deref())
}

fn bind_own(arguments: &mut SqliteArguments, event: &ShimEvent) -> Result<(), BoxDynError> {
    arguments.add(timestamp::shared(event.timestamp))?;
    arguments.add(event.duration_micros)?;
    arguments.add(Arc::clone(&event.request_id))
}

/// Columns, and the conditions of a [`ShimEventFilter`]; the order is the caller's.
macro_rules! select {
    ($order:literal) => {
        concat!(
            "SELECT id, status, containerId, image, kind, timestamp, method, path, apiVersion, httpStatus, durationMicros, \
             client, requestId, error, unsupportedFlags, hostPaths, peerUid, peerPid, stack FROM shimEvents \
             WHERE id > ?1 AND id < ?2 \
             AND (?3 IS NULL OR kind IN (SELECT value FROM json_each(?3))) \
             AND (?4 IS NULL OR status IN (SELECT value FROM json_each(?4))) \
             AND (?5 IS NULL OR EXISTS (SELECT 1 FROM json_each(?5) WHERE substr(containerId, 1, length(value)) = value)) \
             AND (?6 IS NULL OR stack IN (SELECT value FROM json_each(?6))) \
             AND (?7 IS NULL OR image IN (SELECT value FROM json_each(?7))) \
             AND (?8 IS NULL OR EXISTS (SELECT 1 FROM json_each(?8) WHERE instr(lower(client), lower(value)) > 0)) \
             AND (?9 IS NULL OR requestId = ?9) AND (?10 IS NULL OR timestamp >= ?10) AND (?11 IS NULL OR timestamp <= ?11) \
             ORDER BY id ",
            $order,
            " LIMIT ?12"
        )
    };
}

/// Newest first.
pub(crate) async fn filter(pool: &SqlitePool, filter: &ShimEventFilter) -> Result<Vec<ShimEvent>> {
    fetch(pool, select!("DESC"), filter).await
}

/// Oldest first: what came after `after_id`.
pub(crate) async fn follow(pool: &SqlitePool, filter: &ShimEventFilter) -> Result<Vec<ShimEvent>> {
    fetch(pool, select!("ASC"), filter).await
}

async fn fetch(pool: &SqlitePool, sql: &'static str, filter: &ShimEventFilter) -> Result<Vec<ShimEvent>> {
    let ShimEventFilter {
        kinds,
        statuses,
        containers,
        stacks,
        images,
        clients,
        request_id,
        since,
        until,
        after_id,
        before_id,
        limit,
    } = filter;
    let statuses: Vec<&str> = statuses.iter().map(|s| s.as_str()).collect();
    sqlx::query_as::<_, ShimEventRow>(sql)
        .bind(after_id.unwrap_or(i64::MIN))
        .bind(before_id.unwrap_or(i64::MAX))
        .bind(any_of(TABLE, kinds)?)
        .bind(any_of(TABLE, &statuses)?)
        .bind(any_of(TABLE, containers)?)
        .bind(any_of(TABLE, stacks)?)
        .bind(any_of(TABLE, images)?)
        .bind(any_of(TABLE, clients)?)
        .bind(request_id.as_deref())
        .bind(since.map(timestamp::format))
        .bind(until.map(timestamp::format))
        .bind(limit.unwrap_or(1000))
        .fetch_all(pool)
        .await
        .map_err(StoreError::sql("reading shim events"))?
        .into_iter()
        .map(ShimEvent::try_from)
        .collect()
}

/// The id of the last event ever stored; 0 when there was none.
pub(crate) async fn last_id(pool: &SqlitePool) -> Result<i64> {
    sqlx::query_scalar("SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'shimEvents'), 0)")
        .fetch_one(pool)
        .await
        .map_err(StoreError::sql("reading the last shim event's id"))
}

/// Columns of v6 and later are NULL in rows that an older version wrote.
#[derive(FromRow)]
#[sqlx(rename_all = "camelCase")]
struct ShimEventRow {
    id: i64,
    status: String,
    container_id: Option<String>,
    image: Option<String>,
    kind: String,
    timestamp: String,
    method: Option<String>,
    path: Option<String>,
    api_version: Option<String>,
    http_status: Option<u16>,
    duration_micros: Option<i64>,
    client: Option<String>,
    request_id: Option<String>,
    error: Option<String>,
    unsupported_flags: Option<String>,
    host_paths: Option<String>,
    peer_uid: Option<u32>,
    peer_pid: Option<u32>,
    stack: Option<String>,
}

impl TryFrom<ShimEventRow> for ShimEvent {
    type Error = StoreError;

    fn try_from(row: ShimEventRow) -> Result<Self> {
        let corrupt = |reason: String| StoreError::Corrupt { table: TABLE, id: row.id.to_string(), reason };
        let list = |column: &str, text: Option<&str>| match text {
            Some(text) => serde_json::from_str(text).map_err(|e| corrupt(format!("{column}: {e}"))),
            None => Ok(Vec::new()),
        };
        Ok(Self {
            id: row.id,
            status: ShimStatus::parse(&row.status).ok_or_else(|| corrupt(format!("unknown status {:?}", row.status)))?,
            timestamp: timestamp::parse(&row.timestamp).ok_or_else(|| corrupt("timestamp is not a date".to_owned()))?,
            unsupported_flags: list("unsupportedFlags", row.unsupported_flags.as_deref())?,
            host_paths: list("hostPaths", row.host_paths.as_deref())?,
            peer_uid: row.peer_uid,
            peer_pid: row.peer_pid,
            stack: row.stack,
            container_id: row.container_id,
            image: row.image,
            kind: row.kind.into(),
            method: row.method.unwrap_or_default().into(),
            path: row.path.unwrap_or_default(),
            api_version: row.api_version,
            http_status: row.http_status,
            duration_micros: row.duration_micros.unwrap_or_default(),
            client: row.client,
            request_id: row.request_id.unwrap_or_default().into(),
            error: row.error,
        })
    }
}
