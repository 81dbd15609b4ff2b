//! What the image operations answer.

use crate::container::GraphDriver;
use crate::container_config::Config;
use crate::decode::{Set, go_struct};
use crate::time::GoTime;
use serde::Serialize;
use std::collections::BTreeMap;

/// `ImageSummary`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Summary<'a> {
    /// -1: not counted.
    pub containers: i64,
    /// Unix seconds.
    pub created: i64,
    pub id: &'a str,
    /// Null when there are none.
    pub labels: Option<&'a BTreeMap<String, String>>,
    pub parent_id: &'a str,
    pub repo_digests: &'a [String],
    pub repo_tags: &'a [String],
    /// -1: not computed.
    pub shared_size: i64,
    pub size: u64,
    /// Before 1.44.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_size: Option<u64>,
    /// When asked for.
    #[serde(flatten)]
    pub whole: Option<Whole<'a>>,
}

/// An image as a whole: its index and what that names, or its only manifest.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Whole<'a> {
    /// From 1.48.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descriptor: Option<Descriptor<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<ManifestSummary<'a>>,
}

/// `ImageManifestSummary`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ManifestSummary<'a> {
    #[serde(rename = "ID")]
    pub id: &'a str,
    pub descriptor: Descriptor<'a>,
    pub available: bool,
    pub size: ManifestSize,
    /// `image`, `attestation`, `unknown`.
    pub kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_data: Option<ImageData<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attestation_data: Option<AttestationData<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ManifestSize {
    pub total: u64,
    pub content: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ImageData<'a> {
    pub platform: Platform<'a>,
    pub containers: Vec<&'a str>,
    pub size: Unpacked,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Unpacked {
    pub unpacked: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AttestationData<'a> {
    pub r#for: &'a str,
}

/// `AttestationStatement`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AttestationStatement<'a> {
    pub descriptor: Descriptor<'a>,
    pub predicate_type: &'a str,
    /// As it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement: Option<&'a serde_json::value::RawValue>,
}

/// `ImageInspect`. Fields that newer versions leave out when empty are `Option`s here.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Inspect<'a> {
    pub id: &'a str,
    pub repo_tags: &'a [String],
    pub repo_digests: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<GoTime>,
    /// Before 1.45.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_config: Option<Config>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<&'a str>,
    pub architecture: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub variant: &'a str,
    pub os: &'a str,
    pub size: u64,
    /// Before 1.44.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_size: Option<u64>,
    pub graph_driver: GraphDriver<'a>,
    #[serde(rename = "RootFS")]
    pub root_fs: RootFs<'a>,
    pub metadata: Metadata,
    pub config: ImageConfig,
    /// When asked for.
    #[serde(flatten)]
    pub whole: Option<Whole<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RootFs<'a> {
    #[serde(rename = "Type")]
    pub kind: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub layers: &'a [String],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Metadata {
    pub last_tag_time: GoTime,
}

/// `Config` of an image in its three shapes: all of a container's fields before 1.50, then those that an image can have,
/// from 1.52 on without the empty ones.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum ImageConfig {
    Full(Box<Config>),
    Image(ImageFields),
    Sparse(SparseImageFields),
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ImageFields {
    #[serde(skip_serializing_if = "is_false")]
    pub args_escaped: bool,
    pub cmd: Option<Vec<String>>,
    pub entrypoint: Option<Vec<String>>,
    pub env: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Set::is_empty")]
    pub exposed_ports: Set,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<crate::container_config::HealthConfig>,
    pub labels: Option<BTreeMap<String, String>>,
    pub on_build: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    pub user: String,
    pub volumes: Set,
    pub working_dir: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SparseImageFields {
    #[serde(skip_serializing_if = "is_false")]
    pub args_escaped: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Set::is_empty")]
    pub exposed_ports: Set,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<crate::container_config::HealthConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_build: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    #[serde(skip_serializing_if = "Set::is_empty")]
    pub volumes: Set,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(b: &bool) -> bool {
    !b
}

/// `ImageHistoryResponseItem`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct History<'a> {
    pub comment: &'a str,
    /// Unix seconds.
    pub created: i64,
    pub created_by: &'a str,
    pub id: &'a str,
    pub size: u64,
    /// Null when there are none.
    pub tags: Option<&'a [String]>,
}

/// `ImageDeleteResponseItem`: one of the two is set.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Deleted {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub untagged: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted: Option<String>,
}

/// `ImagePruneResponse`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Pruned {
    /// Null when there were none.
    pub images_deleted: Option<Vec<Deleted>>,
    pub space_reclaimed: u64,
}

/// One line of a progress stream.
#[derive(Debug, Default, Serialize)]
pub struct ProgressLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<&'a str>,
    #[serde(rename = "progressDetail", skip_serializing_if = "Option::is_none")]
    pub progress_detail: Option<ProgressDetail>,
    /// The bar in text; before 1.52.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aux: Option<PushResult<'a>>,
    #[serde(rename = "errorDetail", skip_serializing_if = "Option::is_none")]
    pub error_detail: Option<ErrorDetail<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a str>,
}

/// Empty where there are no numbers.
#[derive(Debug, Default, Serialize)]
pub struct ProgressDetail {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

#[derive(Debug, Serialize)]
pub struct ErrorDetail<'a> {
    pub message: &'a str,
}

/// What a push tells at its end, beside the text.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PushResult<'a> {
    pub tag: &'a str,
    pub digest: &'a str,
    pub size: u64,
}

/// `DistributionInspect`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Distribution<'a> {
    pub descriptor: Descriptor<'a>,
    pub platforms: Vec<Platform<'a>>,
}

/// `OCIDescriptor`, as far as it is told here.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor<'a> {
    pub media_type: &'a str,
    pub digest: &'a str,
    pub size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform<'a>>,
}

/// `OCIPlatform`.
#[derive(Debug, Serialize)]
pub struct Platform<'a> {
    pub architecture: &'a str,
    pub os: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub variant: &'a str,
}

/// One find of `ImageSearch`.
#[derive(Debug, Serialize)]
pub struct SearchResult<'a> {
    pub star_count: i64,
    pub is_official: bool,
    pub name: &'a str,
    pub is_automated: bool,
    pub description: &'a str,
}

go_struct! {
    /// `OCIPlatform` in a query.
    pub struct PlatformQuery as "Platform" {
        "os" os: String,
        "architecture" architecture: String,
        "variant" variant: String,
    }
}
