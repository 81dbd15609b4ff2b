//! Which network this daemon has, and whether the bridge of that name is its own. Asked when the daemon starts
//! and whenever the bridge may have to be made.

use std::io;
use std::net::Ipv4Addr;

use crate::addr::{Ipv4Net, MacAddr};
use crate::error::NetworkError;
use crate::leases::random_id;
use crate::links::{self, Link};
use crate::netlink::Netlink;
use crate::networks::BridgeConfig;
use crate::pools;
use crate::state::{self, Remembered};

pub(crate) fn kernel(what: impl Into<String>) -> impl FnOnce(io::Error) -> NetworkError {
    move |error| NetworkError::kernel(what, error)
}

fn fresh(subnet: Ipv4Net) -> Remembered {
    Remembered { network_id: random_id(), subnet }
}

/// A bridge's fixed hardware address, the same for the network's whole life.
pub(crate) fn bridge_mac(network_id: &str) -> MacAddr {
    let mut bytes = [0x02, 0x42, 0, 0, 0, 0];
    // A remembered id that is not hexadecimal only makes a duller address.
    let _ = hex::decode_to_slice(network_id.get(..8).unwrap_or_default(), &mut bytes[2..]);
    MacAddr(bytes)
}

pub(crate) fn named(owner: String) -> String {
    if owner.is_empty() { "unknown owner".to_owned() } else { owner }
}

/// Everything that a new subnet must keep clear of.
pub(crate) fn taken(nl: &mut Netlink, config: &BridgeConfig) -> Result<Vec<Ipv4Net>, NetworkError> {
    let mut taken = links::routes(nl).map_err(kernel("list routes"))?;
    taken.extend(links::addresses(nl).map_err(kernel("list addresses"))?.into_iter().map(|(_, _, net)| net));
    taken.extend_from_slice(&config.avoid);
    Ok(taken)
}

/// The bridge `name`, if it exists and is ours: by its alias, or by the hardware address that goes with the network.
pub(crate) fn find_bridge(
    nl: &mut Netlink,
    name: &str,
    alias: &str,
    network_id: Option<&str>,
) -> Result<Option<Link>, NetworkError> {
    let Some(link) = links::by_name(nl, name).map_err(kernel(format!("look for {name}")))? else {
        return Ok(None);
    };
    let mac_is_ours = network_id.is_some_and(|id| link.mac == bridge_mac(id).0);
    if link.kind == "bridge" && (link.alias == alias || mac_is_ours) {
        return Ok(Some(link));
    }
    let owner = if link.kind == "bridge" { named(link.alias) } else { format!("a {} interface", link.kind) };
    Err(NetworkError::BridgeTaken { name: name.to_owned(), owner })
}

/// Which network this daemon has: the remembered one, the one of a bridge of ours that is still there though
/// the memory is gone, or a new one.
pub(crate) fn settle(nl: &mut Netlink, config: &BridgeConfig, owner: &str) -> Result<Remembered, NetworkError> {
    let remembered = state::load(&config.state_dir)?;
    let id = remembered.as_ref().map(|network| network.network_id.as_str());
    let bridge = find_bridge(nl, &config.bridge, owner, id)?;
    let network = match (remembered, bridge) {
        (Some(network), Some(_)) => return Ok(network),
        (Some(network), None) => {
            let taken = taken(nl, config)?;
            if !taken.iter().any(|net| net.overlaps(&network.subnet)) {
                return Ok(network);
            }
            let subnet = pools::pick(&config.default_pools(), &taken).ok_or(NetworkError::NoFreeSubnet)?;
            tracing::warn!(old = %network.subnet, new = %subnet, "the host uses our subnet now: moving");
            Remembered { subnet, ..network }
        }
        (None, Some(link)) => {
            let addresses = links::addresses(nl).map_err(kernel("list addresses"))?;
            let gateway = |net: &Ipv4Net, ip: &Ipv4Addr| net.nth(1) == Some(*ip) && net.prefix() <= 30;
            let own = addresses.iter().find(|(index, ip, net)| *index == link.index && gateway(net, ip));
            match own {
                Some((_, _, subnet)) => fresh(*subnet),
                None => fresh(pools::pick(&config.default_pools(), &taken(nl, config)?).ok_or(NetworkError::NoFreeSubnet)?),
            }
        }
        (None, None) => fresh(pools::pick(&config.default_pools(), &taken(nl, config)?).ok_or(NetworkError::NoFreeSubnet)?),
    };
    state::save(&config.state_dir, &network)?;
    tracing::info!(subnet = %network.subnet, bridge = config.bridge, "subnet of the default network chosen");
    Ok(network)
}
