//! Which pools a network gets, and which addresses of them its endpoints have.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use lighter_domain::container::EndpointStatus;
use lighter_domain::id::random_hex64;
use lighter_domain::network::{Ipam, IpamPool};
use lighter_domain::{EndpointConfig, Error, Network, Result};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The pools of a new network: those that were asked for, and one for each family that is on and was given none.
pub(super) fn choose_pools(mut asked: Vec<IpamPool>, ipv4: bool, ipv6: bool, taken: &[IpNet]) -> Result<Vec<IpamPool>> {
    let overlaps = |net: &IpNet, others: &[IpNet]| others.iter().any(|other| other.contains(net) || net.contains(other));
    let mut seen = taken.to_vec();
    for pool in &mut asked {
        if overlaps(&pool.subnet, &seen) {
            return Err(Error::forbidden("invalid pool request: Pool overlaps with other one on this address space"));
        }
        seen.push(pool.subnet);
        pool.gateway = pool.gateway.or_else(|| pool.subnet.hosts().next());
    }
    let has = |asked: &[IpamPool], v6: bool| asked.iter().any(|pool| matches!(pool.subnet, IpNet::V6(_)) == v6);
    let defaults = [(ipv4 && !has(&asked, false), ipv4_candidates()), (ipv6 && !has(&asked, true), ipv6_candidates())];
    for (wanted, mut candidates) in defaults {
        if !wanted {
            continue;
        }
        let free = candidates.find(|net| !overlaps(net, &seen));
        let subnet = free.ok_or_else(|| Error::invalid("all predefined address pools have been fully subnetted"))?;
        seen.push(subnet);
        asked.push(IpamPool { subnet, ip_range: None, gateway: subnet.hosts().next(), aux_addresses: BTreeMap::new() });
    }
    asked.sort_by_key(|pool| matches!(pool.subnet, IpNet::V6(_)));
    Ok(asked)
}

/// Docker's own: 172.18.0.0/16 to 172.31.0.0/16, then 192.168.0.0/20 and on.
fn ipv4_candidates() -> Box<dyn Iterator<Item = IpNet>> {
    let large = (18..32).map(|b| Ipv4Net::new_assert(Ipv4Addr::new(172, b, 0, 0), 16));
    let small = (0..16).map(|b| Ipv4Net::new_assert(Ipv4Addr::new(192, 168, b * 16, 0), 20));
    Box::new(large.chain(small).map(IpNet::V4))
}

/// /64s of a unique local prefix.
fn ipv6_candidates() -> Box<dyn Iterator<Item = IpNet>> {
    Box::new((0..=u16::MAX).map(|n| IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfd4c, 0x6967, 0x6874, n, 0, 0, 0, 0), 64))))
}

/// The addresses of one network that are taken.
pub(super) struct Addresses {
    taken: HashSet<IpAddr>,
    /// How many addresses of a pool were looked at: an address that was given back is not the next one to be given.
    seen: HashMap<IpNet, usize>,
}

impl Addresses {
    /// Gateways and addresses of others are taken from the start.
    pub fn of(ipam: &Ipam) -> Self {
        let reserved = |pool: &IpamPool| {
            let ends = [pool.subnet.network(), pool.subnet.broadcast()];
            pool.aux_addresses.values().copied().chain(pool.gateway).chain(ends).collect::<Vec<_>>()
        };
        Self { taken: ipam.pools.iter().flat_map(reserved).collect(), seen: HashMap::new() }
    }

    /// An endpoint with the addresses that are asked for, or the first that are free.
    pub fn take(&mut self, network: &Network, asked: &EndpointConfig) -> Result<EndpointStatus> {
        let mut status =
            EndpointStatus { network_id: network.id.clone(), endpoint_id: random_hex64(), ..EndpointStatus::default() };
        if matches!(network.driver.as_str(), "host" | "null") {
            return Ok(status);
        }
        let v4 = network.ipam.pools.iter().find(|pool| matches!(pool.subnet, IpNet::V4(_))).filter(|_| network.enable_ipv4);
        if let Some(pool) = v4 {
            status.ip = Some(self.address(pool, asked.ipv4_address.map(IpAddr::V4))?);
            status.prefix_len = pool.subnet.prefix_len();
            status.gateway = pool.gateway.filter(|_| !network.internal);
        }
        let v6 = network.ipam.pools.iter().find(|pool| matches!(pool.subnet, IpNet::V6(_))).filter(|_| network.enable_ipv6);
        if let Some(pool) = v6 {
            let ip = match self.address(pool, asked.ipv6_address.map(IpAddr::V6)) {
                Ok(ip) => ip,
                Err(error) => {
                    self.give_back(&status);
                    return Err(error);
                }
            };
            status.ipv6 = as_v6(Some(ip));
            status.ipv6_prefix_len = pool.subnet.prefix_len();
            status.ipv6_gateway = as_v6(pool.gateway.filter(|_| !network.internal));
        }
        status.mac = match (&asked.mac_address, status.ip) {
            (Some(mac), _) => mac.replace('-', ":").to_lowercase(),
            (None, Some(IpAddr::V4(ip))) => {
                let [a, b, c, d] = ip.octets();
                format!("02:42:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
            }
            (None, _) => {
                let digits = &status.endpoint_id;
                let byte = |n: usize| digits.get(2 * n..2 * n + 2).unwrap_or("00");
                format!("02:42:{}:{}:{}:{}", byte(0), byte(1), byte(2), byte(3))
            }
        };
        Ok(status)
    }

    fn address(&mut self, pool: &IpamPool, asked: Option<IpAddr>) -> Result<IpAddr> {
        if let Some(ip) = asked {
            return if self.taken.insert(ip) { Ok(ip) } else { Err(Error::forbidden("Address already in use")) };
        }
        let seen = self.seen.entry(pool.subnet).or_default();
        let hosts = || pool.ip_range.unwrap_or(pool.subnet).hosts();
        let free = |from: usize| hosts().enumerate().skip(from).find(|(_, ip)| !self.taken.contains(ip));
        let (at, ip) = free(*seen).or_else(|| free(0)).ok_or_else(|| {
            let family = if pool.subnet.addr().is_ipv4() { "IPv4" } else { "IPv6" };
            Error::invalid(format!("no available {family} addresses on this network's address pools"))
        })?;
        *seen = at + 1;
        self.taken.insert(ip);
        Ok(ip)
    }

    pub fn give_back(&mut self, status: &EndpointStatus) {
        for ip in status.ip.into_iter().chain(status.ipv6.map(IpAddr::V6)) {
            self.taken.remove(&ip);
        }
    }
}

fn as_v6(ip: Option<IpAddr>) -> Option<Ipv6Addr> {
    match ip {
        Some(IpAddr::V6(ip)) => Some(ip),
        Some(IpAddr::V4(_)) | None => None,
    }
}
