//! What is kept of tables that grow with use: the newest so many rows, and none older than so long. The oldest go first, some
//! hundred in a transaction, so that no other write waits for long.

use crate::writer::PRUNE_STEP;
use crate::{Change, Growing, MetricsRetention, Result, Store, StoreError, log_lines, timestamp};
use sqlx::sqlite::SqliteConnection;
use std::time::Duration;
use time::OffsetDateTime;

/// How long it is known of an image that is gone when it was used and where it was from: it may come again.
const IMAGE_NOTES: time::Duration = time::Duration::days(30);

/// Of one table; `None` is no bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keep {
    pub rows: Option<u64>,
    pub age: Option<Duration>,
}

impl Keep {
    /// Nothing older than this moment.
    pub(crate) fn since(self) -> Option<OffsetDateTime> {
        let ago = |age| OffsetDateTime::now_utc().saturating_sub(time::Duration::try_from(age).unwrap_or(time::Duration::MAX));
        self.age.map(ago)
    }

    pub const fn rows(rows: u64) -> Self {
        Self { rows: Some(rows), age: None }
    }
}

/// Of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    pub events: Keep,
    pub shim_events: Keep,
    /// Log lines of containers that are gone, counted among all of `containerLogs`.
    pub orphan_logs: Keep,
    /// Lines that are searched, of all containers, and what of them was passed over.
    pub log_lines: Keep,
    pub image_pulls: Keep,
    pub metrics: MetricsRetention,
}

/// How many rows were removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    pub events: u64,
    pub shim_events: u64,
    pub orphan_logs: u64,
    pub log_lines: u64,
    pub log_gaps: u64,
    pub image_pulls: u64,
    pub image_notes: u64,
    pub metrics: u64,
}

/// Which rows are beyond what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// All but the newest so many.
    Newest(u64),
    /// Those before this moment.
    Since(OffsetDateTime),
}

impl Store {
    /// Removes what is beyond what is to be kept.
    pub async fn prune(&self, keep: Retention) -> Result<Pruned> {
        let Retention { events, shim_events, orphan_logs, log_lines, image_pulls, metrics } = keep;
        Ok(Pruned {
            events: self.prune_table(Growing::Events, events).await?,
            shim_events: self.prune_table(Growing::ShimEvents, shim_events).await?,
            orphan_logs: self.prune_table(Growing::OrphanLogs, orphan_logs).await?,
            log_lines: self.prune_table(Growing::LogLines, log_lines).await?,
            log_gaps: self.prune_table(Growing::LogGaps, log_lines).await?,
            image_pulls: self.prune_table(Growing::ImagePulls, image_pulls).await?,
            image_notes: self.prune_image_notes().await?,
            metrics: self.prune_metrics(metrics).await?,
        })
    }

    /// The same of one table; how many rows were removed.
    pub async fn prune_table(&self, what: Growing, keep: Keep) -> Result<u64> {
        let newest = keep.rows.map(Bound::Newest);
        let since = keep.since();
        let mut total = 0;
        for bound in [newest, since.map(Bound::Since)].into_iter().flatten() {
            loop {
                let step = self.apply(vec![Change::Prune { what, bound }]).await?.rows_affected;
                total += step;
                if step < u64::from(PRUNE_STEP) {
                    break;
                }
            }
        }
        Ok(total)
    }

    /// When and whence an image came is forgotten some time after it is gone.
    async fn prune_image_notes(&self) -> Result<u64> {
        let mut total = 0;
        loop {
            let before = OffsetDateTime::now_utc() - IMAGE_NOTES;
            let step = self.apply(vec![Change::PruneImageNotes(before)]).await?.rows_affected;
            total += step;
            if step < u64::from(PRUNE_STEP) {
                return Ok(total);
            }
        }
    }

    /// Keeps the newest `keep` of Docker's events; how many were removed.
    pub async fn prune_events(&self, keep: u64) -> Result<u64> {
        self.prune_table(Growing::Events, Keep::rows(keep)).await
    }
}

/// Ids grow with time and have gaps only where rows were pruned, so the newest `n` are those within `n` of the last. For age only
/// the oldest rows are looked at: they are in the order of time, but for moments.
macro_rules! statements {
    ($table:literal, $time:literal, $which:literal) => {
        (
            concat!(
                "DELETE FROM ",
                $table,
                " WHERE id IN (SELECT t.id FROM ",
                $table,
                " t WHERE ",
                $which,
                " AND t.id <= (SELECT max(id) FROM ",
                $table,
                ") - ?1 ORDER BY t.id LIMIT ?2)"
            ),
            concat!(
                "DELETE FROM ",
                $table,
                " WHERE id IN (SELECT id FROM (SELECT t.id, t.",
                $time,
                " AS at FROM ",
                $table,
                " t WHERE ",
                $which,
                " ORDER BY t.id LIMIT ?2) WHERE at < ?1)"
            ),
        )
    };
}

/// One step, inside the writer's transaction.
pub(crate) async fn step(connection: &mut SqliteConnection, what: Growing, bound: Bound) -> Result<u64> {
    let (newest, since) = match what {
        Growing::Events => statements!("events", "timeNano", "1"),
        Growing::ShimEvents => statements!("shimEvents", "timestamp", "1"),
        Growing::OrphanLogs => {
            statements!("containerLogs", "createdAt", "NOT EXISTS (SELECT 1 FROM containers c WHERE c.id = t.containerId)")
        }
        Growing::LogLines => statements!("logLines", "timestamp", "1"),
        Growing::LogGaps => statements!("logGaps", "until", "1"),
        Growing::ImagePulls => statements!("imagePulls", "pulledAt", "1"),
    };
    let query = match bound {
        Bound::Newest(keep) => sqlx::query(newest).bind(i64::try_from(keep).unwrap_or(i64::MAX)),
        Bound::Since(at) if what == Growing::Events => {
            sqlx::query(since).bind(i64::try_from(at.unix_timestamp_nanos()).unwrap_or(i64::MIN))
        }
        Bound::Since(at) => sqlx::query(since).bind(timestamp::format(at)),
    };
    let done = query.bind(PRUNE_STEP).execute(&mut *connection).await.map_err(StoreError::sql("pruning"))?.rows_affected();
    if what == Growing::LogLines && done < u64::from(PRUNE_STEP) {
        log_lines::prune_streams(connection, PRUNE_STEP).await?;
    }
    Ok(done)
}
