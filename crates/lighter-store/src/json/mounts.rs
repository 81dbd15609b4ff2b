//! Mirrors of mounts: as asked for (`HostConfig.Mounts`) and as resolved (`Mounts`).

use super::{mirror, nested};
use lighter_domain::container::{MountKind, MountPoint};
use lighter_domain::host_config::{BindOptions, ImageOptions, Mount, MountType, TmpfsOptions, VolumeOptions};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

mirror! {
    Mount => MountDef,
    MountType => MountTypeDef,
    BindOptions => BindOptionsDef,
    VolumeOptions => VolumeOptionsDef,
    ImageOptions => ImageOptionsDef,
    TmpfsOptions => TmpfsOptionsDef,
    MountPoint => MountPointDef,
    MountKind => MountKindDef,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Mount", rename_all = "camelCase")]
struct MountDef {
    #[serde(with = "nested")]
    mount_type: MountType,
    #[serde(default)]
    source: String,
    #[serde(default)]
    target: String,
    #[serde(default)]
    read_only: bool,
    #[serde(default)]
    consistency: String,
    #[serde(with = "nested", default)]
    bind: Option<BindOptions>,
    #[serde(with = "nested", default)]
    volume: Option<VolumeOptions>,
    #[serde(with = "nested", default)]
    image: Option<ImageOptions>,
    #[serde(with = "nested", default)]
    tmpfs: Option<TmpfsOptions>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "MountType", rename_all = "camelCase")]
enum MountTypeDef {
    Bind,
    Volume,
    Tmpfs,
    Image,
    Npipe,
    Cluster,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "BindOptions", rename_all = "camelCase", default = "Default::default")]
struct BindOptionsDef {
    propagation: String,
    non_recursive: bool,
    create_mountpoint: bool,
    read_only_non_recursive: bool,
    read_only_force_recursive: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "VolumeOptions", rename_all = "camelCase", default = "Default::default")]
struct VolumeOptionsDef {
    no_copy: bool,
    labels: BTreeMap<String, String>,
    driver_name: String,
    driver_options: BTreeMap<String, String>,
    subpath: String,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ImageOptions", rename_all = "camelCase", default = "Default::default")]
struct ImageOptionsDef {
    subpath: String,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "TmpfsOptions", rename_all = "camelCase", default = "Default::default")]
struct TmpfsOptionsDef {
    size_bytes: i64,
    mode: u32,
    options: Vec<Vec<String>>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "MountPoint", rename_all = "camelCase")]
struct MountPointDef {
    #[serde(with = "nested")]
    kind: MountKind,
    #[serde(default)]
    name: String,
    #[serde(default)]
    source: String,
    #[serde(default)]
    destination: String,
    #[serde(default)]
    driver: String,
    #[serde(default)]
    mode: String,
    #[serde(default)]
    rw: bool,
    #[serde(default)]
    propagation: String,
    #[serde(default)]
    create_source: bool,
    #[serde(default)]
    recursive: bool,
    #[serde(default)]
    subpath: String,
    #[serde(default)]
    image_id: String,
    #[serde(default)]
    copy_up: bool,
    #[serde(default)]
    anonymous: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "MountKind", rename_all = "camelCase")]
enum MountKindDef {
    Bind,
    Volume,
    Tmpfs,
    Image,
}
