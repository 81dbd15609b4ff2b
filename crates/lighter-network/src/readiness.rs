//! What the kernel does by and by after it has answered, and has to have done before anybody uses an interface: what is sent
//! before is lost, which costs who calls a new container a second. Called by whoever makes interfaces and gives addresses.

use std::io;
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::links::by_name;
use crate::netlink::Netlink;

/// The kernel looks at interfaces that have changed at least so often.
const SETTLING: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_micros(200);

/// Waits until the kernel has seen that the other end of an interface is up, and that a bridge has somebody to pass things on to.
/// Newer kernels (6.8) look when asked.
pub(crate) fn await_running(nl: &mut Netlink, name: &str) -> io::Result<()> {
    let deadline = Instant::now() + SETTLING;
    while by_name(nl, name)?.is_some_and(|link| !link.running) && Instant::now() < deadline {
        std::thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}

/// Waits until an address is one of our own: a work queue of the kernel's has neighbours find it and takes what comes for it,
/// also where nobody is asked whether he has it, too.
pub(crate) fn await_local(nl: &mut Netlink, ip: Ipv6Addr) {
    let deadline = Instant::now() + SETTLING;
    while !is_local(nl, ip) && Instant::now() < deadline {
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Where there is no way to it at all, it is not local.
pub(crate) fn is_local(nl: &mut Netlink, ip: Ipv6Addr) -> bool {
    let mut ask = RouteMessage::default();
    ask.header.address_family = AddressFamily::Inet6;
    ask.header.destination_prefix_length = 128;
    ask.attributes.push(RouteAttribute::Destination(RouteAddress::Inet6(ip)));
    let answer = nl.get(RouteNetlinkMessage::GetRoute(ask));
    matches!(answer, Ok(RouteNetlinkMessage::NewRoute(route)) if route.header.kind == RouteType::Local)
}
