//! Garbage collection of images: what it would remove, and removing it.

use crate::body::json;
use crate::call::{Answer, Call};
use crate::failure::Failure;
use http::StatusCode;
use lighter_core::{GcImage, GcPolicy, GcReason, GcReport};
use lighter_wire::lighter::{CollectedImage, Collection};
use lighter_wire::{GoTime, human};

/// Changes nothing.
pub async fn plan(call: Call) -> Answer {
    collect(call, true).await
}

pub async fn run(mut call: Call) -> Answer {
    call.drain().await?;
    collect(call, false).await
}

async fn collect(call: Call, dry_run: bool) -> Answer {
    call.only(&["keepDuration", "maxUsedSpace"])?;
    let policy = policy(&call)?;
    let (enabled, _) = call.daemon.gc_settings();
    let report = call.daemon.collect_images(policy, dry_run).await?;
    Ok(json(StatusCode::OK, &to_wire(&report, enabled)))
}

/// The daemon's policy, unless the query has one.
fn policy(call: &Call) -> Result<GcPolicy, Failure> {
    let (duration, space) = (call.query.get("keepDuration"), call.query.get("maxUsedSpace"));
    if duration.is_empty() && space.is_empty() {
        return Ok(call.daemon.gc_settings().1);
    }
    let bad = |key: &str, value: &str| Failure::bad_request(format!("invalid {key}: {value:?}"));
    let given = |value: &str| !value.is_empty();
    let keep = given(duration).then(|| human::span(duration).ok_or_else(|| bad("keepDuration", duration)));
    let most = given(space).then(|| human::bytes(space).ok_or_else(|| bad("maxUsedSpace", space)));
    Ok(GcPolicy { keep_duration: keep.transpose()?, max_used_space: most.transpose()? })
}

fn to_wire(report: &GcReport, enabled: bool) -> Collection {
    let GcReport { dry_run, policy, images, size_before, size_after } = report;
    let GcPolicy { keep_duration, max_used_space } = policy;
    Collection {
        enabled,
        dry_run: *dry_run,
        keep_seconds: keep_duration.map(|kept| kept.as_secs()),
        max_used_space: *max_used_space,
        images: images.iter().map(image).collect(),
        size_before: *size_before,
        size_after: *size_after,
    }
}

fn image(one: &GcImage) -> CollectedImage {
    let GcImage { image, last_used, reason } = one;
    CollectedImage {
        id: image.id.clone(),
        names: if image.repo_tags.is_empty() { image.repo_digests.clone() } else { image.repo_tags.clone() },
        size: image.size,
        last_used: GoTime(Some(*last_used)).to_string(),
        reason: match reason {
            GcReason::Unused => "unused",
            GcReason::Space => "space",
        }
        .to_owned(),
    }
}
