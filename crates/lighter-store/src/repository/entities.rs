//! The five summary entities: columns, rules, rows.

use super::rows::{Bound, Entity, date, list, list_text, mark, statements, uuid};
use crate::{Change, Result, RowChange, StoreError, timestamp};
use lighter_domain::resource::{ContainerSummary, ImageSummary, NetworkSummary, StackSummary, VolumeSummary};
use lighter_domain::state::SummaryStatus;
use sqlx::FromRow;
use uuid::Uuid;

pub(super) const SEARCH_CONTAINERS: &str = "SELECT id, name, image, status, ports, createdAt, updatedAt FROM containers \
     WHERE instr(lower(name), lower(?1)) > 0 OR instr(lower(image), lower(?1)) > 0 ORDER BY createdAt, id";
pub(super) const RUNNING_CONTAINERS: &str = "SELECT id, name, image, status, ports, createdAt, updatedAt FROM containers \
     WHERE status = 'running' ORDER BY createdAt, id";
pub(super) const SEARCH_IMAGES: &str = "SELECT id, name, tag, digest, sizeBytes, createdAt FROM images \
     WHERE instr(lower(name), lower(?1)) > 0 OR instr(lower(tag), lower(?1)) > 0 OR instr(lower(digest), lower(?1)) > 0 \
     ORDER BY createdAt, id";
pub(super) const IMAGE_BY_NAME_AND_TAG: &str = "SELECT id, name, tag, digest, sizeBytes, createdAt FROM images \
     WHERE name = ? AND tag = ? ORDER BY createdAt DESC, id LIMIT 1";

impl Entity for ContainerSummary {
    type Row = ContainerSummaryRow;
    statements!("containers", guard " AND shimId IS NULL", order "createdAt", "name", "image", "status", "ports", "createdAt", "updatedAt");

    fn id_mut(&mut self) -> &mut Uuid {
        &mut self.id
    }
    fn check(&self) -> Result<()> {
        Ok(())
    }
    fn bind<'q>(&self, query: Bound<'q>) -> Result<Bound<'q>> {
        let Self { id, name, image, status, ports, created_at, updated_at } = self;
        Ok(query
            .bind(name.clone())
            .bind(image.clone())
            .bind(status.as_str())
            .bind(list_text(Self::NAME, ports)?)
            .bind(timestamp::format(*created_at))
            .bind(timestamp::format(*updated_at))
            .bind(id.to_string()))
    }
    fn change(change: RowChange<Self>) -> Change {
        Change::Containers(change)
    }
}

#[derive(FromRow)]
#[sqlx(rename_all = "camelCase")]
pub(crate) struct ContainerSummaryRow {
    id: String,
    name: String,
    image: String,
    status: String,
    ports: String,
    created_at: String,
    updated_at: String,
}

impl TryFrom<ContainerSummaryRow> for ContainerSummary {
    type Error = StoreError;

    fn try_from(row: ContainerSummaryRow) -> Result<Self> {
        let table = Self::NAME;
        Ok(Self {
            id: uuid(table, &row.id, &row.id)?,
            status: SummaryStatus::parse(&row.status).ok_or_else(|| StoreError::Corrupt {
                table,
                id: row.id.clone(),
                reason: format!("unknown status {:?}", row.status),
            })?,
            ports: list(table, &row.id, "ports", &row.ports)?,
            created_at: date(table, &row.id, "createdAt", &row.created_at)?,
            updated_at: date(table, &row.id, "updatedAt", &row.updated_at)?,
            name: row.name,
            image: row.image,
        })
    }
}

impl Entity for ImageSummary {
    type Row = ImageSummaryRow;
    statements!("images", guard "", order "createdAt", "name", "tag", "digest", "sizeBytes", "createdAt");

    fn id_mut(&mut self) -> &mut Uuid {
        &mut self.id
    }
    fn check(&self) -> Result<()> {
        let named = !self.name.is_empty() && !self.tag.is_empty();
        if named || self.digest.as_deref().is_some_and(|d| !d.is_empty()) {
            Ok(())
        } else {
            Err(StoreError::Invalid { entity: "image", reason: "it has neither a digest nor a name and a tag" })
        }
    }
    fn bind<'q>(&self, query: Bound<'q>) -> Result<Bound<'q>> {
        let Self { id, name, tag, digest, size_bytes, created_at } = self;
        Ok(query
            .bind(name.clone())
            .bind(tag.clone())
            .bind(digest.clone())
            .bind(*size_bytes)
            .bind(timestamp::format(*created_at))
            .bind(id.to_string()))
    }
    fn change(change: RowChange<Self>) -> Change {
        Change::Images(change)
    }
}

#[derive(FromRow)]
#[sqlx(rename_all = "camelCase")]
pub(crate) struct ImageSummaryRow {
    id: String,
    name: String,
    tag: String,
    digest: Option<String>,
    size_bytes: Option<i64>,
    created_at: String,
}

impl TryFrom<ImageSummaryRow> for ImageSummary {
    type Error = StoreError;

    fn try_from(row: ImageSummaryRow) -> Result<Self> {
        let table = Self::NAME;
        Ok(Self {
            id: uuid(table, &row.id, &row.id)?,
            created_at: date(table, &row.id, "createdAt", &row.created_at)?,
            name: row.name,
            tag: row.tag,
            digest: row.digest,
            size_bytes: row.size_bytes,
        })
    }
}

impl Entity for VolumeSummary {
    type Row = VolumeSummaryRow;
    statements!("volumes", guard "", order "createdAt", "name", "mountPath", "sizeBytes", "createdAt", "updatedAt");

    fn id_mut(&mut self) -> &mut Uuid {
        &mut self.id
    }
    fn check(&self) -> Result<()> {
        if self.mount_path.is_empty() {
            return Err(StoreError::Invalid { entity: "volume", reason: "it has no mount path" });
        }
        Ok(())
    }
    fn bind<'q>(&self, query: Bound<'q>) -> Result<Bound<'q>> {
        let Self { id, name, mount_path, size_bytes, created_at, updated_at } = self;
        Ok(query
            .bind(name.clone())
            .bind(mount_path.clone())
            .bind(*size_bytes)
            .bind(timestamp::format(*created_at))
            .bind(timestamp::format(*updated_at))
            .bind(id.to_string()))
    }
    fn change(change: RowChange<Self>) -> Change {
        Change::Volumes(change)
    }
}

#[derive(FromRow)]
#[sqlx(rename_all = "camelCase")]
pub(crate) struct VolumeSummaryRow {
    id: String,
    name: String,
    mount_path: String,
    size_bytes: Option<i64>,
    created_at: String,
    updated_at: String,
}

impl TryFrom<VolumeSummaryRow> for VolumeSummary {
    type Error = StoreError;

    fn try_from(row: VolumeSummaryRow) -> Result<Self> {
        let table = Self::NAME;
        Ok(Self {
            id: uuid(table, &row.id, &row.id)?,
            created_at: date(table, &row.id, "createdAt", &row.created_at)?,
            updated_at: date(table, &row.id, "updatedAt", &row.updated_at)?,
            name: row.name,
            mount_path: row.mount_path,
            size_bytes: row.size_bytes,
        })
    }
}

impl Entity for NetworkSummary {
    type Row = NetworkSummaryRow;
    statements!("networks", guard "", order "createdAt", "name", "subnet", "connectedContainerIDs", "createdAt", "updatedAt");

    fn id_mut(&mut self) -> &mut Uuid {
        &mut self.id
    }
    fn check(&self) -> Result<()> {
        Ok(())
    }
    fn bind<'q>(&self, query: Bound<'q>) -> Result<Bound<'q>> {
        let Self { id, name, subnet, connected_container_ids, created_at, updated_at } = self;
        let connected: Vec<String> = connected_container_ids.iter().map(Uuid::to_string).collect();
        Ok(query
            .bind(name.clone())
            .bind(subnet.clone())
            .bind(list_text(Self::NAME, &connected)?)
            .bind(timestamp::format(*created_at))
            .bind(timestamp::format(*updated_at))
            .bind(id.to_string()))
    }
    fn change(change: RowChange<Self>) -> Change {
        Change::Networks(change)
    }
}

#[derive(FromRow)]
#[sqlx(rename_all = "camelCase")]
pub(crate) struct NetworkSummaryRow {
    id: String,
    name: String,
    subnet: Option<String>,
    #[sqlx(rename = "connectedContainerIDs")]
    connected_container_ids: String,
    created_at: String,
    updated_at: String,
}

impl TryFrom<NetworkSummaryRow> for NetworkSummary {
    type Error = StoreError;

    fn try_from(row: NetworkSummaryRow) -> Result<Self> {
        let table = Self::NAME;
        let connected: Vec<String> = list(table, &row.id, "connectedContainerIDs", &row.connected_container_ids)?;
        Ok(Self {
            id: uuid(table, &row.id, &row.id)?,
            connected_container_ids: connected.iter().map(|c| uuid(table, &row.id, c)).collect::<Result<_>>()?,
            created_at: date(table, &row.id, "createdAt", &row.created_at)?,
            updated_at: date(table, &row.id, "updatedAt", &row.updated_at)?,
            name: row.name,
            subnet: row.subnet,
        })
    }
}

impl Entity for StackSummary {
    type Row = StackSummaryRow;
    statements!("stacks", guard "", order "createdAt", "name", "description", "containerNames", "createdAt");
    // The names are what was said; the memberships are those of them that exist.
    const AFTER_WRITE: &'static [&'static str] = &[
        "DELETE FROM containerStacks WHERE stackId = ?",
        "INSERT INTO containerStacks (containerId, stackId) SELECT DISTINCT c.id, s.id \
         FROM stacks s, json_each(s.containerNames) n, containers c WHERE s.id = ? AND c.name = n.value",
    ];

    fn id_mut(&mut self) -> &mut Uuid {
        &mut self.id
    }
    fn check(&self) -> Result<()> {
        Ok(())
    }
    fn bind<'q>(&self, query: Bound<'q>) -> Result<Bound<'q>> {
        let Self { id, name, description, container_names, created_at } = self;
        Ok(query
            .bind(name.clone())
            .bind(description.clone())
            .bind(list_text(Self::NAME, container_names)?)
            .bind(timestamp::format(*created_at))
            .bind(id.to_string()))
    }
    fn change(change: RowChange<Self>) -> Change {
        Change::Stacks(change)
    }
}

#[derive(FromRow)]
#[sqlx(rename_all = "camelCase")]
pub(crate) struct StackSummaryRow {
    id: String,
    name: String,
    description: Option<String>,
    container_names: String,
    created_at: String,
}

impl TryFrom<StackSummaryRow> for StackSummary {
    type Error = StoreError;

    fn try_from(row: StackSummaryRow) -> Result<Self> {
        let table = Self::NAME;
        Ok(Self {
            id: uuid(table, &row.id, &row.id)?,
            container_names: list(table, &row.id, "containerNames", &row.container_names)?,
            created_at: date(table, &row.id, "createdAt", &row.created_at)?,
            name: row.name,
            description: row.description,
        })
    }
}
