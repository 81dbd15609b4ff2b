//! One layer on its way to a registry: there already, lent by another repository, or sent.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use lighter_domain::image::Progress;
use lighter_image::{Descriptor, Digest, StoredLayer};
use sha2::{Digest as _, Sha256};
use tokio_util::io::{ReaderStream, SyncIoBridge};

use crate::error::{Error, Result};
use crate::pull::Tell;
use crate::repository::Repository;

const PACE: Duration = Duration::from_millis(80);
/// Bytes between the compressor and the network.
const PIPE: usize = 256 << 10;

pub(super) struct Upload<'a> {
    pub(super) repository: &'a Repository,
    pub(super) layer: Arc<StoredLayer>,
    /// Short diff id.
    pub(super) id: String,
    pub(super) tell: &'a Tell,
    /// The manifest is there and says how the layer is packed.
    pub(super) as_kept: bool,
}

impl Upload<'_> {
    /// Sees to it that the registry has the layer; gives how it is called there.
    pub(super) async fn run(&self, attempts: u32) -> Result<Descriptor> {
        let mut attempt = 1;
        loop {
            match self.once().await {
                Err(error) if error.is_transient() && attempt < attempts => {
                    tracing::info!(layer = self.id, %error, attempt, "an upload failed and is tried again");
                    let pause = Duration::from_millis(250).saturating_mul(4_u32.saturating_pow(attempt.min(4) - 1));
                    self.status(format!("Retrying in {} seconds", pause.as_secs().max(1))).await;
                    tokio::time::sleep(pause).await;
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    async fn status(&self, status: impl Into<std::borrow::Cow<'static, str>>) {
        let _ = self.tell.send(Progress::Layer { id: self.id.clone(), status: status.into(), amount: None }).await;
    }

    /// What the layer will be called, if that is known before it is sent.
    fn known(&self) -> Option<Descriptor> {
        if self.as_kept || self.layer.is_packed() {
            return Some(self.layer.descriptor());
        }
        self.layer.packed_as().map(|(digest, size)| Descriptor::new(GZIP, digest, size))
    }

    async fn once(&self) -> Result<Descriptor> {
        let known = self.known();
        if let Some(known) = &known {
            if self.repository.has_blob(&known.digest).await? {
                self.status("Layer already exists").await;
                return Ok(known.clone());
            }
            for lender in self.repository.lenders() {
                if self.repository.begin_upload(Some((&known.digest, lender))).await?.is_none() {
                    self.status(format!("Mounted from {lender}")).await;
                    return Ok(known.clone());
                }
            }
        }
        let Some(place) = self.repository.begin_upload(None).await? else {
            return Err(Error::Answer { status: 201, reason: "an upload ended before it began".to_owned() });
        };
        let sent = self.send(&place).await?;
        self.status("Pushed").await;
        Ok(sent)
    }

    /// Streams the layer, compressing a plain one on the way unless its manifest wants it plain.
    async fn send(&self, place: &str) -> Result<Descriptor> {
        let (reader, writer) = tokio::io::duplex(PIPE);
        let (layer, plain) = (Arc::clone(&self.layer), self.as_kept || self.layer.is_packed());
        let total = layer.descriptor().size;
        let read = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&read);
        let writing = tokio::task::spawn_blocking(move || pack(&layer, plain, SyncIoBridge::new(writer), &counter));
        let (tell, id) = (self.tell.clone(), self.id.clone());
        let mut told: Option<Instant> = None;
        let body = ReaderStream::with_capacity(reader, 64 << 10).inspect(move |_| {
            if told.is_none_or(|at| at.elapsed() >= PACE) {
                told = Some(Instant::now());
                let amount = Some((read.load(Ordering::Relaxed).min(total), total));
                // A slow client misses some of these.
                let _ = tell.try_send(Progress::Layer { id: id.clone(), status: "Pushing".into(), amount });
            }
        });
        let place = self.repository.append_upload(place, reqwest::Body::wrap_stream(body)).await;
        let (digest, size) = match (writing.await, place.is_ok()) {
            (Ok(Ok(packed)), _) => packed,
            // What the disk says counts more than that the stream ended early for it.
            (Ok(Err(error)), true) => return Err(error),
            (Ok(Err(_)), false) => return Err(place.err().unwrap_or(Error::Cancelled)),
            (Err(_), _) => return Err(Error::Cancelled),
        };
        self.repository.finish_upload(&place?, &digest, Vec::new()).await?;
        if plain {
            return Ok(self.layer.descriptor());
        }
        let layer = Arc::clone(&self.layer);
        let noted = tokio::task::spawn_blocking(move || layer.remember(digest, size)).await;
        if let Ok(Err(error)) = noted {
            tracing::warn!(%error, "could not note how a layer was packed");
        }
        Ok(Descriptor::new(GZIP, digest, size))
    }
}

/// The media type in OCI's words; Docker's manifests have their own.
const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Writes a layer out; digest and size of what was written.
fn pack(layer: &StoredLayer, plain: bool, out: impl Write, read: &AtomicU64) -> Result<(Digest, u64)> {
    let mut tap = Tap { out, hasher: Sha256::new(), written: 0 };
    if plain {
        layer.write(&mut Counted { out: &mut tap, read })?;
    } else {
        let mut gzip = flate2::write::GzEncoder::new(&mut tap, flate2::Compression::default());
        layer.write(&mut Counted { out: &mut gzip, read })?;
        gzip.finish().map_err(Error::file("compress a layer"))?;
    }
    tap.flush().map_err(Error::file("send a layer"))?;
    Ok((Digest::from_bytes(tap.hasher.finalize().into()), tap.written))
}

struct Tap<W> {
    out: W,
    hasher: Sha256,
    written: u64,
}

impl<W: Write> Write for Tap<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        self.written += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Counts what goes in, for the bar.
struct Counted<'a, W> {
    out: W,
    read: &'a AtomicU64,
}

impl<W: Write> Write for Counted<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
