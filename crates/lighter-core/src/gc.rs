//! Garbage collection of images: what nobody has used or pulled for long goes, and the least recently used go while there is
//! too much. Never what a container uses, and nothing at all unless the administrator says so.

use crate::daemon::Daemon;
use lighter_domain::image::{CollectableImage, ImageCollection};
use lighter_domain::{Image, Result};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// An image so young is not taken for its size: somebody has pulled it to use it.
const GRACE: Duration = Duration::from_secs(600);

/// What is kept. Without either bound everything is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GcPolicy {
    /// Images that were used or pulled within this time.
    pub keep_duration: Option<Duration>,
    /// Bytes of all layers, each counted once, as `docker system df` counts them.
    pub max_used_space: Option<u64>,
}

/// Why an image goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GcReason {
    /// Nobody used it for so long.
    Unused,
    /// There is too much, and it is the least recently used.
    Space,
}

/// An image that goes, or would go.
#[derive(Debug, Clone)]
pub struct GcImage {
    pub image: Arc<Image>,
    pub last_used: OffsetDateTime,
    pub reason: GcReason,
}

/// What a collection did, or would do.
#[derive(Debug, Clone)]
pub struct GcReport {
    pub dry_run: bool,
    pub policy: GcPolicy,
    pub images: Vec<GcImage>,
    /// Bytes of all layers, before and after.
    pub size_before: u64,
    pub size_after: u64,
}

impl Daemon {
    /// Whether images are collected by themselves, and by which policy.
    pub fn gc_settings(&self) -> (bool, GcPolicy) {
        let gc = &self.shared().config.gc;
        (gc.enabled, gc.policy)
    }

    /// Collects by a policy, or says what that would do.
    pub async fn collect_images(&self, policy: GcPolicy, dry_run: bool) -> Result<GcReport> {
        let shared = self.shared();
        let engine = shared.images()?;
        let now = OffsetDateTime::now_utc();
        let candidates = candidates(&policy, engine.list().await?, &self.last_uses().await?, now);
        let (users, labels) = (shared.image_users(), crate::images::labels(engine).await?);
        let of = |(one, always): &(GcImage, bool)| CollectableImage { id: one.image.id.clone(), always: *always };
        let order = candidates.iter().map(of).collect();
        let collection = ImageCollection { order, limit: policy.max_used_space, dry_run };
        let done = engine.collect(&collection, &users).await?;
        let images: Vec<GcImage> =
            candidates.into_iter().map(|(one, _)| one).filter(|one| done.ids.contains(&one.image.id)).collect();
        if !dry_run && !done.deleted.is_empty() {
            shared.images_changed(crate::images::deletions(&done.deleted, &labels)).await?;
        }
        let (size_before, size_after) = (done.size_before, done.size_after);
        Ok(GcReport { dry_run, policy, images, size_before, size_after })
    }

    async fn last_uses(&self) -> Result<BTreeMap<String, OffsetDateTime>> {
        self.shared().store.image_uses().await.map_err(crate::daemon::store_failed)
    }
}

/// Those that may go, the least recently used first, and whether they go for their age alone.
fn candidates(
    policy: &GcPolicy,
    images: Vec<Arc<Image>>,
    uses: &BTreeMap<String, OffsetDateTime>,
    now: OffsetDateTime,
) -> Vec<(GcImage, bool)> {
    let mut all: Vec<GcImage> = images
        .into_iter()
        .map(|image| {
            let ids = std::iter::once(&image.id).chain(&image.companions);
            let used = ids.filter_map(|id| uses.get(id)).copied().chain(image.last_tagged).max();
            // Of one that came without a name and was never used nothing else is known.
            let last_used = used.or(image.created).unwrap_or(OffsetDateTime::UNIX_EPOCH);
            GcImage { image, last_used, reason: GcReason::Space }
        })
        .collect();
    all.sort_by(|a, b| a.last_used.cmp(&b.last_used).then_with(|| a.image.id.cmp(&b.image.id)));
    let age = |one: &GcImage| Duration::try_from(now - one.last_used).unwrap_or_default();
    let choose = |mut one: GcImage| {
        if policy.keep_duration.is_some_and(|kept| age(&one) > kept) {
            one.reason = GcReason::Unused;
            return Some((one, true));
        }
        (policy.max_used_space.is_some() && age(&one) > GRACE).then_some((one, false))
    };
    all.into_iter().filter_map(choose).collect()
}

/// Collects now and then until the daemon stops, if that is wanted.
pub(crate) async fn serve(daemon: Daemon) {
    let gc = daemon.shared().config.gc.clone();
    if !gc.enabled {
        return;
    }
    let mut times = interval_at(Instant::now() + gc.interval, gc.interval);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = times.tick() => {}
            () = daemon.shared().stop.cancelled() => return,
        }
        match daemon.collect_images(gc.policy, false).await {
            Ok(report) if report.images.is_empty() => tracing::debug!("no image to collect"),
            Ok(report) => {
                let freed = report.size_before.saturating_sub(report.size_after);
                tracing::info!(images = report.images.len(), freed, "unused images were removed");
            }
            Err(error) => tracing::warn!(%error, "unused images could not be removed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(id: &str, tagged: Option<i64>) -> Arc<Image> {
        let at = |seconds| OffsetDateTime::UNIX_EPOCH + Duration::from_secs(seconds as u64);
        Arc::new(Image {
            id: id.to_owned(),
            repo_tags: vec![format!("{id}:1")],
            repo_digests: Vec::new(),
            created: Some(at(1)),
            last_tagged: tagged.map(at),
            size: 1,
            config: Default::default(),
            architecture: String::new(),
            variant: String::new(),
            os: String::new(),
            author: String::new(),
            comment: String::new(),
            docker_version: String::new(),
            layers: Vec::new(),
            companions: vec![format!("{id}-arm")],
            history: Vec::new(),
        })
    }

    #[test]
    fn the_least_recently_used_go_first() {
        let now = OffsetDateTime::UNIX_EPOCH + Duration::from_secs(100_000);
        let at = |seconds| OffsetDateTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let images = vec![image("young", Some(99_900)), image("used", Some(10)), image("old", Some(20)), image("bare", None)];
        let uses = BTreeMap::from([("used-arm".to_owned(), at(60_000))]);
        let ids = |policy: GcPolicy| {
            let found = candidates(&policy, images.clone(), &uses, now);
            found.iter().map(|(one, always)| format!("{} {always}", one.image.id)).collect::<Vec<_>>()
        };
        assert!(ids(GcPolicy::default()).is_empty());
        let keep = |seconds| GcPolicy { keep_duration: Some(Duration::from_secs(seconds)), max_used_space: None };
        assert_eq!(ids(keep(50_000)), ["bare true", "old true"]);
        assert_eq!(ids(keep(200_000)), [""; 0]);
        assert_eq!(ids(keep(0)), ["bare true", "old true", "used true", "young true"]);
        let both = GcPolicy { max_used_space: Some(0), ..keep(50_000) };
        assert_eq!(ids(both), ["bare true", "old true", "used false"], "what came a moment ago stays");
    }
}
