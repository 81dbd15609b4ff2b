//! Transactions and the execution of each [`Change`]. Called by the writer task only.

use super::Set;
use crate::repository::{logs, rows};
use crate::run::run;
use crate::{
    Applied, Change, Result, StoreError, container, details, event, image_pull, log_lines, metrics, network, pipeline, retention,
    shim_event, stack,
};
use sqlx::sqlite::SqliteConnection;

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
    // One statement is a transaction without being told, and each that is not sent saves a round trip to the connection.
    if let [Change::Event(_) | Change::ShimEvent(_)] = changes {
        return all(connection, changes).await;
    }
    begin(connection).await?;
    match all(connection, changes).await {
        Ok(applied) => commit(connection).await.map(|()| applied),
        Err(error) => {
            rollback(connection).await;
            Err(error)
        }
    }
}

/// The inner result is the set's; the outer one fails when the transaction is beyond use.
async fn savepoint(connection: &mut SqliteConnection, changes: &mut [Change]) -> Result<Result<Applied>> {
    statement(connection, "SAVEPOINT one").await?;
    let result = all(connection, changes).await;
    if result.is_err() {
        // A full disk may have ended the whole transaction; then this fails, too.
        statement(connection, "ROLLBACK TO one").await?;
    }
    statement(connection, "RELEASE one").await?;
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

async fn all(connection: &mut SqliteConnection, changes: &mut [Change]) -> Result<Applied> {
    let mut applied = Applied::default();
    for change in changes {
        one(connection, change, &mut applied).await?;
    }
    Ok(applied)
}

async fn one(connection: &mut SqliteConnection, change: &mut Change, applied: &mut Applied) -> Result<()> {
    applied.rows_affected += match change {
        Change::PutContainer(container) => container::put(connection, container).await?,
        Change::DeleteContainer(uuid) => stack::leave(connection, *uuid).await? + container::delete(connection, *uuid).await?,
        Change::PutHealth { container, health } => container::put_health(connection, *container, health).await?,
        Change::TouchShimMapping { container, at } => container::touch(connection, *container, *at).await?,
        Change::Event(event) => {
            applied.event_ids.push(event::insert(connection, event).await?);
            1
        }
        Change::ShimEvent(event) => {
            applied.shim_event_ids.push(shim_event::insert(connection, std::slice::from_ref(event)).await?);
            1
        }
        Change::Logs { container, lines } => logs::append(connection, *container, lines).await?,
        Change::LogLines(batch) => log_lines::append(connection, batch).await?,
        Change::Metrics(origin, sample) => metrics::append(connection, origin, sample).await?,
        Change::ThinMetrics(step) => metrics::thin(connection, step).await?,
        Change::PruneMetrics(keep) => metrics::prune_sources(connection, *keep).await?,
        Change::PruneImageNotes(before) => details::prune_image_notes(connection, *before).await?,
        Change::ImageDetails(image) => details::image(connection, image).await?,
        Change::VolumeDetails(volume) => details::volume(connection, volume).await?,
        Change::ImageSource(image, source) => details::image_source(connection, image, *source).await?,
        Change::Machine { container, kernel, path } => details::machine(connection, container, kernel, path).await?,
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
