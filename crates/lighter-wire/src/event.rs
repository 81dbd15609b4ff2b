//! `EventMessage`.

use serde::Serialize;
use std::collections::BTreeMap;

/// One event. `status`, `id` and `from` stand in it for clients before 1.52 only, and only for the kinds that ever had them.
#[derive(Debug, Serialize)]
pub struct Event<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<&'a str>,
    #[serde(rename = "Type")]
    pub kind: &'a str,
    #[serde(rename = "Action")]
    pub action: &'a str,
    #[serde(rename = "Actor")]
    pub actor: Actor<'a>,
    pub scope: &'a str,
    /// Unix seconds.
    pub time: i64,
    #[serde(rename = "timeNano")]
    pub time_nano: i64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Actor<'a> {
    #[serde(rename = "ID")]
    pub id: &'a str,
    pub attributes: &'a BTreeMap<String, String>,
}
