//! The buffer between requests and the disk: a request pushes its event and goes on; the writer takes them many at a time.
//!
//! A push costs a short lock and no clock, and wakes the writer only for the first event of a batch and for the one that
//! fills it. Of events that are like the one before little is kept ([`Run`]). The buffer is bounded: who finds it full waits,
//! unless the disk refuses writes; then waiting would stop the daemon, and the event is refused instead.

use crate::shim_event::{Own, Run};
use crate::{Result, StoreError};
use lighter_domain::ShimEvent;
use parking_lot::Mutex;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

/// Events that may wait for the disk.
pub(crate) const CAPACITY: usize = 64 * 1024;
/// So many, or so many that are not alike, wake the writer at once. More at a time do not fit the processor's caches.
const BATCH: usize = 4096;
const BATCH_RUNS: usize = 512;
/// No event waits longer than this for its batch to fill.
const MAX_DELAY: Duration = Duration::from_millis(250);
/// After a failed write.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// A buffer that a burst made larger than this is not kept.
const KEEP_ALLOCATED: usize = 4 * BATCH_RUNS;

#[derive(Debug, Default)]
pub(crate) struct Recorder {
    buffer: Mutex<Buffer>,
    /// For the writer: an event is there, or a batch is full.
    filled: Notify,
    /// For those who found the buffer full.
    room: Notify,
    /// Changes when events were stored.
    pub(crate) stored: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Buffer {
    runs: Vec<Run>,
    /// Events in all runs.
    count: usize,
    /// When the writer must come, once it knows that there is something.
    due: Option<Instant>,
    failing: bool,
    closed: bool,
}

impl Buffer {
    fn is_batch(&self) -> bool {
        self.count >= BATCH || self.runs.len() >= BATCH_RUNS
    }
}

/// Why an event was not taken.
#[derive(Debug)]
pub(crate) enum Refused {
    Closed(Box<ShimEvent>),
    Full(Box<ShimEvent>),
    /// Full, and the disk refuses writes.
    Failing(Box<ShimEvent>),
}

impl Recorder {
    /// Takes the event if there is room.
    pub(crate) fn push(&self, event: Box<ShimEvent>) -> Result<(), Refused> {
        let own = Own::of(&event);
        let mut buffer = self.buffer.lock();
        if buffer.closed {
            return Err(Refused::Closed(event));
        }
        if buffer.count >= CAPACITY {
            return Err(if buffer.failing { Refused::Failing(event) } else { Refused::Full(event) });
        }
        let was_batch = buffer.is_batch();
        buffer.count += 1;
        if !buffer.runs.last_mut().is_some_and(|run| run.join(&event, own)) {
            buffer.runs.push(Run::new(event, own));
        }
        let wake = buffer.count == 1 || (buffer.is_batch() && !was_batch);
        drop(buffer);
        if wake {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Takes the event, waiting for room if need be.
    pub(crate) async fn push_wait(&self, mut event: Box<ShimEvent>) -> Result<()> {
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            match self.push(event) {
                Ok(()) => return Ok(()),
                Err(Refused::Full(back)) => event = back,
                Err(Refused::Closed(_)) => return Err(StoreError::Closed),
                Err(Refused::Failing(_)) => return Err(StoreError::Full { capacity: CAPACITY }),
            }
            // Enlisted before the second look, so that room made in between is not missed.
            room.as_mut().enable();
            match self.push(event) {
                Ok(()) => return Ok(()),
                Err(Refused::Full(back)) => event = back,
                Err(Refused::Closed(_)) => return Err(StoreError::Closed),
                Err(Refused::Failing(_)) => return Err(StoreError::Full { capacity: CAPACITY }),
            }
            room.await;
        }
    }

    /// Writer: waits until a batch is full or the oldest event has waited long enough.
    pub(crate) async fn due(&self) {
        loop {
            let filled = self.filled.notified();
            let due = {
                let mut buffer = self.buffer.lock();
                if buffer.is_batch() && !buffer.failing {
                    return;
                }
                // The clock starts when the writer learns of the first event, at once after it was pushed.
                if buffer.due.is_none() && buffer.count > 0 {
                    buffer.due = Some(Instant::now() + MAX_DELAY);
                }
                buffer.due
            };
            match due {
                None => filled.await,
                Some(at) => {
                    if timeout_at(at, filled).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Writer: moves all events into `into`, which is empty, and gives its allocation to the buffer. Whether it was a full batch.
    pub(crate) fn take(&self, into: &mut Vec<Run>) -> bool {
        debug_assert!(into.is_empty(), "events not yet written would be lost");
        if into.capacity() > KEEP_ALLOCATED {
            *into = Vec::new();
        }
        let (batch, count) = {
            let mut buffer = self.buffer.lock();
            let batch = buffer.is_batch();
            std::mem::swap(&mut buffer.runs, into);
            buffer.due = None;
            (batch, std::mem::take(&mut buffer.count))
        };
        if count >= CAPACITY {
            self.room.notify_waiters();
        }
        batch
    }

    /// Whether somebody wants to know of each event as soon as it is stored.
    pub(crate) fn is_followed(&self) -> bool {
        self.stored.receiver_count() > 0
    }

    /// Writer: whether the last write went well. If not, nobody shall wait for room, and the next try comes later.
    pub(crate) fn wrote(&self, ok: bool) {
        let mut buffer = self.buffer.lock();
        buffer.failing = !ok;
        if ok {
            drop(buffer);
            self.told();
        } else {
            buffer.due = Some(Instant::now() + RETRY_DELAY);
            drop(buffer);
            self.room.notify_waiters();
        }
    }

    /// Writer: events are committed, those of sets of changes too.
    pub(crate) fn told(&self) {
        if self.is_followed() {
            self.stored.send_replace(());
        }
    }

    /// Writer: no more events are taken.
    pub(crate) fn close(&self) {
        self.buffer.lock().closed = true;
        self.room.notify_waiters();
    }
}
