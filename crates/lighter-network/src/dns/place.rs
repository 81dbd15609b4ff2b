//! Opens sockets inside other network namespaces.
//!
//! One thread of our own goes there and back; the sockets stay where they were made and are then served by anybody.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{ADDRESS, redirect};
use crate::netns::{self, Visitor};

/// The first of the ports at which a resolver listens, and how many there are: the kernel's ephemeral ones, which no
/// program expects to have for itself.
const FIRST_PORT: u16 = 32768;
const PORTS: u16 = 28232;
/// How many ports are tried before it is given up.
const TRIES: u16 = 32;

/// The sockets of one resolver.
#[derive(Debug)]
pub(super) struct Sockets {
    pub(super) udp: UdpSocket,
    pub(super) tcp: TcpListener,
}

/// A container's first choice of a port: always the same.
pub(super) fn preferred_port(container: &str) -> u16 {
    let mut hasher = DefaultHasher::new();
    container.hash(&mut hasher);
    // Less than PORTS, so it fits.
    FIRST_PORT + u16::try_from(hasher.finish() % u64::from(PORTS)).unwrap_or(0)
}

/// A visit: what to do there, on the thread that goes.
type Visit = Box<dyn FnOnce(&mut Visitor) + Send>;

/// The way into namespaces. Its thread starts with the first visit and ends with the last clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    visits: Arc<Mutex<Option<Sender<Visit>>>>,
}

impl Places {
    /// The sockets of a resolver, with port 53 leading to them.
    pub(super) async fn open(&self, netns: Arc<OwnedFd>, port: u16) -> io::Result<Sockets> {
        self.inside(netns, move || open_here(port)).await
    }

    /// A UDP socket for questions to `to`.
    pub(super) async fn udp(&self, netns: Arc<OwnedFd>, to: SocketAddr) -> io::Result<UdpSocket> {
        self.inside(netns, move || udp_here(to)).await
    }

    /// A TCP socket that is not connected yet.
    pub(super) async fn tcp(&self, netns: Arc<OwnedFd>, to: IpAddr) -> io::Result<TcpStream> {
        self.inside(netns, move || {
            let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            Ok(TcpStream::from(socket(family, SockType::Stream, flags, None)?))
        })
        .await
    }

    async fn inside<T: Send + 'static>(
        &self,
        netns: Arc<OwnedFd>,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (reply, answer) = oneshot::channel();
        let visit: Visit = Box::new(move |visitor| drop(reply.send(visitor.inside(netns.as_fd(), work))));
        self.send(visit)?;
        answer.await.map_err(|_| io::Error::other("the thread that visits namespaces has ended"))?
    }

    fn send(&self, visit: Visit) -> io::Result<()> {
        let mut visits = self.visits.lock();
        let visit = match visits.as_ref() {
            // One that could not come back has ended and is replaced.
            Some(running) => match running.send(visit) {
                Ok(()) => return Ok(()),
                Err(back) => back.0,
            },
            None => visit,
        };
        let (sender, receiver) = channel();
        let home = Arc::new(netns::current()?);
        std::thread::Builder::new()
            .name("lighter-dns".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || go(Visitor::new(home), &receiver))?;
        // The thread holds the receiver and takes nothing before this.
        let _ = sender.send(visit);
        *visits = Some(sender);
        Ok(())
    }
}

fn go(mut visitor: Visitor, visits: &Receiver<Visit>) {
    while let Ok(visit) = visits.recv() {
        visit(&mut visitor);
        if visitor.is_lost() {
            tracing::error!("cannot return to the host's network namespace");
            return;
        }
    }
}

/// A UDP socket of the calling thread's namespace, connected, so that only answers of that server come in.
pub(super) fn udp_here(to: SocketAddr) -> io::Result<UdpSocket> {
    let any = if to.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(to)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn open_here(preferred: u16) -> io::Result<Sockets> {
    let sockets = bind_some(preferred)?;
    let port = sockets.udp.local_addr()?.port();
    match redirect::to_port(port) {
        Ok(()) => Ok(sockets),
        // A kernel without the means: then the port itself, if it is free.
        Err(error) => {
            tracing::warn!(%error, "port 53 cannot be redirected inside a container: listening at it");
            let _ = redirect::remove();
            bind(53).map_err(|_| error)
        }
    }
}

fn bind_some(preferred: u16) -> io::Result<Sockets> {
    let mut last = None;
    for n in 0..TRIES {
        match bind(FIRST_PORT + (preferred - FIRST_PORT + n) % PORTS) {
            Ok(sockets) => return Ok(sockets),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

fn bind(port: u16) -> io::Result<Sockets> {
    let udp = UdpSocket::bind((ADDRESS, port))?;
    let tcp = TcpListener::bind((ADDRESS, port))?;
    udp.set_nonblocking(true)?;
    tcp.set_nonblocking(true)?;
    Ok(Sockets { udp, tcp })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_has_always_the_same_port() {
        assert_eq!(preferred_port("abc"), preferred_port("abc"));
        for n in 0..1000 {
            let port = preferred_port(&format!("container {n}"));
            assert!((FIRST_PORT..FIRST_PORT + PORTS).contains(&port), "{port}");
        }
    }
}
