//! Networks, and a container's place on them.

use crate::failure::Failure;
use crate::shapes::Shapes;
use ipnet::IpNet;
use lighter_core::{CreateNetwork, NetworkView};
use lighter_domain::container::EndpointStatus;
use lighter_domain::network::{self as domain, IpamPool, dns_names};
use lighter_domain::{Container, EndpointConfig};
use lighter_wire::GoTime;
use lighter_wire::network as wire;
use lighter_wire::network::{ConfigFrom, EndpointIpamConfig, EndpointResource, EndpointSettings, Ipam, IpamConfig, Network};
use std::collections::{BTreeMap, BTreeSet};
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
        config_only,
        config_from,
    } = (*network).clone();
    let resource = |c: &Container| {
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
        config_from: ConfigFrom { network: config_from },
        config_only,
        containers: Some(containers),
        options,
        labels,
        status: None,
        name,
        driver,
    }
}

/// How many addresses of a network are used, and how many it can give.
pub fn status(view: &NetworkView) -> wire::NetworkStatus {
    let network = &view.network;
    let at = view.containers.iter().filter_map(|c| c.networks.get(&network.name));
    let endpoints: Vec<IpAddr> = at.flat_map(|at| at.ip.into_iter().chain(at.ipv6.map(IpAddr::V6))).collect();
    let of = |pool: &IpamPool| {
        let reserved = [Some(pool.subnet.network()), pool.gateway, Some(pool.subnet.broadcast()).filter(IpAddr::is_ipv4)];
        let taken = reserved.into_iter().flatten().chain(pool.aux_addresses.values().copied()).chain(endpoints.iter().copied());
        let used: BTreeSet<IpAddr> = taken.filter(|ip| pool.subnet.contains(ip)).collect();
        let range = pool.ip_range.unwrap_or(pool.subnet);
        let size = 1_u128.checked_shl(u32::from(range.max_prefix_len() - range.prefix_len())).unwrap_or(u128::MAX);
        let within = used.iter().filter(|ip| range.contains(*ip)).count() as u128;
        let available = u64::try_from(size.saturating_sub(within)).unwrap_or(u64::MAX);
        (pool.subnet.to_string(), wire::SubnetStatus { in_use: used.len() as u64, available })
    };
    wire::NetworkStatus { ipam: wire::IpamStatus { subnets: network.ipam.pools.iter().map(of).collect() } }
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
pub fn endpoint(c: &Container, network: &str, got: &EndpointStatus) -> EndpointSettings {
    let EndpointStatus { network_id, endpoint_id, gateway, ip, prefix_len, ipv6_gateway, ipv6, ipv6_prefix_len, mac } = got;
    let text = |ip: Option<IpAddr>| ip.map(|ip| ip.to_string()).unwrap_or_default();
    let asked = c.endpoints.get(network).cloned().unwrap_or_default();
    // Of networks that users made, once it was on them.
    let predefined = matches!(network, "bridge" | "host" | "none");
    let dns_names = (!predefined && !network_id.is_empty()).then(|| dns_names(c, network));
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
        dns_names,
    }
}

/// The body of a create request.
pub fn request(body: wire::Create, shapes: Shapes) -> Result<CreateNetwork, Failure> {
    let wire::Create {
        name,
        driver,
        scope,
        enable_ipv4,
        enable_ipv6,
        ipam,
        internal,
        attachable,
        ingress,
        config_only,
        config_from,
        options,
        labels,
    } = body;
    let wire::IpamRequest { driver: ipam_driver, options: ipam_options, config } = ipam.unwrap_or_default();
    let pools = pools(config.unwrap_or_default(), enable_ipv6.unwrap_or(false))?;
    let new = domain::NewNetwork {
        name,
        driver,
        enable_ipv4: enable_ipv4.filter(|_| shapes.network_ipv4_choice),
        enable_ipv6,
        internal,
        attachable,
        ipam: domain::Ipam { driver: ipam_driver, options: ipam_options, pools },
        options: options.unwrap_or_default(),
        labels: labels.unwrap_or_default(),
        config_only,
        config_from: config_from.unwrap_or_default().network,
    };
    Ok(CreateNetwork { new, scope, ingress })
}

/// All that is wrong is said at once, as dockerd does.
fn pools(asked: Vec<wire::PoolRequest>, ipv6: bool) -> Result<Vec<IpamPool>, Failure> {
    let mut wrong = Vec::new();
    let pools: Vec<IpamPool> = asked.into_iter().filter_map(|pool| asked_pool(pool, ipv6, &mut wrong)).collect();
    match wrong.as_slice() {
        [] => Ok(pools),
        [one] => Err(Failure::bad_request(format!("invalid network config:\n{one}"))),
        many => Err(Failure::bad_request(format!("invalid network config:\n* {}", many.join("\n* ")))),
    }
}

fn asked_pool(pool: wire::PoolRequest, ipv6: bool, wrong: &mut Vec<String>) -> Option<IpamPool> {
    let wire::PoolRequest { subnet: text, ip_range, gateway, aux_addresses } = pool;
    let Ok(subnet) = text.parse::<IpNet>() else {
        wrong.push(format!("invalid subnet {text}: invalid CIDR block notation"));
        return None;
    };
    // One that the network has no use for is not looked at.
    if matches!(subnet, IpNet::V6(_)) && !ipv6 {
        return Some(IpamPool { subnet: subnet.trunc(), ip_range: None, gateway: None, aux_addresses: BTreeMap::new() });
    }
    if subnet != subnet.trunc() {
        wrong.push(format!("invalid subnet {subnet}: it should be {}", subnet.trunc()));
    }
    let subnet = subnet.trunc();
    let ip_range = range_within(&ip_range, subnet, wrong);
    let mut address = |what: &str, text: &str| match address_within(text, subnet) {
        Ok(address) => address,
        Err(why) => {
            wrong.push(format!("invalid {what}: {why}"));
            None
        }
    };
    let gateway = address(&format!("gateway {gateway}"), &gateway);
    let mut aux = BTreeMap::new();
    for (name, text) in aux_addresses.unwrap_or_default() {
        if let Some(ip) = address(&format!("auxiliary address {name}"), &text) {
            aux.insert(name, ip);
        }
    }
    Some(IpamPool { subnet, ip_range, gateway, aux_addresses: aux })
}

fn family(net: IpNet) -> &'static str {
    match net {
        IpNet::V4(_) => "IPv4",
        IpNet::V6(_) => "IPv6",
    }
}

fn range_within(text: &str, subnet: IpNet, wrong: &mut Vec<String>) -> Option<IpNet> {
    if text.is_empty() {
        return None;
    }
    let Ok(range) = text.parse::<IpNet>() else {
        wrong.push(format!("invalid ip-range {text}: invalid CIDR block notation"));
        return None;
    };
    if family(range) != family(subnet) {
        wrong.push(format!("invalid ip-range {text}: parent subnet is an {} block", family(subnet)));
        return None;
    }
    if range.prefix_len() < subnet.prefix_len() {
        wrong.push(format!("invalid ip-range {text}: CIDR block is bigger than its parent subnet {subnet}"));
    }
    if range != range.trunc() {
        wrong.push(format!("invalid ip-range {range}: it should be {}", range.trunc()));
    }
    if !subnet.contains(&range) && !range.contains(&subnet) {
        wrong.push(format!("invalid ip-range {text}: parent subnet {subnet} doesn't contain ip-range"));
    }
    Some(range)
}

/// An empty text is none.
fn address_within(text: &str, subnet: IpNet) -> Result<Option<IpAddr>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let address: IpAddr = text.parse().map_err(|_| "invalid address".to_owned())?;
    if address.is_ipv4() != matches!(subnet, IpNet::V4(_)) {
        return Err(format!("parent subnet is an {} block", family(subnet)));
    }
    if !subnet.contains(&address) {
        return Err(format!("parent subnet {subnet} doesn't contain this address"));
    }
    Ok(Some(address))
}
