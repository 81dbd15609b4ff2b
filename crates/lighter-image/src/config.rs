//! The image configuration: what OCI defines plus what only Docker writes.
//!
//! Own serde types rather than a crate's: Docker's fields (`Healthcheck`, `OnBuild`, `Shell`, `container_config`) must
//! survive, and archives of every age write `null` where a list or map is meant. The bytes as received are kept beside
//! the parsed form, for the id is their digest.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::digest::Digest;

/// A map that is used as a set on the wire: `{"80/tcp": {}}`.
pub type EmptyMap = BTreeMap<String, serde_json::Value>;

/// An image's configuration file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageConfig {
    /// `amd64`, `arm64`, ...
    #[serde(deserialize_with = "lax")]
    pub architecture: String,
    /// Who made it.
    #[serde(deserialize_with = "lax", skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// Docker's comment (commit, import).
    #[serde(deserialize_with = "lax", skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// What containers of this image run by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<ContainerConfig>,
    /// The container it was committed from.
    #[serde(deserialize_with = "lax", skip_serializing_if = "String::is_empty")]
    pub container: String,
    /// The configuration of that container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_config: Option<ContainerConfig>,
    /// RFC 3339, as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Which Docker made it.
    #[serde(deserialize_with = "lax", skip_serializing_if = "String::is_empty")]
    pub docker_version: String,
    /// How each layer came to be, oldest first.
    #[serde(deserialize_with = "lax", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<HistoryEntry>,
    /// `linux`, ...
    #[serde(deserialize_with = "lax")]
    pub os: String,
    /// Of Windows images.
    #[serde(rename = "os.version", deserialize_with = "lax", skip_serializing_if = "String::is_empty")]
    pub os_version: String,
    /// Of Windows images.
    #[serde(rename = "os.features", deserialize_with = "lax", skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// The layers.
    #[serde(deserialize_with = "lax")]
    pub rootfs: RootFs,
    /// `v7`, `v8`, ...
    #[serde(deserialize_with = "lax", skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

impl ImageConfig {
    /// The default labels of containers; empty when the image has none.
    pub fn labels(&self) -> BTreeMap<String, String> {
        self.config.as_ref().and_then(|config| config.labels.clone()).unwrap_or_default()
    }
}

/// The layers of an image, bottom first, by the digest of their uncompressed tar.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RootFs {
    /// `layers`.
    #[serde(rename = "type", deserialize_with = "lax")]
    pub kind: String,
    /// Bottom first.
    #[serde(deserialize_with = "lax")]
    pub diff_ids: Vec<Digest>,
}

/// One step of an image's history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HistoryEntry {
    /// RFC 3339, as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who.
    #[serde(deserialize_with = "lax", skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// By which instruction.
    #[serde(deserialize_with = "lax", skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    /// Commit message.
    #[serde(deserialize_with = "lax", skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// Whether the step made no layer.
    #[serde(deserialize_with = "lax", skip_serializing_if = "is_false")]
    pub empty_layer: bool,
}

/// Docker's `Config`: the defaults of containers made from the image. `None` means null or absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ContainerConfig {
    /// Host name of the container that was committed.
    #[serde(deserialize_with = "lax", skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// Domain name.
    #[serde(deserialize_with = "lax", skip_serializing_if = "String::is_empty")]
    pub domainname: String,
    /// `uid[:gid]` or names.
    #[serde(deserialize_with = "lax", skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Attach flags of the committed container.
    #[serde(deserialize_with = "lax", skip_serializing_if = "is_false")]
    pub attach_stdin: bool,
    /// As above.
    #[serde(deserialize_with = "lax", skip_serializing_if = "is_false")]
    pub attach_stdout: bool,
    /// As above.
    #[serde(deserialize_with = "lax", skip_serializing_if = "is_false")]
    pub attach_stderr: bool,
    /// `{"80/tcp": {}}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exposed_ports: Option<EmptyMap>,
    /// Whether a terminal is wanted.
    #[serde(deserialize_with = "lax", skip_serializing_if = "is_false")]
    pub tty: bool,
    /// Stdin flags.
    #[serde(deserialize_with = "lax", skip_serializing_if = "is_false")]
    pub open_stdin: bool,
    /// As above.
    #[serde(deserialize_with = "lax", skip_serializing_if = "is_false")]
    pub stdin_once: bool,
    /// `NAME=value`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<Vec<String>>,
    /// Default arguments; some archives hold a plain string.
    #[serde(deserialize_with = "words", skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Health check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// Windows: the command line is escaped already.
    #[serde(deserialize_with = "lax", skip_serializing_if = "is_false")]
    pub args_escaped: bool,
    /// The image it was built from.
    #[serde(deserialize_with = "lax", skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// `{"/data": {}}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volumes: Option<EmptyMap>,
    /// Working directory.
    #[serde(deserialize_with = "lax", skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Entry point; some archives hold a plain string.
    #[serde(deserialize_with = "words", skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// No network.
    #[serde(deserialize_with = "lax", skip_serializing_if = "is_false")]
    pub network_disabled: bool,
    /// Old MAC address setting.
    #[serde(deserialize_with = "lax", skip_serializing_if = "String::is_empty")]
    pub mac_address: String,
    /// Triggers for builds from this image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_build: Option<Vec<String>>,
    /// Labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// e.g. `SIGQUIT`.
    #[serde(deserialize_with = "lax", skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// The shell of shell-form instructions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
}

/// Docker's health check; durations in nanoseconds, zero means inherit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Healthcheck {
    /// `["CMD", ...]`, `["CMD-SHELL", ...]` or `["NONE"]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<Vec<String>>,
    /// Between checks.
    #[serde(deserialize_with = "lax", skip_serializing_if = "is_zero")]
    pub interval: i64,
    /// Of one check.
    #[serde(deserialize_with = "lax", skip_serializing_if = "is_zero")]
    pub timeout: i64,
    /// Grace at start.
    #[serde(deserialize_with = "lax", skip_serializing_if = "is_zero")]
    pub start_period: i64,
    /// Between checks during the grace.
    #[serde(deserialize_with = "lax", skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    /// Failures before unhealthy.
    #[serde(deserialize_with = "lax", skip_serializing_if = "is_zero")]
    pub retries: i64,
}

fn is_false(value: &bool) -> bool {
    !*value
}

fn is_zero(value: &i64) -> bool {
    *value == 0
}

/// `null` is the default value, as Go decodes it.
fn lax<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(input: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(input)?.unwrap_or_default())
}

/// A list of words, or one word, or null.
fn words<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Words {
        List(Vec<String>),
        One(String),
    }
    Ok(Option::<Words>::deserialize(input)?.map(|words| match words {
        Words::List(list) => list,
        Words::One(one) => vec![one],
    }))
}
