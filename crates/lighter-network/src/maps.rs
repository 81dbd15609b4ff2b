//! Published ports as elements of nftables maps: what a packet is for, and where it goes instead.
//!
//! There are four maps and two sets. The maps: for either family, one whose keys have the address that a port is bound to, and
//! one for ports that are bound to all addresses of the machine. The sets have the ports of containers that are reached by
//! their own addresses. To publish a port is to add one element, whatever else there is.

use std::io;
use std::net::{IpAddr, SocketAddr};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_netfilter::nftables::{
    DataAttribute, ListAttribute, NfTablesMessage, SetAttribute, SetElementAttribute, SetElementList, SetElementMessage,
    SetFlags, SetMessage,
};
use netlink_packet_netfilter::{NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily};
use nix::errno::Errno;

use crate::netlink::{Netlink, Request};
use crate::nft::{self, Family};
use crate::ports::Protocol;

/// The kernel takes larger messages, but not of any size.
const PER_MESSAGE: usize = 256;

/// One of the maps or sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Map {
    Addressed4,
    Any4,
    Addressed6,
    Any6,
    Through4,
    Through6,
}

impl Map {
    /// Those that say what goes where.
    pub(crate) const MAPS: [Self; 4] = [Self::Addressed4, Self::Any4, Self::Addressed6, Self::Any6];
    const ALL: [Self; 6] = [Self::Addressed4, Self::Any4, Self::Addressed6, Self::Any6, Self::Through4, Self::Through6];

    /// The set of a family.
    pub(crate) fn through(family: Family) -> Self {
        match family {
            Family::V4 => Self::Through4,
            Family::V6 => Self::Through6,
        }
    }

    fn is_set(self) -> bool {
        matches!(self, Self::Through4 | Self::Through6)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Addressed4 => "ports4",
            Self::Any4 => "ports4-any",
            Self::Addressed6 => "ports6",
            Self::Any6 => "ports6-any",
            Self::Through4 => "routed4",
            Self::Through6 => "routed6",
        }
    }

    pub(crate) fn family(self) -> Family {
        match self {
            Self::Addressed4 | Self::Any4 | Self::Through4 => Family::V4,
            Self::Addressed6 | Self::Any6 | Self::Through6 => Family::V6,
        }
    }

    pub(crate) fn is_addressed(self) -> bool {
        !matches!(self, Self::Any4 | Self::Any6)
    }

    /// Bytes of a key and of a value: protocol, address and port in words of four.
    fn sizes(self) -> (u32, u32) {
        let address = match self.family() {
            Family::V4 => 4,
            Family::V6 => 16,
        };
        (8 + if self.is_addressed() { address } else { 0 }, 4 + address)
    }
}

/// An element: its map, what it is for, where that goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Element {
    pub(crate) map: Map,
    key: Vec<u8>,
    value: Vec<u8>,
}

fn address(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn port(port: u16) -> [u8; 4] {
    let [a, b] = port.to_be_bytes();
    [a, b, 0, 0]
}

impl Element {
    /// `None` where the two are of different families, which no rule can bring together.
    pub(crate) fn new(protocol: Protocol, from: SocketAddr, to: SocketAddr) -> Option<Self> {
        let (ip, target) = (from.ip(), to.ip());
        let map = match (ip, target, ip.is_unspecified()) {
            (IpAddr::V4(_), IpAddr::V4(_), false) => Map::Addressed4,
            (IpAddr::V4(_), IpAddr::V4(_), true) => Map::Any4,
            (IpAddr::V6(_), IpAddr::V6(_), false) => Map::Addressed6,
            (IpAddr::V6(_), IpAddr::V6(_), true) => Map::Any6,
            _ => return None,
        };
        let mut key = vec![protocol.number(), 0, 0, 0];
        if map.is_addressed() {
            key.extend(address(ip));
        }
        key.extend(port(from.port()));
        Some(Self { map, key, value: [address(target), port(to.port()).to_vec()].concat() })
    }

    /// That a port of a container's own address is open.
    pub(crate) fn through(protocol: Protocol, to: SocketAddr) -> Self {
        let key = [vec![protocol.number(), 0, 0, 0], address(to.ip()), port(to.port()).to_vec()].concat();
        Self { map: Map::through(Family::of(to.ip())), key, value: Vec::new() }
    }
}

/// What `nft` shows keys and values as: the numbers that it has for a protocol, an address and a port, six bits each.
fn types(map: Map) -> (u32, u32) {
    const PROTOCOL: u32 = 12;
    const PORT: u32 = 13;
    let address = match map.family() {
        Family::V4 => 7,
        Family::V6 => 8,
    };
    let value = address << 6 | PORT;
    (PROTOCOL << if map.is_addressed() { 12 } else { 6 } | if map.is_addressed() { value } else { PORT }, value)
}

/// All of them, empty.
pub(crate) fn create_all(table: &str) -> impl Iterator<Item = Request<NetfilterMessage>> {
    (1..).zip(Map::ALL).map(move |(id, map)| create(table, map, id))
}

fn create(table: &str, map: Map, id: u32) -> Request<NetfilterMessage> {
    let (key, value) = map.sizes();
    let (key_type, value_type) = types(map);
    let mut attributes = vec![
        SetAttribute::Table(table.to_owned()),
        SetAttribute::Name(map.name().to_owned()),
        SetAttribute::KeyType(key_type),
        SetAttribute::KeyLen(key),
        SetAttribute::Id(id),
    ];
    if !map.is_set() {
        attributes.extend([SetAttribute::Flags(SetFlags::Map), SetAttribute::DataType(value_type), SetAttribute::DataLen(value)]);
    }
    nft::inet(NfTablesMessage::NewSet(SetMessage { attributes }), NLM_F_CREATE)
}

fn messages(
    table: &str,
    elements: &[Element],
    with_value: bool,
    make: impl Fn(SetElementMessage) -> Request<NetfilterMessage>,
) -> Vec<Request<NetfilterMessage>> {
    let attributes = |element: &Element| {
        let mut attributes = vec![SetElementAttribute::Key(DataAttribute::Value(element.key.clone()))];
        let with_value = with_value && !element.map.is_set();
        attributes.extend(with_value.then(|| SetElementAttribute::Data(DataAttribute::Value(element.value.clone()))));
        ListAttribute::Element(attributes)
    };
    let mut requests = Vec::new();
    for map in Map::ALL {
        let of_map: Vec<_> = elements.iter().filter(|element| element.map == map).map(attributes).collect();
        for some in of_map.chunks(PER_MESSAGE) {
            requests.push(make(SetElementMessage {
                attributes: vec![
                    SetElementList::Table(table.to_owned()),
                    SetElementList::Set(map.name().to_owned()),
                    SetElementList::Elements(some.to_vec()),
                ],
            }));
        }
    }
    requests
}

/// Puts elements in. One that is there with another value is an error.
pub(crate) fn add(table: &str, elements: &[Element]) -> Vec<Request<NetfilterMessage>> {
    messages(table, elements, true, |m| nft::inet(NfTablesMessage::NewSetElement(m), NLM_F_CREATE | NLM_F_EXCL))
}

/// Takes elements out, all of which must be there.
pub(crate) fn remove(table: &str, elements: &[Element]) -> Vec<Request<NetfilterMessage>> {
    messages(table, elements, false, |m| nft::inet(NfTablesMessage::DeleteSetElement(m), 0))
}

/// What is in all of them, in order. One that is not there has nothing in it.
pub(crate) fn read(nl: &mut Netlink, table: &str) -> io::Result<Vec<Element>> {
    let mut found = Vec::new();
    for map in Map::ALL {
        let attributes = vec![SetElementList::Table(table.to_owned()), SetElementList::Set(map.name().to_owned())];
        let ask = NfTablesMessage::GetSetElement(SetElementMessage { attributes });
        let answers: Vec<NetfilterMessage> = match nl.dump(nft::message(NetfilterProtoFamily::Inet, ask)) {
            Ok(answers) => answers,
            Err(error) if error.raw_os_error() == Some(Errno::ENOENT as i32) => continue,
            Err(error) => return Err(error),
        };
        for answer in answers {
            let NetfilterMessageInner::NfTables(NfTablesMessage::NewSetElement(message)) = answer.inner else { continue };
            for attribute in message.attributes {
                let SetElementList::Elements(list) = attribute else { continue };
                found.extend(list.into_iter().filter_map(|one| element_of(map, one)));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn element_of(map: Map, one: ListAttribute<SetElementAttribute>) -> Option<Element> {
    let ListAttribute::Element(attributes) = one else { return None };
    let (mut key, mut value) = (Vec::new(), Vec::new());
    for attribute in attributes {
        match attribute {
            SetElementAttribute::Key(DataAttribute::Value(bytes)) => key = bytes,
            SetElementAttribute::Data(DataAttribute::Value(bytes)) => value = bytes,
            _ => {}
        }
    }
    Some(Element { map, key, value })
}
