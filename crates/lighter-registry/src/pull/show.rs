//! A layer's progress in dockerd's words, not more often than a client can read.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use lighter_domain::image::Progress;
use lighter_image::Digest;
use tokio::sync::watch;

use super::Tell;
use super::layer::{Phase, Status};
use crate::error::{Error, Result};

/// Between two records that differ in their numbers only.
const PACE: Duration = Duration::from_millis(80);

/// The first line of a layer.
pub(super) async fn first(tell: &Tell, layer: &Digest, there: bool) {
    plain(tell, layer, if there { "Already exists" } else { "Pulling fs layer" }).await;
}

async fn plain(tell: &Tell, layer: &Digest, status: impl Into<Cow<'static, str>>) {
    let _ = tell.send(Progress::Layer { id: layer.short(), status: status.into(), amount: None }).await;
}

/// Tells of a layer until its job ends, and gives the diff id.
pub(super) async fn follow(tell: &Tell, layer: &Digest, total: u64, mut watch: watch::Receiver<Status>) -> Result<Digest> {
    let mut show = Show { tell, layer, total, last: Phase::Queued, told: None };
    loop {
        let status = watch.borrow_and_update().clone();
        if !matches!(status.end, Some(Err(_))) {
            show.phase(status.phase).await;
        }
        if let Some(end) = status.end {
            return end;
        }
        watch.changed().await.map_err(|_| Error::Cancelled)?;
    }
}

struct Show<'a> {
    tell: &'a Tell,
    layer: &'a Digest,
    total: u64,
    last: Phase,
    /// When numbers were told last.
    told: Option<Instant>,
}

impl Show<'_> {
    async fn phase(&mut self, phase: Phase) {
        if phase == self.last {
            return;
        }
        // A fast layer may be through several phases before anyone looks; clients count on some of the lines.
        let passed = |step: Phase| self.last < step && step < phase;
        let steps = [(Phase::Verifying, "Verifying Checksum"), (Phase::Downloaded, "Download complete")];
        for (_, text) in steps.into_iter().filter(|(step, _)| passed(*step)) {
            plain(self.tell, self.layer, text).await;
        }
        match phase {
            Phase::Queued => {}
            Phase::Waiting => plain(self.tell, self.layer, "Waiting").await,
            Phase::Downloading(at) => self.amount("Downloading", at).await,
            Phase::Retrying(1) => plain(self.tell, self.layer, "Retrying in 1 second").await,
            Phase::Retrying(seconds) => plain(self.tell, self.layer, format!("Retrying in {seconds} seconds")).await,
            Phase::Verifying => plain(self.tell, self.layer, "Verifying Checksum").await,
            Phase::Downloaded => plain(self.tell, self.layer, "Download complete").await,
            Phase::Extracting(at) => self.amount("Extracting", at).await,
            Phase::Complete => {
                // One that was unpacked while it came has been shown so never.
                if passed(Phase::Extracting(self.total)) {
                    self.told = None;
                    self.amount("Extracting", self.total).await;
                }
                plain(self.tell, self.layer, "Pull complete").await;
            }
        }
        self.last = phase;
    }

    async fn amount(&mut self, status: &'static str, at: u64) {
        if self.told.is_some_and(|at| at.elapsed() < PACE) {
            return;
        }
        self.told = Some(Instant::now());
        let amount = Some((at, self.total));
        let _ = self.tell.send(Progress::Layer { id: self.layer.short(), status: status.into(), amount }).await;
    }
}
