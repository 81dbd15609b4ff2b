//! Who has which addresses of one network. In memory only: after a restart the caller tells us which containers live
//! (`Networks::restore`), so there is no file to go stale.
//!
//! An address that is being given back stays taken until its interface is gone.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::addr::MacAddr;
use crate::error::NetworkError;
use crate::range::{Addresses, Refusal};
use crate::spec::NetworkSpec;

/// A container's place on a network: what it is called there and where it can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The container's id, as the caller gave it.
    pub container_id: String,
    /// 64 hexadecimal digits, new for each endpoint.
    pub endpoint_id: String,
    /// 64 hexadecimal digits, the network's.
    pub network_id: String,
    /// The network's name.
    pub network: String,
    /// The container's address, if the network has IPv4.
    pub ip: Option<Ipv4Addr>,
    /// Prefix length of the subnet.
    pub prefix_len: u8,
    /// The way out; none where the network has none.
    pub gateway: Option<Ipv4Addr>,
    /// The same for IPv6.
    pub ipv6: Option<Ipv6Addr>,
    pub ipv6_prefix_len: u8,
    pub ipv6_gateway: Option<Ipv6Addr>,
    /// Address of the container's interface.
    pub mac: MacAddr,
    /// The interface's other end on the host, e.g. `veth1a2b3c4`. Empty where there is none.
    pub host_ifname: String,
    /// The interface within the container, e.g. `eth0`.
    pub ifname: String,
    /// Of a container's networks, the one with the highest is its way out.
    #[serde(default)]
    pub gw_priority: i64,
    /// What is set of the interface: `net.ipv4.conf.IFNAME.forwarding`, `1`; the word stands for the interface's name.
    #[serde(default)]
    pub sysctls: Vec<(String, String)>,
}

impl Endpoint {
    /// The address by which others reach it: IPv4 where there is one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.ip.map(IpAddr::V4).or(self.ipv6.map(IpAddr::V6))
    }
}

/// What is asked of an endpoint. What is left out is chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ask {
    /// This address and no other.
    pub ip: Option<Ipv4Addr>,
    /// This address and no other.
    pub ipv6: Option<Ipv6Addr>,
    /// The interface's.
    pub mac: Option<MacAddr>,
    /// The interface's name in the container; `None`: the first free one.
    pub ifname: Option<String>,
    /// See [`Endpoint::gw_priority`].
    pub gw_priority: i64,
    /// See [`Endpoint::sysctls`].
    pub sysctls: Vec<(String, String)>,
}

/// Name of the host's end of an endpoint's interface.
pub(crate) fn host_ifname(endpoint_id: &str) -> String {
    format!("veth{}", endpoint_id.get(..7).unwrap_or(endpoint_id))
}

/// 64 random hexadecimal digits.
pub(crate) fn random_id() -> String {
    hex::encode(rand::random::<[u8; 32]>())
}

fn random_mac() -> MacAddr {
    let [a, b, c, d] = rand::random();
    MacAddr([0x02, 0x42, a, b, c, d])
}

#[derive(Debug)]
struct Slot {
    endpoint: Endpoint,
    releasing: bool,
}

/// The addresses of one network.
#[derive(Debug)]
pub(crate) struct Leases {
    v4: Option<Addresses>,
    v6: Option<Addresses>,
    slots: HashMap<String, Slot>,
    active: HashMap<String, String>,
}

impl Leases {
    pub(crate) fn new(spec: &NetworkSpec) -> Self {
        let addresses = |range: &Option<_>| range.clone().map(Addresses::new);
        Self { v4: addresses(&spec.v4), v6: addresses(&spec.v6), slots: HashMap::new(), active: HashMap::new() }
    }

    fn one(pool: Option<&mut Addresses>, network: &str, wanted: Option<IpAddr>) -> Result<Option<IpAddr>, NetworkError> {
        let Some(pool) = pool else {
            return match wanted {
                None => Ok(None),
                Some(ip) => Err(NetworkError::NoSuchSubnet { ip, network: network.to_owned() }),
            };
        };
        let Some(ip) = wanted else {
            let subnet = pool.range().subnet;
            return pool.next().map(Some).ok_or(NetworkError::Exhausted { subnet });
        };
        match pool.take(ip) {
            Ok(()) => Ok(Some(ip)),
            Err(Refusal::InUse) => Err(NetworkError::AddressInUse { ip }),
            Err(Refusal::Outside) => Err(NetworkError::NoSuchSubnet { ip, network: network.to_owned() }),
        }
    }

    /// Addresses for `container_id`, those that it asks for or the next free ones.
    pub(crate) fn allocate(&mut self, spec: &NetworkSpec, container_id: &str, ask: &Ask) -> Result<Endpoint, NetworkError> {
        if let Some(endpoint) = self.of(container_id) {
            let ip = endpoint.address().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
            return Err(NetworkError::AlreadyConnected { container_id: container_id.to_owned(), ip });
        }
        let ip = Self::one(self.v4.as_mut(), &spec.name, ask.ip.map(IpAddr::V4))?;
        let ipv6 = match Self::one(self.v6.as_mut(), &spec.name, ask.ipv6.map(IpAddr::V6)) {
            Ok(ip) => ip,
            Err(error) => {
                self.give_back(ip);
                return Err(error);
            }
        };
        let (ip, ipv6) = (only_v4(ip), only_v6(ipv6));
        let endpoint_id = self.fresh_id();
        let gateway = |pool: &Option<Addresses>| pool.as_ref().filter(|_| !spec.internal).and_then(|p| p.range().gateway);
        let prefix = |pool: &Option<Addresses>| pool.as_ref().map_or(0, |p| p.range().subnet.prefix_len());
        let endpoint = Endpoint {
            container_id: container_id.to_owned(),
            host_ifname: if spec.is_bridge() { host_ifname(&endpoint_id) } else { String::new() },
            endpoint_id,
            network_id: spec.id.clone(),
            network: spec.name.clone(),
            ip,
            prefix_len: prefix(&self.v4),
            gateway: only_v4(gateway(&self.v4)),
            ipv6,
            ipv6_prefix_len: prefix(&self.v6),
            ipv6_gateway: only_v6(gateway(&self.v6)),
            mac: ask.mac.unwrap_or_else(|| ip.map_or_else(random_mac, MacAddr::of_ip)),
            ifname: ask.ifname.clone().unwrap_or_else(|| "eth0".to_owned()),
            gw_priority: ask.gw_priority,
            sysctls: ask.sysctls.clone(),
        };
        self.insert(endpoint.clone());
        Ok(endpoint)
    }

    fn give_back(&mut self, ip: Option<IpAddr>) {
        match ip {
            Some(ip @ IpAddr::V4(_)) => self.v4.iter_mut().for_each(|pool| pool.give_back(ip)),
            Some(ip @ IpAddr::V6(_)) => self.v6.iter_mut().for_each(|pool| pool.give_back(ip)),
            None => {}
        }
    }

    /// Takes the addresses of an endpoint again that a container had before a restart.
    pub(crate) fn restore(&mut self, endpoint: &Endpoint) -> Result<(), NetworkError> {
        let refuse = |ip: Option<IpAddr>, why| {
            let ip = ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
            NetworkError::CannotRestore { container_id: endpoint.container_id.clone(), ip, why }
        };
        if self.is_active(endpoint) {
            return Ok(());
        }
        if self.active.contains_key(&endpoint.container_id) {
            return Err(refuse(endpoint.address(), "the container has another one"));
        }
        let mut had = Vec::new();
        for ip in [endpoint.ip.map(IpAddr::V4), endpoint.ipv6.map(IpAddr::V6)].into_iter().flatten() {
            let pool = if ip.is_ipv4() { self.v4.as_mut() } else { self.v6.as_mut() };
            let why = match pool.map(|pool| pool.take_again(ip)) {
                Some(Ok(())) => {
                    had.push(ip);
                    continue;
                }
                Some(Err(Refusal::InUse)) => "it is in use",
                Some(Err(Refusal::Outside)) | None => "it is not an address of this network",
            };
            had.into_iter().for_each(|ip| self.give_back(Some(ip)));
            return Err(refuse(Some(ip), why));
        }
        self.insert(endpoint.clone());
        Ok(())
    }

    /// An endpoint id whose interface name is no other endpoint's: the name holds only 28 bits of it.
    fn fresh_id(&self) -> String {
        loop {
            let id = random_id();
            let name = host_ifname(&id);
            if !self.owns_interface(&name) {
                return id;
            }
        }
    }

    fn insert(&mut self, endpoint: Endpoint) {
        self.active.insert(endpoint.container_id.clone(), endpoint.endpoint_id.clone());
        self.slots.insert(endpoint.endpoint_id.clone(), Slot { endpoint, releasing: false });
    }

    /// Marks the endpoint as on its way out. `false` if it is not known or already marked.
    pub(crate) fn start_release(&mut self, endpoint: &Endpoint) -> bool {
        match self.slots.get_mut(&endpoint.endpoint_id) {
            Some(slot) if !slot.releasing => {
                slot.releasing = true;
                self.active.remove(&endpoint.container_id);
                true
            }
            _ => false,
        }
    }

    /// Frees the addresses of an endpoint whose interface is gone.
    pub(crate) fn finish_release(&mut self, endpoint: &Endpoint) {
        if self.slots.get(&endpoint.endpoint_id).is_some_and(|slot| slot.releasing)
            && let Some(slot) = self.slots.remove(&endpoint.endpoint_id)
        {
            self.give_back(slot.endpoint.ip.map(IpAddr::V4));
            self.give_back(slot.endpoint.ipv6.map(IpAddr::V6));
        }
    }

    /// Whether `endpoint` holds its addresses and is not on its way out.
    pub(crate) fn is_active(&self, endpoint: &Endpoint) -> bool {
        self.slots.get(&endpoint.endpoint_id).is_some_and(|slot| !slot.releasing)
    }

    /// The endpoint of a container.
    pub(crate) fn of(&self, container_id: &str) -> Option<Endpoint> {
        let id = self.active.get(container_id)?;
        self.slots.get(id).map(|slot| slot.endpoint.clone())
    }

    /// All endpoints in use, by address.
    pub(crate) fn active(&self) -> Vec<Endpoint> {
        let live = self.slots.values().filter(|slot| !slot.releasing);
        let mut all: Vec<_> = live.map(|slot| slot.endpoint.clone()).collect();
        all.sort_by_key(|endpoint| (endpoint.ip, endpoint.ipv6));
        all
    }

    /// Whether an interface name belongs to any endpoint, also to one on its way out.
    pub(crate) fn owns_interface(&self, name: &str) -> bool {
        self.slots.values().any(|slot| slot.endpoint.host_ifname == name)
    }

    /// Whether nobody is on the network, nor on the way out.
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

fn only_v4(ip: Option<IpAddr>) -> Option<Ipv4Addr> {
    match ip {
        Some(IpAddr::V4(ip)) => Some(ip),
        _ => None,
    }
}

fn only_v6(ip: Option<IpAddr>) -> Option<Ipv6Addr> {
    match ip {
        Some(IpAddr::V6(ip)) => Some(ip),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::range::Range;
    use crate::spec::Kind;

    fn spec(v4: Option<&str>, v6: Option<&str>) -> NetworkSpec {
        let range = |net: &str| Range::of(net.parse().unwrap());
        NetworkSpec {
            id: "n".repeat(64),
            name: "net".into(),
            kind: Kind::Bridge,
            device: "br0".into(),
            own_parent: false,
            v4: v4.map(range),
            v6: v6.map(range),
            gateway4: Default::default(),
            gateway6: Default::default(),
            internal: false,
            icc: true,
            masquerade: true,
            mtu: None,
            prefix: None,
        }
    }

    fn plain() -> Ask {
        Ask::default()
    }

    #[test]
    fn an_endpoint_is_complete() {
        let spec = spec(Some("10.0.0.0/29"), Some("fd00::/64"));
        let mut leases = Leases::new(&spec);
        let a = leases.allocate(&spec, "a", &plain()).unwrap();
        assert_eq!((a.ip, a.gateway, a.prefix_len), (Some([10, 0, 0, 2].into()), Some([10, 0, 0, 1].into()), 29));
        assert_eq!((a.ipv6, a.ipv6_prefix_len), (Some("fd00::2".parse().unwrap()), 64));
        assert_eq!(a.host_ifname, format!("veth{}", &a.endpoint_id[..7]));
        assert!(matches!(leases.allocate(&spec, "a", &plain()), Err(NetworkError::AlreadyConnected { .. })));
    }

    #[test]
    fn an_address_on_its_way_out_stays_taken() {
        let spec = spec(Some("10.0.0.0/30"), None);
        let mut leases = Leases::new(&spec);
        let a = leases.allocate(&spec, "a", &plain()).unwrap();
        assert!(leases.start_release(&a));
        assert!(!leases.start_release(&a));
        assert!(leases.of("a").is_none() && !leases.is_active(&a));
        assert!(leases.owns_interface(&a.host_ifname) && !leases.is_empty());
        assert!(matches!(leases.allocate(&spec, "b", &plain()), Err(NetworkError::Exhausted { .. })));
        leases.finish_release(&a);
        let b = leases.allocate(&spec, "b", &plain()).unwrap();
        assert_eq!(b.ip, a.ip);
        // A late second release of the old endpoint must not free the new owner's address.
        assert!(!leases.start_release(&a));
        leases.finish_release(&a);
        assert!(leases.is_active(&b));
    }

    #[test]
    fn what_is_asked_for_is_had_or_refused() {
        let spec = spec(Some("10.0.0.0/24"), None);
        let mut leases = Leases::new(&spec);
        let ask = |ip: [u8; 4]| Ask { ip: Some(ip.into()), ..Ask::default() };
        let a = leases.allocate(&spec, "a", &ask([10, 0, 0, 9])).unwrap();
        assert_eq!(a.ip, Some([10, 0, 0, 9].into()));
        let refused = |leases: &mut Leases, ask: &Ask| leases.allocate(&spec, "b", ask).unwrap_err();
        assert!(matches!(refused(&mut leases, &ask([10, 0, 0, 9])), NetworkError::AddressInUse { .. }));
        assert!(matches!(refused(&mut leases, &ask([10, 0, 1, 9])), NetworkError::NoSuchSubnet { .. }));
        // Nothing is kept of an attempt that failed halfway.
        let both = Ask { ipv6: Some("fd00::2".parse().unwrap()), ..ask([10, 0, 0, 8]) };
        assert!(matches!(refused(&mut leases, &both), NetworkError::NoSuchSubnet { .. }));
        leases.allocate(&spec, "b", &ask([10, 0, 0, 8])).unwrap();
    }

    #[test]
    fn restore_takes_only_what_is_ours_and_free() {
        let spec = spec(Some("10.0.0.0/24"), None);
        let mut earlier = Leases::new(&spec);
        let mut a = earlier.allocate(&spec, "a", &Ask { ip: Some([10, 0, 0, 9].into()), ..Ask::default() }).unwrap();
        let mut leases = Leases::new(&spec);
        leases.restore(&a).unwrap();
        leases.restore(&a).unwrap();
        a.endpoint_id = "other".into();
        for (id, ip) in [("b", [10, 0, 0, 9]), ("a", [10, 0, 0, 10]), ("b", [10, 0, 0, 1]), ("b", [10, 0, 1, 2])] {
            a.container_id = id.into();
            a.ip = Some(ip.into());
            assert!(leases.restore(&a).is_err(), "{id} {ip:?}");
        }
        assert_eq!(leases.allocate(&spec, "c", &plain()).unwrap().ip, Some([10, 0, 0, 10].into()));
    }
}
