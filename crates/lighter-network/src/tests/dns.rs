//! The resolver, from inside real namespaces.

use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tempfile::TempDir;

use super::*;
use crate::dns::{ADDRESS, Dns, EndpointNames, Seat, View};

const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

struct Host {
    dns: Dns,
    dir: TempDir,
}

/// A resolver whose host has these name servers.
fn resolver(servers: &[Ipv4Addr]) -> Host {
    let dir = tempfile::tempdir().unwrap();
    let text: String = servers.iter().map(|ip| format!("nameserver {ip}\n")).collect();
    std::fs::write(dir.path().join("resolv.conf"), text).unwrap();
    Host { dns: Dns::new(dir.path().join("resolv.conf")), dir }
}

impl Host {
    /// The daemon was killed and is back: it knows nothing any more.
    fn restart(&mut self) {
        self.dns = Dns::new(self.dir.path().join("resolv.conf"));
    }

    fn publish(&self, container: &str, names: &[&str], address: [u8; 4]) {
        let names = EndpointNames {
            name: names[0].to_owned(),
            aliases: names[1..].iter().map(|&name| name.to_owned()).collect(),
            addresses: vec![IpAddr::from(address)],
        };
        self.dns.publish("n", "net", container, names);
    }

    async fn attach(&self, container: &str, view: View) -> OwnedFd {
        let netns = namespace();
        self.dns.attach(container, netns.as_fd(), view).await.unwrap();
        netns
    }
}

fn namespace() -> OwnedFd {
    let thread = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        links::loopback_up(&mut route()).unwrap();
        netns::current().unwrap()
    });
    thread.join().unwrap()
}

fn view() -> View {
    View { networks: vec![Seat { network: "n".into(), ..Seat::default() }], forward: true, ..View::default() }
}

fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

fn open_client() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    socket.connect((ADDRESS, 53)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket
}

fn ask_with(socket: &UdpSocket, name: &str, kind: RecordType) -> std::io::Result<Message> {
    let asked = question(name, kind);
    socket.send(&asked.to_vec().unwrap())?;
    let mut buffer = [0; 65535];
    let length = socket.recv(&mut buffer)?;
    let answer = Message::from_vec(&buffer[..length]).unwrap();
    assert_eq!(answer.id, asked.id);
    Ok(answer)
}

fn ask_tcp(name: &str, kind: RecordType) -> std::io::Result<Message> {
    let mut stream = TcpStream::connect((ADDRESS, 53))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let asked = question(name, kind).to_vec().unwrap();
    // Two questions one after the other: a connection is for more than one.
    let mut answer = Vec::new();
    for _ in 0..2 {
        stream.write_all(&u16::try_from(asked.len()).unwrap().to_be_bytes())?;
        stream.write_all(&asked)?;
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        answer = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut answer)?;
    }
    Ok(Message::from_vec(&answer).unwrap())
}

/// Like `inside`, for questions that this thread's runtime has to answer.
async fn within<T: Send + 'static>(netns: &OwnedFd, work: impl FnOnce() -> T + Send + 'static) -> T {
    let netns = netns.try_clone().unwrap();
    tokio::task::spawn_blocking(move || inside(netns.as_fd(), work)).await.unwrap()
}

async fn ask(netns: &OwnedFd, name: &'static str, kind: RecordType) -> Message {
    within(netns, move || ask_with(&open_client(), name, kind).unwrap()).await
}

fn found(message: &Message) -> Vec<String> {
    message.answers.iter().map(|record| record.data.to_string()).collect()
}

/// A name server of others, in the calling thread's namespace, that says `address` to everything, by UDP and TCP. It
/// counts what it was asked. `noise`: before each answer by UDP comes a false one.
fn foreign_server(at: Ipv4Addr, address: Ipv4Addr, code: ResponseCode, noise: bool) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let udp = UdpSocket::bind((at, 53)).unwrap();
    let tcp = TcpListener::bind((at, 53)).unwrap();
    let reply = move |question: &[u8], records: u8| {
        let asked = Message::from_vec(question).unwrap();
        let mut answer = Message::response(asked.id, asked.op_code);
        answer.metadata.response_code = code;
        answer.add_queries(asked.queries.iter().cloned());
        if code == ResponseCode::NoError {
            let name = asked.queries[0].name().clone();
            answer.insert_answers((0..records).map(|_| Record::from_rdata(name.clone(), 5, RData::A(A(address)))).collect());
        }
        answer.to_vec().unwrap()
    };
    let asked = Arc::clone(&count);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, client)) = udp.recv_from(&mut buffer) {
            asked.fetch_add(1, Ordering::SeqCst);
            let answer = reply(&buffer[..length], 1);
            if noise {
                let mut lie = answer.clone();
                lie[0] ^= 1;
                let at = lie.len() - 1;
                lie[at] ^= 1;
                udp.send_to(&lie, client).unwrap();
            }
            udp.send_to(&answer, client).unwrap();
        }
    });
    let asked = Arc::clone(&count);
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = tcp.accept() {
            asked.fetch_add(1, Ordering::SeqCst);
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut question = vec![0; u16::from_be_bytes(length).into()];
            stream.read_exact(&mut question).unwrap();
            let answer = reply(&question, 200);
            stream.write_all(&u16::try_from(answer.len()).unwrap().to_be_bytes()).unwrap();
            stream.write_all(&answer).unwrap();
        }
    });
    count
}

#[test]
fn names_by_udp_and_tcp_beside_a_name_server_of_the_containers_own() {
    on_new_host(|| async {
        let host = resolver(&[]);
        host.publish("a", &["web-1", "web"], [10, 0, 0, 2]);
        host.publish("b", &["web-2", "web"], [10, 0, 0, 3]);
        let netns = host.attach("a", view()).await;
        assert_eq!(found(&ask(&netns, "web-2.", RecordType::A).await), ["10.0.0.3"]);
        assert_eq!(found(&ask(&netns, "web-2.net.", RecordType::A).await), ["10.0.0.3"]);
        assert_eq!(found(&ask(&netns, "3.0.0.10.in-addr.arpa.", RecordType::PTR).await), ["web-2.net."]);
        let six = ask(&netns, "web-2.", RecordType::AAAA).await;
        assert_eq!((six.response_code, six.answers.len()), (ResponseCode::NoError, 0));
        let tcp = within(&netns, || ask_tcp("web.", RecordType::A).unwrap()).await;
        assert_eq!(tcp.answers.len(), 2);
        // Nobody takes port 53 from a program of the container.
        within(&netns, || {
            let own = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 53)).unwrap();
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 53)).unwrap();
            let client = UdpSocket::bind((LOOPBACK, 0)).unwrap();
            client.send_to(b"mine", (LOOPBACK, 53)).unwrap();
            assert_eq!(own.recv(&mut [0; 8]).unwrap(), 4);
            TcpStream::connect((LOOPBACK, 53)).unwrap();
            listener.accept().unwrap();
            assert_eq!(found(&ask_with(&open_client(), "web-1.", RecordType::A).unwrap()), ["10.0.0.2"]);
        })
        .await;
        // The host itself has no such resolver.
        assert!(tokio::net::TcpStream::connect((ADDRESS, 53)).await.is_err());
    });
}

#[test]
fn a_look_up_takes_less_than_a_millisecond() {
    on_new_host(|| async {
        let host = resolver(&[]);
        host.publish("a", &["web"], [10, 0, 0, 2]);
        let netns = host.attach("a", view()).await;
        let mut times = within(&netns, || {
            let socket = open_client();
            let one = |_| {
                let start = Instant::now();
                ask_with(&socket, "web.", RecordType::A).unwrap();
                start.elapsed()
            };
            (0..1000).map(one).collect::<Vec<_>>()
        })
        .await;
        times.sort();
        assert!(times[500] < Duration::from_millis(1), "median {:?}, slowest {:?}", times[500], times[999]);
    });
}

#[test]
fn names_come_and_go_while_it_runs() {
    on_new_host(|| async {
        let host = resolver(&[]);
        let internal = View { forward: false, ..view() };
        let netns = host.attach("a", internal.clone()).await;
        assert_eq!(ask(&netns, "db.", RecordType::A).await.response_code, ResponseCode::ServFail);
        host.publish("b", &["db"], [10, 0, 0, 9]);
        assert_eq!(found(&ask(&netns, "db.", RecordType::A).await), ["10.0.0.9"]);
        let mut linked = internal.clone();
        linked.networks[0].links.insert("data".into(), "db".into());
        assert!(host.dns.update("a", linked));
        assert!(!host.dns.update("nobody", internal));
        assert_eq!(found(&ask(&netns, "data.", RecordType::A).await), ["10.0.0.9"]);
        host.dns.withdraw("n", "b");
        assert_eq!(ask(&netns, "db.", RecordType::A).await.response_code, ResponseCode::ServFail);
    });
}

#[test]
fn the_rest_goes_to_the_hosts_resolvers() {
    on_new_host(|| async {
        let (dead, failing, good) = (Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3), Ipv4Addr::new(127, 0, 0, 4));
        foreign_server(failing, LOOPBACK, ResponseCode::ServFail, false);
        let asked = foreign_server(good, Ipv4Addr::new(192, 0, 2, 7), ResponseCode::NoError, true);
        let host = resolver(&[dead, failing, good]);
        host.publish("a", &["web"], [10, 0, 0, 2]);
        let netns = host.attach("a", view()).await;
        let start = Instant::now();
        assert_eq!(found(&ask(&netns, "example.org.", RecordType::A).await), ["192.0.2.7"]);
        assert!(start.elapsed() < Duration::from_secs(1), "one that refuses is not waited for: {:?}", start.elapsed());
        let large = within(&netns, || ask_tcp("example.org.", RecordType::A).unwrap()).await;
        assert_eq!(large.answers.len(), 200);
        let before = asked.load(Ordering::SeqCst);
        assert_eq!(found(&ask(&netns, "web.", RecordType::A).await), ["10.0.0.2"]);
        assert_eq!(ask(&netns, "web.", RecordType::MX).await.answers.len(), 0);
        assert_eq!(asked.load(Ordering::SeqCst), before, "a container's name is nobody else's business");
    });
}

#[test]
fn a_silent_server_is_not_the_end() {
    on_new_host(|| async {
        let silent = UdpSocket::bind(("127.0.0.2", 53)).unwrap();
        foreign_server(Ipv4Addr::new(127, 0, 0, 3), LOOPBACK, ResponseCode::NoError, false);
        let host = resolver(&[Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3)]);
        let netns = host.attach("a", view()).await;
        assert_eq!(found(&ask(&netns, "example.org.", RecordType::A).await), ["127.0.0.1"]);
        drop(silent);
        // Nobody at all: an honest failure, and before the client asks again.
        let host = resolver(&[Ipv4Addr::new(127, 0, 0, 9)]);
        let netns = host.attach("b", view()).await;
        assert_eq!(ask(&netns, "example.org.", RecordType::A).await.response_code, ResponseCode::ServFail);
    });
}

#[test]
fn named_servers_are_asked_from_inside() {
    on_new_host(|| async {
        foreign_server(LOOPBACK, Ipv4Addr::new(192, 0, 2, 1), ResponseCode::NoError, false);
        let host = resolver(&[LOOPBACK]);
        let netns = host.attach("a", View { servers: vec![ADDRESS.into(), LOOPBACK.into()], ..view() }).await;
        inside(netns.as_fd(), || foreign_server(LOOPBACK, Ipv4Addr::new(192, 0, 2, 2), ResponseCode::NoError, false));
        assert_eq!(found(&ask(&netns, "example.org.", RecordType::A).await), ["192.0.2.2"]);
        let tcp = within(&netns, || ask_tcp("example.org.", RecordType::A).unwrap()).await;
        assert_eq!(found(&tcp)[0], "192.0.2.2");
        assert!(host.dns.update("a", view()));
        assert_eq!(found(&ask(&netns, "example.org.", RecordType::A).await), ["192.0.2.1"]);
    });
}

#[test]
fn a_client_hardly_notices_a_restart() {
    on_new_host(|| async {
        let mut host = resolver(&[]);
        host.publish("a", &["web"], [10, 0, 0, 2]);
        let netns = host.attach("a", view()).await;
        let (socket, answer) = within(&netns, || {
            let socket = open_client();
            let answer = ask_with(&socket, "web.", RecordType::A).unwrap();
            (socket, answer)
        })
        .await;
        assert_eq!(found(&answer), ["10.0.0.2"]);
        host.restart();
        // While nobody is there, the client is told so at once. (The sockets close when the runtime comes to it.)
        let socket = within(&netns, move || {
            let deadline = Instant::now() + Duration::from_secs(20);
            while ask_with(&socket, "web.", RecordType::A).is_ok() || TcpStream::connect((ADDRESS, 53)).is_ok() {
                assert!(Instant::now() < deadline, "somebody still answers");
            }
            socket
        })
        .await;
        host.publish("a", &["web"], [10, 0, 0, 2]);
        host.dns.attach("a", netns.as_fd(), view()).await.unwrap();
        // By the same socket, whose way the kernel remembers.
        let answer = within(&netns, move || ask_with(&socket, "web.", RecordType::A).unwrap()).await;
        assert_eq!(found(&answer), ["10.0.0.2"]);
        // A daemon that did not end properly leaves nothing that hinders the next one either.
        let second = resolver(&[]);
        second.publish("a", &["web"], [10, 0, 0, 4]);
        second.dns.attach("a", netns.as_fd(), view()).await.unwrap();
        assert_eq!(found(&ask(&netns, "web.", RecordType::A).await), ["10.0.0.4"]);
    });
}

#[test]
fn a_detached_resolver_lets_go_of_the_namespace() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let networks = open(&BridgeConfig::new(dir.path())).await;
        let host = resolver(&[]);
        let a = container(&networks, "a").await;
        host.dns.attach("a", a.netns.as_fd(), view()).await.unwrap();
        assert!(host.dns.is_attached("a"));
        let interface = a.endpoint.host_ifname.clone();
        drop(a);
        assert!(exists(&interface));
        host.dns.detach("a");
        host.dns.detach("a");
        assert!(!host.dns.is_attached("a"));
        until("the namespace is gone", || !exists(&interface)).await;
    });
}
