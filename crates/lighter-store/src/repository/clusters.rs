//! `devClusters`: columns, rules, rows.

use super::rows::{Bound, Entity, date, mark, statements, uuid};
use crate::{Change, Result, RowChange, StoreError, timestamp};
use lighter_domain::cluster::{ClusterState, DevCluster, NodeType};
use sqlx::FromRow;
use uuid::Uuid;

impl Entity for DevCluster {
    type Row = DevClusterRow;
    statements!("devClusters", guard "", order "createdAt", "name", "kubeconfigPath", "state", "nodeType", "resources", "createdAt", "updatedAt");

    fn id_mut(&mut self) -> &mut Uuid {
        &mut self.id
    }
    fn check(&self) -> Result<()> {
        if self.state == ClusterState::Running && self.kubeconfig_path.is_empty() {
            return Err(StoreError::Invalid { entity: "dev cluster", reason: "it runs and has no kubeconfig" });
        }
        Ok(())
    }
    fn bind<'q>(&self, query: Bound<'q>) -> Result<Bound<'q>> {
        let Self { id, name, kubeconfig_path, state, node_type, resources, created_at, updated_at } = self;
        Ok(query
            .bind(name.clone())
            .bind(kubeconfig_path.clone())
            .bind(state.as_str())
            .bind(node_type.as_str())
            .bind(resources.clone())
            .bind(timestamp::format(*created_at))
            .bind(timestamp::format(*updated_at))
            .bind(id.to_string()))
    }
    fn change(change: RowChange<Self>) -> Change {
        Change::DevClusters(change)
    }
}

#[derive(FromRow)]
#[sqlx(rename_all = "camelCase")]
pub(crate) struct DevClusterRow {
    id: String,
    name: String,
    kubeconfig_path: String,
    state: String,
    node_type: String,
    resources: String,
    created_at: String,
    updated_at: String,
}

impl TryFrom<DevClusterRow> for DevCluster {
    type Error = StoreError;

    fn try_from(row: DevClusterRow) -> Result<Self> {
        let table = Self::NAME;
        let corrupt = |what: &str| StoreError::Corrupt { table, id: row.id.clone(), reason: format!("unknown {what}") };
        Ok(Self {
            id: uuid(table, &row.id, &row.id)?,
            state: ClusterState::parse(&row.state).ok_or_else(|| corrupt("state"))?,
            node_type: NodeType::parse(&row.node_type).ok_or_else(|| corrupt("nodeType"))?,
            created_at: date(table, &row.id, "createdAt", &row.created_at)?,
            updated_at: date(table, &row.id, "updatedAt", &row.updated_at)?,
            name: row.name,
            kubeconfig_path: row.kubeconfig_path,
            resources: row.resources,
        })
    }
}
