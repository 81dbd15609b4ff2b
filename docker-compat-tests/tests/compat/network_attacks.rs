//! Containers that look for the daemon in their network, and for what is published to the host alone. Nothing of the daemon
//! listens but the ports that somebody published, and the resolver on each container's own loopback.

use crate::networks::SERVER;
use docker_compat_tests::daemon::scratch;
use docker_compat_tests::registry::free_port;
use docker_compat_tests::{Daemon, eventually, leaks, own_address};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::sync::RwLockReadGuard;
use std::time::Duration;

/// Where daemons of all kinds are looked for, beside every port below 1024 and all that anybody on the host listens at.
const FAMOUS: [u16; 16] = [1080, 2375, 2376, 2377, 4243, 4789, 5000, 5353, 5355, 6443, 7777, 7946, 8080, 8443, 9323, 10250];

/// A socket that waits for others, in some network namespace.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    protocol: &'static str,
    address: IpAddr,
    port: u16,
    inode: String,
}

/// Those of the namespace that a process is in.
fn waiting(pid: u32) -> BTreeSet<Waiting> {
    let mut all = BTreeSet::new();
    for protocol in ["tcp", "tcp6", "udp", "udp6"] {
        let table = fs::read_to_string(format!("/proc/{pid}/net/{protocol}")).unwrap_or_default();
        for line in table.lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (local, remote, state) = (endpoint(words[1]), endpoint(words[2]), words[3]);
            // A datagram socket that has called somebody hears only that one.
            let waits = if protocol.starts_with("tcp") { state == "0A" } else { remote.port() == 0 };
            if waits {
                let inode = words[9].to_owned();
                all.insert(Waiting { protocol, address: local.ip().to_canonical(), port: local.port(), inode });
            }
        }
    }
    all
}

/// `0100007F:0035`: words of four bytes in the machine's order.
fn endpoint(text: &str) -> SocketAddr {
    let (address, port) = text.split_once(':').unwrap();
    let bytes: Vec<u8> = hex::decode(address).unwrap().chunks(4).flat_map(|word| word.iter().rev().copied()).collect();
    let ip = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(v4) => IpAddr::from(v4),
        Err(_) => IpAddr::from(<[u8; 16]>::try_from(bytes.as_slice()).unwrap()),
    };
    SocketAddr::new(ip, u16::from_str_radix(port, 16).unwrap())
}

/// Inodes of the sockets that a process has.
fn sockets_of(pid: u32) -> BTreeSet<String> {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let links = links.filter_map(|entry| fs::read_link(entry.path()).ok());
    links.filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())).collect()
}

/// The daemon and the supervisors of its containers.
fn processes(daemon: &Daemon) -> Vec<u32> {
    let roots = daemon.roots.as_ref().unwrap().display().to_string();
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    let ours = |pid: &u32| {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.contains(&roots) && (line.starts_with("lighter-supervisor") || *pid == daemon.pid())
    };
    pids.filter(ours).collect()
}

/// Does something in a container's network namespace.
fn within<T: Send>(pid: u32, work: impl FnOnce() -> T + Send) -> T {
    let namespace = fs::File::open(format!("/proc/{pid}/ns/net")).unwrap();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        });
        thread.join().unwrap()
    })
}

fn connects(to: SocketAddr) -> bool {
    TcpStream::connect_timeout(&to, Duration::from_millis(300)).is_ok()
}

/// What a server says; nothing where none answers.
fn ask(to: SocketAddr) -> String {
    let Ok(mut stream) = TcpStream::connect_timeout(&to, Duration::from_secs(1)) else { return String::new() };
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut text = String::new();
    // One that breaks off has not served.
    let _ = stream.write_all(b"GET / HTTP/1.0\r\n\r\n").and_then(|()| stream.read_to_string(&mut text));
    text.lines().last().unwrap_or_default().trim().to_owned()
}

/// Whether a name server answers there: a question for the address of `x`.
fn resolves(to: SocketAddr) -> bool {
    let question = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01x\x00\x00\x01\x00\x01";
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut answer = [0; 512];
    socket.send_to(question, to).is_ok() && socket.recv(&mut answer).is_ok_and(|len| len >= 12)
}

/// A daemon of its own, with a network and two containers: a server with a port for all and one for the host alone, and one
/// that may do in its network what it wants.
struct Scene {
    daemon: Daemon,
    public: u16,
    private: u16,
    /// Who counts what is on the machine must not count this. Let go of after the daemon.
    _shared: RwLockReadGuard<'static, ()>,
}

impl Scene {
    fn new() -> Option<Self> {
        if std::env::var("LIGHTER_COMPAT_HOST").is_ok_and(|host| !host.is_empty()) {
            eprintln!("left out on the reference daemon: what it listens at is its affair");
            return None;
        }
        let _shared = leaks::share();
        let (public, private) = (free_port(), free_port());
        let daemon = Daemon::start_in(&scratch("scanned"), &[]).with_busybox();
        daemon.docker(&["network", "create", "--ipv6", "net"]).ok();
        let run = |args: &[&str]| {
            daemon.docker(&[&["run", "-d", "--network", "net"], args].concat()).ok();
        };
        let (all, alone) = (format!("{public}:80"), format!("127.0.0.1:{private}:80"));
        run(&["--name", "server", "-p", &all, "-p", &alone, "busybox", "sh", "-c", SERVER]);
        run(&["--name", "evil", "--privileged", "--add-host", "host.docker.internal:host-gateway", "busybox", "sleep", "1000"]);
        let scene = Self { daemon, public, private, _shared };
        for port in [public, private] {
            let to = SocketAddr::from(([127, 0, 0, 1], port));
            eventually("the server answers the host", || (ask(to) == "hello").then_some(()));
        }
        Some(scene)
    }

    fn pid(&self, name: &str) -> u32 {
        let shown = self.daemon.http("GET", &format!("/containers/{name}/json"), None).json();
        shown["State"]["Pid"].as_u64().unwrap().try_into().unwrap()
    }

    fn at(&self, name: &str, key: &str) -> IpAddr {
        let shown = self.daemon.http("GET", &format!("/containers/{name}/json"), None).json();
        shown["NetworkSettings"]["Networks"]["net"][key].as_str().unwrap().parse().unwrap()
    }

    /// The host's addresses as a container on the network could call them.
    fn hosts(&self) -> Vec<IpAddr> {
        let mut hosts = vec![self.at("evil", "Gateway"), self.at("evil", "IPv6Gateway")];
        hosts.extend(own_address());
        let hosts_file = self.daemon.docker(&["exec", "evil", "cat", "/etc/hosts"]);
        let internal = hosts_file.ok().lines().find(|line| line.contains("host.docker.internal")).unwrap();
        hosts.push(internal.split_whitespace().next().unwrap().parse().unwrap());
        hosts
    }

    fn evil(&self, script: &str) -> String {
        self.daemon.docker(&["exec", "evil", "sh", "-c", script]).ok().to_owned()
    }
}

#[test]
fn nothing_of_the_daemon_listens_but_published_ports_and_the_resolver() {
    let Some(scene) = Scene::new() else { return };
    let ours: BTreeSet<String> = processes(&scene.daemon).into_iter().flat_map(sockets_of).collect();
    let published: BTreeSet<u16> = [scene.public, scene.private].into();
    let on_host = waiting(scene.daemon.pid());
    let held: BTreeSet<u16> = on_host.iter().filter(|w| ours.contains(&w.inode)).map(|w| w.port).collect();
    assert_eq!(held, published, "{on_host:#?}");
    for name in ["server", "evil"] {
        let inside = waiting(scene.pid(name));
        let resolver: Vec<_> = inside.iter().filter(|w| ours.contains(&w.inode)).collect();
        assert!(!resolver.is_empty());
        assert!(resolver.iter().all(|w| w.address == IpAddr::from([127, 0, 0, 11])), "{resolver:#?}");
        // Names of sockets without a file are seen by all who share the namespace.
        let unix = fs::read_to_string(format!("/proc/{}/net/unix", scene.pid(name))).unwrap();
        assert!(!unix.lines().any(|line| ours.iter().any(|inode| line.split_whitespace().nth(6) == Some(inode))), "{unix}");
    }
    let unix = fs::read_to_string(format!("/proc/{}/net/unix", scene.daemon.pid())).unwrap();
    let nameless = |line: &&str| {
        let mut words = line.split_whitespace().skip(6);
        words.next().is_some_and(|inode| ours.contains(inode)) && words.next().is_some_and(|path| path.starts_with('@'))
    };
    assert_eq!(unix.lines().find(nameless), None);
}

#[test]
fn a_scan_of_the_host_from_a_network_finds_nothing_of_the_daemon() {
    let Some(scene) = Scene::new() else { return };
    let ours: BTreeSet<String> = processes(&scene.daemon).into_iter().flat_map(sockets_of).collect();
    let on_host = waiting(scene.daemon.pid());
    let mut ports: BTreeSet<u16> = (1..1024).chain(FAMOUS).collect();
    ports.extend(on_host.iter().map(|w| w.port));
    let (inside, hosts) = (scene.pid("evil"), scene.hosts());
    assert!(hosts.len() >= 3, "{hosts:?}");
    for ip in hosts {
        // Neighbours find each other in a moment, by IPv6 in two.
        let to = SocketAddr::new(ip, scene.public);
        eventually(&format!("{to} answers"), || (within(inside, || ask(to)) == "hello").then_some(()));
        let open: BTreeSet<u16> =
            within(inside, || ports.iter().copied().filter(|port| connects(SocketAddr::new(ip, *port))).collect());
        assert!(open.contains(&scene.public), "a published port answers: {ip} {open:?}");
        assert!(!open.contains(&scene.private), "one for the host alone does not: {ip} {open:?}");
        for port in open.iter().filter(|port| **port != scene.public) {
            let others = waiting(scene.daemon.pid());
            let holder = others.iter().chain(&on_host).find(|w| w.port == *port && !ours.contains(&w.inode));
            assert!(holder.is_some(), "{ip}:{port} answers, and nobody else listens there");
        }
        if !on_host.iter().any(|w| w.port == 53) {
            assert!(!within(inside, || resolves(SocketAddr::new(ip, 53))), "{ip}");
        }
    }
    // The resolver answers its own container, and no neighbour by whatever port.
    assert!(within(inside, || resolves(SocketAddr::from(([127, 0, 0, 11], 53)))));
    let neighbour = scene.at("server", "IPAddress");
    for socket in waiting(scene.pid("server")).iter().filter(|w| ours.contains(&w.inode)) {
        for port in [socket.port, 53] {
            let to = SocketAddr::new(neighbour, port);
            assert!(!within(inside, || resolves(to) || connects(to)), "{to} ({socket:?})");
        }
    }
    assert_eq!(within(inside, || ask(SocketAddr::new(neighbour, 80))), "hello");
}

#[test]
fn what_claims_to_be_for_or_from_the_hosts_loopback_is_dropped() {
    let Some(scene) = Scene::new() else { return };
    // A program of the host's that trusts its loopback.
    let trusting = TcpListener::bind("127.0.0.1:0").unwrap();
    let trusted = trusting.local_addr().unwrap().port();
    let (inside, gateway) = (scene.pid("evil"), scene.at("evil", "Gateway"));
    let host = |port: u16| SocketAddr::new(gateway, port);
    assert_eq!(within(inside, || ask(host(scene.public))), "hello");
    scene.evil("echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet");
    // Packets with a source that means the host there; the way out is by the interface, and no longer by the loopback.
    scene.evil("ip addr add 127.0.0.9/32 dev eth0");
    scene.evil("ip route del table local 127.0.0.0/8 2>/dev/null; ip route del table local 127.0.0.1 2>/dev/null; true");
    scene.evil(&format!("ip route add 127.0.0.1/32 via {gateway} dev eth0"));
    let loopback = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    for port in [scene.private, scene.public, trusted] {
        assert!(!within(inside, || connects(loopback(port))), "127.0.0.1:{port} by {gateway}");
    }
    for to in [host(scene.private), host(trusted), loopback(scene.private), loopback(trusted)] {
        let script =
            format!("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | timeout 3 nc -w 2 -s 127.0.0.9 {} {}; true", to.ip(), to.port());
        assert!(!scene.evil(&script).contains("hello"), "{to} from 127.0.0.9");
    }
    trusting.set_nonblocking(true).unwrap();
    assert!(trusting.accept().is_err(), "somebody came through to the host's loopback");
    // The host itself is served all the while, and so is the container by what is published for all.
    assert_eq!(ask(loopback(scene.private)), "hello");
    assert_eq!(within(inside, || ask(host(scene.public))), "hello");
}
