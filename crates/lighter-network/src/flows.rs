//! Flows of datagrams that the kernel remembers. A sender that goes on sending keeps its flow alive, and with it the place where
//! its first datagram was led: also when a published UDP port leads elsewhere by now, or nowhere. So when such a port comes or
//! goes, the flows to it are forgotten, and the next datagram is looked at anew. (Connections end by themselves.)

use std::io;
use std::net::IpAddr;

use netlink_packet_netfilter::conntrack::{ConntrackAttribute, ConntrackMessage, IPTuple, ProtoTuple, Protocol, Tuple};
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily};
use nix::errno::Errno;

use crate::netlink::{Netlink, Request};
use crate::ports::{self, Published};

/// Forgets the flows to those of `ports` that are UDP.
pub(crate) fn forget<'a>(nl: &mut Netlink, ports: impl IntoIterator<Item = &'a Published>) -> io::Result<()> {
    let udp: Vec<_> = ports.into_iter().filter(|p| p.protocol == ports::Protocol::Udp && !p.is_let_through()).collect();
    for (family, v4) in [(NetfilterProtoFamily::IPv4, true), (NetfilterProtoFamily::IPv6, false)] {
        let mine: Vec<_> = udp.iter().filter(|port| port.host_ip.is_ipv4() == v4).collect();
        if mine.is_empty() {
            continue;
        }
        let message = |inner| NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), inner);
        let answers: Vec<NetfilterMessage> = nl.dump(message(ConntrackMessage::Get(Vec::new())))?;
        // Never without the tuple: that would be all flows of the machine.
        let flows = answers.into_iter().filter_map(first_datagram).filter(|to| mine.iter().any(|port| is_to(to, port)));
        for flow in flows {
            let delete = message(ConntrackMessage::Delete(vec![ConntrackAttribute::CtaTupleOrig(flow)]));
            match nl.acknowledged([Request { message: delete, flags: 0 }]) {
                // It has ended meanwhile.
                Err((_, error)) if error.raw_os_error() == Some(Errno::ENOENT as i32) => {}
                result => result.map_err(|(_, error)| error)?,
            }
        }
    }
    Ok(())
}

/// From where to where the datagram went that began a flow.
fn first_datagram(answer: NetfilterMessage) -> Option<Vec<Tuple>> {
    let NetfilterMessageInner::Conntrack(ConntrackMessage::New(attributes)) = answer.inner else { return None };
    attributes.into_iter().find_map(|attribute| match attribute {
        ConntrackAttribute::CtaTupleOrig(tuple) => Some(tuple),
        _ => None,
    })
}

fn is_to(flow: &[Tuple], port: &Published) -> bool {
    let (mut to, mut to_port, mut udp) = (None::<IpAddr>, None, false);
    for part in flow {
        match part {
            Tuple::Ip(parts) => {
                to = parts.iter().find_map(|p| if let IPTuple::DestinationAddress(ip) = p { Some(*ip) } else { None });
            }
            Tuple::Proto(parts) => {
                udp = parts.contains(&ProtoTuple::Protocol(Protocol::Udp));
                to_port = parts.iter().find_map(|p| if let ProtoTuple::DestinationPort(port) = p { Some(*port) } else { None });
            }
            _ => {}
        }
    }
    udp && to_port == Some(port.host_port) && (port.host_ip.is_unspecified() || to == Some(port.host_ip))
}
