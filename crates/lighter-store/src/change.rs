//! What can be written. A `Vec<Change>` is a unit of work: all of it is stored, or nothing.

use crate::{Bound, ImageSource, LogBatch, Thinning};
use lighter_domain::cluster::DevCluster;
use lighter_domain::event::Event;
use lighter_domain::pipeline::Pipeline;
use lighter_domain::resource::{ContainerSummary, ImagePullRecord, ImageSummary, NetworkSummary, StackSummary, VolumeSummary};
use lighter_domain::volume::Volume;
use lighter_domain::{Container, Health, Image, MetricsSample, Network, Origin, ShimEvent};
use std::sync::Arc;
use time::OffsetDateTime;
use uuid::Uuid;

/// One change of a unit of work.
#[derive(Debug, Clone)]
pub enum Change {
    /// Inserts or updates a whole container: its `containers` row, summary columns included, and its `dockerShimMappings` row.
    PutContainer(Arc<Container>),
    /// Removes the container, its mapping and its place in stacks. Its log lines stay until they are pruned.
    DeleteContainer(Uuid),
    /// What a container's health checks found, and nothing else of it: it comes often.
    PutHealth {
        container: Uuid,
        health: Health,
    },
    /// `id` is ignored; the store's is in [`Applied::event_ids`].
    Event(Event),
    /// The durable record of a request that changed something; its id is in [`Applied::shim_event_ids`].
    ShimEvent(ShimEvent),
    /// Appends lines and prunes to the newest [`crate::LOG_LINES_KEPT`] of that container.
    Logs {
        container: Uuid,
        lines: Vec<(OffsetDateTime, String)>,
    },
    /// What one look at a container's log found, to be searched. At most some hundred lines: others wait for it.
    LogLines(LogBatch),
    /// What a container used at one moment.
    Metrics(Origin, MetricsSample),
    ThinMetrics(Thinning),
    /// Removes some containers' samples, of the oldest that are gone, beyond so many containers.
    PruneMetrics(u64),
    /// What an image's and a volume's rows leave out; after those.
    ImageDetails(Arc<Image>),
    VolumeDetails(Arc<Volume>),
    /// Where an image is from, by its id. Before its rows.
    ImageSource(String, ImageSource),
    /// What the machine was when a container was made: the kernel's version, where the container is.
    Machine {
        container: Arc<Container>,
        kernel: String,
        path: String,
    },
    PutPipeline(Box<Pipeline>),
    DeletePipeline(Uuid),
    /// Clusters that were being started when the daemon ended.
    RecoverClusters,
    DevClusters(RowChange<DevCluster>),
    /// `lastAccessedAt` of the container's mapping.
    TouchShimMapping {
        container: Uuid,
        at: OffsetDateTime,
    },
    Containers(RowChange<ContainerSummary>),
    Images(RowChange<ImageSummary>),
    /// A row of `imagePulls`. Before `Images`, whose new rows take their registry and date from it.
    ImagePull(ImagePullRecord),
    Volumes(RowChange<VolumeSummary>),
    Networks(RowChange<NetworkSummary>),
    Stacks(RowChange<StackSummary>),
    /// Inserts or updates the row of a network. Who is on it follows from `containers.networkIds`.
    PutNetwork(Arc<Network>),
    /// By the id that clients see.
    DeleteNetwork(String),
    /// The table holds exactly these networks afterwards, with who is on them.
    SyncNetworks(Vec<Arc<Network>>),
    /// A container of a compose project is new or has another name: its stack has it, under that name.
    JoinStack(Arc<Container>),
    /// Notes on images that are gone, last used before this moment.
    PruneImageNotes(OffsetDateTime),
    /// Removes at most [`crate::writer::PRUNE_STEP`] rows beyond the bound; counted in [`Applied::rows_affected`].
    Prune {
        what: Growing,
        bound: Bound,
    },
}

/// A change of one summary table. Ids must be set; the repositories see to that.
#[derive(Debug, Clone)]
pub enum RowChange<E> {
    Insert(E),
    Update(E),
    Upsert(E),
    Delete(Uuid),
    ReplaceAll(Vec<E>),
    SeedIfEmpty(Vec<E>),
}

/// A table that grows with use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growing {
    Events,
    ShimEvents,
    /// Log lines of containers that are gone.
    OrphanLogs,
    /// Lines that are searched.
    LogLines,
    /// What of the lines was passed over.
    LogGaps,
    ImagePulls,
}

/// What a unit of work came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Ids of the `Change::Event`s, in order.
    pub event_ids: Vec<i64>,
    /// Ids of the `Change::ShimEvent`s, in order.
    pub shim_event_ids: Vec<i64>,
    /// Rows written or removed by all changes together.
    pub rows_affected: u64,
}
