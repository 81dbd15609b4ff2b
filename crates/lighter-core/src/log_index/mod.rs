//! Copies new log lines of containers into the store, in batches and behind the containers' backs: the newest of each container
//! (`containerLogs`) and, to be searched, all that can be kept up with (`logLines`).
//!
//! A look reads the engine's log backwards as far as the last look came, but not further than [`CoreConfig::log_index_lines`]:
//! a container that prints faster than that has a gap, which is stored, too, and told to who searches there. Where a look goes
//! on is stored with the lines that it found, so that neither a restart nor a failure makes a line come twice.
//!
//! [`CoreConfig::log_index_lines`]: crate::CoreConfig::log_index_lines

mod lines;
mod search;
mod secrets;

pub use search::FoundLines;

use crate::daemon::Shared;
use lighter_domain::{Container, ContainerId, LogLevel, LogMark, NewLogLine, Origin};
use lighter_engine::{LogExtent, LogQuery};
use lighter_store::{Change, Growing, LOG_LINES_KEPT, LogBatch};
use lines::{Lines, RawLine};
use parking_lot::Mutex;
use secrets::Secrets;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use time::OffsetDateTime;

/// How far back a look reads before it reads as far as it may. Most find what they look for in the first.
const STEPS: [u64; 4] = [100, 1000, 8000, 40_000];
/// Lines of one unit of work; other writes come in between.
const BATCH: usize = 500;
/// After so many lines the oldest are pruned, without waiting for the next time.
const PRUNE_AFTER: u64 = 50_000;
/// How long a container's removal, and the daemon's end, wait for a last look.
const LAST_LOOK: Duration = Duration::from_millis(500);
const END: Duration = Duration::from_secs(3);

/// How far a container's log was looked at. Unknown: the store knows.
#[derive(Clone, Copy)]
enum Seen {
    Unknown,
    /// As far as the mark; there is nothing more while the log goes no further than that.
    Until(Option<LogMark>, Option<LogExtent>),
}

/// What is known of each container. Who brings one up to date holds its lock: two at once would store the same lines.
#[derive(Default)]
pub(crate) struct LogIndex {
    seen: Mutex<HashMap<ContainerId, Arc<tokio::sync::Mutex<Seen>>>>,
    unpruned: AtomicU64,
}

impl LogIndex {
    /// Of a container that is being made, nothing can have been looked at.
    pub fn begin(&self, id: &ContainerId) {
        self.seen.lock().insert(id.clone(), Arc::new(tokio::sync::Mutex::new(Seen::Until(None, None))));
    }

    pub fn forget(&self, id: &ContainerId) {
        self.seen.lock().remove(id);
    }

    fn of(&self, id: &ContainerId) -> Arc<tokio::sync::Mutex<Seen>> {
        let unknown = || Arc::new(tokio::sync::Mutex::new(Seen::Unknown));
        self.seen.lock().entry(id.clone()).or_insert_with(unknown).clone()
    }
}

pub(crate) async fn serve(shared: Arc<Shared>) {
    let mut tick = tokio::time::interval(shared.config.log_index_interval);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            _ = tick.tick() => shared.index_all_logs().await,
        }
    }
}

impl Shared {
    pub(crate) async fn index_all_logs(&self) {
        self.index_logs_of(&[]).await;
    }

    /// Of the containers with these ids; of all where none is named. Who asks for one does not wait for another that floods.
    pub(crate) async fn index_logs_of(&self, ids: &[String]) {
        for container in self.registry.snapshots() {
            if ids.is_empty() || ids.iter().any(|id| id == container.id.as_str()) {
                self.index_logs(&container).await;
            }
        }
    }

    /// The last looks of a daemon that ends. What they do not come to is found by the next daemon.
    pub(crate) async fn index_at_end(&self) {
        if tokio::time::timeout(END, self.index_all_logs()).await.is_err() {
            tracing::warn!("not all log lines were indexed; the next start goes on");
        }
    }

    /// The last look at a container that goes. One that has printed very much is not waited for.
    pub(crate) async fn index_last_logs(self: &Arc<Self>, container: Arc<Container>) {
        let shared = self.clone();
        let look = tokio::spawn(async move { shared.index_logs(&container).await });
        let _ = tokio::time::timeout(LAST_LOOK, look).await;
    }

    /// Brings one container's rows up to date. Failure costs rows, never the container.
    async fn index_logs(&self, container: &Container) {
        let Some(logs) = self.engine.logs() else { return };
        if container.started_at.is_none() || container.host_config.log_config.driver == "none" {
            return;
        }
        let entry = self.log_index.of(&container.id);
        let mut seen = entry.lock().await;
        // Before the look: what is printed meanwhile makes the next one.
        let extent = logs.extent(container);
        let before = match *seen {
            Seen::Until(_, there) if there.is_some() && there == extent => return,
            Seen::Until(mark, _) => Ok(mark),
            Seen::Unknown => self.store.log_mark(container.uuid).await,
        };
        let looked = match before {
            Ok(before) => self.look(container, before).await,
            Err(error) => Err(error.into()),
        };
        *seen = match looked {
            Ok(mark) => Seen::Until(mark, extent),
            // What was stored is known to the store.
            Err(error) => {
                tracing::debug!(id = %container.id, error = &*error, "log lines were not indexed");
                Seen::Unknown
            }
        };
    }

    /// Stores what was printed after `before`; how far that goes.
    async fn look(
        &self,
        container: &Container,
        before: Option<LogMark>,
    ) -> Result<Option<LogMark>, Box<dyn std::error::Error + Send + Sync>> {
        let most = self.config.log_index_lines;
        let steps = STEPS.into_iter().filter(|step| before.is_some() && *step < most).chain([most]);
        for tail in steps {
            let Some(mut lines) = self.lines(container, tail).await? else { break };
            let Some(first) = lines.next().await? else { break };
            let reaches = before.is_some_and(|mark| first.at <= mark.at);
            if !reaches && tail < most {
                continue;
            }
            let mut take = Take::new(self, container, before);
            let from = first.at;
            take.line(first).await?;
            while let Some(line) = lines.next().await? {
                take.line(line).await?;
            }
            if take.read >= most && !reaches {
                let until = LogMark { at: from, lines: 1 };
                let since = before.or(container.started_at.map(|at| LogMark { at, lines: 0 })).unwrap_or(until);
                take.gap = Some((since, until));
            }
            return Ok(take.finish().await?);
        }
        Ok(before)
    }

    async fn lines(&self, container: &Container, tail: u64) -> lighter_domain::Result<Option<Lines>> {
        let Some(logs) = self.engine.logs() else { return Ok(None) };
        let query = LogQuery { stdout: true, stderr: true, timestamps: true, tail: Some(tail), ..LogQuery::default() };
        Ok(Some(Lines::new(logs.logs(container, query).await?, container.config.tty)))
    }

    /// Keeps a flood from growing until the next time that old records are removed.
    async fn prune_lines(&self, added: u64) {
        let unpruned = self.log_index.unpruned.fetch_add(added, Ordering::Relaxed) + added;
        if unpruned < PRUNE_AFTER {
            return;
        }
        self.log_index.unpruned.store(0, Ordering::Relaxed);
        if let Err(error) = self.store.prune_table(Growing::LogLines, self.config.retention.log_lines).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "old log lines could not be removed");
        }
    }
}

/// The lines of one look on their way to the store.
struct Take<'a> {
    shared: &'a Shared,
    container: &'a Container,
    stream: Origin,
    secrets: Secrets,
    before: Option<LogMark>,
    /// Lines of the moment of `before` that came by.
    passed: u32,
    mark: Option<LogMark>,
    /// All that were read, and of them the new ones.
    read: u64,
    batch: Vec<NewLogLine>,
    newest: VecDeque<(OffsetDateTime, String)>,
    gap: Option<(LogMark, LogMark)>,
}

impl<'a> Take<'a> {
    fn new(shared: &'a Shared, container: &'a Container, before: Option<LogMark>) -> Self {
        let stream = Origin::of(container);
        let secrets = Secrets::of(container);
        let (batch, newest) = (Vec::new(), VecDeque::new());
        Self { shared, container, stream, secrets, before, passed: 0, mark: before, read: 0, batch, newest, gap: None }
    }

    async fn line(&mut self, line: RawLine) -> lighter_store::Result<()> {
        self.read += 1;
        let RawLine { at, source, text } = line;
        if let Some(before) = self.before {
            self.passed += u32::from(at == before.at);
            if at < before.at || (at == before.at && self.passed <= before.lines) {
                return Ok(());
            }
        }
        let same = self.mark.filter(|mark| mark.at == at).map_or(0, |mark| mark.lines);
        if self.mark.is_none_or(|mark| mark.at <= at) {
            self.mark = Some(LogMark { at, lines: same + 1 });
        }
        let level = LogLevel::of_line(&text);
        let message = self.secrets.hide(text);
        if self.newest.len() == LOG_LINES_KEPT {
            self.newest.pop_front();
        }
        self.newest.push_back((at, message.clone()));
        self.batch.push(NewLogLine { at, source, level, message });
        if self.batch.len() < BATCH {
            return Ok(());
        }
        self.store(Vec::new()).await
    }

    /// Stores what is left, and the newest lines once more where other programs look for them.
    async fn finish(mut self) -> lighter_store::Result<Option<LogMark>> {
        let lines: Vec<_> = std::mem::take(&mut self.newest).into();
        if !lines.is_empty() {
            self.store(vec![Change::Logs { container: self.container.uuid, lines }]).await?;
        }
        Ok(self.mark)
    }

    async fn store(&mut self, mut changes: Vec<Change>) -> lighter_store::Result<()> {
        let Some(mark) = self.mark else { return Ok(()) };
        let lines = std::mem::take(&mut self.batch);
        let added = lines.len() as u64;
        changes.push(Change::LogLines(LogBatch { stream: self.stream.clone(), lines, mark, gap: self.gap.take() }));
        self.shared.store.apply(changes).await?;
        self.shared.prune_lines(added).await;
        Ok(())
    }
}
