//! Networks, and a container's place on them.

use lighter_core::NetworkView;
use lighter_domain::EndpointConfig;
use lighter_domain::container::EndpointStatus;
use lighter_domain::network::{self as domain, IpamPool};
use lighter_wire::GoTime;
use lighter_wire::network::{ConfigFrom, EndpointIpamConfig, EndpointResource, EndpointSettings, Ipam, IpamConfig, Network};
use std::collections::BTreeMap;
use std::net::IpAddr;

pub fn network(view: NetworkView) -> Network {
    let NetworkView { network, containers } = view;
    let domain::Network {
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
    } = (*network).clone();
    let resource = |c: &lighter_domain::Container| {
        let at = c.networks.get(&name)?;
        let ipv4 = at.ip.map(|ip| format!("{ip}/{}", at.prefix_len)).unwrap_or_default();
        Some(EndpointResource {
            name: c.name.clone(),
            endpoint_id: at.endpoint_id.clone(),
            mac_address: at.mac.clone(),
            ipv4_address: ipv4,
            ipv6_address: at.ipv6.map(|ip| format!("{ip}/{}", at.ipv6_prefix_len)).unwrap_or_default(),
        })
    };
    let containers: BTreeMap<String, EndpointResource> =
        containers.iter().filter_map(|c| Some((c.id.as_str().to_owned(), resource(c)?))).collect();
    let domain::Ipam { driver: ipam_driver, options: ipam_options, pools } = ipam;
    let config: Vec<IpamConfig> = pools.into_iter().map(pool).collect();
    Network {
        id,
        created: GoTime(Some(created_at)),
        scope: "local",
        enable_ipv4,
        enable_ipv6,
        ipam: Ipam { driver: ipam_driver, options: ipam_options, config: (!config.is_empty()).then_some(config) },
        internal,
        attachable,
        ingress: false,
        config_from: ConfigFrom::default(),
        config_only: false,
        containers,
        options,
        labels,
        name,
        driver,
    }
}

fn pool(pool: IpamPool) -> IpamConfig {
    let IpamPool { subnet, ip_range, gateway, aux_addresses } = pool;
    IpamConfig {
        subnet: subnet.to_string(),
        ip_range: ip_range.map(|range| range.to_string()),
        gateway: gateway.map(|ip| ip.to_string()),
        aux_addresses: aux_addresses.into_iter().map(|(name, ip)| (name, ip.to_string())).collect(),
    }
}

/// What a container asked of a network and what it got there.
pub fn endpoint(asked: Option<&EndpointConfig>, got: &EndpointStatus) -> EndpointSettings {
    let EndpointStatus { network_id, endpoint_id, gateway, ip, prefix_len, ipv6_gateway, ipv6, ipv6_prefix_len, mac } = got;
    let text = |ip: Option<IpAddr>| ip.map(|ip| ip.to_string()).unwrap_or_default();
    let asked = asked.cloned().unwrap_or_default();
    let EndpointConfig { ipv4_address, ipv6_address, link_local_ips, links, aliases, mac_address, driver_opts, gw_priority } =
        asked;
    let list = |v: Vec<String>| (!v.is_empty()).then_some(v);
    let fixed = ipv4_address.is_some() || ipv6_address.is_some() || !link_local_ips.is_empty();
    EndpointSettings {
        ipam_config: fixed.then(|| EndpointIpamConfig {
            ipv4_address: ipv4_address.map(|a| a.to_string()).unwrap_or_default(),
            ipv6_address: ipv6_address.map(|a| a.to_string()).unwrap_or_default(),
            link_local_ips: list(link_local_ips),
        }),
        links: list(links),
        aliases: list(aliases),
        mac_address: if mac.is_empty() { mac_address.unwrap_or_default() } else { mac.clone() },
        driver_opts: (!driver_opts.is_empty()).then_some(driver_opts),
        gw_priority,
        network_id: network_id.clone(),
        endpoint_id: endpoint_id.clone(),
        gateway: text(*gateway),
        ip_address: text(*ip),
        ip_prefix_len: i64::from(*prefix_len),
        ipv6_gateway: text(ipv6_gateway.map(IpAddr::V6)),
        global_ipv6_address: text(ipv6.map(IpAddr::V6)),
        global_ipv6_prefix_len: i64::from(*ipv6_prefix_len),
        dns_names: None,
    }
}
