//! Where published ports lead. That is decided for each family by the first network of a container that has a way out: packets to
//! ports of the host are led to its address there, or, where addresses are routed, those that are for the address itself are
//! let through.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::attach::{Attachment, Join, first_of};
use crate::leases::Endpoint;
use crate::maps::Element;
use crate::ports::{PortWant, Published};
use crate::spec::{GatewayMode, NetworkSpec};
use crate::worker::Net;

/// An address of a container, and what the host does for its network.
type Target = (IpAddr, GatewayMode);

impl Attachment {
    /// Where published ports lead, for either family: to the place on a bridge that has a way out.
    pub(crate) fn targets(&self, nets: &BTreeMap<String, Net>) -> (Option<Target>, Option<Target>) {
        let open = |e: &Endpoint| nets.get(&e.network_id).map(|n| &n.spec).filter(|spec| is_open(spec));
        let v4 = first_of(&self.endpoints, |e| Some((IpAddr::V4(e.ip?), open(e)?.gateway4)));
        let v6 = first_of(&self.endpoints, |e| Some((IpAddr::V6(e.ipv6?), open(e)?.gateway6)));
        (v4.map(|(_, target)| target), v6.map(|(_, target)| target))
    }

    /// What the firewall's maps should have of it.
    pub(crate) fn elements(&self, nets: &BTreeMap<String, Net>) -> Vec<Element> {
        let (v4, v6) = self.targets(nets);
        let element = |port: &Published| {
            let (ip, mode) = if port.host_ip.is_ipv4() { v4? } else { v6? };
            let to = SocketAddr::new(ip, port.container_port);
            match (port.is_let_through(), mode) {
                (false, _) => Element::new(port.protocol, port.host(), to),
                (true, GatewayMode::Routed) => Some(Element::through(port.protocol, to)),
                // It has come off that network since.
                (true, GatewayMode::Nat | GatewayMode::NatUnprotected | GatewayMode::Isolated) => None,
            }
        };
        let mut elements: Vec<_> = self.ports.iter().filter_map(element).collect();
        // Two ports that lead to one are let through once.
        elements.sort();
        elements.dedup();
        elements
    }
}

fn is_open(spec: &NetworkSpec) -> bool {
    spec.is_bridge() && !spec.internal
}

/// What becomes of wishes for ports of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// They are held on the host, and led to the container.
    Held,
    /// None of the host's is needed.
    Through,
    Nowhere,
}

/// The same for both.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ways {
    v4: Way,
    v6: Way,
}

/// How ports lead to a container that is to be on these networks.
pub(crate) fn of(nets: &BTreeMap<String, Net>, joins: &[Join]) -> Ways {
    let first = |mode: &dyn Fn(&NetworkSpec) -> Option<GatewayMode>| {
        let specs = joins.iter().filter_map(|join| Some((join.ask.gw_priority, &nets.get(&join.network_id)?.spec)));
        let having = specs.filter(|(_, spec)| is_open(spec)).filter_map(|(priority, spec)| Some((priority, spec, mode(spec)?)));
        having.min_by_key(|(priority, spec, _)| (Reverse(*priority), spec.name.clone())).map(|(_, _, mode)| mode)
    };
    let v4 = first(&|spec| spec.v4.as_ref().map(|_| spec.gateway4));
    let v6 = first(&|spec| spec.v6.as_ref().map(|_| spec.gateway6));
    // What is for a family that the container has not is passed on by hand to the other, unless that is out of the host's hands.
    let way = |own: Option<GatewayMode>, other: Option<GatewayMode>| match (own, other) {
        (Some(GatewayMode::Routed), _) => Way::Through,
        (None, Some(GatewayMode::Routed)) => Way::Nowhere,
        _ => Way::Held,
    };
    Ways { v4: way(v4, v6), v6: way(v6, v4) }
}

impl Ways {
    /// The wishes for ports of the host, and what is let through without one.
    pub(crate) fn split(self, wants: &[PortWant]) -> (Vec<PortWant>, Vec<Published>) {
        let (mut held, mut through) = (Vec::new(), Vec::new());
        for want in wants {
            let everywhere = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
            let addresses = want.host_ip.map_or(everywhere.to_vec(), |ip| vec![ip]);
            let way = |ip: &IpAddr| if ip.is_ipv4() { self.v4 } else { self.v6 };
            let mine: Vec<IpAddr> = addresses.iter().copied().filter(|ip| way(ip) == Way::Held).collect();
            match mine.as_slice() {
                [] => {}
                all if all.len() == addresses.len() => held.push(want.clone()),
                all => held.extend(all.iter().map(|ip| PortWant { host_ip: Some(*ip), ..want.clone() })),
            }
            for ip in addresses.iter().filter(|ip| way(ip) == Way::Through) {
                through.push(Published::let_through(want.protocol, want.container_port, ip.is_ipv4()));
            }
        }
        (held, through)
    }
}
