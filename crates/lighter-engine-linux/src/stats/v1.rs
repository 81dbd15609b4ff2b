//! Version 1: one directory per hierarchy, each with the files of its controllers.

use super::{TICK, number, table, text};
use lighter_domain::sample::{BlockIo, Sample};
use std::path::{Path, PathBuf};

pub(super) fn read(dirs: &[PathBuf], sample: &mut Sample) {
    // Each controller's directory is looked for once: all containers are sampled every few seconds.
    let with = |file: &str| dirs.iter().find(|d| d.join(file).exists());
    if let Some(dir) = with("cpuacct.usage") {
        sample.cpu.total = number(&dir.join("cpuacct.usage")).unwrap_or(0);
        let per_cpu = text(&dir.join("cpuacct.usage_percpu"));
        sample.cpu.per_cpu = per_cpu.split_ascii_whitespace().filter_map(|n| n.parse().ok()).collect();
        let ticks = table(&dir.join("cpuacct.stat"));
        let of = |name: &str| ticks.get(name).copied().unwrap_or(0).saturating_mul(TICK);
        (sample.cpu.user, sample.cpu.kernel) = (of("user"), of("system"));
    }
    if let Some(dir) = with("cpu.stat") {
        let counts = table(&dir.join("cpu.stat"));
        let of = |name: &str| counts.get(name).copied().unwrap_or(0);
        sample.cpu.periods = of("nr_periods");
        sample.cpu.throttled_periods = of("nr_throttled");
        sample.cpu.throttled = of("throttled_time");
    }
    if let Some(dir) = with("memory.usage_in_bytes") {
        let of = |file: &str| number(&dir.join(file));
        sample.memory.usage = of("memory.usage_in_bytes").unwrap_or(0);
        sample.memory.max_usage = of("memory.max_usage_in_bytes");
        sample.memory.limit = of("memory.limit_in_bytes").unwrap_or(0);
        sample.memory.failures = of("memory.failcnt").unwrap_or(0);
        sample.memory.stats = table(&dir.join("memory.stat"));
    }
    if let Some(dir) = with("pids.current") {
        sample.pids = number(&dir.join("pids.current")).unwrap_or(0);
        sample.pids_limit = number(&dir.join("pids.max"));
    }
    // Kernels have the first kind, or only the second.
    for end in ["_recursive", ""] {
        let bytes = format!("blkio.throttle.io_service_bytes{end}");
        if let Some(dir) = with(&bytes) {
            sample.block_io = block_io(&dir.join(bytes), &dir.join(format!("blkio.throttle.io_serviced{end}")));
            return;
        }
    }
}

fn block_io(bytes: &Path, operations: &Path) -> Vec<BlockIo> {
    let counts = text(operations);
    let count = |device: &str, operation: &str| {
        let mut found = counts.lines().filter_map(line).filter(|(d, o, _)| *d == device && *o == operation);
        found.next().map(|(_, _, n)| n)
    };
    let one = |(device, operation, bytes): (&str, &str, u64)| {
        let (major, minor) = device.split_once(':')?;
        let (major, minor) = (major.parse().ok()?, minor.parse().ok()?);
        Some(BlockIo { major, minor, operation: operation.to_owned(), bytes, operations: count(device, operation) })
    };
    text(bytes).lines().filter_map(line).filter_map(one).collect()
}

/// `8:0 Read 4096`; the sum of all has no device.
fn line(line: &str) -> Option<(&str, &str, u64)> {
    let mut words = line.split_ascii_whitespace();
    Some((words.next()?, words.next()?, words.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::v2;
    use super::*;

    fn files(all: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in all {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    fn nothing() -> Sample {
        Sample {
            read_at: time::OffsetDateTime::UNIX_EPOCH,
            cpu: Default::default(),
            memory: Default::default(),
            pids: 0,
            pids_limit: None,
            block_io: Vec::new(),
            networks: Default::default(),
        }
    }

    #[test]
    fn hierarchies_of_version_1() {
        let cpu = files(&[
            ("cpuacct.usage", "900\n"),
            ("cpuacct.usage_percpu", "400 500 \n"),
            ("cpuacct.stat", "user 3\nsystem 4\n"),
            ("cpu.stat", "nr_periods 5\nnr_throttled 2\nthrottled_time 77\n"),
        ]);
        let memory = files(&[
            ("memory.usage_in_bytes", "1000"),
            ("memory.max_usage_in_bytes", "2000"),
            ("memory.limit_in_bytes", "3000"),
            ("memory.failcnt", "1"),
            ("memory.stat", "cache 10\ntotal_inactive_file 9\n"),
        ]);
        let other = files(&[
            ("pids.current", "7\n"),
            ("pids.max", "max\n"),
            ("blkio.throttle.io_service_bytes", "8:0 Read 0\nTotal 0\n"),
            ("blkio.throttle.io_service_bytes_recursive", "8:0 Read 4096\n8:0 Write 10\nTotal 4106\n"),
            ("blkio.throttle.io_serviced_recursive", "8:0 Write 2\n8:0 Read 1\nTotal 3\n"),
        ]);
        let dirs = [&cpu, &memory, &other].map(|d| d.path().to_owned());
        let mut s = nothing();
        read(&dirs, &mut s);
        assert_eq!((s.cpu.total, s.cpu.per_cpu, s.cpu.user, s.cpu.kernel), (900, vec![400, 500], 30_000_000, 40_000_000));
        assert_eq!((s.cpu.periods, s.cpu.throttled_periods, s.cpu.throttled), (5, 2, 77));
        assert_eq!((s.memory.usage, s.memory.max_usage, s.memory.limit, s.memory.failures), (1000, Some(2000), 3000, 1));
        assert_eq!(s.memory.stats["total_inactive_file"], 9);
        assert_eq!((s.pids, s.pids_limit), (7, None));
        let io: Vec<_> = s.block_io.iter().map(|b| (b.major, b.operation.as_str(), b.bytes, b.operations)).collect();
        assert_eq!(io, [(8, "Read", 4096, Some(1)), (8, "Write", 10, Some(2))]);
    }

    #[test]
    fn the_one_group_of_version_2() {
        let dir = files(&[
            ("cpu.stat", "usage_usec 900\nuser_usec 500\nsystem_usec 400\nnr_periods 5\nnr_throttled 2\nthrottled_usec 3\n"),
            ("memory.current", "1000"),
            ("memory.peak", "2000"),
            ("memory.max", "max"),
            ("memory.events", "low 0\nhigh 0\nmax 4\noom 2\n"),
            ("memory.stat", "anon 10\ninactive_file 9\n"),
            ("pids.current", "7"),
            ("pids.max", "20"),
            ("io.stat", "8:0 rbytes=4096 wbytes=10 rios=1 wios=2 dbytes=0 dios=0\n7:1 \n"),
        ]);
        let mut s = nothing();
        v2::read(dir.path(), &mut s);
        assert_eq!((s.cpu.total, s.cpu.user, s.cpu.kernel, s.cpu.throttled), (900_000, 500_000, 400_000, 3000));
        assert_eq!((s.memory.usage, s.memory.max_usage, s.memory.limit, s.memory.failures), (1000, None, 0, 2));
        assert_eq!((s.pids, s.pids_limit, s.memory.stats["inactive_file"]), (7, Some(20), 9));
        let io: Vec<_> = s.block_io.iter().map(|b| (b.major, b.operation.as_str(), b.bytes, b.operations)).collect();
        assert_eq!(io, [(8, "read", 4096, Some(1)), (8, "write", 10, Some(2))]);
    }

    #[test]
    fn groups_that_are_gone_are_nothing() {
        let mut s = nothing();
        read(&[PathBuf::from("/nonexistent")], &mut s);
        v2::read(Path::new("/nonexistent"), &mut s);
        assert_eq!(s, nothing());
    }
}
