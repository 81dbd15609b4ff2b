//! What containers used, over time. Counters grow from the container's start on and begin anew with each start; rates are made
//! by whoever shows them, so that a sample that was thinned out is missed by nobody.

use crate::sample::Sample;
use time::OffsetDateTime;
use uuid::Uuid;

/// A container, as it is known once it is gone: whose lines or samples these are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub container: Uuid,
    /// The 64-hex id that clients see.
    pub shim_id: String,
    pub name: String,
    pub stack: Option<String>,
}

impl Origin {
    pub fn of(container: &crate::Container) -> Self {
        Self {
            container: container.uuid,
            shim_id: container.id.as_str().to_owned(),
            name: container.name.clone(),
            stack: container.compose_project().map(str::to_owned),
        }
    }
}

/// One look. Bytes, unless said otherwise; all but the memory are counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricsSample {
    pub at: OffsetDateTime,
    /// Nanoseconds of processor time.
    pub cpu_usage: u64,
    /// At this moment, without the files that the kernel would give up at once (as `docker stats` counts it).
    pub mem_usage: u64,
    pub io_read: u64,
    pub io_write: u64,
    pub net_rx: u64,
    pub net_tx: u64,
}

/// The samples of one container, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsSeries {
    pub origin: Origin,
    pub samples: Vec<MetricsSample>,
}

impl MetricsSample {
    pub fn of(sample: &Sample) -> Self {
        let io = |wanted: &str| {
            let of_kind = sample.block_io.iter().filter(|io| io.operation.eq_ignore_ascii_case(wanted));
            of_kind.fold(0_u64, |sum, io| sum.saturating_add(io.bytes))
        };
        let cache = ["total_inactive_file", "inactive_file"].iter().find_map(|key| sample.memory.stats.get(*key));
        let networks = || sample.networks.values();
        Self {
            at: sample.read_at,
            cpu_usage: sample.cpu.total,
            mem_usage: sample.memory.usage.saturating_sub(cache.copied().unwrap_or(0)),
            io_read: io("read"),
            io_write: io("write"),
            net_rx: networks().fold(0, |sum, n| sum.saturating_add(n.rx_bytes)),
            net_tx: networks().fold(0, |sum, n| sum.saturating_add(n.tx_bytes)),
        }
    }
}

/// At most `most` samples, spread evenly over the time; of those that fall together the one with the most memory stays, so that
/// peaks are seen. The first and the last are always there, for counters.
pub fn thinned(samples: Vec<MetricsSample>, most: usize) -> Vec<MetricsSample> {
    let (Some(first), Some(last)) = (samples.first().copied(), samples.last().copied()) else { return samples };
    if samples.len() <= most || most < 3 {
        return samples;
    }
    let span = (last.at - first.at).whole_nanoseconds().max(1);
    let buckets = i128::try_from(most - 2).unwrap_or(1);
    let bucket = |sample: &MetricsSample| ((sample.at - first.at).whole_nanoseconds() * buckets / span).min(buckets - 1);
    let mut out = vec![first];
    for sample in &samples[1..samples.len() - 1] {
        match out[1..].last_mut() {
            Some(kept) if bucket(kept) == bucket(sample) => {
                if sample.mem_usage > kept.mem_usage {
                    *kept = *sample;
                }
            }
            _ => out.push(*sample),
        }
    }
    out.push(last);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64, mem_usage: u64) -> MetricsSample {
        let at = OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds);
        MetricsSample { at, cpu_usage: 0, mem_usage, io_read: 0, io_write: 0, net_rx: 0, net_tx: 0 }
    }

    #[test]
    fn thinning_keeps_ends_and_peaks() {
        let all: Vec<_> = (0..1000).map(|n| at(n * 10, if n == 777 { 99 } else { 1 })).collect();
        let few = thinned(all.clone(), 50);
        assert!(few.len() <= 50 && few.len() > 40, "{}", few.len());
        assert_eq!((few[0], *few.last().unwrap()), (all[0], all[999]));
        assert!(few.contains(&all[777]) && few.is_sorted_by_key(|s| s.at));
        assert_eq!(thinned(all[..50].to_vec(), 50), all[..50]);
        assert_eq!(thinned(Vec::new(), 3), []);
    }
}
