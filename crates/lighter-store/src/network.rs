//! Rows of `networks`: a mirror of the engine's networks for other programs. `connectedContainerIDs` is kept by triggers.

use crate::{Result, StoreError, timestamp};
use lighter_domain::Network;
use lighter_domain::network::IpamPool;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnection;
use std::sync::Arc;
use uuid::Uuid;

const PUT: &str = "\
INSERT INTO networks (name, subnet, createdAt, updatedAt, networkId, driver, gateway, internal, attachable, ipv4, ipv6, \
 addressPools, options, labels, id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
ON CONFLICT (id) DO UPDATE SET name = excluded.name, subnet = excluded.subnet, createdAt = excluded.createdAt, \
 networkId = excluded.networkId, driver = excluded.driver, gateway = excluded.gateway, internal = excluded.internal, \
 attachable = excluded.attachable, ipv4 = excluded.ipv4, ipv6 = excluded.ipv6, addressPools = excluded.addressPools, \
 options = excluded.options, labels = excluded.labels";

/// Who is on each network, from the containers; for rows that were not there when the containers' were written.
const MEMBERS: &str = "\
UPDATE networks SET connectedContainerIDs = (SELECT json_group_array(id) FROM \
 (SELECT c.id FROM containers c, json_each(c.networkIds) n WHERE n.value = networks.networkId ORDER BY c.createdAt, c.id))";

pub(crate) async fn put(connection: &mut SqliteConnection, network: &Network) -> Result<u64> {
    // Every field, so that a new one cannot be forgotten.
    let Network {
        id,
        name,
        driver,
        created_at,
        enable_ipv4,
        enable_ipv6,
        internal,
        attachable,
        ipam,
        options,
        labels,
        builtin: _,
        config_only: _,
        config_from: _,
    } = network;
    let first = ipam.pools.first();
    let pools: Vec<Value> = ipam.pools.iter().map(pool).collect();
    let done = sqlx::query(PUT)
        .bind(name.as_str())
        .bind(first.map(|p| p.subnet.to_string()))
        .bind(timestamp::format(*created_at))
        .bind(timestamp::format(*created_at))
        .bind(id.as_str())
        .bind(driver.as_str())
        .bind(first.and_then(|p| p.gateway).map(|ip| ip.to_string()))
        .bind(*internal)
        .bind(*attachable)
        .bind(*enable_ipv4)
        .bind(*enable_ipv6)
        .bind(Value::from(pools).to_string())
        .bind(json!(options).to_string())
        .bind(json!(labels).to_string())
        .bind(row_id(id)?.to_string())
        .execute(connection)
        .await
        .map_err(StoreError::sql("writing a network"))?;
    Ok(done.rows_affected())
}

fn pool(pool: &IpamPool) -> Value {
    let IpamPool { subnet, ip_range, gateway, aux_addresses } = pool;
    json!({
        "subnet": subnet.to_string(),
        "ipRange": ip_range.map(|r| r.to_string()),
        "gateway": gateway.map(|ip| ip.to_string()),
        "auxAddresses": aux_addresses,
    })
}

/// The first 32 of the id's 64 digits.
fn row_id(id: &str) -> Result<Uuid> {
    let half = id.get(..32).and_then(|half| Uuid::try_parse(half).ok());
    half.ok_or(StoreError::Invalid { entity: "network", reason: "its id is not 64 hexadecimal digits" })
}

pub(crate) async fn delete(connection: &mut SqliteConnection, id: &str) -> Result<u64> {
    let deleted = sqlx::query("DELETE FROM networks WHERE networkId = ?").bind(id).execute(connection).await;
    Ok(deleted.map_err(StoreError::sql("deleting a network"))?.rows_affected())
}

pub(crate) async fn sync(connection: &mut SqliteConnection, networks: &[Arc<Network>]) -> Result<u64> {
    let mut rows = 0;
    for network in networks {
        rows += put(connection, network).await?;
    }
    let ids: Vec<&str> = networks.iter().map(|n| n.id.as_str()).collect();
    let gone = "DELETE FROM networks WHERE networkId IS NULL OR networkId NOT IN (SELECT value FROM json_each(?))";
    let gone = sqlx::query(gone).bind(json!(ids).to_string()).execute(&mut *connection).await;
    rows += gone.map_err(StoreError::sql("deleting networks"))?.rows_affected();
    sqlx::query(MEMBERS).execute(connection).await.map_err(StoreError::sql("writing who is on which network"))?;
    Ok(rows)
}
