//! The handle that everybody holds. Cheap to clone; the last step of a daemon's life is [`Store::close`].

use crate::recorder::{Recorder, Refused};
use crate::repository::{ContainerLogs, Containers, DevClusters, Images, Networks, Repository, ShimEvents, Stacks, Volumes};
use crate::writer::{self, Command, QUEUE, Set, Writer};
use crate::{Applied, Change, Loaded, Result, StoreError, container, event, log_lines, maintenance, mapping, open};
use lighter_domain::event::Event;
use lighter_domain::log::search_terms;
use lighter_domain::{Container, LogFilter, LogGap, LogLine, LogMark, ShimEvent, ShimMapping};
use sqlx::SqlitePool;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

/// How long [`Store::close`] waits for reads that are under way.
const READS_MAY_TAKE: Duration = Duration::from_secs(5);

/// A handle on the store.
#[derive(Debug, Clone)]
pub struct Store {
    commands: mpsc::Sender<Command>,
    recorder: Arc<Recorder>,
    readers: SqlitePool,
    path: Arc<Path>,
}

impl Store {
    /// Opens the database, makes it if need be (mode 0600), upgrades it if it is of an older version, and refuses one of a
    /// newer version. Its directory must exist. Must be called within a tokio runtime.
    pub async fn open(path: &Path) -> Result<Self> {
        let (connection, readers) = open::open(path).await?;
        let (commands, queue) = mpsc::channel(QUEUE);
        let recorder = Arc::new(Recorder::default());
        writer::spawn(Writer::new(connection, queue, Arc::clone(&recorder)))
            .map_err(|e| StoreError::Open { path: path.to_owned(), source: e.into() })?;
        Ok(Self { commands, recorder, readers, path: path.into() })
    }

    /// Applies what is queued, stores what is recorded, and empties the write-ahead log. Later writes find the store closed.
    /// Calling it again does nothing.
    pub async fn close(&self) -> Result<()> {
        // A read that does not end must not keep the daemon from ending; it costs only the emptying of the log.
        if tokio::time::timeout(READS_MAY_TAKE, self.readers.close()).await.is_err() {
            tracing::warn!("closing the store while something is still being read");
        }
        match self.ask(Command::Close).await {
            Err(StoreError::Closed) => Ok(()),
            other => other,
        }
    }

    /// Stores all changes, or none. They are committed when this returns: they outlive the daemon. The order of calls by one
    /// caller is kept. When the caller goes away after the changes were queued, they are applied all the same.
    pub async fn apply(&self, changes: Vec<Change>) -> Result<Applied> {
        if changes.is_empty() {
            return Ok(Applied::default());
        }
        self.ask(|reply| Command::Apply(Set { changes, reply })).await
    }

    /// Records a request without waiting for the disk: stored within some 250 ms, or at [`Store::close`]. Waits only while
    /// tens of thousands of events are ahead of it.
    pub async fn record(&self, event: impl Into<Box<ShimEvent>>) -> Result<()> {
        self.recorder.push_wait(event.into()).await
    }

    /// As [`Store::record`], but gives the event back where that would wait or fail.
    pub fn try_record(&self, event: impl Into<Box<ShimEvent>>) -> Result<(), Box<ShimEvent>> {
        self.recorder.push(event.into()).map_err(|refused| match refused {
            Refused::Full(event) | Refused::Failing(event) | Refused::Closed(event) => event,
        })
    }

    /// Returns when everything recorded before this call is stored.
    pub async fn flush(&self) -> Result<()> {
        self.ask(Command::Flush).await
    }

    /// All containers that were put whole, oldest first, and the rows that cannot be read.
    pub async fn load_containers(&self) -> Result<Loaded<Container>> {
        container::load(&self.readers, None).await
    }

    pub async fn load_container(&self, uuid: Uuid) -> Result<Option<Container>> {
        let mut loaded = container::load(&self.readers, Some(uuid)).await?;
        match loaded.problems.pop() {
            Some(problem) => Err(StoreError::Corrupt { table: problem.table, id: problem.id, reason: problem.reason }),
            None => Ok(loaded.items.pop()),
        }
    }

    /// The newest `limit` of Docker's events within the (inclusive) bounds, oldest first.
    pub async fn events(&self, since: Option<OffsetDateTime>, until: Option<OffsetDateTime>, limit: u32) -> Result<Vec<Event>> {
        event::between(&self.readers, since, until, limit).await
    }

    /// At most `limit` events with ids above `after_id`, oldest first: a page, or what is new.
    pub async fn events_after(&self, after_id: i64, limit: u32) -> Result<Vec<Event>> {
        event::after(&self.readers, after_id, limit).await
    }

    /// Ids, as clients see them, of containers that were removed under this name, oldest first.
    pub async fn ids_of_name(&self, name: &str) -> Result<Vec<String>> {
        event::ids_of_name(&self.readers, name).await
    }

    /// The id of the last event ever stored; 0 when there was none.
    pub async fn last_event_id(&self) -> Result<i64> {
        event::last_id(&self.readers).await
    }

    /// At most `limit` mappings, in the order of the ids that clients see, from the one after `after` on.
    pub async fn shim_mappings(&self, after: &str, limit: u32) -> Result<Vec<ShimMapping>> {
        mapping::page(&self.readers, after, limit).await
    }

    /// How far a container's log was looked at, by the rows that came of it.
    pub async fn log_mark(&self, container: Uuid) -> Result<Option<LogMark>> {
        log_lines::mark(&self.readers, container).await
    }

    /// Lines that meet the conditions, the newest first. A query that says nothing that must be there finds nothing.
    pub async fn search_logs(&self, filter: &LogFilter) -> Result<Vec<LogLine>> {
        let terms = search_terms(&filter.query);
        if terms.is_none() && !filter.query.trim().is_empty() {
            return Ok(Vec::new());
        }
        log_lines::search(&self.readers, terms.as_deref(), filter).await
    }

    /// What of the logs is not to be found where the filter looks, the newest first: some, if there are many.
    pub async fn log_gaps(&self, filter: &LogFilter) -> Result<Vec<LogGap>> {
        log_lines::gaps(&self.readers, filter).await
    }

    /// Examines the file; what is wrong with it.
    pub async fn check(&self) -> Result<Vec<String>> {
        maintenance::check(&self.path).await
    }

    /// Copies the database, as it is at this moment and with everything recorded so far, to a file that does not exist yet.
    pub async fn backup(&self, to: &Path) -> Result<()> {
        self.flush().await?;
        maintenance::backup(&self.path, to).await
    }

    pub fn containers(&self) -> Containers<'_> {
        Repository::new(self)
    }
    pub fn images(&self) -> Images<'_> {
        Repository::new(self)
    }
    pub fn volumes(&self) -> Volumes<'_> {
        Repository::new(self)
    }
    pub fn networks(&self) -> Networks<'_> {
        Repository::new(self)
    }
    pub fn dev_clusters(&self) -> DevClusters<'_> {
        Repository::new(self)
    }
    pub fn stacks(&self) -> Stacks<'_> {
        Repository::new(self)
    }
    pub fn container_logs(&self) -> ContainerLogs<'_> {
        ContainerLogs { store: self }
    }
    pub fn shim_events(&self) -> ShimEvents<'_> {
        ShimEvents { store: self }
    }

    pub(crate) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    pub(crate) fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// Sends a command and waits for its answer.
    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<Result<T>>) -> Command) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}
