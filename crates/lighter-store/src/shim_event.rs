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

const TABLE: &str = "shimEvents";
/// What requests of one kind have in common comes first, see [`insert_run`].
const COLUMNS: &str = "status, containerId, image, kind, method, path, apiVersion, httpStatus, client, error, unsupportedFlags, \
                       hostPaths, peerUid, peerPid, stack, timestamp, durationMicros, requestId";
const SHARED: usize = 15;
const OWN: usize = 3;

/// Rows of one statement, widest first: a batch is cut greedily, so that only these few statements are ever prepared.
const WIDTHS: [usize; 3] = [64, 8, 1];
/// The same for rows that share all but their own columns. A shorter run is not worth a statement.
const RUN_WIDTHS: [usize; 3] = [256, 64, 16];
const SHORTEST_RUN: usize = RUN_WIDTHS[RUN_WIDTHS.len() - 1];

static STATEMENTS: LazyLock<[Arc<str>; WIDTHS.len()]> = LazyLock::new(|| {
    WIDTHS.map(|width| format!("INSERT INTO shimEvents ({COLUMNS}) VALUES {}", tuples(SHARED + OWN, width)).into())
});

/// Bytes of the own columns of one row in a run: a timestamp, a duration in as many digits, and a request's id.
const PACKED: usize = TIMESTAMP + DURATION + REQUEST_ID;
const TIMESTAMP: usize = 30;
const DURATION: usize = 10;
const REQUEST_ID: usize = 16;

static RUN_STATEMENTS: LazyLock<[Arc<str>; RUN_WIDTHS.len()]> = LazyLock::new(|| {
    RUN_WIDTHS.map(|width| {
        let shared: Vec<String> = (1..=SHARED).map(|n| format!("?{n}")).collect();
        let mut at = 1;
        let own = [(TIMESTAMP, "TEXT"), (DURATION, "INTEGER"), (REQUEST_ID, "TEXT")].map(|(length, kind)| {
            let part = format!("CAST(substr(?{}, column1 * {PACKED} + {at}, {length}) AS {kind})", SHARED + 1);
            at += length;
            part
        });
        let rows: Vec<String> = (0..width).map(|n| format!("({n})")).collect();
        let (shared, own, rows) = (shared.join(","), own.join(","), rows.join(","));
        format!("INSERT INTO shimEvents ({COLUMNS}) SELECT {shared}, {own} FROM (VALUES {rows})").into()
    })
});

fn tuples(columns: usize, count: usize) -> String {
    let tuple = format!("({})", vec!["?"; columns].join(","));
    vec![tuple.as_str(); count].join(",")
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

/// Inserts all, in order, inside the caller's transaction. Returns the id of the last.
pub(crate) async fn insert(connection: &mut SqliteConnection, events: &[ShimEvent]) -> Result<i64> {
    let mut rest = events;
    let mut last = 0;
    while let Some(first) = rest.first() {
        let like_first = rest.iter().take_while(|event| alike(first, event)).count();
        if like_first >= SHORTEST_RUN {
            let (run, later) = rest.split_at(like_first - like_first % SHORTEST_RUN);
            last = insert_run(connection, run).await?;
            rest = later;
        } else {
            // Up to where the next run may begin.
            let long_run = |window: &[ShimEvent]| window.iter().all(|event| alike(&window[0], event));
            let until = rest.windows(SHORTEST_RUN).skip(1).position(long_run).map_or(rest.len(), |n| n + 1);
            let (mixed, later) = rest.split_at(until);
            last = insert_mixed(connection, mixed).await?;
            rest = later;
        }
    }
    Ok(last)
}

/// Events that differ in their own columns only, as a client that asks again and again leaves them: the shared columns are
/// bound once a statement, and the own ones as one piece that SQLite takes apart. Most of an event's cost is that each value
/// that is bound is copied some times, so this is what keeps the record cheap just where requests are most frequent.
async fn insert_run(connection: &mut SqliteConnection, mut run: &[ShimEvent]) -> Result<i64> {
    let mut last = 0;
    for (width, statement) in RUN_WIDTHS.into_iter().zip(RUN_STATEMENTS.iter()) {
        while run.len() >= width {
            let (now, later) = run.split_at(width);
            run = later;
            let mut arguments = SqliteArguments::default();
            arguments.reserve(SHARED + 1, 0);
            last = execute(connection, statement, arguments, |arguments| {
                bind_shared(arguments, &now[0])?;
                let mut packed = Vec::with_capacity(width * PACKED);
                now.iter().for_each(|event| pack(&mut packed, event));
                arguments.add(packed)
            })
            .await?;
        }
    }
    Ok(last)
}

async fn insert_mixed(connection: &mut SqliteConnection, mut events: &[ShimEvent]) -> Result<i64> {
    let mut last = 0;
    for (width, statement) in WIDTHS.into_iter().zip(STATEMENTS.iter()) {
        while events.len() >= width {
            let (now, later) = events.split_at(width);
            events = later;
            let mut arguments = SqliteArguments::default();
            arguments.reserve(width * (SHARED + OWN), 0);
            last = execute(connection, statement, arguments, |arguments| {
                now.iter().try_for_each(|event| {
                    bind_shared(arguments, event)?;
                    bind_own(arguments, event)
                })
            })
            .await?;
        }
    }
    Ok(last)
}

async fn execute(
    connection: &mut SqliteConnection,
    statement: &Arc<str>,
    mut arguments: SqliteArguments,
    bind: impl FnOnce(&mut SqliteArguments) -> Result<(), BoxDynError>,
) -> Result<i64> {
    bind(&mut arguments).map_err(sqlx::Error::Encode).map_err(StoreError::sql("encoding shim events"))?;
    let statement = sqlx::query_with(AssertSqlSafe(Arc::clone(statement)), arguments);
    let done = run(connection, statement).await.map_err(StoreError::sql("writing shim events"))?;
    Ok(done.last_insert_rowid())
}

/// Whether the own columns can be packed.
fn packable(event: &ShimEvent) -> bool {
    // Up to the year 9999.
    (0..253_402_300_800).contains(&event.timestamp.unix_timestamp())
        && (0..10_i64.pow(DURATION as u32)).contains(&event.duration_micros)
        && event.request_id.len() == REQUEST_ID
}

fn pack(out: &mut Vec<u8>, event: &ShimEvent) {
    timestamp::append(out, event.timestamp);
    let mut digits = [b'0'; DURATION];
    let mut rest = event.duration_micros;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&digits);
    out.extend_from_slice(event.request_id.as_bytes());
}

/// Whether they can be rows of one run: the shared columns of both are equal.
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
        && packable(a)
        && packable(b)
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
