//! Reads the records, and nothing but the records, of a docker archive: `manifest.json` and the configurations it names.
//!
//! Layers are counted, not kept. Bounded: one record at most [`MAX_RECORD`] bytes, all together [`MAX_RECORDS`]. Used by
//! [`crate::images`]; blocking.

use crate::reference;
use lighter_domain::image::HistoryEntry;
use lighter_domain::{ContainerConfig, Error, HealthConfig, Image, Result};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const MAX_RECORD: u64 = 1 << 20;
const MAX_RECORDS: u64 = 16 << 20;
/// Entries of one archive, of any kind.
const MAX_ENTRIES: usize = 100_000;

/// The images of a plain (not compressed) docker archive.
pub(crate) fn read(archive: impl Read) -> Result<Vec<Image>> {
    let (mut small, mut sizes, mut total) = (HashMap::new(), HashMap::new(), 0);
    let mut tar = tar::Archive::new(archive);
    for (n, entry) in tar.entries().map_err(broken)?.enumerate() {
        let mut entry = entry.map_err(broken)?;
        if n >= MAX_ENTRIES {
            return Err(Error::invalid("the archive has too many entries"));
        }
        let name = entry.path().map_err(broken)?.to_string_lossy().trim_start_matches("./").to_owned();
        let size = entry.size();
        sizes.insert(name.clone(), size);
        if size <= MAX_RECORD && total + size <= MAX_RECORDS && entry.header().entry_type().is_file() {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(broken)?;
            total += size;
            small.insert(name, bytes);
        }
    }
    let Some(manifest) = small.get("manifest.json") else {
        return Err(Error::invalid("the memory engine reads plain docker archives only: no manifest.json was found"));
    };
    let manifest: Vec<ManifestEntry> = parse("manifest.json", manifest)?;
    manifest.iter().map(|entry| image(entry, &small, &sizes)).collect()
}

fn image(entry: &ManifestEntry, small: &HashMap<String, Vec<u8>>, sizes: &HashMap<String, u64>) -> Result<Image> {
    let raw =
        small.get(&entry.config).ok_or_else(|| Error::invalid(format!("open {}: no such file or directory", entry.config)))?;
    let config: Config = parse(&entry.config, raw)?;
    let id = format!("sha256:{}", hex::encode(Sha256::digest(raw)));
    let layer_sizes: Vec<u64> = entry.layers.iter().map(|l| sizes.get(l).copied().unwrap_or_default()).collect();
    let repo_tags = entry.repo_tags.iter().flatten();
    let repo_tags = repo_tags.map(|tag| reference::with_tag(reference::repository(tag), tag_of(tag))).collect::<Result<_>>()?;
    Ok(Image {
        companions: Vec::new(),
        history: history(&config, &id, &layer_sizes),
        id,
        repo_tags,
        repo_digests: Vec::new(),
        created: moment(&config.created),
        last_tagged: Some(OffsetDateTime::now_utc()),
        size: layer_sizes.iter().sum(),
        architecture: config.architecture,
        variant: config.variant,
        os: config.os,
        author: config.author,
        comment: config.comment,
        docker_version: config.docker_version,
        layers: config.rootfs.diff_ids,
        config: config.config.unwrap_or_default().into(),
    })
}

fn history(config: &Config, id: &str, layer_sizes: &[u64]) -> Vec<HistoryEntry> {
    let mut sizes = layer_sizes.iter().copied();
    let mut entries: Vec<HistoryEntry> = config
        .history
        .iter()
        .map(|h| HistoryEntry {
            created: moment(&h.created),
            created_by: h.created_by.clone(),
            comment: h.comment.clone(),
            size: if h.empty_layer { 0 } else { sizes.next().unwrap_or_default() },
            tags: Vec::new(),
            id: "<missing>".to_owned(),
        })
        .collect();
    entries.reverse();
    if let Some(newest) = entries.first_mut() {
        id.clone_into(&mut newest.id);
    }
    entries
}

fn tag_of(name: &str) -> &str {
    name.strip_prefix(reference::repository(name)).unwrap_or_default().trim_start_matches(':')
}

fn moment(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

fn parse<'a, T: Deserialize<'a>>(name: &str, bytes: &'a [u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| Error::invalid(format!("{name} is not what it should be")).with_source(e))
}

fn broken(e: std::io::Error) -> Error {
    Error::invalid("the archive cannot be read").with_source(e)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ManifestEntry {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Config {
    created: String,
    author: String,
    architecture: String,
    variant: String,
    os: String,
    comment: String,
    docker_version: String,
    config: Option<Settings>,
    rootfs: RootFs,
    history: Vec<Step>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RootFs {
    diff_ids: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Step {
    created: String,
    created_by: String,
    comment: String,
    empty_layer: bool,
}

/// `config` of an image's configuration. The fields that an image gives to its containers.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct Settings {
    user: String,
    exposed_ports: Option<BTreeMap<String, serde_json::Value>>,
    env: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    healthcheck: Option<Healthcheck>,
    volumes: Option<BTreeMap<String, serde_json::Value>>,
    working_dir: String,
    entrypoint: Option<Vec<String>>,
    on_build: Option<Vec<String>>,
    labels: Option<BTreeMap<String, String>>,
    stop_signal: Option<String>,
    shell: Option<Vec<String>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct Healthcheck {
    test: Vec<String>,
    interval: i64,
    timeout: i64,
    retries: i64,
    start_period: i64,
    start_interval: i64,
}

impl From<Settings> for ContainerConfig {
    fn from(s: Settings) -> Self {
        let names = |map: Option<BTreeMap<String, serde_json::Value>>| -> BTreeSet<String> {
            map.unwrap_or_default().into_keys().collect()
        };
        Self {
            user: s.user,
            exposed_ports: names(s.exposed_ports),
            env: s.env.unwrap_or_default(),
            cmd: s.cmd,
            healthcheck: s.healthcheck.map(|h| HealthConfig {
                test: h.test,
                interval: h.interval,
                timeout: h.timeout,
                retries: h.retries,
                start_period: h.start_period,
                start_interval: h.start_interval,
            }),
            volumes: names(s.volumes),
            working_dir: s.working_dir,
            entrypoint: s.entrypoint,
            on_build: s.on_build,
            labels: s.labels.unwrap_or_default(),
            stop_signal: s.stop_signal,
            shell: s.shell,
            ..Self::default()
        }
    }
}
