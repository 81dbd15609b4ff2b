//! `ContainerStats` and `ContainerTop`.

use crate::time::GoTime;
use serde::Serialize;
use std::collections::BTreeMap;

/// `ContainerTopResponse`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Top {
    /// Null when there are none.
    pub processes: Option<Vec<Vec<String>>>,
    pub titles: Vec<String>,
}

/// `ContainerStatsResponse`, one line of a stream.
#[derive(Debug, Serialize)]
pub struct Stats<'a> {
    pub name: String,
    pub id: &'a str,
    pub read: GoTime,
    pub preread: GoTime,
    pub pids_stats: Pids,
    pub blkio_stats: BlockIo<'a>,
    /// Of Windows.
    pub num_procs: u32,
    /// Of Windows.
    pub storage_stats: Empty,
    pub cpu_stats: Cpu<'a>,
    pub precpu_stats: Cpu<'a>,
    pub memory_stats: Memory<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub networks: Option<BTreeMap<&'a str, Interface>>,
}

/// `{}`
#[derive(Debug, Default, Serialize)]
pub struct Empty {}

#[derive(Debug, Default, Serialize)]
pub struct Pids {
    #[serde(skip_serializing_if = "is_zero")]
    pub current: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// Null for a container that does not run.
#[derive(Debug, Default, Serialize)]
pub struct BlockIo<'a> {
    pub io_service_bytes_recursive: Option<Vec<BlockIoEntry<'a>>>,
    pub io_serviced_recursive: Option<Vec<BlockIoEntry<'a>>>,
    pub io_queue_recursive: Option<[(); 0]>,
    pub io_service_time_recursive: Option<[(); 0]>,
    pub io_wait_time_recursive: Option<[(); 0]>,
    pub io_merged_recursive: Option<[(); 0]>,
    pub io_time_recursive: Option<[(); 0]>,
    pub sectors_recursive: Option<[(); 0]>,
}

#[derive(Debug, Serialize)]
pub struct BlockIoEntry<'a> {
    pub major: u64,
    pub minor: u64,
    pub op: &'a str,
    pub value: u64,
}

#[derive(Debug, Default, Serialize)]
pub struct Cpu<'a> {
    pub cpu_usage: CpuUsage<'a>,
    #[serde(skip_serializing_if = "is_zero")]
    pub system_cpu_usage: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub online_cpus: Option<u32>,
    pub throttling_data: Throttling,
}

/// Nanoseconds.
#[derive(Debug, Default, Serialize)]
pub struct CpuUsage<'a> {
    pub total_usage: u64,
    #[serde(skip_serializing_if = "<[u64]>::is_empty")]
    pub percpu_usage: &'a [u64],
    pub usage_in_kernelmode: u64,
    pub usage_in_usermode: u64,
}

#[derive(Debug, Default, Serialize)]
pub struct Throttling {
    pub periods: u64,
    pub throttled_periods: u64,
    pub throttled_time: u64,
}

/// Bytes.
#[derive(Debug, Default, Serialize)]
pub struct Memory<'a> {
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_usage: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stats: Option<&'a BTreeMap<String, u64>>,
    #[serde(skip_serializing_if = "is_zero")]
    pub failcnt: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub limit: u64,
}

#[derive(Debug, Serialize)]
pub struct Interface {
    pub rx_bytes: u64,
    pub rx_packets: u64,
    pub rx_errors: u64,
    pub rx_dropped: u64,
    pub tx_bytes: u64,
    pub tx_packets: u64,
    pub tx_errors: u64,
    pub tx_dropped: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}
