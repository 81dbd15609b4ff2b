//! What a container uses, as `docker stats` reads it.

use lighter_core::Usage;
use lighter_domain::sample::{BlockIo, CpuSample, InterfaceSample, Sample};
use lighter_wire::GoTime;
use lighter_wire::stats as wire;

pub fn stats(usage: &Usage) -> wire::Stats<'_> {
    let Usage { container, before, now } = usage;
    let (before, now) = (before.as_deref(), now.as_deref());
    let networks = now.map(|s| &s.networks).filter(|n| !n.is_empty());
    wire::Stats {
        name: format!("/{}", container.name),
        id: container.id.as_str(),
        read: GoTime(now.map(|s| s.read_at)),
        preread: GoTime(before.map(|s| s.read_at)),
        pids_stats: now.map_or_else(wire::Pids::default, |s| wire::Pids { current: s.pids, limit: s.pids_limit }),
        blkio_stats: now.map(block_io).unwrap_or_default(),
        num_procs: 0,
        storage_stats: wire::Empty {},
        cpu_stats: now.map(|s| cpu(&s.cpu)).unwrap_or_default(),
        precpu_stats: before.map(|s| cpu(&s.cpu)).unwrap_or_default(),
        memory_stats: now.map(memory).unwrap_or_default(),
        networks: networks.map(|all| all.iter().map(|(name, i)| (name.as_str(), interface(*i))).collect()),
    }
}

fn cpu(sample: &CpuSample) -> wire::Cpu<'_> {
    let CpuSample { total, per_cpu, kernel, user, system, online, periods, throttled_periods, throttled } = sample;
    wire::Cpu {
        cpu_usage: wire::CpuUsage {
            total_usage: *total,
            percpu_usage: per_cpu,
            usage_in_kernelmode: *kernel,
            usage_in_usermode: *user,
        },
        system_cpu_usage: *system,
        online_cpus: Some(*online),
        throttling_data: wire::Throttling {
            periods: *periods,
            throttled_periods: *throttled_periods,
            throttled_time: *throttled,
        },
    }
}

fn memory(sample: &Sample) -> wire::Memory<'_> {
    let memory = &sample.memory;
    wire::Memory {
        usage: memory.usage,
        max_usage: memory.max_usage,
        stats: Some(&memory.stats),
        failcnt: memory.failures,
        limit: memory.limit,
    }
}

fn block_io(sample: &Sample) -> wire::BlockIo<'_> {
    let entry = |io: &'_ BlockIo, value| (io.major, io.minor, value);
    let all = |of: fn(&BlockIo) -> Option<u64>| {
        let entries = sample.block_io.iter().filter_map(|io| {
            let (major, minor, value) = entry(io, of(io)?);
            Some(wire::BlockIoEntry { major, minor, op: &io.operation, value })
        });
        Some(entries.collect())
    };
    wire::BlockIo {
        io_service_bytes_recursive: all(|io| Some(io.bytes)),
        io_serviced_recursive: all(|io| io.operations),
        io_queue_recursive: Some([]),
        io_service_time_recursive: Some([]),
        io_wait_time_recursive: Some([]),
        io_merged_recursive: Some([]),
        io_time_recursive: Some([]),
        sectors_recursive: Some([]),
    }
}

fn interface(counters: InterfaceSample) -> wire::Interface {
    let InterfaceSample { rx_bytes, rx_packets, rx_errors, rx_dropped, tx_bytes, tx_packets, tx_errors, tx_dropped } = counters;
    wire::Interface { rx_bytes, rx_packets, rx_errors, rx_dropped, tx_bytes, tx_packets, tx_errors, tx_dropped }
}
