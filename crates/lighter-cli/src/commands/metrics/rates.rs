//! From counters to what happened in a second. A counter that went back began anew with its container.

use lighter_wire::lighter::{Metric, Series};
use time::OffsetDateTime;

/// Between a sample and the one before it. Bytes a second; of the processor 100 is one core.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Of the later one.
    pub at: OffsetDateTime,
    pub cpu_percent: f64,
    pub io_read: f64,
    pub io_write: f64,
    pub net_rx: f64,
    pub net_tx: f64,
}

/// One less than there are samples.
pub fn rates(series: &Series) -> Vec<Rate> {
    series.samples.windows(2).map(|pair| rate(&pair[0], &pair[1])).collect()
}

fn rate(before: &Metric, after: &Metric) -> Rate {
    let seconds = (after.timestamp - before.timestamp).as_seconds_f64().max(1e-9);
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let per_second = |of: fn(&Metric) -> u64| {
        let (old, new) = (of(before), of(after));
        new.checked_sub(old).unwrap_or(new) as f64 / seconds
    };
    Rate {
        at: after.timestamp,
        cpu_percent: per_second(|m| m.cpu_usage) / 1e7,
        io_read: per_second(|m| m.io_read),
        io_write: per_second(|m| m.io_write),
        net_rx: per_second(|m| m.net_rx),
        net_tx: per_second(|m| m.net_tx),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_that_begin_anew() {
        let metric = |s: i64, cpu_usage, net_rx| Metric {
            timestamp: OffsetDateTime::from_unix_timestamp(s).unwrap(),
            cpu_usage,
            mem_usage: 0,
            io_read: 0,
            io_write: 0,
            net_rx,
            net_tx: 0,
        };
        let samples = vec![metric(0, 0, 100), metric(10, 5_000_000_000, 1100), metric(20, 1_000_000_000, 50)];
        let series = Series { container: String::new(), container_id: String::new(), stack: None, samples };
        let all: Vec<_> = rates(&series).iter().map(|r| (r.cpu_percent, r.net_rx)).collect();
        assert_eq!(all, [(50.0, 100.0), (10.0, 5.0)]);
    }
}
