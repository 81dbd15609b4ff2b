//! Networks, their endpoints, and volumes' lists.

use crate::decode::go_struct;
use crate::time::GoTime;
use serde::Serialize;
use std::collections::BTreeMap;

go_struct! {
    pub struct EndpointIpamConfig as "network.EndpointIPAMConfig" {
        #[serde(skip_serializing_if = "String::is_empty")]
        "IPv4Address" ipv4_address: String,
        #[serde(skip_serializing_if = "String::is_empty")]
        "IPv6Address" ipv6_address: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        "LinkLocalIPs" link_local_ips: Option<Vec<String>>,
    }
}
go_struct! {
    /// One network of a container: what was asked, and where it is while it runs.
    pub struct EndpointSettings as "network.EndpointSettings" {
        "IPAMConfig" ipam_config: Option<EndpointIpamConfig>,
        "Links" links: Option<Vec<String>>,
        "Aliases" aliases: Option<Vec<String>>,
        "MacAddress" mac_address: String,
        "DriverOpts" driver_opts: Option<BTreeMap<String, String>>,
        "GwPriority" gw_priority: i64,
        "NetworkID" network_id: String,
        "EndpointID" endpoint_id: String,
        "Gateway" gateway: String,
        "IPAddress" ip_address: String,
        "IPPrefixLen" ip_prefix_len: i64,
        "IPv6Gateway" ipv6_gateway: String,
        "GlobalIPv6Address" global_ipv6_address: String,
        "GlobalIPv6PrefixLen" global_ipv6_prefix_len: i64,
        "DNSNames" dns_names: Option<Vec<String>>,
    }
}
go_struct! {
    pub struct NetworkingConfig as "network.NetworkingConfig" {
        "EndpointsConfig" endpoints_config: Option<BTreeMap<String, Option<EndpointSettings>>>,
    }
}

go_struct! {
    /// One pool of a create request.
    pub struct PoolRequest as "network.IPAMConfig" {
        "Subnet" subnet: String,
        "IPRange" ip_range: String,
        "Gateway" gateway: String,
        "AuxiliaryAddresses" aux_addresses: Option<BTreeMap<String, String>>,
    }
}
go_struct! {
    pub struct IpamRequest as "network.IPAM" {
        "Driver" driver: String,
        "Options" options: Option<BTreeMap<String, String>>,
        "Config" config: Option<Vec<PoolRequest>>,
    }
}
go_struct! {
    pub struct ConfigReference as "network.ConfigReference" {
        "Network" network: String,
    }
}
go_struct! {
    /// The body of `NetworkCreate`.
    pub struct Create as "network.CreateRequest" {
        "Name" name: String,
        "Driver" driver: String,
        "Scope" scope: String,
        "EnableIPv4" enable_ipv4: Option<bool>,
        "EnableIPv6" enable_ipv6: Option<bool>,
        "IPAM" ipam: Option<IpamRequest>,
        "Internal" internal: bool,
        "Attachable" attachable: bool,
        "Ingress" ingress: bool,
        "ConfigOnly" config_only: bool,
        "ConfigFrom" config_from: Option<ConfigReference>,
        "Options" options: Option<BTreeMap<String, String>>,
        "Labels" labels: Option<BTreeMap<String, String>>,
    }
}
go_struct! {
    /// The body of `NetworkConnect`.
    pub struct Connect as "network.ConnectOptions" {
        "Container" container: String,
        "EndpointConfig" endpoint_config: Option<EndpointSettings>,
    }
}
go_struct! {
    /// The body of `NetworkDisconnect`.
    pub struct Disconnect as "network.DisconnectOptions" {
        "Container" container: String,
        "Force" force: bool,
    }
}

/// `NetworkCreateResponse`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Created<'a> {
    pub id: &'a str,
    /// Always there, and empty for years.
    pub warning: &'static str,
}

/// `Network` and `NetworkInspect`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Network {
    pub name: String,
    pub id: String,
    pub created: GoTime,
    pub scope: &'static str,
    pub driver: String,
    #[serde(rename = "EnableIPv4")]
    pub enable_ipv4: bool,
    #[serde(rename = "EnableIPv6")]
    pub enable_ipv6: bool,
    #[serde(rename = "IPAM")]
    pub ipam: Ipam,
    pub internal: bool,
    pub attachable: bool,
    pub ingress: bool,
    pub config_from: ConfigFrom,
    pub config_only: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub containers: Option<BTreeMap<String, EndpointResource>>,
    pub options: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<NetworkStatus>,
}

#[derive(Debug, Serialize)]
pub struct NetworkStatus {
    #[serde(rename = "IPAM")]
    pub ipam: IpamStatus,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct IpamStatus {
    /// By subnet.
    pub subnets: BTreeMap<String, SubnetStatus>,
}

/// Addresses, up to the most that the number can say.
#[derive(Debug, Serialize)]
pub struct SubnetStatus {
    /// Reserved ones included.
    #[serde(rename = "IPsInUse")]
    pub in_use: u64,
    #[serde(rename = "DynamicIPsAvailable")]
    pub available: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Ipam {
    pub driver: String,
    pub options: Option<BTreeMap<String, String>>,
    pub config: Option<Vec<IpamConfig>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct IpamConfig {
    pub subnet: String,
    #[serde(rename = "IPRange", skip_serializing_if = "Option::is_none")]
    pub ip_range: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    #[serde(rename = "AuxiliaryAddresses", skip_serializing_if = "BTreeMap::is_empty")]
    pub aux_addresses: BTreeMap<String, String>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ConfigFrom {
    pub network: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct EndpointResource {
    pub name: String,
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    pub mac_address: String,
    #[serde(rename = "IPv4Address")]
    pub ipv4_address: String,
    #[serde(rename = "IPv6Address")]
    pub ipv6_address: String,
}

/// `NetworkPrune`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct NetworksPruned {
    pub networks_deleted: Option<Vec<String>>,
}
