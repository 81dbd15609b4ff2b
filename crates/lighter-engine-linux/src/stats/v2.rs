//! Version 2: one directory with everything.

use super::{number, table, text};
use lighter_domain::sample::{BlockIo, Sample};
use std::path::Path;

/// Nanoseconds of a microsecond.
const MICRO: u64 = 1000;

pub(super) fn read(dir: &Path, sample: &mut Sample) {
    let cpu = table(&dir.join("cpu.stat"));
    let of = |name: &str| cpu.get(name).copied().unwrap_or(0);
    sample.cpu.total = of("usage_usec").saturating_mul(MICRO);
    sample.cpu.user = of("user_usec").saturating_mul(MICRO);
    sample.cpu.kernel = of("system_usec").saturating_mul(MICRO);
    sample.cpu.periods = of("nr_periods");
    sample.cpu.throttled_periods = of("nr_throttled");
    sample.cpu.throttled = of("throttled_usec").saturating_mul(MICRO);
    sample.memory.usage = number(&dir.join("memory.current")).unwrap_or(0);
    sample.memory.limit = number(&dir.join("memory.max")).unwrap_or(0);
    sample.memory.failures = table(&dir.join("memory.events")).get("oom").copied().unwrap_or(0);
    sample.memory.stats = table(&dir.join("memory.stat"));
    sample.pids = number(&dir.join("pids.current")).unwrap_or(0);
    sample.pids_limit = number(&dir.join("pids.max"));
    sample.block_io = text(&dir.join("io.stat")).lines().flat_map(device).collect();
}

/// `8:0 rbytes=4096 wbytes=0 rios=1 wios=0 ...`
fn device(line: &str) -> Vec<BlockIo> {
    let Some((device, rest)) = line.split_once(' ') else { return Vec::new() };
    let Some((Ok(major), Ok(minor))) = device.split_once(':').map(|(a, b)| (a.parse(), b.parse())) else { return Vec::new() };
    let of = |key: &str| {
        let mut pairs = rest.split_ascii_whitespace().filter_map(|pair| pair.split_once('='));
        pairs.find(|(k, _)| *k == key).and_then(|(_, v)| v.parse::<u64>().ok())
    };
    let one = |operation: &str, bytes: &str, operations: &str| {
        let bytes = of(bytes)?;
        Some(BlockIo { major, minor, operation: operation.to_owned(), bytes, operations: of(operations) })
    };
    [one("read", "rbytes", "rios"), one("write", "wbytes", "wios")].into_iter().flatten().collect()
}
