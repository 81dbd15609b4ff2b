//! Passing on what reaches a published port's socket instead of being led to the container by the firewall.
//!
//! That is little: connections to `::1`, those by IPv6 to a container that has none, and those that come while somebody has
//! flushed the rules. The container sees the host's address as their source.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener, UdpSocket as StdUdpSocket};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::ports::Protocol;

/// A container that does not answer within this is not there.
const PATIENCE: Duration = Duration::from_secs(30);
/// A client that has been silent for so long begins anew, from another port of ours.
const IDLE: Duration = Duration::from_secs(90);
/// The largest datagram.
const DATAGRAM: usize = 65_536;
/// How many clients of one UDP port are kept apart.
const MOST_CLIENTS: usize = 512;
/// After an error of accepting, such as too many open files.
const PAUSE: Duration = Duration::from_millis(50);

type Target = Arc<Mutex<Option<SocketAddr>>>;

/// One held socket. Dropping it closes the socket; connections under way go on.
#[derive(Debug)]
pub(crate) struct Relay {
    to: Target,
    task: AbortHandle,
}

impl Drop for Relay {
    fn drop(&mut self) {
        *self.to.lock() = None;
        self.task.abort();
    }
}

impl Relay {
    pub(crate) fn start(runtime: &Handle, protocol: Protocol, socket: OwnedFd) -> io::Result<Self> {
        let to = Target::default();
        let _guard = runtime.enter();
        let task = match protocol {
            Protocol::Udp => {
                let socket = UdpSocket::from_std(StdUdpSocket::from(socket))?;
                let work = pass_datagrams(Arc::new(socket), Arc::clone(&to));
                runtime.spawn(work).abort_handle()
            }
            Protocol::Tcp | Protocol::Sctp => {
                let listener = TcpListener::from_std(StdTcpListener::from(socket))?;
                let work = accept(listener, Arc::clone(&to));
                runtime.spawn(work).abort_handle()
            }
        };
        Ok(Self { to, task })
    }

    /// `None`: to nobody.
    pub(crate) fn direct(&self, to: Option<SocketAddr>) {
        *self.to.lock() = to;
    }
}

async fn accept(listener: TcpListener, to: Target) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                let to = *to.lock();
                if let Some(to) = to {
                    tokio::spawn(pass(client, to));
                }
            }
            Err(error) => {
                tracing::debug!(%error, "cannot accept a connection to a published port");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn pass(mut client: TcpStream, to: SocketAddr) {
    let Ok(Ok(mut server)) = tokio::time::timeout(PATIENCE, TcpStream::connect(to)).await else { return };
    let _ = client.set_nodelay(true).and_then(|()| server.set_nodelay(true));
    // An error ends the connection, which both sides see.
    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}

async fn pass_datagrams(socket: Arc<UdpSocket>, to: Target) {
    let mut clients: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let Ok((len, client)) = socket.recv_from(&mut buffer).await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let now = *to.lock();
        let Some(now) = now else { continue };
        // Whoever has been answered for the last time is held by nobody else any more.
        clients.retain(|_, way| Arc::strong_count(way) > 1);
        let known = clients.get(&client).filter(|way| way.peer_addr().is_ok_and(|peer| peer == now)).cloned();
        let way = match known {
            Some(way) => way,
            None if clients.len() >= MOST_CLIENTS => continue,
            None => match connect(now).await {
                Ok(way) => {
                    let way = Arc::new(way);
                    clients.insert(client, Arc::clone(&way));
                    tokio::spawn(answer(Arc::clone(&way), Arc::downgrade(&socket), client));
                    way
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot pass on a datagram to a published port");
                    continue;
                }
            },
        };
        let _ = way.send(&buffer[..len]).await;
    }
}

async fn connect(to: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = if to.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(to).await?;
    Ok(socket)
}

async fn answer(way: Arc<UdpSocket>, socket: Weak<UdpSocket>, client: SocketAddr) {
    let mut buffer = vec![0; DATAGRAM];
    // The end of the port's own task closes the socket, and ends this with the next answer or silence.
    while let Ok(Ok(len)) = tokio::time::timeout(IDLE, way.recv(&mut buffer)).await {
        let Some(socket) = socket.upgrade() else { return };
        let _ = socket.send_to(&buffer[..len], client).await;
    }
}
