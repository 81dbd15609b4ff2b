//! Mirrors of what health checks found.

use super::{mirror, nested};
use crate::timestamp;
use lighter_domain::health::{Health, HealthResult, HealthStatus};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::OffsetDateTime;

mirror! {
    Health => HealthDef,
    HealthResult => HealthResultDef,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Health", rename_all = "camelCase")]
struct HealthDef {
    #[serde(serialize_with = "write_status", deserialize_with = "read_status")]
    status: HealthStatus,
    #[serde(default)]
    failing_streak: u32,
    #[serde(with = "nested", default)]
    log: Vec<HealthResult>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "HealthResult", rename_all = "camelCase")]
struct HealthResultDef {
    #[serde(serialize_with = "write_time", deserialize_with = "read_time")]
    start: OffsetDateTime,
    #[serde(serialize_with = "write_time", deserialize_with = "read_time")]
    end: OffsetDateTime,
    exit_code: i32,
    #[serde(default)]
    output: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn write_status<S: Serializer>(status: &HealthStatus, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(status.as_str())
}

fn read_status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HealthStatus, D::Error> {
    let text = String::deserialize(deserializer)?;
    HealthStatus::parse(&text).ok_or_else(|| de::Error::custom(format!("unknown health status {text:?}")))
}

fn write_time<S: Serializer>(at: &OffsetDateTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&timestamp::format(*at))
}

fn read_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<OffsetDateTime, D::Error> {
    let text = String::deserialize(deserializer)?;
    timestamp::parse(&text).ok_or_else(|| de::Error::custom(format!("{text:?} is no date")))
}
