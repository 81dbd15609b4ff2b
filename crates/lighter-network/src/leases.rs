//! Who has which address of one subnet. In memory only: after a restart the caller tells us which
//! containers live (`Networks::restore`), so there is no file to go stale.
//!
//! Addresses are handed out in rising order and start again from below at the end, as users know it from
//! dockerd: an address just given back is the last one to be used again, and so is no surprise to
//! whoever still talks to it. An address that is being given back stays taken until its interface is gone.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::addr::{Ipv4Net, MacAddr};
use crate::error::NetworkError;

/// A container's place on a network: what it is called there and where it can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The container's id, as the caller gave it.
    pub container_id: String,
    /// 64 hexadecimal digits, new for each endpoint.
    pub endpoint_id: String,
    /// 64 hexadecimal digits, the network's.
    pub network_id: String,
    /// The container's address.
    pub ip: Ipv4Addr,
    /// Prefix length of the subnet.
    pub prefix_len: u8,
    /// The container's default gateway: the bridge's address.
    pub gateway: Ipv4Addr,
    /// Address of the container's interface.
    pub mac: MacAddr,
    /// The interface's other end on the host, e.g. `veth1a2b3c4`.
    pub host_ifname: String,
    /// The interface within the container: `eth0`.
    pub ifname: String,
}

/// Name of the host's end of an endpoint's interface.
pub(crate) fn host_ifname(endpoint_id: &str) -> String {
    format!("veth{}", endpoint_id.get(..7).unwrap_or(endpoint_id))
}

/// 64 random hexadecimal digits.
pub(crate) fn random_id() -> String {
    hex::encode(rand::random::<[u8; 32]>())
}

#[derive(Debug)]
struct Slot {
    endpoint: Endpoint,
    releasing: bool,
}

/// The addresses of one subnet.
#[derive(Debug)]
pub(crate) struct Leases {
    network_id: String,
    subnet: Ipv4Net,
    gateway: Ipv4Addr,
    by_ip: BTreeMap<Ipv4Addr, Slot>,
    active: HashMap<String, Ipv4Addr>,
    last: u32,
}

impl Leases {
    /// No leases yet. The gateway, the network's and the broadcast address are never handed out.
    pub(crate) fn new(network_id: String, subnet: Ipv4Net, gateway: Ipv4Addr) -> Self {
        Self { network_id, subnet, gateway, by_ip: BTreeMap::new(), active: HashMap::new(), last: 0 }
    }

    fn usable(&self, ip: Ipv4Addr) -> bool {
        self.subnet.contains(ip) && ip != self.subnet.network() && ip != self.subnet.broadcast() && ip != self.gateway
    }

    fn free(&self, n: u32) -> Option<Ipv4Addr> {
        let ip = self.subnet.nth(n)?;
        (self.usable(ip) && !self.by_ip.contains_key(&ip)).then_some(ip)
    }

    /// The next free address for `container_id`.
    pub(crate) fn allocate(&mut self, container_id: &str) -> Result<Endpoint, NetworkError> {
        if let Some(&ip) = self.active.get(container_id) {
            return Err(NetworkError::AlreadyConnected { container_id: container_id.to_owned(), ip });
        }
        let end = u32::from(self.subnet.broadcast()) - u32::from(self.subnet.network());
        // Each step passes one used address at most, so this ends soon unless the subnet is nearly full.
        let n = (self.last + 1..=end)
            .chain(0..=self.last)
            .find(|&n| self.free(n).is_some())
            .ok_or(NetworkError::Exhausted { subnet: self.subnet })?;
        let ip = self.free(n).ok_or(NetworkError::Exhausted { subnet: self.subnet })?;
        self.last = n;
        Ok(self.insert(container_id, ip, self.fresh_id()))
    }

    /// Takes `ip` again for a container that had it before a restart. `endpoint_id` is what its
    /// interface is labelled with, if there is one.
    pub(crate) fn restore(
        &mut self,
        container_id: &str,
        ip: Ipv4Addr,
        endpoint_id: Option<String>,
    ) -> Result<Endpoint, NetworkError> {
        let refuse = |why| NetworkError::CannotRestore { container_id: container_id.to_owned(), ip, why };
        if !self.usable(ip) {
            return Err(refuse("it is not an address of this network"));
        }
        if let Some(slot) = self.by_ip.get(&ip) {
            let same = slot.endpoint.container_id == container_id && !slot.releasing;
            return if same { Ok(slot.endpoint.clone()) } else { Err(refuse("it is in use")) };
        }
        if self.active.contains_key(container_id) {
            return Err(refuse("the container has another one"));
        }
        self.last = self.last.max(u32::from(ip) - u32::from(self.subnet.network()));
        let endpoint_id = endpoint_id.unwrap_or_else(|| self.fresh_id());
        Ok(self.insert(container_id, ip, endpoint_id))
    }

    /// An endpoint id whose interface name is no other endpoint's: the name holds only 28 bits of it.
    fn fresh_id(&self) -> String {
        loop {
            let id = random_id();
            let name = host_ifname(&id);
            if !self.by_ip.values().any(|slot| slot.endpoint.host_ifname == name) {
                return id;
            }
        }
    }

    fn insert(&mut self, container_id: &str, ip: Ipv4Addr, endpoint_id: String) -> Endpoint {
        let endpoint = Endpoint {
            container_id: container_id.to_owned(),
            host_ifname: host_ifname(&endpoint_id),
            endpoint_id,
            network_id: self.network_id.clone(),
            ip,
            prefix_len: self.subnet.prefix(),
            gateway: self.gateway,
            mac: MacAddr::of_ip(ip),
            ifname: "eth0".to_owned(),
        };
        self.active.insert(container_id.to_owned(), ip);
        self.by_ip.insert(ip, Slot { endpoint: endpoint.clone(), releasing: false });
        endpoint
    }

    /// Marks the endpoint as on its way out. `false` if it is not known or already marked.
    pub(crate) fn start_release(&mut self, endpoint: &Endpoint) -> bool {
        match self.by_ip.get_mut(&endpoint.ip) {
            Some(slot) if slot.endpoint.endpoint_id == endpoint.endpoint_id && !slot.releasing => {
                slot.releasing = true;
                self.active.remove(&endpoint.container_id);
                true
            }
            _ => false,
        }
    }

    /// Frees the address of an endpoint whose interface is gone.
    pub(crate) fn finish_release(&mut self, endpoint: &Endpoint) {
        let gone = |slot: &Slot| slot.releasing && slot.endpoint.endpoint_id == endpoint.endpoint_id;
        if self.by_ip.get(&endpoint.ip).is_some_and(gone) {
            self.by_ip.remove(&endpoint.ip);
        }
    }

    /// Whether `endpoint` holds its address and is not on its way out.
    pub(crate) fn is_active(&self, endpoint: &Endpoint) -> bool {
        self.by_ip.get(&endpoint.ip).is_some_and(|slot| !slot.releasing && slot.endpoint.endpoint_id == endpoint.endpoint_id)
    }

    /// The endpoint of a container.
    pub(crate) fn of(&self, container_id: &str) -> Option<Endpoint> {
        let ip = self.active.get(container_id)?;
        self.by_ip.get(ip).map(|slot| slot.endpoint.clone())
    }

    /// All endpoints in use, by address.
    pub(crate) fn active(&self) -> Vec<Endpoint> {
        let live = self.by_ip.values().filter(|slot| !slot.releasing);
        live.map(|slot| slot.endpoint.clone()).collect()
    }

    /// Whether an interface name belongs to any endpoint, also to one on its way out.
    pub(crate) fn owns_interface(&self, name: &str) -> bool {
        self.by_ip.values().any(|slot| slot.endpoint.host_ifname == name)
    }

    /// Whether no address is taken, nor on its way back.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_ip.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leases(net: &str) -> Leases {
        let subnet: Ipv4Net = net.parse().unwrap();
        Leases::new("n".repeat(64), subnet, subnet.nth(1).unwrap())
    }

    fn last_byte(endpoint: &Endpoint) -> u8 {
        endpoint.ip.octets()[3]
    }

    #[test]
    fn rising_order_and_late_reuse() {
        let mut leases = leases("10.0.0.0/29");
        let a = leases.allocate("a").unwrap();
        assert_eq!((last_byte(&a), a.gateway.octets()[3], a.prefix_len), (2, 1, 29));
        assert_eq!(a.endpoint_id.len(), 64);
        assert_eq!(a.host_ifname, format!("veth{}", &a.endpoint_id[..7]));
        assert!(matches!(leases.allocate("a"), Err(NetworkError::AlreadyConnected { .. })));

        assert!(leases.start_release(&a));
        assert!(!leases.start_release(&a));
        leases.finish_release(&a);
        // 2 is free again and yet comes last.
        let next: Vec<_> = ["b", "c", "d", "e", "f"].map(|id| last_byte(&leases.allocate(id).unwrap())).into();
        assert_eq!(next, [3, 4, 5, 6, 2]);
        assert!(matches!(leases.allocate("g"), Err(NetworkError::Exhausted { .. })));
    }

    #[test]
    fn an_address_on_its_way_out_stays_taken() {
        let mut leases = leases("10.0.0.0/30");
        let a = leases.allocate("a").unwrap();
        assert!(leases.start_release(&a));
        assert!(leases.of("a").is_none() && !leases.is_active(&a));
        assert!(leases.owns_interface(&a.host_ifname) && !leases.is_empty());
        assert!(leases.allocate("b").is_err());
        leases.finish_release(&a);
        let b = leases.allocate("b").unwrap();
        assert_eq!(b.ip, a.ip);
        // A late second release of the old endpoint must not free the new owner's address.
        assert!(!leases.start_release(&a));
        leases.finish_release(&a);
        assert!(leases.is_active(&b));
    }

    #[test]
    fn restore_takes_only_what_is_ours_and_free() {
        let mut leases = leases("10.0.0.0/24");
        let ip = |n| Ipv4Addr::new(10, 0, 0, n);
        let a = leases.restore("a", ip(9), Some("e".repeat(64))).unwrap();
        assert_eq!(a.host_ifname, "vetheeeeeee");
        assert_eq!(leases.restore("a", ip(9), None).unwrap(), a);
        for (id, ip) in
            [("b", ip(9)), ("a", ip(10)), ("b", ip(0)), ("b", ip(1)), ("b", ip(255)), ("b", Ipv4Addr::new(10, 0, 1, 2))]
        {
            assert!(leases.restore(id, ip, None).is_err(), "{id} {ip}");
        }
        assert_eq!(last_byte(&leases.allocate("c").unwrap()), 10);
    }
}
