//! Repositories: one for each entity that other programs read, too. Reads are concurrent; writes go through the writer task,
//! one transaction each. "Not found" is `Ok(None)`, or `Ok(false)` where something was to be changed.

mod clusters;
mod entities;
pub(crate) mod logs;
pub(crate) mod rows;
mod shim_events;

use crate::change::RowChange;
use crate::{Applied, Result, Store, StoreError};
use lighter_domain::cluster::DevCluster;
use lighter_domain::resource::{ContainerSummary, ImageSummary, NetworkSummary, NewStack, StackSummary, VolumeSummary};
use rows::Entity;
use std::marker::PhantomData;
use time::OffsetDateTime;
use uuid::Uuid;

pub use logs::ContainerLogs;
pub use shim_events::ShimEvents;

/// The operations that every summary entity has. Made by [`Store::containers`], [`Store::images`] and so on.
#[derive(Debug)]
pub struct Repository<'a, E> {
    store: &'a Store,
    entity: PhantomData<fn() -> E>,
}

/// The summaries of containers. A container that the daemon runs is changed by [`crate::Change::PutContainer`] alone: here it can be
/// read and deleted, while `update`, `upsert` and `replace_all` leave it alone.
pub type Containers<'a> = Repository<'a, ContainerSummary>;
pub type DevClusters<'a> = Repository<'a, DevCluster>;
pub type Images<'a> = Repository<'a, ImageSummary>;
pub type Volumes<'a> = Repository<'a, VolumeSummary>;
pub type Networks<'a> = Repository<'a, NetworkSummary>;
pub type Stacks<'a> = Repository<'a, StackSummary>;

#[expect(private_bounds, reason = "the set of entities is closed; they are named by the aliases above")]
impl<'a, E: Entity> Repository<'a, E> {
    pub(crate) fn new(store: &'a Store) -> Self {
        Self { store, entity: PhantomData }
    }

    /// All, oldest first.
    pub async fn fetch_all(&self) -> Result<Vec<E>> {
        rows::collect(sqlx::query_as(E::SELECT_ALL).fetch_all(self.store.readers()).await)
    }

    pub async fn fetch(&self, id: Uuid) -> Result<Option<E>> {
        let rows = sqlx::query_as(E::SELECT_ONE).bind(id.to_string()).fetch_all(self.store.readers()).await;
        Ok(rows::collect(rows)?.pop())
    }

    /// Gives the entity back, with its id if it had none. An id that exists is a [`StoreError::Conflict`].
    pub async fn insert(&self, mut entity: E) -> Result<E> {
        entity.ensure_id();
        self.apply(RowChange::Insert(entity.clone())).await?;
        Ok(entity)
    }

    /// False when there is no such row.
    pub async fn update(&self, entity: E) -> Result<bool> {
        Ok(self.apply(RowChange::Update(entity)).await?.rows_affected > 0)
    }

    /// Inserts, or updates the row of that id. Gives the entity back, with its id if it had none.
    pub async fn upsert(&self, mut entity: E) -> Result<E> {
        entity.ensure_id();
        self.apply(RowChange::Upsert(entity.clone())).await?;
        Ok(entity)
    }

    /// False when there is no such row.
    pub async fn delete(&self, id: Uuid) -> Result<bool> {
        Ok(self.apply(RowChange::Delete(id)).await?.rows_affected > 0)
    }

    /// The table holds exactly `entities` afterwards, or, upon an error, what it held before.
    pub async fn replace_all(&self, entities: Vec<E>) -> Result<()> {
        self.apply(RowChange::ReplaceAll(entities)).await.map(drop)
    }

    /// Inserts `entities` if the table is empty, and says whether it did.
    pub async fn seed_if_empty(&self, entities: Vec<E>) -> Result<bool> {
        Ok(self.apply(RowChange::SeedIfEmpty(entities)).await?.rows_affected > 0)
    }

    async fn apply(&self, change: RowChange<E>) -> Result<Applied> {
        self.store.apply(vec![E::change(change)]).await
    }

    async fn query_one_text(&self, sql: &'static str, text: &str) -> Result<Vec<E>> {
        rows::collect(sqlx::query_as(sql).bind(text).fetch_all(self.store.readers()).await)
    }
}

impl Containers<'_> {
    /// Those whose name or image contains `text`, without regard to the case of ASCII letters.
    pub async fn search(&self, text: &str) -> Result<Vec<ContainerSummary>> {
        self.query_one_text(entities::SEARCH_CONTAINERS, text).await
    }

    pub async fn fetch_running(&self) -> Result<Vec<ContainerSummary>> {
        rows::collect(sqlx::query_as(entities::RUNNING_CONTAINERS).fetch_all(self.store.readers()).await)
    }
}

impl Images<'_> {
    /// Those whose name, tag or digest contains `text`, without regard to the case of ASCII letters.
    pub async fn search(&self, text: &str) -> Result<Vec<ImageSummary>> {
        self.query_one_text(entities::SEARCH_IMAGES, text).await
    }

    /// The newest of that name and tag.
    pub async fn fetch_by_name_and_tag(&self, name: &str, tag: &str) -> Result<Option<ImageSummary>> {
        let rows = sqlx::query_as(entities::IMAGE_BY_NAME_AND_TAG).bind(name).bind(tag).fetch_all(self.store.readers()).await;
        Ok(rows::collect(rows)?.pop())
    }
}

impl Stacks<'_> {
    /// Makes a stack from a request: the id is made up, the time is now.
    pub async fn create(&self, request: NewStack) -> Result<StackSummary> {
        let NewStack { name, description, container_names } = request;
        let stack =
            StackSummary { id: Uuid::new_v4(), name, description, container_names, created_at: OffsetDateTime::now_utc() };
        self.insert(stack).await
    }

    /// Ids of the containers that are in the stack, as `containerStacks` has them.
    pub async fn container_ids(&self, stack: Uuid) -> Result<Vec<Uuid>> {
        let ids: Vec<String> =
            sqlx::query_scalar("SELECT containerId FROM containerStacks WHERE stackId = ? ORDER BY containerId")
                .bind(stack.to_string())
                .fetch_all(self.store.readers())
                .await
                .map_err(StoreError::sql("reading a stack's containers"))?;
        ids.iter().map(|id| rows::uuid("containerStacks", id, id)).collect()
    }
}
