//! Volumes.

use crate::decode::go_struct;
use serde::Serialize;
use std::collections::BTreeMap;

go_struct! {
    /// The body of `VolumeCreate`.
    pub struct Create as "volume.CreateOptions" {
        "Name" name: String,
        "Driver" driver: String,
        "DriverOpts" driver_opts: Option<BTreeMap<String, String>>,
        "Labels" labels: Option<BTreeMap<String, String>>,
    }
}

/// `Volume`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Volume<'a> {
    /// RFC 3339, in seconds.
    pub created_at: String,
    pub driver: &'static str,
    pub labels: Option<&'a BTreeMap<String, String>>,
    pub mountpoint: &'a str,
    pub name: &'a str,
    pub options: Option<&'a BTreeMap<String, String>>,
    pub scope: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_data: Option<UsageData>,
}

/// -1: not known.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct UsageData {
    pub ref_count: i64,
    /// Bytes.
    pub size: i64,
}

/// `VolumeListResponse`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct VolumeList<'a> {
    pub volumes: Vec<Volume<'a>>,
    pub warnings: Option<Vec<String>>,
}

/// `VolumePrune`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct VolumesPruned {
    /// `[]`, never null.
    pub volumes_deleted: Vec<String>,
    pub space_reclaimed: u64,
}
