//! Interfaces, addresses and routes: what is asked of rtnetlink, one function per step.
//!
//! What is ours is marked in the very message that makes it, so that a crash cannot leave something
//! unmarked: a bridge by its hardware address (drawn from the network's id), a veth by its interface
//! group. Aliases, for people and for finding the container again, follow in the same datagram.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use ipnet::Ipv6Net;
use netlink_packet_core::{
    DecodeError, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NetlinkDeserializable, NetlinkHeader, NlasIterator,
};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::link::{
    InfoBridgePort, InfoData, InfoIpVlan, InfoKind, InfoMacVlan, InfoPortData, InfoPortKind, InfoVeth, InfoVlan, IpVlanMode,
    LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo, LinkMessage, MacVlanMode,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;

use crate::addr::{Ipv4Net, MacAddr};
use crate::leases::Endpoint;
use crate::netlink::{Netlink, Request};
use crate::readiness::{await_local, await_running};
use crate::spec::{IpvlanMode, Kind, MacvlanMode};

/// Interface group of every veth that Lighter makes ("lght" in ASCII).
pub(crate) const VETH_GROUP: u32 = 0x6c67_6874;
/// The kernel takes no longer name for an interface.
pub(crate) const MAX_IFNAME: usize = 15;
/// The kernel takes no longer alias.
pub(crate) const MAX_ALIAS: usize = 255;

/// Routes with no longer prefix than this are not taken for a network.
const WIDEST: u8 = 3;

type Step = Result<(), io::Error>;

/// What we need to know of an interface. Read by hand, because a full parse costs ten times as much and
/// fails on interfaces of kinds that the parser does not know yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) alias: String,
    pub(crate) mac: Vec<u8>,
    pub(crate) master: u32,
    pub(crate) group: u32,
    pub(crate) up: bool,
    /// The kernel has seen that its other end is up, too.
    pub(crate) running: bool,
}

impl NetlinkDeserializable for Link {
    type Error = DecodeError;

    fn deserialize(_: &NetlinkHeader, payload: &[u8]) -> Result<Self, DecodeError> {
        const IFINFO: usize = 16;
        let word = |bytes: &[u8]| bytes.first_chunk::<4>().map_or(0, |b| u32::from_ne_bytes(*b));
        let text = |bytes: &[u8]| {
            let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
            String::from_utf8_lossy(&bytes[..end]).into_owned()
        };
        let (Some(head), Some(rest)) = (payload.get(..IFINFO), payload.get(IFINFO..)) else {
            return Err(DecodeError::from("interface message is too short"));
        };
        let flags = LinkFlags::from_bits_retain(word(&head[8..]));
        let (up, running) = (flags.contains(LinkFlags::Up), flags.contains(LinkFlags::Running));
        let mut link = Self { index: word(&head[4..]), up, running, ..Self::default() };
        for nla in NlasIterator::new(rest) {
            let nla = nla?;
            let value = nla.value();
            match nla.kind() {
                1 => link.mac = value.to_vec(),
                3 => link.name = text(value),
                10 => link.master = word(value),
                20 => link.alias = text(value),
                27 => link.group = word(value),
                18 => {
                    for info in NlasIterator::new(value).flatten().filter(|info| info.kind() == 1) {
                        link.kind = text(info.value());
                    }
                }
                _ => {}
            }
        }
        Ok(link)
    }
}

fn link(attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes = attributes;
    message
}

fn set_up(message: &mut LinkMessage) {
    message.header.flags |= LinkFlags::Up;
    message.header.change_mask |= LinkFlags::Up;
}

fn create(message: LinkMessage) -> Request<RouteNetlinkMessage> {
    Request { message: RouteNetlinkMessage::NewLink(message), flags: NLM_F_CREATE | NLM_F_EXCL }
}

fn change(message: LinkMessage) -> Request<RouteNetlinkMessage> {
    Request { message: RouteNetlinkMessage::SetLink(message), flags: 0 }
}

fn first(result: Result<(), (usize, io::Error)>) -> Step {
    result.map_err(|(_, error)| error)
}

/// The interface of that name, if there is one.
pub(crate) fn by_name(nl: &mut Netlink, name: &str) -> io::Result<Option<Link>> {
    let ask = link(vec![LinkAttribute::IfName(name.to_owned()), LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])]);
    match nl.get(RouteNetlinkMessage::GetLink(ask)) {
        Ok(link) => Ok(Some(link)),
        Err(error) if error.raw_os_error() == Some(Errno::ENODEV as i32) => Ok(None),
        Err(error) => Err(error),
    }
}

/// All veths that carry our mark, on whatever bridge.
pub(crate) fn marked_veths(nl: &mut Netlink) -> io::Result<Vec<Link>> {
    // The kernel drops what is of another kind, so a host full of other interfaces costs little.
    let ask = link(vec![
        LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth)]),
    ]);
    let mut links: Vec<Link> = nl.dump(RouteNetlinkMessage::GetLink(ask))?;
    links.retain(|link| link.kind == "veth" && link.group == VETH_GROUP);
    Ok(links)
}

/// All interfaces whose alias begins so, of whatever kind.
pub(crate) fn labelled(nl: &mut Netlink, prefix: &str) -> io::Result<Vec<Link>> {
    let ask = link(vec![LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])]);
    let mut links: Vec<Link> = nl.dump(RouteNetlinkMessage::GetLink(ask))?;
    links.retain(|link| link.alias.starts_with(prefix));
    Ok(links)
}

/// Makes the bridge, with its own fixed hardware address: left to itself, a bridge takes the lowest one
/// of its ports and changes it whenever containers come and go.
pub(crate) fn create_bridge(nl: &mut Netlink, name: &str, mac: MacAddr, alias: &str, mtu: Option<u32>) -> Step {
    let mut message = link(vec![
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::Address(mac.0.to_vec()),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
    ]);
    message.attributes.extend(mtu.map(LinkAttribute::Mtu));
    let label = link(vec![LinkAttribute::IfName(name.to_owned()), LinkAttribute::IfAlias(alias.to_owned())]);
    first(nl.acknowledged([create(message), change(label)]))
}

/// Sets what an existing bridge of ours should have, and brings it up.
pub(crate) fn repair_bridge(nl: &mut Netlink, index: u32, mac: MacAddr, alias: &str) -> Step {
    let mut message = link(vec![LinkAttribute::Address(mac.0.to_vec()), LinkAttribute::IfAlias(alias.to_owned())]);
    message.header.index = index;
    set_up(&mut message);
    first(nl.acknowledged([change(message)]))
}

/// Makes the veth pair of an endpoint: one end up and on the bridge, the other already in the container's
/// namespace with its name and hardware address. An `isolated` port is heard by the bridge only, not by its neighbours.
///
/// A packet may go back where it came from: where the machine filters bridged packets (`bridge-nf-call-iptables`), that is the
/// way of a container that calls its own published port.
///
/// The inner end cannot be brought up here: the kernel answers ENOTCONN, the pair being incomplete.
pub(crate) fn create_veth(
    nl: &mut Netlink,
    endpoint: &Endpoint,
    bridge: u32,
    netns: BorrowedFd<'_>,
    mtu: u32,
    isolated: bool,
    alias: &str,
) -> Result<(), (usize, io::Error)> {
    let peer = link(vec![
        LinkAttribute::IfName(endpoint.ifname.clone()),
        LinkAttribute::Address(endpoint.mac.0.to_vec()),
        LinkAttribute::Mtu(mtu),
        LinkAttribute::NetNsFd(netns.as_raw_fd()),
    ]);
    let host = link(vec![
        LinkAttribute::IfName(endpoint.host_ifname.clone()),
        LinkAttribute::Mtu(mtu),
        LinkAttribute::Group(VETH_GROUP),
        LinkAttribute::Controller(bridge),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth), LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer)))]),
    ]);
    let name = || LinkAttribute::IfName(endpoint.host_ifname.clone());
    let mut port = vec![InfoBridgePort::HairpinMode(true)];
    port.extend(isolated.then_some(InfoBridgePort::Isolated(true)));
    let port = vec![LinkInfo::PortKind(InfoPortKind::Bridge), LinkInfo::PortData(InfoPortData::BridgePort(port))];
    let port = link(vec![name(), LinkAttribute::LinkInfo(port)]);
    let mut label = link(vec![name(), LinkAttribute::IfAlias(alias.to_owned())]);
    // Up only when it is what it is to be.
    set_up(&mut label);
    let port = Request { message: RouteNetlinkMessage::NewLink(port), flags: 0 };
    nl.acknowledged([create(host), port, change(label)])
}

/// Makes an interface of a container on top of one of the host's, which both may use.
pub(crate) fn create_on_parent(
    nl: &mut Netlink,
    endpoint: &Endpoint,
    kind: Kind,
    parent: u32,
    netns: BorrowedFd<'_>,
    mtu: Option<u32>,
) -> Step {
    let info = match kind {
        Kind::Bridge => return Err(Errno::EINVAL.into()),
        Kind::Macvlan(mode) => {
            let mode = match mode {
                MacvlanMode::Bridge => MacVlanMode::Bridge,
                MacvlanMode::Private => MacVlanMode::Private,
                MacvlanMode::Vepa => MacVlanMode::Vepa,
                MacvlanMode::Passthru => MacVlanMode::Passthrough,
            };
            vec![LinkInfo::Kind(InfoKind::MacVlan), LinkInfo::Data(InfoData::MacVlan(vec![InfoMacVlan::Mode(mode)]))]
        }
        Kind::Ipvlan(mode) => {
            let mode = match mode {
                IpvlanMode::L2 => IpVlanMode::L2,
                IpvlanMode::L3 => IpVlanMode::L3,
                IpvlanMode::L3s => IpVlanMode::L3S,
            };
            vec![LinkInfo::Kind(InfoKind::IpVlan), LinkInfo::Data(InfoData::IpVlan(vec![InfoIpVlan::Mode(mode)]))]
        }
    };
    let mut attributes = vec![
        LinkAttribute::IfName(endpoint.ifname.clone()),
        LinkAttribute::Link(parent),
        LinkAttribute::NetNsFd(netns.as_raw_fd()),
        LinkAttribute::LinkInfo(info),
    ];
    attributes.extend(mtu.map(LinkAttribute::Mtu));
    if matches!(kind, Kind::Macvlan(_)) {
        attributes.push(LinkAttribute::Address(endpoint.mac.0.to_vec()));
    }
    first(nl.acknowledged([create(link(attributes))]))
}

/// An interface that leads nowhere, for networks of the macvlan kind that nobody named a parent for.
pub(crate) fn create_dummy(nl: &mut Netlink, name: &str, alias: &str) -> Step {
    let mut message =
        link(vec![LinkAttribute::IfName(name.to_owned()), LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Dummy)])]);
    set_up(&mut message);
    let label = link(vec![LinkAttribute::IfName(name.to_owned()), LinkAttribute::IfAlias(alias.to_owned())]);
    first(nl.acknowledged([create(message), change(label)]))
}

/// The same of a veth pair, for kernels without such interfaces. Its other end is called by the last letters of its name, and
/// goes with it.
pub(crate) fn create_lone_pair(nl: &mut Netlink, name: &str, alias: &str) -> Step {
    let other = format!("p{}", name.get(1..).unwrap_or(name));
    let mut peer = link(vec![LinkAttribute::IfName(other.clone())]);
    // The kernel answers ENOTCONN to an end that is up before the pair is complete.
    peer.header.flags = LinkFlags::empty();
    let info = vec![LinkInfo::Kind(InfoKind::Veth), LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer)))];
    let pair = link(vec![LinkAttribute::IfName(name.to_owned()), LinkAttribute::LinkInfo(info)]);
    let mut label = link(vec![LinkAttribute::IfName(name.to_owned()), LinkAttribute::IfAlias(alias.to_owned())]);
    set_up(&mut label);
    let mut up = link(vec![LinkAttribute::IfName(other)]);
    set_up(&mut up);
    first(nl.acknowledged([create(pair), change(label), change(up)]))
}

/// The part of `parent` that carries a VLAN.
pub(crate) fn create_vlan(nl: &mut Netlink, name: &str, parent: u32, id: u16, alias: &str) -> Step {
    let info = vec![LinkInfo::Kind(InfoKind::Vlan), LinkInfo::Data(InfoData::Vlan(vec![InfoVlan::Id(id)]))];
    let mut message =
        link(vec![LinkAttribute::IfName(name.to_owned()), LinkAttribute::Link(parent), LinkAttribute::LinkInfo(info)]);
    set_up(&mut message);
    let label = link(vec![LinkAttribute::IfName(name.to_owned()), LinkAttribute::IfAlias(alias.to_owned())]);
    first(nl.acknowledged([create(message), change(label)]))
}

/// Puts an interface back on the bridge, e.g. after somebody deleted the bridge.
pub(crate) fn enslave(nl: &mut Netlink, name: &str, bridge: u32) -> Step {
    let mut message = link(vec![LinkAttribute::IfName(name.to_owned()), LinkAttribute::Controller(bridge)]);
    set_up(&mut message);
    first(nl.acknowledged([change(message)]))
}

/// Brings up the loopback interface, which is number 1 in every namespace.
pub(crate) fn loopback_up(nl: &mut Netlink) -> Step {
    let mut message = LinkMessage::default();
    message.header.index = 1;
    set_up(&mut message);
    first(nl.acknowledged([change(message)]))
}

/// Deletes an interface. That it is not there is fine.
pub(crate) fn delete(nl: &mut Netlink, name: &str) -> Step {
    let message = link(vec![LinkAttribute::IfName(name.to_owned())]);
    let request = Request { message: RouteNetlinkMessage::DelLink(message), flags: 0 };
    match first(nl.acknowledged([request])) {
        Err(error) if error.raw_os_error() == Some(Errno::ENODEV as i32) => Ok(()),
        result => result,
    }
}

fn address(index: u32, ip: IpAddr, prefix: u8) -> Request<RouteNetlinkMessage> {
    let mut message = AddressMessage::default();
    message.header.prefix_len = prefix;
    message.header.index = index;
    match ip {
        IpAddr::V4(v4) => {
            message.header.family = AddressFamily::Inet;
            let broadcast = Ipv4Net::containing(v4, prefix).broadcast();
            message.attributes =
                vec![AddressAttribute::Local(ip), AddressAttribute::Address(ip), AddressAttribute::Broadcast(broadcast)];
        }
        IpAddr::V6(_) => {
            message.header.family = AddressFamily::Inet6;
            // Addresses are ours to give; looking for another owner would take a second.
            message.header.flags = AddressHeaderFlags::Nodad;
            message.attributes = vec![AddressAttribute::Local(ip), AddressAttribute::Address(ip)];
        }
    }
    Request { message: RouteNetlinkMessage::NewAddress(message), flags: NLM_F_CREATE | NLM_F_REPLACE }
}

/// Gives an interface an address; that it has it already is fine.
pub(crate) fn add_address(nl: &mut Netlink, index: u32, ip: IpAddr, prefix: u8) -> Step {
    first(nl.acknowledged([address(index, ip, prefix)]))
}

fn default_route(family: AddressFamily) -> RouteMessage {
    let mut route = RouteMessage::default();
    route.header.address_family = family;
    route.header.table = RouteHeader::RT_TABLE_MAIN;
    route.header.protocol = RouteProtocol::Boot;
    route.header.scope = RouteScope::Universe;
    route.header.kind = RouteType::Unicast;
    route
}

fn way_out(gateway: Option<IpAddr>, v4: bool, index: u32) -> Request<RouteNetlinkMessage> {
    let mut route = default_route(if v4 { AddressFamily::Inet } else { AddressFamily::Inet6 });
    match gateway {
        Some(ip) => route.attributes.push(RouteAttribute::Gateway(ip.into())),
        // Whatever is out there is asked for directly.
        None => route.header.scope = RouteScope::Link,
    }
    route.attributes.push(RouteAttribute::Oif(index));
    Request { message: RouteNetlinkMessage::NewRoute(route), flags: NLM_F_CREATE | NLM_F_REPLACE }
}

/// A container's default routes: by which of its interfaces, through which gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct WaysOut {
    pub(crate) v4: Option<(String, Ipv4Addr)>,
    pub(crate) v6: Option<(String, Ipv6Addr)>,
}

/// Configures a container's interface from within its namespace: addresses, up, and the default routes that are by it.
pub(crate) fn configure(nl: &mut Netlink, endpoint: &Endpoint, ways: &WaysOut) -> io::Result<()> {
    let Some(found) = by_name(nl, &endpoint.ifname)? else {
        return Err(Errno::ENODEV.into());
    };
    let mut up = LinkMessage::default();
    up.header.index = found.index;
    set_up(&mut up);
    let mut requests = Vec::new();
    requests.extend(endpoint.ip.map(|ip| address(found.index, ip.into(), endpoint.prefix_len)));
    requests.push(change(up));
    requests.extend(endpoint.ipv6.map(|ip| address(found.index, ip.into(), endpoint.ipv6_prefix_len)));
    if let Some((_, gateway)) = ways.v4.as_ref().filter(|(name, _)| *name == endpoint.ifname) {
        requests.push(way_out(Some((*gateway).into()), true, found.index));
    }
    if let Some((_, gateway)) = ways.v6.as_ref().filter(|(name, _)| *name == endpoint.ifname) {
        requests.push(way_out(Some((*gateway).into()), false, found.index));
    }
    first(nl.acknowledged(requests))?;
    if let Some(ip) = endpoint.ipv6 {
        await_local(nl, ip);
    }
    // One on a parent is as its parent is.
    if endpoint.host_ifname.is_empty() { Ok(()) } else { await_running(nl, &endpoint.ifname) }
}

/// Puts the default routes right after an interface has come or gone.
pub(crate) fn reroute(nl: &mut Netlink, ways: &WaysOut) -> io::Result<()> {
    let v4 = ways.v4.as_ref().map(|(name, ip)| (name, IpAddr::V4(*ip)));
    let v6 = ways.v6.as_ref().map(|(name, ip)| (name, IpAddr::V6(*ip)));
    for (family, way) in [(AddressFamily::Inet, v4), (AddressFamily::Inet6, v6)] {
        let request = match way {
            Some((name, gateway)) => {
                let Some(found) = by_name(nl, name)? else { return Err(Errno::ENODEV.into()) };
                way_out(Some(gateway), gateway.is_ipv4(), found.index)
            }
            None => Request { message: RouteNetlinkMessage::DelRoute(default_route(family)), flags: 0 },
        };
        match first(nl.acknowledged([request])) {
            // There was none.
            Err(error) if way.is_none() && error.raw_os_error() == Some(Errno::ESRCH as i32) => {}
            // A kernel without IPv6.
            Err(error) if way.is_none() && error.raw_os_error() == Some(Errno::EAFNOSUPPORT as i32) => {}
            result => result?,
        }
    }
    Ok(())
}

/// The IPv4 addresses of the host: the index of the interface, the address, its network.
pub(crate) fn addresses(nl: &mut Netlink) -> io::Result<Vec<(u32, Ipv4Addr, Ipv4Net)>> {
    let mut ask = AddressMessage::default();
    ask.header.family = AddressFamily::Inet;
    let answers: Vec<RouteNetlinkMessage> = nl.dump(RouteNetlinkMessage::GetAddress(ask))?;
    let mut found = Vec::new();
    for answer in answers {
        let RouteNetlinkMessage::NewAddress(message) = answer else { continue };
        // On a point-to-point link the two differ, and both ends are taken.
        for attribute in &message.attributes {
            if let AddressAttribute::Local(IpAddr::V4(ip)) | AddressAttribute::Address(IpAddr::V4(ip)) = attribute {
                let net = Ipv4Net::containing(*ip, message.header.prefix_len);
                found.push((message.header.index, *ip, net));
            }
        }
    }
    Ok(found)
}

/// The destinations of all IPv4 routes of the host, in all tables, without those that are ways to everywhere:
/// default routes, and the halves and quarters into which VPN clients cut them.
pub(crate) fn routes(nl: &mut Netlink) -> io::Result<Vec<Ipv4Net>> {
    let mut ask = RouteMessage::default();
    ask.header.address_family = AddressFamily::Inet;
    let answers: Vec<RouteNetlinkMessage> = nl.dump(RouteNetlinkMessage::GetRoute(ask))?;
    let destination = |message: &RouteMessage| {
        message.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(ip)) => {
                Some(Ipv4Net::containing(*ip, message.header.destination_prefix_length))
            }
            _ => None,
        })
    };
    Ok(answers
        .iter()
        .filter_map(|answer| match answer {
            RouteNetlinkMessage::NewRoute(message) => destination(message),
            _ => None,
        })
        .filter(|net| net.prefix() > WIDEST)
        .collect())
}

/// The destinations of all IPv6 routes of the host but the default ones, and its link-local and multicast ones.
pub(crate) fn routes6(nl: &mut Netlink) -> io::Result<Vec<Ipv6Net>> {
    let mut ask = RouteMessage::default();
    ask.header.address_family = AddressFamily::Inet6;
    let answers: Vec<RouteNetlinkMessage> = nl.dump(RouteNetlinkMessage::GetRoute(ask))?;
    let mut found = Vec::new();
    for answer in answers {
        let RouteNetlinkMessage::NewRoute(message) = answer else { continue };
        for attribute in &message.attributes {
            if let RouteAttribute::Destination(RouteAddress::Inet6(ip)) = attribute
                && message.header.destination_prefix_length > WIDEST
            {
                found.extend(Ipv6Net::new(*ip, message.header.destination_prefix_length).ok());
            }
        }
    }
    Ok(found)
}
