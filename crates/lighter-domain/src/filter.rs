//! Docker's filters: keys with values, OR within a key, AND across keys.

use crate::{Error, Result};
use std::collections::BTreeMap;

/// Parsed filters. `lighter-wire` reads both JSON forms into it (`{"k":["v"]}` and `{"k":{"v":true}}`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters(BTreeMap<String, Vec<String>>);

impl Filters {
    pub fn add(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.0.entry(key.into()).or_default().push(value.into());
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn get(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    pub fn contains(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|v| !v.is_empty())
    }

    /// Refuses keys that the operation does not know, in dockerd's words.
    pub fn only(&self, known: &[&str]) -> Result<()> {
        match self.0.keys().find(|k| !known.contains(&k.as_str())) {
            Some(key) => Err(Error::invalid(format!("invalid filter '{key}'"))),
            None => Ok(()),
        }
    }

    /// True when the key is absent or one of its values equals `actual`.
    pub fn exact(&self, key: &str, actual: &str) -> bool {
        let values = self.get(key);
        values.is_empty() || values.iter().any(|v| v == actual)
    }

    /// A boolean filter such as `dangling`: `None` when absent; conflicting or other values are refused in dockerd's words.
    pub fn boolean(&self, key: &str) -> Result<Option<bool>> {
        let values = self.get(key);
        let bad = || Error::invalid(format!("invalid filter '{key}=[{}]'", values.join(" ")));
        let mut verdict = None;
        for v in values {
            let b = match v.as_str() {
                "1" | "true" | "True" | "TRUE" | "t" | "T" => true,
                "0" | "false" | "False" | "FALSE" | "f" | "F" => false,
                _ => return Err(bad()),
            };
            if verdict.is_some_and(|v| v != b) {
                return Err(bad());
            }
            verdict = Some(b);
        }
        Ok(verdict)
    }

    /// Label filters (`k` or `k=v`): as dockerd, every value of `label` must match; none of `label!` may.
    pub fn labels(&self, labels: &BTreeMap<String, String>) -> bool {
        let has = |want: &String| match want.split_once('=') {
            Some((k, v)) => labels.get(k).is_some_and(|have| have == v),
            None => labels.contains_key(want),
        };
        self.get("label").iter().all(has) && !self.get("label!").iter().any(has)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_slice()))
    }
}
