//! The one task that writes. It owns the writing connection; everybody else sends it [`Command`]s.
//!
//! It has a thread to itself: each statement goes to the connection's thread and back, and two threads that wait for each
//! other alone hand over in a third of the time that it takes to wake a worker of the daemon's runtime, which then wakes the
//! next one to look for more work.
//!
//! Sets of changes that are queued at the same time share one transaction, each in a savepoint. Recorded events have
//! transactions of their own, a chunk at a time, so that a set of changes never waits for more than one chunk.
//!
//! While events come faster than in batches, those that are alike are stored packed: as safe as rows, for a tenth of what rows
//! cost. They become rows when it has been quiet for a moment, when somebody asks for them, and at the latest when the store is
//! closed.

mod execute;

use crate::recorder::Recorder;
use crate::shim_event::{PACKED_TOGETHER, Run};
use crate::{Applied, Change, Result, StoreError, shim_event};
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

/// Sets of changes that may wait; who finds the queue full waits before it.
pub(crate) const QUEUE: usize = 256;
/// Sets of one transaction.
const GROUP: usize = 128;
/// Recorded events of one transaction: a millisecond or so.
const CHUNK: usize = 512;
/// Packed runs that may wait to become rows, of a thousand events at most; a flood that goes on longer pays for rows at once.
const MOST_PACKED: u64 = 4096;
/// Without a full batch for so long, the flood is over.
const QUIET: Duration = Duration::from_secs(2);
/// Runs of so many events are stored packed.
const LONG: usize = 16;
/// Rows that one `Change::Prune` removes at most.
pub const PRUNE_STEP: u32 = 500;

/// What the task is asked for.
pub(crate) enum Command {
    Apply(Set),
    /// Answered when all events recorded before it are stored.
    Flush(oneshot::Sender<Result<()>>),
    /// The last command.
    Close(oneshot::Sender<Result<()>>),
}

/// A unit of work and who waits for it. If nobody does any more, it is applied all the same.
pub(crate) struct Set {
    pub(crate) changes: Vec<Change>,
    pub(crate) reply: oneshot::Sender<Result<Applied>>,
}

pub(crate) struct Writer {
    connection: SqliteConnection,
    commands: mpsc::Receiver<Command>,
    recorder: Arc<Recorder>,
    /// Taken from the recorder, not yet stored; the first `stored` are.
    pending: Vec<Run>,
    stored: usize,
    /// Runs in the database that are packed, and when it is time to make rows of them.
    packed: u64,
    quiet_at: Instant,
}

/// Starts the writer's thread. It ends with [`Command::Close`], or when every handle is gone.
pub(crate) fn spawn(writer: Writer) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    thread::Builder::new().name("store".to_owned()).spawn(move || runtime.block_on(writer.run())).map(drop)
}

impl Writer {
    pub(crate) fn new(connection: SqliteConnection, commands: mpsc::Receiver<Command>, recorder: Arc<Recorder>) -> Self {
        Self { connection, commands, recorder, pending: Vec::new(), stored: 0, packed: 0, quiet_at: Instant::now() }
    }

    /// Until [`Command::Close`], or until every handle is gone.
    pub(crate) async fn run(mut self) {
        let mut closing = None;
        // A daemon that was killed may have left some.
        match shim_event::packed(&mut self.connection).await {
            Ok(count) => self.packed = count,
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "packed events could not be looked for"),
        }
        while closing.is_none() {
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(command) => closing = self.serve(command).await,
                    None => break,
                },
                () = self.recorder.due() => closing = self.store_recorded().await,
                () = sleep_until(self.quiet_at), if self.packed > 0 => self.unpack_when_quiet().await,
            }
        }
        let mut result = self.shut_down().await;
        let closed = self.connection.close().await.map_err(StoreError::sql("closing the database"));
        if result.is_ok() {
            result = closed;
        }
        match (closing, result) {
            (Some(reply), result) => drop(reply.send(result)),
            (None, Ok(())) => {}
            (None, Err(error)) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the store could not be closed cleanly");
            }
        }
    }

    /// Serves `first` and what else is queued. Returns whom to tell when the store is closed.
    async fn serve(&mut self, first: Command) -> Option<oneshot::Sender<Result<()>>> {
        let mut sets = Vec::new();
        let mut flushes = Vec::new();
        let mut closing = None;
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                Command::Apply(set) => sets.push(set),
                Command::Flush(reply) => flushes.push(reply),
                Command::Close(reply) => closing = Some(reply),
            }
            let enough = closing.is_some() || sets.len() >= GROUP;
            next = if enough { None } else { self.commands.try_recv().ok() };
        }
        self.apply(sets).await;
        for reply in flushes {
            // The error cannot be cloned: each who waits gets that of his own attempt.
            let result = self.make_rows_of_all().await;
            let _ = reply.send(result);
        }
        closing
    }

    async fn apply(&mut self, mut sets: Vec<Set>) {
        if sets.len() > 1 {
            match execute::group(&mut self.connection, &mut sets).await {
                Ok(results) => {
                    for (set, result) in sets.into_iter().zip(results) {
                        self.answer(set, result);
                    }
                    return;
                }
                // Nothing of the group was stored. One by one, each finds its own fate and its own error.
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    sets = sets.len(),
                    "a group commit failed; its sets are applied one by one"
                ),
            }
        }
        for mut set in sets {
            let result = execute::alone(&mut self.connection, &mut set.changes).await;
            self.answer(set, result);
        }
    }

    fn answer(&self, set: Set, result: Result<Applied>) {
        if result.as_ref().is_ok_and(|applied| !applied.shim_event_ids.is_empty()) {
            self.recorder.told();
        }
        // Nobody may be waiting any more.
        let _ = set.reply.send(result);
    }

    /// Stores what is recorded by now, and serves commands between chunks.
    async fn store_recorded(&mut self) -> Option<oneshot::Sender<Result<()>>> {
        self.take_recorded();
        while self.stored < self.pending.len() {
            if let Err(error) = self.store_chunk().await {
                tracing::error!(error = &error as &dyn std::error::Error, "recorded events could not be stored; kept for later");
                return None;
            }
            if let Ok(command) = self.commands.try_recv() {
                let closing = self.serve(command).await;
                if closing.is_some() {
                    return closing;
                }
            }
        }
        None
    }

    /// Everything that was recorded before.
    async fn make_rows_of_all(&mut self) -> Result<()> {
        // First what was taken earlier, then what is in the buffer now.
        for _ in 0..2 {
            self.take_recorded();
            while self.stored < self.pending.len() {
                self.store_chunk().await?;
            }
        }
        while self.packed > 0 {
            self.unpack().await?;
        }
        Ok(())
    }

    fn take_recorded(&mut self) {
        if self.stored == self.pending.len() {
            self.pending.clear();
            self.stored = 0;
            if self.recorder.take(&mut self.pending) {
                self.quiet_at = Instant::now() + QUIET;
            }
        }
    }

    /// Stores some [`CHUNK`] pending events in one transaction, or some long runs of a flood.
    async fn store_chunk(&mut self) -> Result<()> {
        let rest = &self.pending[self.stored..];
        let flooded = Instant::now() < self.quiet_at && self.packed < MOST_PACKED && !self.recorder.is_followed();
        let is_long = |run: &&Run| flooded && run.count() >= LONG;
        let long = rest.iter().take(PACKED_TOGETHER).take_while(is_long).count();
        let (count, result) = if long > 0 {
            self.packed += long as u64;
            let result = shim_event::insert_packed(&mut self.connection, &rest[..long]).await;
            if result.is_err() {
                execute::rollback(&mut self.connection).await;
            }
            (long, result)
        } else {
            let mut events = 0;
            let enough = rest.iter().position(|run| {
                let full = events >= CHUNK || is_long(&run);
                events += run.count();
                full
            });
            let chunk = &rest[..enough.unwrap_or(rest.len())];
            let work = async |connection: &mut SqliteConnection| shim_event::insert(connection, chunk).await;
            (chunk.len(), in_transaction(&mut self.connection, work).await)
        };
        self.recorder.wrote(result.is_ok());
        result?;
        self.stored += count;
        Ok(())
    }

    /// Makes rows of one packed run.
    async fn unpack(&mut self) -> Result<()> {
        let there = in_transaction(&mut self.connection, shim_event::unpack).await?;
        self.packed = if there { self.packed.saturating_sub(1) } else { 0 };
        Ok(())
    }

    async fn unpack_when_quiet(&mut self) {
        if let Err(error) = self.unpack().await {
            tracing::error!(error = &error as &dyn std::error::Error, "packed events could not be made rows; tried again later");
            self.quiet_at = Instant::now() + QUIET;
        }
    }

    /// Serves what is still queued, stores what is recorded, and empties the write-ahead log into the file.
    async fn shut_down(&mut self) -> Result<()> {
        self.commands.close();
        while let Some(command) = self.commands.recv().await {
            if let Some(second) = self.serve(command).await {
                let _ = second.send(Ok(()));
            }
        }
        self.recorder.close();
        let recorded = self.make_rows_of_all().await;
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .execute(&mut self.connection)
            .await
            .map_err(StoreError::sql("emptying the write-ahead log"))?;
        recorded
    }
}

/// All of `work`, or nothing of it.
async fn in_transaction<T>(
    connection: &mut SqliteConnection,
    work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T>,
) -> Result<T> {
    execute::begin(connection).await?;
    match work(connection).await {
        Ok(value) => execute::commit(connection).await.map(|()| value),
        Err(error) => {
            execute::rollback(connection).await;
            Err(error)
        }
    }
}
