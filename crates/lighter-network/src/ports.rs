//! Ports of the host that are published: who has which, and the sockets that hold them.
//!
//! Packets are led to the container by the firewall (`maps`). Besides, a listening socket is held on the host's address, so
//! that the port is really taken: nobody else gets it, and one that somebody has is not stolen. What reaches the socket all the
//! same (by ::1, by IPv6 for a container without, or while somebody has flushed the rules) is passed on by `relay`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6, bind, listen, setsockopt, socket, sockopt,
};
use serde::{Deserialize, Serialize};

use crate::error::NetworkError;
use crate::relay::Relay;

/// So long after a socket of ours was let go it may still be in the closing: the runtime drops it by and by, and the kernel takes the
/// port from it when nobody waits for its events any more.
const CLOSING: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// What is published of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// Its number in an IP packet.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    /// As in `80/tcp`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl std::str::FromStr for Protocol {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Tcp, Self::Udp, Self::Sctp].into_iter().find(|p| p.name().eq_ignore_ascii_case(text)).ok_or(())
    }
}

/// One port to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortWant {
    pub protocol: Protocol,
    pub container_port: u16,
    /// `None`: all addresses of the host, of both families.
    pub host_ip: Option<IpAddr>,
    /// The first free one of these; `None`: any that is free.
    pub host_ports: Option<RangeInclusive<u16>>,
}

/// One port that is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    pub protocol: Protocol,
    pub container_port: u16,
    /// Unspecified: all of its family.
    pub host_ip: IpAddr,
    /// 0: none; who routes to the container's own address reaches the port there.
    pub host_port: u16,
}

impl Published {
    /// A port of a container's own address, which needs none of the host.
    pub(crate) fn let_through(protocol: Protocol, container_port: u16, v4: bool) -> Self {
        let host_ip = if v4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        Self { protocol, container_port, host_ip, host_port: 0 }
    }

    /// Whether it is one of those.
    #[must_use]
    pub fn is_let_through(&self) -> bool {
        self.host_port == 0
    }

    /// Where on the host.
    #[must_use]
    pub fn host(&self) -> SocketAddr {
        SocketAddr::new(self.host_ip, self.host_port)
    }

    fn clashes(&self, other: &Self) -> bool {
        let (a, b) = (self.host_ip, other.host_ip);
        let same_place = a == b || (a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified()));
        self.protocol == other.protocol && self.host_port == other.host_port && same_place
    }
}

/// Who holds a port already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// One of our containers.
    Container(String),
    /// Some program on the host.
    Host,
}

/// A port that could not be had now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    pub port: Published,
    pub holder: Holder,
}

struct Claim {
    container_id: String,
    port: Published,
    /// `None`: the kernel has no such sockets (SCTP), or the port could not be had again after a restart.
    relay: Option<Relay>,
}

/// All that is published.
pub(crate) struct Ports {
    claims: Vec<Claim>,
    /// What was let go of late, and when.
    closing: Vec<(Published, Instant)>,
    runtime: tokio::runtime::Handle,
    ipv6: bool,
    next: u16,
}

impl Ports {
    pub(crate) fn new(runtime: tokio::runtime::Handle) -> Self {
        let ipv6 = hold(Protocol::Udp, SocketAddr::new(Ipv6Addr::LOCALHOST.into(), 0)).is_ok();
        Self { claims: Vec::new(), closing: Vec::new(), runtime, ipv6, next: 0 }
    }

    /// The addresses that a wish is for.
    fn hosts(&self, want: &PortWant) -> Vec<IpAddr> {
        match want.host_ip {
            Some(ip) => vec![ip],
            None if self.ipv6 => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
            None => vec![Ipv4Addr::UNSPECIFIED.into()],
        }
    }

    fn holder_of(&self, port: &Published) -> Option<&Claim> {
        self.claims.iter().find(|claim| claim.port.clashes(port))
    }

    /// Holds what is wanted for a container, all or nothing.
    pub(crate) fn claim(&mut self, container_id: &str, wants: &[PortWant]) -> Result<Vec<Published>, NetworkError> {
        let before = self.claims.len();
        for want in wants {
            if let Err(error) = self.claim_one(container_id, want) {
                self.drop_from(before);
                return Err(error);
            }
        }
        Ok(self.claims[before..].iter().map(|claim| claim.port).collect())
    }

    fn claim_one(&mut self, container_id: &str, want: &PortWant) -> Result<(), NetworkError> {
        let candidates: Vec<u16> = match &want.host_ports {
            Some(range) => range.clone().collect(),
            None => {
                let range = ephemeral();
                let from = self.next.clamp(*range.start(), *range.end());
                (from..=*range.end()).chain(*range.start()..from).collect()
            }
        };
        let mut failure = None;
        for host_port in candidates {
            match self.try_port(container_id, want, host_port) {
                Ok(()) => {
                    if want.host_ports.is_none() {
                        self.next = host_port.wrapping_add(1);
                    }
                    return Ok(());
                }
                Err(error) => {
                    let hopeless = !matches!(error, NetworkError::PortTaken { .. } | NetworkError::PortHeld { .. });
                    failure.get_or_insert(error);
                    if hopeless {
                        break;
                    }
                }
            }
        }
        Err(failure.unwrap_or(NetworkError::PortTaken { ip: Ipv4Addr::UNSPECIFIED.into(), port: 0 }))
    }

    fn try_port(&mut self, container_id: &str, want: &PortWant, host_port: u16) -> Result<(), NetworkError> {
        let before = self.claims.len();
        let tried: Result<(), NetworkError> = self.hosts(want).into_iter().try_for_each(|host_ip| {
            let PortWant { protocol, container_port, .. } = *want;
            let port = Published { protocol, container_port, host_ip, host_port };
            if self.holder_of(&port).is_some() {
                return Err(NetworkError::PortTaken { ip: host_ip, port: host_port });
            }
            let relay = match self.hold(&port) {
                Ok(socket) => Some(self.relay(protocol, socket)?),
                Err(Errno::EPROTONOSUPPORT | Errno::ESOCKTNOSUPPORT) if protocol == Protocol::Sctp => None,
                Err(errno) => {
                    return Err(NetworkError::PortHeld { address: port.host(), protocol: protocol.name(), source: errno.into() });
                }
            };
            self.claims.push(Claim { container_id: container_id.to_owned(), port, relay });
            Ok(())
        });
        if tried.is_err() {
            self.drop_from(before);
        }
        tried
    }

    fn relay(&self, protocol: Protocol, socket: OwnedFd) -> Result<Relay, NetworkError> {
        Relay::start(&self.runtime, protocol, socket).map_err(|error| NetworkError::kernel("hold a port", error))
    }

    /// Takes what a container had before a restart. A port that somebody else took meanwhile is led to the container all the
    /// same: it was there first.
    pub(crate) fn restore(&mut self, container_id: &str, ports: &[Published]) {
        for port in ports.iter().filter(|port| !port.is_let_through()) {
            if self.holder_of(port).is_some() {
                continue;
            }
            let relay = match self.hold(port) {
                Ok(socket) => self.relay(port.protocol, socket).ok(),
                Err(errno) => {
                    tracing::warn!(port = %port.host(), %errno, "cannot hold a published port again");
                    None
                }
            };
            self.claims.push(Claim { container_id: container_id.to_owned(), port: *port, relay });
        }
    }

    /// Where what reaches the sockets of a container is passed on to.
    pub(crate) fn direct(&self, container_id: &str, to: Option<IpAddr>) {
        for claim in self.claims.iter().filter(|claim| claim.container_id == container_id) {
            if let Some(relay) = &claim.relay {
                relay.direct(to.map(|ip| SocketAddr::new(ip, claim.port.container_port)));
            }
        }
    }

    pub(crate) fn release(&mut self, container_id: &str) {
        let (gone, kept) = self.claims.drain(..).partition(|claim| claim.container_id == container_id);
        self.claims = kept;
        self.let_go(gone);
    }

    fn drop_from(&mut self, at: usize) {
        let gone = self.claims.split_off(at);
        self.let_go(gone);
    }

    fn let_go(&mut self, gone: Vec<Claim>) {
        let now = Instant::now();
        self.closing.retain(|(_, since)| now - *since < CLOSING);
        self.closing.extend(gone.iter().filter(|claim| claim.relay.is_some()).map(|claim| (claim.port, now)));
    }

    /// Holds a port, and waits a moment for a socket of ours that is being closed.
    fn hold(&self, port: &Published) -> Result<OwnedFd, Errno> {
        loop {
            let held = hold(port.protocol, port.host());
            let ours = || self.closing.iter().any(|(other, since)| since.elapsed() < CLOSING && other.clashes(port));
            if held.as_ref().err() != Some(&Errno::EADDRINUSE) || !ours() {
                return held;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// What of `wants` could not be had now, were `container_id` started. Ports that are chosen do not clash.
    pub(crate) fn clashes(&self, container_id: &str, wants: &[PortWant]) -> Vec<Clash> {
        let mut found = Vec::new();
        for want in wants {
            let Some(range) = want.host_ports.clone().filter(|range| range.start() == range.end()) else { continue };
            for host_ip in self.hosts(want) {
                let PortWant { protocol, container_port, .. } = *want;
                let port = Published { protocol, container_port, host_ip, host_port: *range.start() };
                let holder = match self.holder_of(&port) {
                    Some(claim) if claim.container_id == container_id => continue,
                    Some(claim) => Holder::Container(claim.container_id.clone()),
                    None if self.hold(&port).err() == Some(Errno::EADDRINUSE) => Holder::Host,
                    None => continue,
                };
                found.push(Clash { port, holder });
                break;
            }
        }
        found
    }
}

/// A socket bound to the address, which listens if it can.
fn hold(protocol: Protocol, at: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if at.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let (kind, number) = match protocol {
        Protocol::Tcp => (SockType::Stream, SockProtocol::Tcp),
        Protocol::Udp => (SockType::Datagram, SockProtocol::Udp),
        // nix knows no number for it; a plain socket of its kind is another protocol's.
        Protocol::Sctp => return Err(Errno::EPROTONOSUPPORT),
    };
    let fd = socket(family, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, number)?;
    if protocol == Protocol::Tcp {
        // Connections of an earlier holder that linger do not count.
        setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    }
    if at.is_ipv6() {
        setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
    }
    match at {
        SocketAddr::V4(at) => bind(fd.as_raw_fd(), &SockaddrIn::from(at))?,
        SocketAddr::V6(at) => bind(fd.as_raw_fd(), &SockaddrIn6::from(at))?,
    }
    if protocol == Protocol::Tcp {
        listen(&fd, Backlog::MAXCONN)?;
    }
    Ok(fd)
}

/// From which the kernel takes ports for those that ask for none.
fn ephemeral() -> RangeInclusive<u16> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut words = text.split_whitespace().filter_map(|word| word.parse().ok());
    match (words.next(), words.next()) {
        (Some(low), Some(high)) if low <= high => low..=high,
        _ => 49_153..=65_535,
    }
}
