//! Transactions and the execution of each [`Change`]. Called by the writer task only.

use super::Set;
use crate::repository::{logs, rows};
use crate::run::{Script, run};
use crate::{
    Applied, Change, Result, StoreError, container, details, event, image_pull, log_lines, metrics, network, pipeline, retention,
    shim_event, stack,
};
use sqlx::sqlite::{SqliteConnection, SqliteQueryResult};

/// All sets in one transaction, each in a savepoint. An error here means that nothing of any set was stored.
pub(super) async fn group(connection: &mut SqliteConnection, sets: &mut [Set]) -> Result<Vec<Result<Applied>>> {
    begin(connection).await?;
    let mut results = Vec::with_capacity(sets.len());
    for set in sets {
        match savepoint(connection, &mut set.changes).await {
            Ok(result) => results.push(result),
            Err(error) => {
                rollback(connection).await;
                return Err(error);
            }
        }
    }
    commit(connection).await?;
    Ok(results)
}

/// One set in a transaction of its own.
pub(super) async fn alone(connection: &mut SqliteConnection, changes: &mut [Change]) -> Result<Applied> {
    let pass = Pass::new(connection);
    // One statement is a transaction without being told.
    let single = matches!(changes, [Change::Event(_) | Change::ShimEvent(_)]);
    let result = pass.all(changes, (!single).then_some(("BEGIN IMMEDIATE", "COMMIT"))).await;
    if result.is_err() {
        rollback(connection).await;
    }
    result
}

/// The inner result is the set's; the outer one fails when the transaction is beyond use.
async fn savepoint(connection: &mut SqliteConnection, changes: &mut [Change]) -> Result<Result<Applied>> {
    let result = Pass::new(connection).all(changes, Some(("SAVEPOINT one", "RELEASE one"))).await;
    if result.is_err() {
        // A full disk may have ended the whole transaction; then this fails, too.
        statement(connection, "ROLLBACK TO one").await?;
        statement(connection, "RELEASE one").await?;
    }
    Ok(result)
}

pub(super) async fn begin(connection: &mut SqliteConnection) -> Result<()> {
    statement(connection, "BEGIN IMMEDIATE").await
}

/// Rolls back if the commit fails, so that the connection is fit for the next transaction.
pub(super) async fn commit(connection: &mut SqliteConnection) -> Result<()> {
    let result = statement(connection, "COMMIT").await;
    if result.is_err() {
        rollback(connection).await;
    }
    result
}

/// SQLite itself ends a transaction upon some errors (a full disk): that there is none left is no failure.
pub(super) async fn rollback(connection: &mut SqliteConnection) {
    if let Err(error) = statement(connection, "ROLLBACK").await {
        tracing::debug!(error = &error as &dyn std::error::Error, "nothing to roll back");
    }
}

async fn statement(connection: &mut SqliteConnection, sql: &'static str) -> Result<()> {
    run(connection, sqlx::query(sql)).await.map(drop).map_err(StoreError::sql(sql))
}

/// The changes of one set on their way. Those that are nothing but statements are gathered and go with what comes next: each
/// round trip to the connection's thread that is saved is one that somebody's request does not wait for.
struct Pass<'a> {
    connection: &'a mut SqliteConnection,
    script: Script,
    /// Where in the script the results that count are, and those of events and of records of requests.
    counted: Vec<usize>,
    events: Vec<usize>,
    shim_events: Vec<usize>,
    applied: Applied,
}

impl<'a> Pass<'a> {
    fn new(connection: &'a mut SqliteConnection) -> Self {
        Self {
            connection,
            script: Script::default(),
            counted: Vec::new(),
            events: Vec::new(),
            shim_events: Vec::new(),
            applied: Applied::default(),
        }
    }

    /// All changes, between the statements of `frame`.
    async fn all(mut self, changes: &mut [Change], frame: Option<(&str, &str)>) -> Result<Applied> {
        if let Some((first, _)) = frame {
            self.script.add(first, 1);
        }
        for change in changes {
            self.add(change).await?;
        }
        if let Some((_, last)) = frame {
            self.script.add(last, 1);
        }
        self.send().await?;
        Ok(self.applied)
    }

    /// Runs what is gathered.
    async fn send(&mut self) -> Result<()> {
        if self.script.len() > 0 {
            let done = std::mem::take(&mut self.script).run(self.connection).await.map_err(StoreError::sql("writing changes"))?;
            self.applied.rows_affected +=
                self.counted.drain(..).filter_map(|index| done.get(index)).map(SqliteQueryResult::rows_affected).sum::<u64>();
            let ids = |of: &mut Vec<usize>| {
                let done = of.drain(..).filter_map(|index| done.get(index));
                done.map(SqliteQueryResult::last_insert_rowid).collect::<Vec<_>>()
            };
            self.applied.event_ids.extend(ids(&mut self.events));
            self.applied.shim_event_ids.extend(ids(&mut self.shim_events));
        }
        Ok(())
    }

    async fn add(&mut self, change: &mut Change) -> Result<()> {
        let before = self.script.len();
        match change {
            Change::PutContainer(container) => container::put(&mut self.script, container)?,
            Change::Machine { container, kernel, path } => details::machine(&mut self.script, container, kernel, path)?,
            Change::Event(event) => {
                event::insert(&mut self.script, event)?;
                self.events.push(before);
            }
            Change::ShimEvent(event) => {
                shim_event::add(&mut self.script, event)?;
                self.shim_events.push(before);
            }
            Change::DeleteContainer(uuid) => {
                stack::leave(&mut self.script, *uuid)?;
                let before = self.script.len();
                container::delete(&mut self.script, *uuid)?;
                // What goes with it is not counted.
                self.counted.extend(before..self.script.len());
                return Ok(());
            }
            other => {
                self.send().await?;
                return one(self.connection, other, &mut self.applied).await;
            }
        }
        self.counted.extend(before..self.script.len());
        Ok(())
    }
}

async fn one(connection: &mut SqliteConnection, change: &mut Change, applied: &mut Applied) -> Result<()> {
    applied.rows_affected += match change {
        // In the script.
        Change::PutContainer(_)
        | Change::DeleteContainer(_)
        | Change::Machine { .. }
        | Change::Event(_)
        | Change::ShimEvent(_) => 0,
        Change::PutHealth { container, health } => container::put_health(connection, *container, health).await?,
        Change::TouchShimMapping { container, at } => container::touch(connection, *container, *at).await?,
        Change::Logs { container, lines } => logs::append(connection, *container, lines).await?,
        Change::LogLines(batch) => log_lines::append(connection, batch).await?,
        Change::Metrics(origin, sample) => metrics::append(connection, origin, sample).await?,
        Change::ThinMetrics(step) => metrics::thin(connection, step).await?,
        Change::PruneMetrics(keep) => metrics::prune_sources(connection, *keep).await?,
        Change::PruneImageNotes(before) => details::prune_image_notes(connection, *before).await?,
        Change::ImageDetails(image) => details::image(connection, image).await?,
        Change::VolumeDetails(volume) => details::volume(connection, volume).await?,
        Change::ImageSource(image, source) => details::image_source(connection, image, *source).await?,
        Change::PutPipeline(pipeline) => pipeline::put(connection, pipeline).await?,
        Change::DeletePipeline(id) => pipeline::delete(connection, *id).await?,
        Change::RecoverClusters => details::recover_clusters(connection).await?,
        Change::DevClusters(change) => rows::change(connection, change).await?,
        Change::Containers(change) => rows::change(connection, change).await?,
        Change::Images(change) => rows::change(connection, change).await?,
        Change::ImagePull(pull) => image_pull::insert(connection, pull).await?,
        Change::Volumes(change) => rows::change(connection, change).await?,
        Change::Networks(change) => rows::change(connection, change).await?,
        Change::Stacks(change) => rows::change(connection, change).await?,
        Change::PutNetwork(put) => network::put(connection, put).await?,
        Change::DeleteNetwork(id) => network::delete(connection, id).await?,
        Change::SyncNetworks(all) => network::sync(connection, all).await?,
        Change::JoinStack(container) => stack::join(connection, container).await?,
        Change::Prune { what, bound } => retention::step(connection, *what, *bound).await?,
    };
    Ok(())
}
