//! Volumes.

use lighter_core::VolumeUse;
use lighter_domain::volume::{LOCAL, Volume};
use lighter_wire::volume as wire;

/// `usage`: only `system df` tells it.
pub fn volume<'a>(volume: &'a Volume, usage: Option<&VolumeUse>) -> wire::Volume<'a> {
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    wire::Volume {
        created_at: lighter_wire::time::seconds(volume.created_at),
        driver: LOCAL,
        labels: volume.labels.as_ref(),
        mountpoint: &volume.mountpoint,
        name: &volume.name,
        options: (!volume.options.is_empty()).then_some(&volume.options),
        scope: "local",
        usage_data: usage.map(|u| wire::UsageData { ref_count: count(u.containers as u64), size: u.size.map_or(-1, count) }),
    }
}
