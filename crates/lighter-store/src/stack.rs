//! Stacks that compose projects are: made with their first container, gone with their last.

use crate::run::Script;
use crate::{Result, Store, StoreError, timestamp};
use lighter_domain::Container;
use lighter_domain::stack::{Dependency, Graph, Stack};
use lighter_domain::state::SummaryStatus;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use sqlx::sqlite::SqliteConnection;
use std::collections::BTreeMap;
use uuid::Uuid;

const TABLE: &str = "stacks";

const MAKE: &str = "\
INSERT INTO stacks (id, name, createdAt, updatedAt, source, environment) VALUES (?, ?, ?, ?, 'compose', ?) \
ON CONFLICT (name) WHERE source = 'compose' DO UPDATE SET updatedAt = excluded.updatedAt, \
 environment = coalesce(excluded.environment, environment)";
const JOIN: &str = "\
INSERT INTO containerStacks (containerId, stackId) SELECT ?, id FROM stacks WHERE source = 'compose' AND name = ? \
ON CONFLICT DO NOTHING";
const DEPEND: &str = "\
UPDATE stacks SET dependencyGraph = json_patch(dependencyGraph, ?) WHERE source = 'compose' AND name = ?";
const NAMES: &str = "\
UPDATE stacks SET containerNames = \
 (SELECT json_group_array(name) FROM (SELECT c.name FROM containerStacks s, containers c \
 WHERE s.stackId = stacks.id AND c.id = s.containerId ORDER BY c.createdAt, c.id)) WHERE source = 'compose' AND name = ?";

const LAST: &str = "\
DELETE FROM stacks WHERE source = 'compose' AND id IN (SELECT stackId FROM containerStacks WHERE containerId = ?) \
 AND NOT EXISTS (SELECT 1 FROM containerStacks WHERE stackId = stacks.id AND containerId <> ?)";
const FORGET: &str = "\
UPDATE stacks SET containerNames = (SELECT json_group_array(value) FROM json_each(containerNames) \
 WHERE value <> (SELECT name FROM containers WHERE id = ?)) \
 WHERE source = 'compose' AND id IN (SELECT stackId FROM containerStacks WHERE containerId = ?)";

#[derive(Serialize, Deserialize)]
struct Waits {
    service: String,
    condition: String,
}

/// A container that belongs to no project changes nothing.
pub(crate) async fn join(connection: &mut SqliteConnection, container: &Container) -> Result<u64> {
    let Some(project) = container.compose_project() else { return Ok(0) };
    let failed = StoreError::sql("writing a stack");
    let now = timestamp::format(container.updated_at);
    let made = sqlx::query(MAKE)
        .bind(Uuid::new_v4().to_string())
        .bind(project)
        .bind(timestamp::format(container.created_at))
        .bind(now)
        .bind(container.environment())
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    let joined = sqlx::query(JOIN).bind(container.uuid.to_string()).bind(project).execute(&mut *connection).await;
    joined.map_err(StoreError::sql("writing a stack's member"))?;
    // One that was run once asks for what its service asks for, and is no part of what is up.
    if let Some(service) = container.compose_service().filter(|_| !container.is_one_off()) {
        let waits = |d: Dependency| Waits { service: d.service, condition: d.condition };
        let waits: Vec<Waits> = container.compose_dependencies().into_iter().map(waits).collect();
        let part = serde_json::to_string(&BTreeMap::from([(service, waits)]));
        let part = part.map_err(|source| StoreError::Encode { table: TABLE, source })?;
        let depends = sqlx::query(DEPEND).bind(part).bind(project).execute(&mut *connection).await;
        depends.map_err(StoreError::sql("writing a stack's graph"))?;
    }
    let named = sqlx::query(NAMES).bind(project).execute(connection).await;
    named.map_err(StoreError::sql("writing a stack's names"))?;
    Ok(made.rows_affected())
}

/// A container is about to be deleted: the stack of compose that has no other goes, others forget its name.
pub(crate) fn leave(script: &mut Script, container: Uuid) -> Result<()> {
    let container = container.to_string();
    script.add(LAST, 1);
    script.bind(container.as_str())?.bind(container.as_str())?;
    script.add(FORGET, 1);
    script.bind(container.as_str())?.bind(container)?;
    Ok(())
}

#[derive(FromRow)]
#[sqlx(rename_all = "camelCase")]
struct StackRow {
    id: String,
    name: String,
    description: Option<String>,
    created_at: String,
    source: Option<String>,
    environment: Option<String>,
    status: String,
    dependency_graph: String,
    members: String,
}

impl Store {
    /// All stacks with their members and graphs, by name; of one that cannot be read, the error.
    pub async fn stacks_with_members(&self) -> Result<Vec<Stack>> {
        let rows: Vec<StackRow> = sqlx::query_as(
            "SELECT id, name, description, createdAt, source, environment, status, dependencyGraph, \
              (SELECT json_group_array(containerId) FROM containerStacks WHERE stackId = stacks.id) AS members \
             FROM stacks ORDER BY name, createdAt, id",
        )
        .fetch_all(self.readers())
        .await
        .map_err(StoreError::sql("reading the stacks"))?;
        rows.into_iter().map(read).collect()
    }
}

fn read(row: StackRow) -> Result<Stack> {
    let corrupt = |reason: String| StoreError::Corrupt { table: TABLE, id: row.id.clone(), reason };
    let uuid = |text: &str| Uuid::parse_str(text).map_err(|e| corrupt(format!("{text:?}: {e}")));
    let json = |column: &str, e: serde_json::Error| corrupt(format!("{column}: {e}"));
    let graph: BTreeMap<String, Vec<Waits>> =
        serde_json::from_str(&row.dependency_graph).map_err(|e| json("dependencyGraph", e))?;
    let waits = |w: Waits| Dependency { service: w.service, condition: w.condition };
    let graph: Graph = graph.into_iter().map(|(service, all)| (service, all.into_iter().map(waits).collect())).collect();
    let members: Vec<String> = serde_json::from_str(&row.members).map_err(|e| json("members", e))?;
    Ok(Stack {
        id: uuid(&row.id)?,
        created_at: timestamp::parse(&row.created_at).ok_or_else(|| corrupt("createdAt is not a date".to_owned()))?,
        compose: row.source.is_some(),
        containers: members.iter().map(|id| uuid(id)).collect::<Result<_>>()?,
        name: row.name.clone(),
        description: row.description.clone(),
        environment: row.environment.clone(),
        status: SummaryStatus::parse(&row.status).ok_or_else(|| corrupt(format!("unknown status {:?}", row.status)))?,
        graph,
    })
}
