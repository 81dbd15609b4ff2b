//! Mirrors of network endpoints: as asked for and as they are.

use super::mirror;
use lighter_domain::config::EndpointConfig;
use lighter_domain::container::EndpointStatus;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

mirror! {
    EndpointConfig => EndpointConfigDef,
    EndpointStatus => EndpointStatusDef,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "EndpointConfig", rename_all = "camelCase", default = "Default::default")]
struct EndpointConfigDef {
    ipv4_address: Option<Ipv4Addr>,
    ipv6_address: Option<Ipv6Addr>,
    link_local_ips: Vec<String>,
    links: Vec<String>,
    aliases: Vec<String>,
    mac_address: Option<String>,
    driver_opts: BTreeMap<String, String>,
    gw_priority: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "EndpointStatus", rename_all = "camelCase")]
struct EndpointStatusDef {
    #[serde(default)]
    network_id: String,
    #[serde(default)]
    endpoint_id: String,
    #[serde(default)]
    gateway: Option<IpAddr>,
    #[serde(default)]
    ip: Option<IpAddr>,
    #[serde(default)]
    prefix_len: u8,
    #[serde(default)]
    ipv6_gateway: Option<Ipv6Addr>,
    #[serde(default)]
    ipv6: Option<Ipv6Addr>,
    #[serde(default)]
    ipv6_prefix_len: u8,
    #[serde(default)]
    mac: String,
}
