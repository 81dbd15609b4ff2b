//! Pipelines as rows. That a status never goes back is the table's own rule.

use crate::{Keep, Result, Store, StoreError, timestamp};
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
    let Pipeline { id, project, name, steps, status, created_at, started_at, finished_at, failure_reason, workspace } = pipeline;
    let containers: Vec<&str> = steps.iter().filter_map(|step| step.container_id.as_deref()).collect();
    let steps: Vec<StepJson> = steps.iter().map(to_json).collect();
    let done = sqlx::query(
        "INSERT INTO pipelines (id, projectId, name, steps, status, createdAt, startedAt, finishedAt, failureReason, logsRef, workspace) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET steps = excluded.steps, status = excluded.status, \
         startedAt = excluded.startedAt, finishedAt = excluded.finishedAt, failureReason = excluded.failureReason, \
         logsRef = excluded.logsRef",
    )
    .bind(id.to_string())
    .bind(project.map(|id| id.to_string()))
    .bind(name.as_str())
    .bind(json(&steps)?)
    .bind(status.as_str())
    .bind(timestamp::format(*created_at))
    .bind(started_at.map(timestamp::format))
    .bind(finished_at.map(timestamp::format))
    .bind(failure_reason.as_deref())
    .bind(json(&containers)?)
    .bind(workspace.as_str())
    .execute(connection)
    .await
    .map_err(StoreError::sql("writing a pipeline"))?;
    Ok(done.rows_affected())
}

fn json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|source| StoreError::Encode { table: TABLE, source })
}

fn to_json(step: &Step) -> StepJson {
    let Step { plan, status, container_id, exit_code } = step.clone();
    let StepPlan { name, image, commands, env, mounts, needs } = plan;
    StepJson { name, image, commands, env, mounts, needs, status: status.as_str().to_owned(), container_id, exit_code }
}

/// Removes the row; what belongs to it is the caller's affair.
pub(crate) async fn delete(connection: &mut SqliteConnection, id: Uuid) -> Result<u64> {
    let done = sqlx::query("DELETE FROM pipelines WHERE id = ?").bind(id.to_string()).execute(connection).await;
    Ok(done.map_err(StoreError::sql("removing a pipeline"))?.rows_affected())
}

/// Columns; `$which` is the condition. Ids are made of the time: their order is that of the pipelines.
macro_rules! select {
    ($which:literal) => {
        concat!(
            "SELECT id, projectId, name, steps, status, createdAt, startedAt, finishedAt, failureReason, workspace FROM pipelines WHERE ",
            $which,
            " ORDER BY id DESC"
        )
    };
}

impl Store {
    /// At most `limit`, the newest first, from the one after the id `after` (empty: the first) on; of all projects, or of one.
    pub async fn pipelines(&self, project: Option<Uuid>, after: &str, limit: u32) -> Result<Vec<Pipeline>> {
        let rows = sqlx::query_as(concat!(select!("(?1 IS NULL OR projectId = ?1) AND (?2 = '' OR id < ?2)"), " LIMIT ?3"))
            .bind(project.map(|id| id.to_string()))
            .bind(after)
            .bind(limit)
            .fetch_all(self.readers())
            .await;
        read(rows)
    }

    /// By its id, the newest of this name, or by how its id begins or ends.
    pub async fn pipeline(&self, reference: &str) -> Result<Option<Pipeline>> {
        if reference.is_empty() {
            return Ok(None);
        }
        let whole = concat!(select!("id = ?1 OR name = ?1"), " LIMIT 1");
        let part =
            concat!(select!("substr(id, 1, length(?1)) = ?1 OR substr(replace(id, '-', ''), -length(?1)) = ?1"), " LIMIT 1");
        for statement in [whole, part] {
            let rows = sqlx::query_as(statement).bind(reference).fetch_all(self.readers()).await;
            if let Some(found) = read(rows)?.pop() {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Those that are not over.
    pub async fn pipelines_under_way(&self) -> Result<Vec<Pipeline>> {
        read(sqlx::query_as(select!("finishedAt IS NULL")).fetch_all(self.readers()).await)
    }

    /// Those that are over and beyond what is to be kept, the oldest first, at most `limit`.
    pub async fn pipelines_beyond(&self, keep: Keep, limit: u32) -> Result<Vec<Pipeline>> {
        let rows = sqlx::query_as(
            "SELECT id, projectId, name, steps, status, createdAt, startedAt, finishedAt, failureReason, workspace FROM pipelines \
             WHERE finishedAt IS NOT NULL AND (finishedAt < ?1 OR id NOT IN (SELECT id FROM pipelines ORDER BY id DESC LIMIT ?2)) \
             ORDER BY id LIMIT ?3",
        )
        .bind(keep.since().map(timestamp::format))
        .bind(keep.rows.map_or(-1, |rows| i64::try_from(rows).unwrap_or(i64::MAX)))
        .bind(limit)
        .fetch_all(self.readers())
        .await;
        read(rows)
    }

    /// Whether a pipeline other than `id` has this workspace.
    pub async fn workspace_is_shared(&self, workspace: &str, id: Uuid) -> Result<bool> {
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pipelines WHERE workspace = ? AND id <> ?)")
            .bind(workspace)
            .bind(id.to_string())
            .fetch_one(self.readers())
            .await
            .map_err(StoreError::sql("reading the pipelines of a workspace"))
    }
}

fn read(rows: Result<Vec<PipelineRow>, sqlx::Error>) -> Result<Vec<Pipeline>> {
    rows.map_err(StoreError::sql("reading pipelines"))?.into_iter().map(Pipeline::try_from).collect()
}

#[derive(FromRow)]
#[sqlx(rename_all = "camelCase")]
struct PipelineRow {
    id: String,
    project_id: Option<String>,
    name: String,
    steps: String,
    status: String,
    created_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    failure_reason: Option<String>,
    workspace: Option<String>,
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
        let uuid = |text: &str| Uuid::parse_str(text).map_err(|e| corrupt(format!("{text:?}: {e}")));
        Ok(Self {
            id: uuid(&row.id)?,
            project: row.project_id.as_deref().map(uuid).transpose()?,
            steps: steps.into_iter().map(step).collect::<Result<_>>()?,
            status: PipelineStatus::parse(&row.status).ok_or_else(|| corrupt("unknown status".to_owned()))?,
            created_at: date(&row.created_at)?,
            started_at: row.started_at.as_deref().map(date).transpose()?,
            finished_at: row.finished_at.as_deref().map(date).transpose()?,
            failure_reason: row.failure_reason,
            workspace: row.workspace.unwrap_or_default(),
            name: row.name,
        })
    }
}
