//! What a container may ask of its networks: checked before anything is made, in dockerd's words.

use super::{BRIDGE, find, is_predefined};
use lighter_domain::container::EndpointStatus;
use lighter_domain::{ContainerConfig, EndpointConfig, Error, HostConfig, Network, Result};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// The driver option that sets sysctls of an interface.
const SYSCTLS: &str = "com.docker.network.endpoint.sysctls";

const SHARED: &str =
    "container sharing network namespace with another container or host cannot be connected to any other network";
const PRIVATE: &str = "container cannot be connected to multiple networks with one of the networks in private (none) mode";
const OUTSIDE_HOST: &str = "cannot connect container to host network - container must be created in host network mode";

/// A new container's networks, by name: what it asks of each, and that it is on none of them yet.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub endpoints: BTreeMap<String, EndpointConfig>,
    pub networks: BTreeMap<String, EndpointStatus>,
}

/// Checks what a new container asks of its networks. A network may be named by its id; one that is not there yet keeps the name
/// that it was given, and is looked for at the start. `config` is as the client sent it, without the image's ports.
pub(crate) fn settle(
    all: &[Arc<Network>],
    config: &ContainerConfig,
    host: &HostConfig,
    endpoints: BTreeMap<String, EndpointConfig>,
) -> Result<Asked> {
    check_modes(config, host)?;
    lighter_domain::ports::wanted(config, host)?;
    let mode = canonical(all, &host.network_mode);
    if host.network_mode.starts_with("container:") {
        return match endpoints.keys().find(|name| **name != host.network_mode) {
            Some(_) => Err(Error::invalid(SHARED)),
            None => Ok(Asked::default()),
        };
    }
    let mut asked = Asked::default();
    for (reference, endpoint) in endpoints {
        let name = canonical(all, &reference);
        let network = find(all, &name).ok().map(Arc::as_ref);
        check(&name, network, &endpoint)
            .map_err(|why| Error::invalid(format!("invalid config for network {reference}: {why}")))?;
        asked.networks.insert(name.clone(), EndpointStatus::default());
        asked.endpoints.insert(name, endpoint);
    }
    if asked.networks.is_empty() {
        asked.networks.insert(mode.clone(), EndpointStatus::default());
    }
    give_address(config, &mode, &mut asked)?;
    let names: Vec<&str> = asked.networks.keys().map(String::as_str).collect();
    check_company(&names, &mode)?;
    Ok(asked)
}

/// The name of a container's main network: its mode, if it is on that.
pub(crate) fn main(networks: &BTreeMap<String, EndpointStatus>, mode: &str) -> String {
    match mode {
        "" | "default" => BRIDGE.to_owned(),
        mode if networks.contains_key(mode) || networks.len() != 1 => mode.to_owned(),
        _ => networks.keys().next().cloned().unwrap_or_default(),
    }
}

/// The name of the network that is meant; as it is, if there is none.
fn canonical(all: &[Arc<Network>], reference: &str) -> String {
    match reference {
        "" | "default" => BRIDGE.to_owned(),
        "none" | "host" => reference.to_owned(),
        other => find(all, other).map_or_else(|_| other.to_owned(), |network| network.name.clone()),
    }
}

/// `MacAddress` of the container as a whole, from before endpoints had one: that of its main network.
fn give_address(config: &ContainerConfig, main: &str, asked: &mut Asked) -> Result<()> {
    let Some(mac) = config.mac_address.as_ref().filter(|mac| !mac.is_empty()) else { return Ok(()) };
    check_mac(mac).map_err(Error::invalid)?;
    if !asked.networks.contains_key(main) {
        return Ok(());
    }
    let own = &mut asked.endpoints.entry(main.to_owned()).or_default().mac_address;
    if own.as_ref().is_some_and(|own| own != mac) {
        let text = "the container-wide MAC address must match the endpoint-specific MAC address for the main network, \
                    or be left empty";
        return Err(Error::invalid(text));
    }
    *own = Some(mac.clone());
    Ok(())
}

/// Options that contradict the network mode.
fn check_modes(config: &ContainerConfig, host: &HostConfig) -> Result<()> {
    let mode = host.network_mode.as_str();
    let conflict = |what: &str| Err(Error::invalid(format!("conflicting options: {what}")));
    let mac = config.mac_address.as_ref().is_some_and(|mac| !mac.is_empty());
    if mode == "host" && !host.links.is_empty() {
        return conflict("host type networking can't be used with links. This would result in undefined behavior");
    }
    if (mode == "host" || mode.starts_with("container:")) && mac {
        return conflict("mac-address and the network mode");
    }
    let Some(peer) = mode.strip_prefix("container:") else { return Ok(()) };
    if peer.is_empty() {
        return Err(Error::invalid("invalid network mode: invalid container format container:<name|id>"));
    }
    let published = host.publish_all_ports || !host.port_bindings.is_empty();
    let contradictions = [
        (!config.hostname.is_empty(), "hostname and the network mode"),
        (!host.links.is_empty(), "container type network can't be used with links. This would result in undefined behavior"),
        (!host.dns.is_empty(), "dns and the network mode"),
        (!host.extra_hosts.is_empty(), "custom host-to-IP mapping and the network mode"),
        (published, "port publishing and the container type network mode"),
        (!config.exposed_ports.is_empty(), "port exposing and the container type network mode"),
    ];
    match contradictions.into_iter().find(|(contradicts, _)| *contradicts) {
        Some((_, what)) => conflict(what),
        None => Ok(()),
    }
}

/// Which networks go together; `mode` is the container's network mode.
pub(crate) fn check_company(names: &[&str], mode: &str) -> Result<()> {
    if mode.starts_with("container:") {
        return if names.is_empty() { Ok(()) } else { Err(Error::invalid(SHARED)) };
    }
    if mode != "host" && names.contains(&"host") {
        return Err(Error::invalid(OUTSIDE_HOST));
    }
    if names.len() < 2 {
        return Ok(());
    }
    if names.contains(&"host") {
        return Err(Error::invalid(SHARED));
    }
    if names.contains(&"none") {
        return Err(Error::invalid(PRIVATE));
    }
    Ok(())
}

/// What is wrong with what is asked of the network called `name`, which need not be there yet.
pub(crate) fn check(name: &str, network: Option<&Network>, asked: &EndpointConfig) -> Result<(), String> {
    // Every field, so that a new one cannot be forgotten. Links are looked at when their containers are known.
    let EndpointConfig {
        ipv4_address,
        ipv6_address,
        link_local_ips,
        links: _,
        aliases,
        mac_address,
        driver_opts,
        gw_priority: _,
    } = asked;
    let fixed: Vec<IpAddr> = ipv4_address.map(IpAddr::V4).into_iter().chain(ipv6_address.map(IpAddr::V6)).collect();
    let mut wrong = Vec::new();
    if is_predefined(name) {
        if !fixed.is_empty() {
            wrong.push("user specified IP address is supported on user defined networks only".to_owned());
        }
        if !aliases.is_empty() {
            wrong.push("network-scoped alias is supported only for containers in user defined networks".to_owned());
        }
    }
    for ip in fixed.iter().filter(|ip| ip.is_unspecified()) {
        wrong.push(format!("invalid {} address: {ip}", if ip.is_ipv4() { "IPv4" } else { "IPv6" }));
    }
    for text in link_local_ips
        .iter()
        .filter(|text| text.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified()) || text.parse::<IpAddr>().is_err())
    {
        wrong.push(format!("invalid link-local IP address: {text}"));
    }
    if let Some(network) = network.filter(|_| !is_predefined(name)) {
        let outside = |ip: &&IpAddr| !network.ipam.pools.iter().any(|pool| pool.subnet.contains(*ip));
        let text = |ip: &IpAddr| format!("no configured subnet or ip-range contain the IP address {ip}");
        wrong.extend(fixed.iter().filter(outside).map(text));
    }
    if let Some(mac) = mac_address {
        check_mac(mac)?;
    }
    wrong.extend(driver_opts.get(SYSCTLS).into_iter().flat_map(|all| all.split(',')).filter_map(odd_sysctl));
    match wrong.as_slice() {
        [] => Ok(()),
        [one] => Err(format!("invalid endpoint settings:\n{one}")),
        many => Err(format!("invalid endpoint settings:\n* {}", many.join("\n* "))),
    }
}

fn odd_sysctl(sysctl: &str) -> Option<String> {
    let parts: Vec<&str> = sysctl.splitn(5, '.').collect();
    let known = matches!(parts[..], [_, "ipv4" | "ipv6" | "mpls", _, "IFNAME" | "ifname", _]);
    (!known).then(|| {
        format!(
            "unrecognised network interface sysctl '{sysctl}'; represent 'net.X.Y.ethN.Z=V' as 'net.X.Y.IFNAME.Z=V', \
             'X' must be 'ipv4', 'ipv6' or 'mpls'"
        )
    })
}

/// Six bytes in hexadecimal, with colons or hyphens between them.
fn check_mac(mac: &str) -> Result<(), String> {
    let separator = if mac.contains('-') { '-' } else { ':' };
    let bytes: Vec<&str> = mac.split(separator).collect();
    let byte = |b: &&str| b.len() == 2 && b.bytes().all(|c| c.is_ascii_hexdigit());
    if bytes.len() == 6 && bytes.iter().all(byte) { Ok(()) } else { Err(format!("invalid MAC address {mac}")) }
}
