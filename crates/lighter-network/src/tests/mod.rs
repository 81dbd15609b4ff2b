//! Tests against the real kernel. Each runs on a thread of its own in a new network namespace that plays the
//! host, so that nothing of the machine's own network is touched and tests can run side by side. Needs root.

mod dns;
mod faults;
mod gateways;
mod host;
mod many;
mod published;
mod traffic;

use std::future::Future;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns, unshare};

use crate::netlink::Netlink;
use crate::netns::{NETLINK_NETFILTER, NETLINK_ROUTE};
use crate::{
    Ask, Attachment, BridgeConfig, Endpoint, GatewayMode, Join, Kind, NetworkError, NetworkSpec, Networks, Pick, PortWant, links,
    netns,
};

/// Runs a test in a new namespace with its loopback up.
fn on_new_host<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("these tests need root");
        links::loopback_up(&mut route()).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
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
    links::add_address(&mut nl, index, ip.into(), prefix).unwrap();
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
    /// On its first network.
    endpoint: Endpoint,
    attachment: Attachment,
}

impl Container {
    fn ip(&self) -> Ipv4Addr {
        self.endpoint.ip.unwrap()
    }
}

fn on_default(networks: &Networks) -> Join {
    Join { network_id: networks.info().network_id, ask: Ask::default() }
}

async fn attach(networks: &Networks, id: &str, joins: Vec<Join>, ports: Vec<PortWant>) -> Result<Container, NetworkError> {
    let (netns, attachment) = networks.attach(id, joins, ports).await?;
    Ok(Container { netns, endpoint: attachment.endpoints[0].clone(), attachment })
}

async fn try_container(networks: &Networks, id: &str) -> Result<Container, NetworkError> {
    attach(networks, id, vec![on_default(networks)], Vec::new()).await
}

async fn container(networks: &Networks, id: &str) -> Container {
    try_container(networks, id).await.unwrap()
}

/// Something in a namespace that answers each connection, and each datagram, with the address that it came from.
fn serve(netns: BorrowedFd<'_>, port: u16) {
    let (listener, socket) = inside(netns, move || {
        let any = SocketAddr::from(([0u16; 8], port));
        (TcpListener::bind(any).unwrap(), UdpSocket::bind(any).unwrap())
    });
    // The threads end with the test program.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let peer = stream.peer_addr().unwrap().ip().to_canonical();
            let _ = stream.write_all(peer.to_string().as_bytes());
        }
    });
    std::thread::spawn(move || {
        let mut word = [0; 64];
        while let Ok((_, peer)) = socket.recv_from(&mut word) {
            let _ = socket.send_to(peer.ip().to_canonical().to_string().as_bytes(), peer);
        }
    });
}

/// Whom such a server sees when it is called from a namespace.
fn call(client: BorrowedFd<'_>, to: &str) -> std::io::Result<String> {
    let to: SocketAddr = to.parse().unwrap();
    inside(client, move || {
        let mut stream = TcpStream::connect_timeout(&to, Duration::from_millis(1000))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        if text.is_empty() { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { Ok(text) }
    })
}

/// The same with a datagram.
fn call_udp(client: BorrowedFd<'_>, to: &str) -> std::io::Result<String> {
    let to: SocketAddr = to.parse().unwrap();
    inside(client, move || {
        let any = if to.is_ipv4() { SocketAddr::from(([0, 0, 0, 0], 0)) } else { SocketAddr::from(([0u16; 8], 0)) };
        let socket = UdpSocket::bind(any)?;
        socket.connect(to)?;
        socket.set_read_timeout(Some(Duration::from_millis(1000)))?;
        socket.send(b"who am I")?;
        let mut word = [0; 64];
        let len = socket.recv(&mut word)?;
        Ok(String::from_utf8_lossy(&word[..len]).into_owned())
    })
}

/// A bridge network as a user would have it made.
fn bridge_spec(name: &str, change: impl FnOnce(&mut NetworkSpec)) -> NetworkSpec {
    let id = crate::leases::random_id();
    let mut spec = NetworkSpec {
        device: format!("br-{}", &id[..12]),
        id,
        name: name.to_owned(),
        kind: Kind::Bridge,
        own_parent: false,
        v4: None,
        v6: None,
        gateway4: GatewayMode::Nat,
        gateway6: GatewayMode::Nat,
        internal: false,
        icc: true,
        masquerade: true,
        mtu: None,
        prefix: None,
    };
    change(&mut spec);
    spec
}

async fn network(networks: &Networks, name: &str, change: impl FnOnce(&mut NetworkSpec)) -> NetworkSpec {
    let spec = bridge_spec(name, change);
    let pick = Pick { v4: spec.v4.is_none(), v6: false };
    networks.create(spec, pick).await.unwrap()
}

fn on(spec: &NetworkSpec) -> Join {
    Join { network_id: spec.id.clone(), ask: Ask::default() }
}

/// A machine next to the host, at 10.9.0.2 (the host is 10.9.0.1), whose default route leads to the host.
fn neighbour() -> OwnedFd {
    let thread = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        links::loopback_up(&mut route()).unwrap();
        netns::current().unwrap()
    });
    let there = thread.join().unwrap();
    let ip = Ipv4Addr::new(10, 9, 0, 2);
    foreign_bridge("out0", Ipv4Addr::new(10, 9, 0, 1), 24);
    let out = links::by_name(&mut route(), "out0").unwrap().unwrap().index;
    let endpoint = Endpoint {
        container_id: "neighbour".into(),
        endpoint_id: "0".repeat(64),
        network_id: "0".repeat(64),
        network: "outside".into(),
        ip: Some(ip),
        prefix_len: 24,
        gateway: Some(Ipv4Addr::new(10, 9, 0, 1)),
        ipv6: None,
        ipv6_prefix_len: 0,
        ipv6_gateway: None,
        gw_priority: 0,
        sysctls: Vec::new(),
        mac: crate::MacAddr::of_ip(ip),
        host_ifname: "outside".into(),
        ifname: "eth0".into(),
    };
    links::create_veth(&mut route(), &endpoint, out, there.as_fd(), 1500, false, "outside").unwrap();
    let ways = links::WaysOut { v4: Some(("eth0".into(), Ipv4Addr::new(10, 9, 0, 1))), v6: None };
    inside(there.as_fd(), move || links::configure(&mut route(), &endpoint, &ways).unwrap());
    ["outside", "out0"].into_iter().for_each(|name| crate::readiness::await_running(&mut route(), name).unwrap());
    there
}
