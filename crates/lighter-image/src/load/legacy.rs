//! Archives of docker save before 1.10: a directory for each layer, with its own configuration in `json`, chained by
//! `parent`. The configuration that images have today is made from them as dockerd makes it, so ids are the same.
//! (Not for images of Docker before 1.8.3, which dockerd first rewrites through its own types.)

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::scan::Files;
use super::{check_config, parse, parse_name};
use crate::config::{ContainerConfig, HistoryEntry};
use crate::digest::Digest;
use crate::error::{ArchiveError, Result};
use crate::stage::NewImage;
use crate::store::MAX_LAYERS;

type Repositories = BTreeMap<String, BTreeMap<String, String>>;

#[derive(Deserialize)]
struct Layer {
    #[serde(default)]
    parent: Option<String>,
    #[serde(default)]
    created: Option<String>,
    #[serde(default)]
    author: Option<String>,
    #[serde(default)]
    comment: Option<String>,
    #[serde(default)]
    container_config: Option<ContainerConfig>,
}

pub(super) fn images(files: &Files) -> Result<Vec<NewImage>> {
    let repositories: Repositories = match files.has("repositories") {
        true => parse("repositories", files.metadata("repositories")?)?,
        false => BTreeMap::new(),
    };
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (repository, tags) in &repositories {
        for (tag, id) in tags {
            names.entry(id.clone()).or_default().push(format!("{repository}:{tag}"));
        }
    }
    if names.is_empty() {
        names = heads(files)?.into_iter().map(|id| (id, Vec::new())).collect();
    }
    let images = names.into_iter().map(|(id, names)| {
        let names = names.iter().map(|name| parse_name(name)).collect::<Result<_>>()?;
        Ok(NewImage { config: config(files, &id)?, names, ..NewImage::default() })
    });
    images.collect()
}

/// Layers that are nobody's parent.
fn heads(files: &Files) -> Result<Vec<String>> {
    let ids = files.names().filter_map(|name| name.strip_suffix("/json")).map(str::to_owned);
    let mut ids: HashSet<String> = ids.collect();
    for id in ids.clone() {
        if let Some(parent) = layer(files, &id)?.1.parent {
            ids.remove(&parent);
        }
    }
    let mut ids: Vec<_> = ids.into_iter().collect();
    ids.sort();
    Ok(ids)
}

fn layer<'a>(files: &'a Files, id: &str) -> Result<(&'a [u8], Layer), ArchiveError> {
    let name = format!("{id}/json");
    let data = files.metadata(&name)?;
    Ok((data, parse(&name, data)?))
}

/// Today's configuration for the chain that ends in `top`.
fn config(files: &Files, top: &str) -> Result<Vec<u8>> {
    let (mut history, mut diff_ids) = (Vec::new(), Vec::new());
    let mut next = Some(top.to_owned());
    while let Some(id) = next.take().filter(|id| !id.is_empty()) {
        if diff_ids.len() >= MAX_LAYERS {
            return Err(ArchiveError::TooDeep.into());
        }
        let (_, layer) = layer(files, &id)?;
        diff_ids.push(files.layer(&format!("{id}/layer.tar"))?);
        let command = layer.container_config.and_then(|config| config.cmd).unwrap_or_default();
        history.push(HistoryEntry {
            created: layer.created,
            author: layer.author.unwrap_or_default(),
            created_by: command.join(" "),
            comment: layer.comment.unwrap_or_default(),
            empty_layer: false,
        });
        next = layer.parent;
    }
    history.reverse();
    diff_ids.reverse();
    let name = format!("{top}/json");
    let config = rewrite(&name, files.metadata(&name)?, &diff_ids, &history)?;
    check_config(&name, &config, &diff_ids)?;
    Ok(config)
}

/// Drops what only the old format has, adds layers and history, keeps all other values as written, keys in order.
fn rewrite(name: &str, old: &[u8], diff_ids: &[Digest], history: &[HistoryEntry]) -> Result<Vec<u8>, ArchiveError> {
    let mut fields: BTreeMap<String, Box<RawValue>> = parse(name, old)?;
    for gone in ["id", "parent", "Size", "parent_id", "layer_id", "throwaway"] {
        fields.remove(gone);
    }
    let bad = |error: serde_json::Error| ArchiveError::BadJson { file: name.to_owned(), reason: error.to_string() };
    let rootfs = serde_json::json!({ "type": "layers", "diff_ids": diff_ids });
    let rootfs = format!("{{\"type\":\"layers\",\"diff_ids\":{}}}", rootfs["diff_ids"]);
    fields.insert("rootfs".to_owned(), RawValue::from_string(rootfs).map_err(bad)?);
    fields.insert("history".to_owned(), serde_json::value::to_raw_value(history).map_err(bad)?);
    let mut out = String::from("{");
    for (index, (key, value)) in fields.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        push_compact(&serde_json::to_string(key).map_err(bad)?, &mut out);
        out.push(':');
        push_compact(value.get(), &mut out);
    }
    out.push('}');
    Ok(out.into_bytes())
}

/// JSON without white space, and with the escapes that Go's encoder writes for HTML's sake.
fn push_compact(json: &str, out: &mut String) {
    let (mut in_string, mut escaped) = (false, false);
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            ' ' | '\n' | '\r' | '\t' if !in_string => {}
            _ => out.push(c),
        }
        in_string ^= c == '"' && !escaped;
        escaped = in_string && c == '\\' && !escaped;
    }
}
