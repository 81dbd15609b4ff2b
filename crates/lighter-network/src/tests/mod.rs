//! Tests against the real kernel. Each runs on a thread of its own in a new network namespace that plays the
//! host, so that nothing of the machine's own network is touched and tests can run side by side. Needs root.

mod dns;
mod faults;
mod host;
mod traffic;

use std::future::Future;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns, unshare};

use crate::leases::Endpoint;
use crate::netlink::Netlink;
use crate::netns::{NETLINK_NETFILTER, NETLINK_ROUTE};
use crate::{BridgeConfig, Networks, links, netns};

/// Runs a test in a new namespace with its loopback up.
fn on_new_host<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("these tests need root");
        links::loopback_up(&mut route()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test());
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn route() -> Netlink {
    Netlink::open(NETLINK_ROUTE).unwrap()
}

fn netfilter() -> Netlink {
    Netlink::open(NETLINK_NETFILTER).unwrap()
}

/// Runs `work` inside a namespace, on a thread of its own.
fn inside<T: Send + 'static>(netns: BorrowedFd<'_>, work: impl FnOnce() -> T + Send + 'static) -> T {
    let netns = netns.try_clone_to_owned().unwrap();
    let thread = std::thread::spawn(move || {
        setns(netns.as_fd(), CloneFlags::CLONE_NEWNET).unwrap();
        work()
    });
    thread.join().unwrap()
}

fn host() -> OwnedFd {
    netns::current().unwrap()
}

async fn open(config: &BridgeConfig) -> Networks {
    Networks::open(config.clone()).await.unwrap()
}

/// Waits until `condition` holds, which must not take long.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "still not so: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn exists(name: &str) -> bool {
    links::by_name(&mut route(), name).unwrap().is_some()
}

/// A bridge with an address, as dockerd or an administrator would make it.
fn foreign_bridge(name: &str, ip: Ipv4Addr, prefix: u8) {
    let mut nl = route();
    let mac = crate::MacAddr([0x02, 0, 0, 0, 0, ip.octets()[1]]);
    links::create_bridge(&mut nl, name, mac, "", None).unwrap();
    let index = links::by_name(&mut nl, name).unwrap().unwrap().index;
    links::add_address(&mut nl, index, ip, crate::Ipv4Net::containing(ip, prefix)).unwrap();
    links::repair_bridge(&mut nl, index, mac, "").unwrap();
}

/// One TCP connection that carries a word there and back. Returns the address that the server saw.
fn talk(client: BorrowedFd<'_>, server: BorrowedFd<'_>, to: Ipv4Addr) -> std::io::Result<Ipv4Addr> {
    let listener = inside(server, || TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap());
    let port = listener.local_addr().unwrap().port();
    let answering = std::thread::spawn(move || {
        let (mut stream, peer) = listener.accept().unwrap();
        let mut word = [0; 4];
        // A connection made only to end this thread carries no word.
        if stream.read_exact(&mut word).is_ok() {
            stream.write_all(&word).unwrap();
        }
        peer
    });
    let connected = inside(client, move || {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::from((to, port)), Duration::from_millis(1500))?;
        stream.write_all(b"ping")?;
        let mut word = [0; 4];
        stream.read_exact(&mut word)?;
        assert_eq!(&word, b"ping");
        Ok(())
    });
    if connected.is_err() {
        inside(server, move || drop(TcpStream::connect((Ipv4Addr::LOCALHOST, port))));
    }
    let SocketAddr::V4(peer) = answering.join().unwrap() else { panic!("IPv6 peer") };
    connected.map(|()| *peer.ip())
}

/// A connected container: its namespace stays as long as this does.
struct Container {
    netns: OwnedFd,
    endpoint: Endpoint,
}

async fn container(networks: &Networks, id: &str) -> Container {
    let (netns, endpoint) = networks.connect(id).await.unwrap();
    Container { netns, endpoint }
}
