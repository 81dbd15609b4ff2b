//! A whole container as rows: `containers` (summary columns and everything `inspect` needs) and `dockerShimMappings`.
//!
//! The writer puts and deletes; `Store::load_containers` reads all at start-up. One damaged row is reported beside the good
//! ones, because one container must not keep a daemon from seeing the others.

use crate::json::{self, Mirror};
use crate::run::Script;
use crate::{Result, StoreError, timestamp};
use lighter_domain::container::Container;
use lighter_domain::host_config::PortBinding;
use lighter_domain::{ContainerId, ContainerState, Exit, Health};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{FromRow, Row, ValueRef as _};
use std::collections::{BTreeMap, BTreeSet};
use time::OffsetDateTime;
use uuid::Uuid;

const TABLE: &str = "containers";

/// What could be read, and what could not.
#[derive(Debug)]
pub struct Loaded<T> {
    pub items: Vec<T>,
    pub problems: Vec<Problem>,
}

/// One row that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub table: &'static str,
    /// The row's id, as stored.
    pub id: String,
    pub reason: String,
}

/// Two statements.
const PUT: &str = "\
INSERT INTO containers (name, image, status, ports, createdAt, updatedAt, imageId, state, pid, shimId, path, args, config, \
 hostConfig, networkingConfig, networks, networkIds, volumeMounts, startedAt, finishedAt, exitCode, oomKilled, error, \
 restartCount, manuallyStopped, platform, health, id) \
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
ON CONFLICT (id) DO UPDATE SET name = excluded.name, image = excluded.image, status = excluded.status, ports = excluded.ports, \
 createdAt = excluded.createdAt, updatedAt = excluded.updatedAt, imageId = excluded.imageId, state = excluded.state, \
 pid = excluded.pid, shimId = excluded.shimId, path = excluded.path, args = excluded.args, config = excluded.config, \
 hostConfig = excluded.hostConfig, networkingConfig = excluded.networkingConfig, networks = excluded.networks, \
 networkIds = excluded.networkIds, volumeMounts = excluded.volumeMounts, startedAt = excluded.startedAt, \
 finishedAt = excluded.finishedAt, exitCode = excluded.exitCode, oomKilled = excluded.oomKilled, error = excluded.error, \
 restartCount = excluded.restartCount, manuallyStopped = excluded.manuallyStopped, platform = excluded.platform, \
 health = excluded.health; \
INSERT INTO dockerShimMappings (containerId, shimContainerId, engineContainerId, apiVersion, unsupportedFlags, lastAccessedAt) \
VALUES (?, ?, ?, ?, ?, ?) \
ON CONFLICT (containerId) DO UPDATE SET shimContainerId = excluded.shimContainerId, \
 engineContainerId = excluded.engineContainerId, apiVersion = excluded.apiVersion, unsupportedFlags = excluded.unsupportedFlags";

const SELECT: &str = "\
SELECT c.id, c.name, c.createdAt, c.updatedAt, c.imageId, c.state, c.pid, c.shimId, c.path, c.args, c.config, c.hostConfig, \
 c.networkingConfig, c.networks, c.volumeMounts, c.startedAt, c.finishedAt, c.exitCode, c.oomKilled, c.error, c.restartCount, \
 c.manuallyStopped, c.platform, c.health, m.apiVersion, m.unsupportedFlags \
FROM containers c LEFT JOIN dockerShimMappings m ON m.containerId = c.id \
WHERE c.shimId IS NOT NULL AND (?1 IS NULL OR c.id = ?1) ORDER BY c.createdAt, c.id";

/// Inserts or updates; runs inside the writer's transaction.
pub(crate) fn put(script: &mut Script, container: &Container) -> Result<()> {
    // Every field, so that a new one cannot be forgotten.
    let Container {
        uuid,
        id,
        name,
        created_at,
        updated_at,
        image_id,
        path,
        args,
        config,
        host_config,
        endpoints,
        networks,
        // The engine's to tell.
        ports: _,
        mounts,
        state,
        started_at,
        exit,
        health,
        error,
        restart_count,
        manually_stopped,
        platform,
        api_version,
        unsupported_flags,
    } = container;
    if uuid.is_nil() {
        return Err(StoreError::Invalid { entity: "container", reason: "it has no id" });
    }
    let uuid = uuid.to_string();
    let network_ids: BTreeSet<&str> = networks.values().map(|n| n.network_id.as_str()).filter(|n| !n.is_empty()).collect();
    let exit = exit.as_ref().map(|Exit { code, oom_killed, finished_at }| (*code, *oom_killed, timestamp::format(*finished_at)));
    let (exit_code, oom_killed, finished_at) = match exit {
        Some((code, oom, at)) => (Some(code), Some(oom), Some(at)),
        None => (None, None, None),
    };
    script.add(PUT, 2);
    script
        .bind(name.as_str())?
        .bind(config.image.as_str())?
        .bind(state.summary_status().as_str())?
        .bind(plain(&published(&host_config.port_bindings))?)?
        .bind(timestamp::format(*created_at))?
        .bind(timestamp::format(*updated_at))?
        .bind(image_id.as_str())?
        .bind(state.name())?
        .bind(state.pid())?
        .bind(id.as_str())?
        .bind(path.as_str())?
        .bind(plain(args)?)?
        .bind(mirrored(config)?)?
        .bind(mirrored(host_config)?)?
        .bind(mirrored(endpoints)?)?
        .bind(mirrored(networks)?)?
        .bind(plain(&network_ids)?)?
        .bind(mirrored(mounts)?)?
        .bind(started_at.map(timestamp::format))?
        .bind(finished_at)?
        .bind(exit_code)?
        .bind(oom_killed)?
        .bind(error.as_str())?
        .bind(*restart_count)?
        .bind(*manually_stopped)?
        .bind(platform.as_str())?
        .bind(health.as_ref().map(mirrored).transpose()?)?
        .bind(uuid.as_str())?
        // The mapping. The engines of today know a container by the id that clients see.
        .bind(uuid.as_str())?
        .bind(id.as_str())?
        .bind(id.as_str())?
        .bind(api_version.as_str())?
        .bind(plain(unsupported_flags)?)?
        .bind(timestamp::format(*updated_at))?;
    Ok(())
}

/// The newest health of a container; a container that is gone has none.
pub(crate) async fn put_health(connection: &mut SqliteConnection, uuid: Uuid, health: &Health) -> Result<u64> {
    let done = sqlx::query("UPDATE containers SET health = ? WHERE id = ?")
        .bind(mirrored(health)?)
        .bind(uuid.to_string())
        .execute(connection)
        .await
        .map_err(StoreError::sql("writing a container's health"))?;
    Ok(done.rows_affected())
}

/// Removes the row; mapping and stack memberships follow by cascade.
pub(crate) fn delete(script: &mut Script, uuid: Uuid) -> Result<()> {
    script.add("DELETE FROM containers WHERE id = ?", 1);
    script.bind(uuid.to_string()).map(drop)
}

pub(crate) async fn touch(connection: &mut SqliteConnection, uuid: Uuid, at: OffsetDateTime) -> Result<u64> {
    let done = sqlx::query("UPDATE dockerShimMappings SET lastAccessedAt = ? WHERE containerId = ?")
        .bind(timestamp::format(at))
        .bind(uuid.to_string())
        .execute(connection)
        .await
        .map_err(StoreError::sql("noting an access to a container"))?;
    Ok(done.rows_affected())
}

/// All whole containers, or the one asked for; oldest first. Bare summaries are passed over.
pub(crate) async fn load(pool: &sqlx::SqlitePool, only: Option<Uuid>) -> Result<Loaded<Container>> {
    let rows = sqlx::query(SELECT)
        .bind(only.map(|u| u.to_string()))
        .fetch_all(pool)
        .await
        .map_err(StoreError::sql("reading the containers"))?;
    let mut loaded = Loaded { items: Vec::with_capacity(rows.len()), problems: Vec::new() };
    for row in &rows {
        match read(row) {
            Ok(container) => loaded.items.push(container),
            Err(reason) => {
                let id = row.try_get_unchecked::<String, _>("id").unwrap_or_default();
                loaded.problems.push(Problem { table: TABLE, id, reason });
            }
        }
    }
    Ok(loaded)
}

fn plain<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|source| StoreError::Encode { table: TABLE, source })
}

fn mirrored<T: Mirror>(value: &T) -> Result<String> {
    json::to_text(value).map_err(|source| StoreError::Encode { table: TABLE, source })
}

/// `8080:80`, `127.0.0.1:53:53/udp`: the summary's form of published ports.
fn published(bindings: &BTreeMap<String, Vec<PortBinding>>) -> Vec<String> {
    let one = |port: &str, PortBinding { host_ip, host_port }: &PortBinding| {
        let port = port.strip_suffix("/tcp").unwrap_or(port);
        match host_ip.as_str() {
            "" => format!("{host_port}:{port}"),
            ip if ip.contains(':') => format!("[{ip}]:{host_port}:{port}"),
            ip => format!("{ip}:{host_port}:{port}"),
        }
    };
    bindings.iter().flat_map(|(port, hosts)| hosts.iter().map(move |host| one(port, host))).collect()
}

/// Columns that a later version added, so that the table cannot forbid NULL in them, and that this daemon always fills.
/// Checked by hand: the driver reads a NULL as an empty text or 0.
const FILLED: [&str; 13] = [
    "imageId",
    "state",
    "path",
    "args",
    "config",
    "hostConfig",
    "networkingConfig",
    "networks",
    "volumeMounts",
    "error",
    "restartCount",
    "manuallyStopped",
    "platform",
];

/// The row as it lies in the file.
#[derive(FromRow)]
#[sqlx(rename_all = "camelCase")]
struct ContainerRow {
    id: String,
    name: String,
    created_at: String,
    updated_at: String,
    image_id: String,
    state: String,
    pid: Option<u32>,
    shim_id: String,
    path: String,
    args: String,
    config: String,
    host_config: String,
    networking_config: String,
    networks: String,
    volume_mounts: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    exit_code: Option<i32>,
    oom_killed: Option<bool>,
    error: String,
    restart_count: u32,
    manually_stopped: bool,
    platform: String,
    health: Option<String>,
    api_version: Option<String>,
    unsupported_flags: Option<String>,
}

fn read(row: &SqliteRow) -> Result<Container, String> {
    for column in FILLED {
        if row.try_get_raw(column).map_err(|e| e.to_string())?.is_null() {
            return Err(format!("{column} is NULL"));
        }
    }
    let row = ContainerRow::from_row(row).map_err(|e| e.to_string())?;
    Ok(Container {
        uuid: Uuid::parse_str(&row.id).map_err(|e| format!("id: {e}"))?,
        id: ContainerId::parse(&row.shim_id).ok_or("shimId is not 64 hex digits")?,
        name: row.name,
        created_at: date("createdAt", &row.created_at)?,
        updated_at: date("updatedAt", &row.updated_at)?,
        image_id: row.image_id,
        path: row.path,
        args: list("args", &row.args)?,
        config: nested("config", &row.config)?,
        host_config: nested("hostConfig", &row.host_config)?,
        endpoints: nested("networkingConfig", &row.networking_config)?,
        networks: nested("networks", &row.networks)?,
        ports: BTreeMap::new(),
        mounts: nested("volumeMounts", &row.volume_mounts)?,
        state: state(&row.state, row.pid)?,
        started_at: row.started_at.map(|s| date("startedAt", &s)).transpose()?,
        exit: exit(row.exit_code, row.oom_killed, row.finished_at)?,
        health: row.health.map(|text| nested("health", &text)).transpose()?,
        error: row.error,
        restart_count: row.restart_count,
        manually_stopped: row.manually_stopped,
        platform: row.platform,
        api_version: row.api_version.ok_or("it has no row in dockerShimMappings")?,
        unsupported_flags: list("unsupportedFlags", row.unsupported_flags.as_deref().unwrap_or("[]"))?,
    })
}

fn date(column: &str, text: &str) -> Result<OffsetDateTime, String> {
    timestamp::parse(text).ok_or_else(|| format!("{column} is not a date"))
}

fn list(column: &str, text: &str) -> Result<Vec<String>, String> {
    serde_json::from_str(text).map_err(|e| format!("{column}: {e}"))
}

fn nested<T: Mirror>(column: &str, text: &str) -> Result<T, String> {
    json::from_text(text).map_err(|e| format!("{column}: {e}"))
}

/// The inverse of [`ContainerState::name`].
fn state(name: &str, pid: Option<u32>) -> Result<ContainerState, String> {
    let live = || pid.ok_or_else(|| format!("state {name} without a pid"));
    Ok(match name {
        "created" => ContainerState::Created,
        "starting" => ContainerState::Starting,
        "running" => ContainerState::Running { pid: live()? },
        "paused" => ContainerState::Paused { pid: live()? },
        "restarting" => ContainerState::Restarting,
        "stopped" => ContainerState::Exited,
        "removing" => ContainerState::Removing,
        "error" => ContainerState::Dead,
        _ => return Err(format!("unknown state {name:?}")),
    })
}

fn exit(code: Option<i32>, oom_killed: Option<bool>, finished_at: Option<String>) -> Result<Option<Exit>, String> {
    match (code, oom_killed, finished_at) {
        (None, None, None) => Ok(None),
        (Some(code), Some(oom_killed), Some(at)) => Ok(Some(Exit { code, oom_killed, finished_at: date("finishedAt", &at)? })),
        _ => Err("exitCode, oomKilled and finishedAt do not go together".to_owned()),
    }
}
