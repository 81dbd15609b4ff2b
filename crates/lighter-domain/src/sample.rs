//! One look at what a container uses. Counters grow from the container's start on; rates are made by whoever looks twice.

use std::collections::BTreeMap;
use time::OffsetDateTime;

/// All of it at (nearly) one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    pub read_at: OffsetDateTime,
    pub cpu: CpuSample,
    pub memory: MemorySample,
    /// Processes and threads.
    pub pids: u64,
    pub pids_limit: Option<u64>,
    pub block_io: Vec<BlockIo>,
    /// By interface of the container; empty where it has no network of its own.
    pub networks: BTreeMap<String, InterfaceSample>,
}

/// Nanoseconds, unless said otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CpuSample {
    pub total: u64,
    /// By processor; empty where the kernel does not tell.
    pub per_cpu: Vec<u64>,
    pub kernel: u64,
    pub user: u64,
    /// Of the whole machine, idle time included.
    pub system: u64,
    /// Processors that are there.
    pub online: u32,
    /// Periods in which there was a quota, and those in which it was used up.
    pub periods: u64,
    pub throttled_periods: u64,
    pub throttled: u64,
}

/// Bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemorySample {
    pub usage: u64,
    pub max_usage: Option<u64>,
    /// The machine's memory where there is no limit.
    pub limit: u64,
    /// How often the limit was hit.
    pub failures: u64,
    /// The kernel's own table, by its own names.
    pub stats: BTreeMap<String, u64>,
}

/// What one device did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockIo {
    pub major: u64,
    pub minor: u64,
    /// `read`, `write` and others.
    pub operation: String,
    pub bytes: u64,
    /// `None` where operations are not counted.
    pub operations: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InterfaceSample {
    pub rx_bytes: u64,
    pub rx_packets: u64,
    pub rx_errors: u64,
    pub rx_dropped: u64,
    pub tx_bytes: u64,
    pub tx_packets: u64,
    pub tx_errors: u64,
    pub tx_dropped: u64,
}
