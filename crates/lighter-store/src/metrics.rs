//! Samples of what containers used: `metricsSources`, `metricsSamples`. Thinned with age, container by container, so that no
//! step is long: of a minute, later of ten minutes, the sample with the most memory stays. Counters lose nothing by that.

use crate::json::any_of;
use crate::{Change, Result, Store, StoreError, timestamp};
use lighter_domain::{MetricsSample, MetricsSeries, Origin};
use sqlx::FromRow;
use sqlx::sqlite::SqliteConnection;
use std::time::Duration;
use time::OffsetDateTime;
use uuid::Uuid;

const TABLE: &str = "metricsSamples";
/// Characters of a timestamp that are the same within a minute and within ten: `2026-01-02T03:04`, `2026-01-02T03:0`.
const MINUTE: u32 = 16;
const TEN_MINUTES: u32 = 15;

/// How long samples stay as they were taken, how long one a minute, and how long at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricsRetention {
    pub full: Duration,
    pub minutes: Duration,
    pub age: Duration,
    /// Containers whose samples are kept, of those that are gone; `None` is no bound.
    pub containers: Option<u64>,
}

impl Default for MetricsRetention {
    fn default() -> Self {
        let hours = |n: u64| Duration::from_secs(n * 3600);
        Self { full: hours(1), minutes: hours(24), age: hours(30 * 24), containers: Some(10_000) }
    }
}

/// Whose samples, and of which time. An empty list means all; both bounds are inclusive.
#[derive(Debug, Clone, Default)]
pub struct MetricsFilter {
    /// Ids in hexadecimal, or how they begin.
    pub containers: Vec<String>,
    pub stacks: Vec<String>,
    pub since: Option<OffsetDateTime>,
    pub until: Option<OffsetDateTime>,
}

/// Stores a sample inside the writer's transaction. A second one of the same moment replaces the first.
pub(crate) async fn append(connection: &mut SqliteConnection, origin: &Origin, sample: &MetricsSample) -> Result<u64> {
    let Origin { container, shim_id, name, stack } = origin;
    let MetricsSample { at, cpu_usage, mem_usage, io_read, io_write, net_rx, net_tx } = sample;
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let source: i64 = sqlx::query_scalar(
        "INSERT INTO metricsSources (containerId, shimContainerId, name, stack) VALUES (?, ?, ?, ?) \
         ON CONFLICT (containerId) DO UPDATE SET name = excluded.name, stack = excluded.stack RETURNING id",
    )
    .bind(container.to_string())
    .bind(shim_id.as_str())
    .bind(name.as_str())
    .bind(stack.as_deref())
    .fetch_one(&mut *connection)
    .await
    .map_err(StoreError::sql("writing the source of a sample"))?;
    let done = sqlx::query(
        "INSERT OR REPLACE INTO metricsSamples (sourceId, timestamp, cpuUsage, memUsage, ioRead, ioWrite, netRx, netTx) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(source)
    .bind(timestamp::format(*at))
    .bind(number(*cpu_usage))
    .bind(number(*mem_usage))
    .bind(number(*io_read))
    .bind(number(*io_write))
    .bind(number(*net_rx))
    .bind(number(*net_tx))
    .execute(connection)
    .await
    .map_err(StoreError::sql("writing a sample"))?;
    Ok(done.rows_affected())
}

/// Containers whose samples one step removes: some thousand rows each.
const SOURCES_STEP: u32 = 10;

/// The oldest containers that are gone, beyond the newest `keep`, with their samples. How many containers went.
pub(crate) async fn prune_sources(connection: &mut SqliteConnection, keep: u64) -> Result<u64> {
    let done = sqlx::query(
        "DELETE FROM metricsSources WHERE id IN (SELECT id FROM metricsSources s WHERE id NOT IN \
         (SELECT id FROM metricsSources ORDER BY id DESC LIMIT ?1) \
         AND NOT EXISTS (SELECT 1 FROM containers c WHERE c.id = s.containerId) ORDER BY id LIMIT ?2)",
    )
    .bind(i64::try_from(keep).unwrap_or(i64::MAX))
    .bind(SOURCES_STEP)
    .execute(connection)
    .await
    .map_err(StoreError::sql("pruning the sources of samples"))?;
    Ok(done.rows_affected())
}

/// What one step of thinning does to the samples of one container.
#[derive(Debug, Clone, Copy)]
pub struct Thinning {
    pub source: i64,
    pub now: OffsetDateTime,
    pub keep: MetricsRetention,
}

/// Inside the writer's transaction. How many samples went.
pub(crate) async fn thin(connection: &mut SqliteConnection, step: &Thinning) -> Result<u64> {
    let Thinning { source, now, keep } = step;
    let ago = |age: Duration| timestamp::format(now.saturating_sub(time::Duration::try_from(age).unwrap_or(time::Duration::MAX)));
    let (full, minutes, end) = (ago(keep.full), ago(keep.minutes), ago(keep.age));
    let mut gone = 0;
    for (same, from, to) in [(TEN_MINUTES, &end, &minutes), (MINUTE, &minutes, &full)] {
        // A column that stands beside max() is that of the row which has it.
        let done = sqlx::query(
            "DELETE FROM metricsSamples WHERE sourceId = ?1 AND timestamp >= ?2 AND timestamp < ?3 AND timestamp NOT IN \
             (SELECT t FROM (SELECT timestamp AS t, max(memUsage) FROM metricsSamples \
             WHERE sourceId = ?1 AND timestamp >= ?2 AND timestamp < ?3 GROUP BY substr(timestamp, 1, ?4)))",
        )
        .bind(source)
        .bind(from)
        .bind(to)
        .bind(same)
        .execute(&mut *connection)
        .await
        .map_err(StoreError::sql("thinning samples"))?;
        gone += done.rows_affected();
    }
    for sql in [
        "DELETE FROM metricsSamples WHERE sourceId = ?1 AND timestamp < ?2",
        "DELETE FROM metricsSources WHERE id = ?1 AND ?2 IS NOT NULL \
         AND NOT EXISTS (SELECT 1 FROM metricsSamples WHERE sourceId = ?1)",
    ] {
        let done = sqlx::query(sql).bind(source).bind(&end).execute(&mut *connection).await;
        gone += done.map_err(StoreError::sql("pruning samples"))?.rows_affected();
    }
    Ok(gone)
}

impl Store {
    /// The samples of each container that the filter means, in the order of their names. Containers without any are left out.
    pub async fn metrics(&self, filter: &MetricsFilter) -> Result<Vec<MetricsSeries>> {
        let MetricsFilter { containers, stacks, since, until } = filter;
        let sources: Vec<SourceRow> = sqlx::query_as(
            "SELECT id, containerId, shimContainerId, name, stack FROM metricsSources \
             WHERE (?1 IS NULL OR EXISTS (SELECT 1 FROM json_each(?1) WHERE substr(shimContainerId, 1, length(value)) = value)) \
             AND (?2 IS NULL OR stack IN (SELECT value FROM json_each(?2))) ORDER BY name, id",
        )
        .bind(any_of(TABLE, containers)?)
        .bind(any_of(TABLE, stacks)?)
        .fetch_all(self.readers())
        .await
        .map_err(StoreError::sql("reading the sources of samples"))?;
        let mut all = Vec::new();
        for source in sources {
            let rows: Vec<SampleRow> = sqlx::query_as(
                "SELECT timestamp, cpuUsage, memUsage, ioRead, ioWrite, netRx, netTx FROM metricsSamples \
                 WHERE sourceId = ?1 AND (?2 IS NULL OR timestamp >= ?2) AND (?3 IS NULL OR timestamp <= ?3) ORDER BY timestamp",
            )
            .bind(source.id)
            .bind(since.map(timestamp::format))
            .bind(until.map(timestamp::format))
            .fetch_all(self.readers())
            .await
            .map_err(StoreError::sql("reading samples"))?;
            if !rows.is_empty() {
                let samples = rows.into_iter().map(MetricsSample::try_from).collect::<Result<_>>()?;
                all.push(MetricsSeries { origin: source.try_into()?, samples });
            }
        }
        Ok(all)
    }

    /// Thins and prunes samples, container by container; how many went.
    pub async fn prune_metrics(&self, keep: MetricsRetention) -> Result<u64> {
        let sources: Vec<i64> = sqlx::query_scalar("SELECT id FROM metricsSources ORDER BY id")
            .fetch_all(self.readers())
            .await
            .map_err(StoreError::sql("reading the sources of samples"))?;
        let now = OffsetDateTime::now_utc();
        let mut gone = 0;
        while let Some(most) = keep.containers.filter(|most| u64::try_from(sources.len()).is_ok_and(|n| n > *most)) {
            let step = self.apply(vec![Change::PruneMetrics(most)]).await?.rows_affected;
            gone += step;
            if step < u64::from(SOURCES_STEP) {
                break;
            }
        }
        for source in sources {
            gone += self.apply(vec![Change::ThinMetrics(Thinning { source, now, keep })]).await?.rows_affected;
        }
        Ok(gone)
    }
}

#[derive(FromRow)]
#[sqlx(rename_all = "camelCase")]
struct SourceRow {
    id: i64,
    container_id: String,
    shim_container_id: String,
    name: String,
    stack: Option<String>,
}

impl TryFrom<SourceRow> for Origin {
    type Error = StoreError;

    fn try_from(row: SourceRow) -> Result<Self> {
        let corrupt =
            |e| StoreError::Corrupt { table: "metricsSources", id: row.id.to_string(), reason: format!("containerId: {e}") };
        Ok(Self {
            container: Uuid::parse_str(&row.container_id).map_err(corrupt)?,
            shim_id: row.shim_container_id,
            name: row.name,
            stack: row.stack,
        })
    }
}

#[derive(FromRow)]
#[sqlx(rename_all = "camelCase")]
struct SampleRow {
    timestamp: String,
    cpu_usage: i64,
    mem_usage: i64,
    io_read: i64,
    io_write: i64,
    net_rx: i64,
    net_tx: i64,
}

impl TryFrom<SampleRow> for MetricsSample {
    type Error = StoreError;

    fn try_from(row: SampleRow) -> Result<Self> {
        let corrupt = |reason| StoreError::Corrupt { table: TABLE, id: row.timestamp.clone(), reason };
        let number = |n: i64| u64::try_from(n).unwrap_or(0);
        Ok(Self {
            at: timestamp::parse(&row.timestamp).ok_or_else(|| corrupt("timestamp is not a date".to_owned()))?,
            cpu_usage: number(row.cpu_usage),
            mem_usage: number(row.mem_usage),
            io_read: number(row.io_read),
            io_write: number(row.io_write),
            net_rx: number(row.net_rx),
            net_tx: number(row.net_tx),
        })
    }
}
