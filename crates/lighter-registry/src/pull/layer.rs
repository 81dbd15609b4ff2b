//! One layer on its way into the store: downloaded, checked, and unpacked while it comes. However many pulls need it, there
//! is one job; it ends when the last of them has gone.

use std::sync::Arc;
use std::time::Duration;

use lighter_image::{Descriptor, Digest, ImageStore, Stage};
use tokio::sync::{Semaphore, mpsc, watch};

use super::gather::{EndGuard, Follower, Gathering, Writer};
use crate::error::{Error, Result};
use crate::repository::Repository;

/// Pieces of the body between the network and the disk.
const PIECES: usize = 32;

/// How far a layer is, as `docker pull` tells it. Later phases are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Not looked at yet.
    Queued,
    /// All slots are taken.
    Waiting,
    /// Bytes.
    Downloading(u64),
    /// Seconds.
    Retrying(u64),
    Verifying,
    Downloaded,
    /// Bytes of the compressed layer.
    Extracting(u64),
    Complete,
}

/// What a job shows.
#[derive(Debug, Clone)]
pub(super) struct Status {
    pub(super) phase: Phase,
    pub(super) end: Option<Result<Digest>>,
}

/// What every job needs.
#[derive(Clone)]
pub(crate) struct Shop {
    pub(crate) store: ImageStore,
    pub(super) slots: Arc<Semaphore>,
    pub(super) attempts: u32,
}

/// A layer that is being fetched or has been; it stays usable as long as this is held.
pub(super) struct Job {
    pub(super) stage: Arc<Stage>,
    status: watch::Receiver<Status>,
    task: tokio::task::AbortHandle,
}

impl Drop for Job {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Job {
    pub(super) fn start(shop: &Shop, repository: Repository, layer: &Descriptor) -> Result<Self> {
        let stage = Arc::new(shop.store.stage()?);
        let (tell, status) = watch::channel(Status { phase: Phase::Queued, end: None });
        let work = Work {
            shop: shop.clone(),
            repository,
            digest: layer.digest,
            size: layer.size,
            stage: Arc::clone(&stage),
            tell: Arc::new(tell),
        };
        let task = tokio::spawn(async move {
            let tell = Arc::clone(&work.tell);
            let end = work.run().await;
            tell.send_modify(|status| {
                if end.is_ok() {
                    status.phase = Phase::Complete;
                }
                status.end = Some(end);
            });
        });
        Ok(Self { stage, status, task: task.abort_handle() })
    }

    /// Shows what happens from now on.
    pub(super) fn watch(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }
}

struct Work {
    shop: Shop,
    repository: Repository,
    digest: Digest,
    size: u64,
    stage: Arc<Stage>,
    tell: Arc<watch::Sender<Status>>,
}

impl Work {
    /// The diff id in the end.
    async fn run(self) -> Result<Digest> {
        if let Some(diff_id) = self.stage.use_stored_blob(&self.digest) {
            return Ok(diff_id);
        }
        let slots = Arc::clone(&self.shop.slots);
        // Held while it is unpacked, too: that bounds memory however many layers there are.
        let _slot = match slots.try_acquire() {
            Ok(slot) => slot,
            Err(_) => {
                self.phase(Phase::Waiting);
                slots.acquire().await.map_err(|_| Error::Cancelled)?
            }
        };
        for attempt in 1.. {
            let (downloaded, unpacked) = self.attempt().await;
            match (downloaded, unpacked) {
                (Ok(()), unpacked) => return unpacked,
                // Bytes that are wrong are thrown away, with all that was made of them.
                (Err(error @ Error::Verification { .. }), _) if attempt < self.shop.attempts => self.pause(attempt, &error).await,
                (Err(error), _) => return Err(error),
            }
        }
        Err(Error::Cancelled)
    }

    fn phase(&self, phase: Phase) {
        self.tell.send_modify(|status| status.phase = phase);
    }

    /// Downloads and unpacks side by side.
    async fn attempt(&self) -> (Result<()>, Result<Digest>) {
        let gathering = Gathering::new();
        let path = self.shop.store.partial_path(&self.digest);
        let (stage, tell, behind) = (Arc::clone(&self.stage), Arc::clone(&self.tell), Arc::clone(&gathering));
        let (digest, size) = (self.digest, self.size);
        let unpacking = tokio::task::spawn_blocking(move || {
            let tell = Box::new(move |at| {
                tell.send_if_modified(|status| {
                    let shown = status.phase >= Phase::Downloaded;
                    if shown {
                        status.phase = Phase::Extracting(at);
                    }
                    shown
                });
            });
            let follower = Follower::open(&path, behind, tell)?;
            stage.add_gathered(follower, digest, size).map_err(Error::from)
        });
        let download = async {
            let _guard = EndGuard(Arc::clone(&gathering));
            let result = self.download(&gathering).await;
            gathering.end(result.is_ok());
            result
        };
        let (mut download, mut unpacking) = (std::pin::pin!(download), unpacking);
        let (downloaded, unpacked) = tokio::select! {
            biased;
            downloaded = &mut download => (downloaded, unpacking.await),
            unpacked = &mut unpacking => match unpacked {
                // What is still to come would find no room either.
                Ok(Err(error)) if error.is_no_space() => (Err(error.clone()), Ok(Err(error))),
                // Whatever else is wrong with a layer, the digest is told first.
                unpacked => (download.await, unpacked),
            },
        };
        let unpacked = unpacked.unwrap_or(Err(Error::Cancelled));
        let full = |error: Option<&Error>| error.is_some_and(Error::is_no_space);
        if full(downloaded.as_ref().err()) || full(unpacked.as_ref().err()) {
            // Kept for the next attempt it would only keep the disk full.
            let _ = std::fs::remove_file(self.shop.store.partial_path(&self.digest));
        }
        (downloaded, unpacked)
    }

    /// Gets all bytes, in as many attempts as are allowed, and checks them.
    async fn download(&self, gathering: &Arc<Gathering>) -> Result<()> {
        let (path, size) = (self.shop.store.partial_path(&self.digest), self.size);
        let mut writer = blocking(move || Writer::open(&path, size)).await?;
        gathering.advance(writer.written);
        let mut attempt = 1;
        while writer.written < size {
            self.phase(Phase::Downloading(writer.written));
            let before = writer.written;
            let (back, result) = self.transfer(writer, gathering).await?;
            writer = back;
            let Err(error) = result else { break };
            // An attempt that brought something does not count: a bad line is slow, not endless.
            attempt = if writer.written > before { 1 } else { attempt + 1 };
            if !error.is_transient() || attempt > self.shop.attempts {
                return Err(error);
            }
            self.pause(attempt, &error).await;
        }
        self.phase(Phase::Verifying);
        if writer.written != size || !writer.is(&self.digest) {
            blocking(move || writer.restart()).await?;
            return Err(Error::Verification { what: "filesystem layer", digest: self.digest.to_string() });
        }
        self.phase(Phase::Downloaded);
        Ok(())
    }

    /// One request: its bytes go to the writer's thread until it ends or breaks. The outer error is one of our own disk.
    async fn transfer(&self, mut writer: Writer, gathering: &Arc<Gathering>) -> Result<(Writer, Result<()>)> {
        let (mut response, start) = match self.repository.blob(&self.digest, writer.written).await {
            Ok(answer) => answer,
            Err(error) => return Ok((writer, Err(error))),
        };
        // A registry that knows no ranges gives it all again: what is there already is passed over.
        let mut skip = writer.written - start;
        let left = self.size - writer.written;
        let (pieces, mut incoming) = mpsc::channel::<bytes::Bytes>(PIECES);
        let (gathering, tell) = (Arc::clone(gathering), Arc::clone(&self.tell));
        let writing = tokio::task::spawn_blocking(move || {
            while let Some(piece) = incoming.blocking_recv() {
                writer.append(&piece)?;
                gathering.advance(writer.written);
                tell.send_modify(|status| status.phase = Phase::Downloading(writer.written));
            }
            Ok::<_, Error>(writer)
        });
        let mut taken = 0;
        let result = loop {
            match response.chunk().await {
                Ok(Some(mut piece)) => {
                    let over = skip.min(piece.len() as u64);
                    skip -= over;
                    let piece = piece.split_off(usize::try_from(over).unwrap_or(piece.len()));
                    taken += piece.len() as u64;
                    // More than was announced cannot be what its digest says.
                    if taken > left || pieces.send(piece).await.is_err() {
                        break Ok(());
                    }
                }
                Ok(None) if taken < left => break Err(self.cut("unexpected EOF")),
                Ok(None) => break Ok(()),
                Err(error) => break Err(crate::transport::failed("Get", response.url().as_str(), &error)),
            }
        };
        drop(pieces);
        let writer = writing.await.map_err(|_| Error::Cancelled)??;
        Ok((writer, result))
    }

    fn cut(&self, reason: &str) -> Error {
        let url = format!("blob {}", self.digest);
        Error::Transport { method: "Get", url, reason: reason.to_owned(), transient: true }
    }

    /// Waits before the next attempt: a quarter of a second, then four times as long each time.
    async fn pause(&self, attempt: u32, error: &Error) {
        tracing::info!(layer = %self.digest, %error, attempt, "a download failed and is tried again");
        let pause = Duration::from_millis(250).saturating_mul(4_u32.saturating_pow(attempt.saturating_sub(1).min(4)));
        self.phase(Phase::Retrying(pause.as_secs().max(1)));
        tokio::time::sleep(pause).await;
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Cancelled)?
}
