//! Pipelines as rows. That a status never goes back is the table's own rule.

use crate::{Result, Store, StoreError, timestamp};
use lighter_domain::pipeline::{Pipeline, PipelineStatus, Step, StepPlan, StepStatus};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use sqlx::sqlite::SqliteConnection;
use std::collections::BTreeMap;
use uuid::Uuid;

const TABLE: &str = "pipelines";

/// A step as JSON.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StepJson {
    name: String,
    image: String,
    commands: Vec<String>,
    env: BTreeMap<String, String>,
    mounts: Vec<String>,
    needs: Vec<String>,
    status: String,
    container_id: Option<String>,
    exit_code: Option<i32>,
}

/// Inserts or updates, inside the writer's transaction.
pub(crate) async fn put(connection: &mut SqliteConnection, pipeline: &Pipeline) -> Result<u64> {
    let Pipeline { id, name, steps, status, created_at, started_at, finished_at, failure_reason, workspace } = pipeline;
    let steps: Vec<StepJson> = steps.iter().map(to_json).collect();
    let done = sqlx::query(
        "INSERT INTO pipelines (id, name, steps, status, createdAt, startedAt, finishedAt, failureReason, logsRef) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET steps = excluded.steps, status = excluded.status, \
         startedAt = excluded.startedAt, finishedAt = excluded.finishedAt, failureReason = excluded.failureReason",
    )
    .bind(id.to_string())
    .bind(name.as_str())
    .bind(serde_json::to_string(&steps).map_err(|source| StoreError::Encode { table: TABLE, source })?)
    .bind(status.as_str())
    .bind(timestamp::format(*created_at))
    .bind(started_at.map(timestamp::format))
    .bind(finished_at.map(timestamp::format))
    .bind(failure_reason.as_deref())
    .bind(workspace.as_str())
    .execute(connection)
    .await
    .map_err(StoreError::sql("writing a pipeline"))?;
    Ok(done.rows_affected())
}

fn to_json(step: &Step) -> StepJson {
    let Step { plan, status, container_id, exit_code } = step.clone();
    let StepPlan { name, image, commands, env, mounts, needs } = plan;
    StepJson { name, image, commands, env, mounts, needs, status: status.as_str().to_owned(), container_id, exit_code }
}

impl Store {
    /// The newest `limit`, newest first.
    pub async fn pipelines(&self, limit: u32) -> Result<Vec<Pipeline>> {
        self.select_pipelines("", limit).await
    }

    /// By its id, or how that begins, or by its name: the newest.
    pub async fn pipeline(&self, reference: &str) -> Result<Option<Pipeline>> {
        if reference.is_empty() {
            return Ok(None);
        }
        Ok(self.select_pipelines(reference, 1).await?.pop())
    }

    async fn select_pipelines(&self, reference: &str, limit: u32) -> Result<Vec<Pipeline>> {
        let rows: Vec<PipelineRow> = sqlx::query_as(
            "SELECT id, name, steps, status, createdAt, startedAt, finishedAt, failureReason, logsRef FROM pipelines \
             WHERE ?1 = '' OR name = ?1 OR substr(id, 1, length(?1)) = ?1 OR substr(replace(id, '-', ''), -length(?1)) = ?1 \
             ORDER BY createdAt DESC, id DESC LIMIT ?2",
        )
        .bind(reference)
        .bind(limit)
        .fetch_all(self.readers())
        .await
        .map_err(StoreError::sql("reading pipelines"))?;
        rows.into_iter().map(Pipeline::try_from).collect()
    }
}

#[derive(FromRow)]
#[sqlx(rename_all = "camelCase")]
struct PipelineRow {
    id: String,
    name: String,
    steps: String,
    status: String,
    created_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    failure_reason: Option<String>,
    logs_ref: Option<String>,
}

impl TryFrom<PipelineRow> for Pipeline {
    type Error = StoreError;

    fn try_from(row: PipelineRow) -> Result<Self> {
        let corrupt = |reason: String| StoreError::Corrupt { table: TABLE, id: row.id.clone(), reason };
        let date = |text: &str| timestamp::parse(text).ok_or_else(|| corrupt(format!("{text:?} is not a date")));
        let steps: Vec<StepJson> = serde_json::from_str(&row.steps).map_err(|e| corrupt(format!("steps: {e}")))?;
        let step = |json: StepJson| {
            let StepJson { name, image, commands, env, mounts, needs, status, container_id, exit_code } = json;
            let status = StepStatus::parse(&status).ok_or_else(|| corrupt(format!("unknown status {status:?}")))?;
            Ok::<_, StoreError>(Step {
                plan: StepPlan { name, image, commands, env, mounts, needs },
                status,
                container_id,
                exit_code,
            })
        };
        Ok(Self {
            id: Uuid::parse_str(&row.id).map_err(|e| corrupt(e.to_string()))?,
            steps: steps.into_iter().map(step).collect::<Result<_>>()?,
            status: PipelineStatus::parse(&row.status).ok_or_else(|| corrupt("unknown status".to_owned()))?,
            created_at: date(&row.created_at)?,
            started_at: row.started_at.as_deref().map(date).transpose()?,
            finished_at: row.finished_at.as_deref().map(date).transpose()?,
            failure_reason: row.failure_reason,
            workspace: row.logs_ref.unwrap_or_default(),
            name: row.name,
        })
    }
}
