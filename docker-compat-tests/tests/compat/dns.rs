//! Names on networks that users made, as containers find them.

use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use docker_compat_tests::daemon::scratch;
use docker_compat_tests::{Daemon, Scope, eventually};

const SLEEP: &str = "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done";

/// The addresses that a container finds under a name.
fn found_by(daemon: &Daemon, id: &str, name: &str) -> Vec<String> {
    let out = daemon.docker(&["exec", id, "nslookup", name]);
    // The first paragraph is about the server.
    let answer = out.stdout.split_once("\n\n").map_or("", |(_, answer)| answer);
    answer.lines().filter_map(|line| line.strip_prefix("Address: ")).map(|ip| ip.trim().to_owned()).collect()
}

fn found(t: &Scope, id: &str, name: &str) -> Vec<String> {
    found_by(t.daemon, id, name)
}

fn address(t: &Scope, id: &str, network: &str) -> String {
    t.inspect(id)["NetworkSettings"]["Networks"][network]["IPAddress"].as_str().unwrap().to_owned()
}

fn resolv_conf(t: &Scope, id: &str) -> String {
    t.docker(&["exec", id, "cat", "/etc/resolv.conf"]).ok().to_owned()
}

#[test]
fn a_container_is_found_by_all_its_names() {
    let t = Scope::new();
    let net = t.network("net", &[]);
    let name = t.name("Web");
    let web = t.sleeper(&["--network", &net, "--name", &name, "--network-alias", "www", "--hostname", "itself"]);
    let client = t.sleeper(&["--network", &net]);
    let ip = address(&t, &web, &net);
    let with_network = format!("{name}.{net}");
    for known in [name.as_str(), "www", "WWW", "itself", &web[..12], &with_network, &format!("www.{net}")] {
        assert_eq!(found(&t, &client, known), [ip.as_str()], "{known}");
    }
    // It finds itself, too.
    assert_eq!(found(&t, &web, "www"), [ip.as_str()]);
    let back = t.docker(&["exec", &client, "nslookup", &ip]);
    assert!(back.ok().to_lowercase().contains(&format!("name = {}", with_network.to_lowercase())), "{}", back.stdout);
    // Names that the network's users gave are not known to those who are on the default bridge, nor is there a resolver.
    let other = t.sleeper(&["--network", "bridge"]);
    assert!(!resolv_conf(&t, &other).contains("127.0.0.11"));
}

#[test]
fn an_alias_of_several_is_all_of_them_in_turn() {
    let t = Scope::new();
    let net = t.network("net", &[]);
    let all: Vec<String> = (0..3).map(|_| t.sleeper(&["--network", &net, "--network-alias", "worker"])).collect();
    let mut ips: Vec<String> = all.iter().map(|id| address(&t, id, &net)).collect();
    ips.sort();
    let mut first = std::collections::BTreeSet::new();
    eventually("each of them has been the first", || {
        let mut got = found(&t, &all[0], "worker");
        first.insert(got[0].clone());
        got.sort();
        assert_eq!(got, ips);
        (first.len() == 3).then_some(())
    });
    // One that has ended is not found, one that comes back is.
    t.docker(&["stop", &all[2]]).ok();
    assert_eq!(found(&t, &all[0], "worker").len(), 2);
    t.docker(&["start", &all[2]]).ok();
    assert_eq!(found(&t, &all[0], "worker").len(), 3);
}

#[test]
fn names_are_those_of_ones_own_networks() {
    let t = Scope::new();
    let (red, blue) = (t.network("red", &[]), t.network("blue", &[]));
    let server = t.sleeper(&["--network", &red, "--network-alias", "server"]);
    let client = t.sleeper(&["--network", &blue]);
    assert!(found(&t, &client, "server").is_empty());
    t.docker(&["network", "connect", &red, &client]).ok();
    assert_eq!(found(&t, &client, "server"), [address(&t, &server, &red)]);
    t.docker(&["network", "connect", "--alias", "also", &blue, &server]).ok();
    assert_eq!(found(&t, &client, "also"), [address(&t, &server, &blue)]);
    t.docker(&["network", "disconnect", &red, &client]).ok();
    assert!(found(&t, &client, "server").is_empty(), "an alias is one of its network");
    t.docker(&["network", "disconnect", &blue, &server]).ok();
    assert!(found(&t, &client, "also").is_empty());
}

#[test]
fn another_name_is_known_at_once() {
    let t = Scope::new();
    let net = t.network("net", &[]);
    let (old, new) = (t.name("old"), t.name("new"));
    let server = t.sleeper(&["--network", &net, "--name", &old]);
    let client = t.sleeper(&["--network", &net]);
    assert_eq!(found(&t, &client, &old).len(), 1);
    t.docker(&["rename", &server, &new]).ok();
    assert_eq!(found(&t, &client, &new), [address(&t, &server, &net)]);
    assert!(found(&t, &client, &old).is_empty());
}

#[test]
fn a_link_is_a_name_of_ones_own() {
    let t = Scope::new();
    let net = t.network("net", &[]);
    let db = t.name("db");
    let server = t.sleeper(&["--network", &net, "--name", &db]);
    let linked = t.sleeper(&["--network", &net, "--link", &format!("{db}:data")]);
    let other = t.sleeper(&["--network", &net]);
    assert_eq!(found(&t, &linked, "data"), [address(&t, &server, &net)]);
    assert!(found(&t, &other, "data").is_empty());
}

#[test]
fn who_shares_a_network_namespace_shares_its_resolver() {
    let t = Scope::new();
    let net = t.network("net", &[]);
    let server = t.sleeper(&["--network", &net, "--network-alias", "server"]);
    let first = t.sleeper(&["--network", &net]);
    let second = t.sleeper(&["--network", &format!("container:{first}")]);
    assert_eq!(found(&t, &second, "server"), [address(&t, &server, &net)]);
    assert_eq!(resolv_conf(&t, &second), resolv_conf(&t, &first));
}

#[test]
fn settings_of_the_resolver() {
    let t = Scope::new();
    let net = t.network("net", &[]);
    let plain = t.sleeper(&["--network", &net]);
    let lines = |id: &str| -> Vec<String> {
        let text = resolv_conf(&t, id);
        text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).map(str::to_owned).collect()
    };
    let got = lines(&plain);
    assert_eq!(got[0], "nameserver 127.0.0.11");
    assert!(got.iter().filter(|l| l.starts_with("nameserver")).count() == 1, "{got:?}");
    assert!(got.iter().any(|l| l.starts_with("options ") && l.contains("ndots:0")), "{got:?}");
    let flags = ["--network", &net, "--dns", "10.9.8.7", "--dns-search", "corp.test", "--dns-option", "ndots:3"];
    let set = t.sleeper(&flags);
    assert_eq!(lines(&set), ["nameserver 127.0.0.11", "search corp.test", "options ndots:3"]);
    assert!(resolv_conf(&t, &set).contains("ExtServers: [10.9.8.7]"));
}

#[test]
fn a_resolver_comes_and_goes_with_the_networks() {
    let t = Scope::new();
    let net = t.network("net", &[]);
    let server = t.sleeper(&["--network", &net, "--network-alias", "server"]);
    let client = t.sleeper(&["--network", "bridge"]);
    let before = resolv_conf(&t, &client);
    assert!(!before.contains("127.0.0.11"));
    t.docker(&["network", "connect", &net, &client]).ok();
    assert!(resolv_conf(&t, &client).contains("nameserver 127.0.0.11"));
    assert_eq!(found(&t, &client, "server"), [address(&t, &server, &net)]);
    t.docker(&["network", "disconnect", &net, &client]).ok();
    if t.daemon.is_lighter("its resolver stays with a container that was once on such a network") {
        assert_eq!(resolv_conf(&t, &client), before);
    }
}

/// A name server of this test on an address of the host: it says 192.0.2.53 to everything.
struct Server {
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    fn at(ip: &str) -> Self {
        let socket = UdpSocket::bind((ip.parse::<IpAddr>().unwrap(), 53)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 1500];
            while !stop.load(Ordering::Relaxed) {
                let Ok((length, client)) = socket.recv_from(&mut buffer) else { continue };
                // The question's end: the labels, then type and class.
                let mut end = 12;
                while buffer[end] != 0 {
                    end += usize::from(buffer[end]) + 1;
                }
                end += 5;
                assert!(end <= length);
                let is_a = buffer[end - 4..end - 2] == [0, 1];
                let mut answer = buffer[..end].to_vec();
                answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
                if is_a {
                    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 192, 0, 2, 53]);
                }
                socket.send_to(&answer, client).unwrap();
            }
        });
        Self { over, thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

#[test]
fn other_names_are_asked_for_elsewhere_unless_the_network_is_internal() {
    let t = Scope::new();
    let net = t.network("net", &["--subnet", "10.77.53.0/24", "--gateway", "10.77.53.1"]);
    let inside = t.network("inside", &["--internal"]);
    let client = t.sleeper(&["--network", &net, "--dns", "10.77.53.1"]);
    let _server = Server::at("10.77.53.1");
    assert_eq!(found(&t, &client, "example.org"), ["192.0.2.53"]);
    let name = t.name("here");
    let here = t.sleeper(&["--network", &net, "--name", &name]);
    assert_eq!(found(&t, &client, &name), [address(&t, &here, &net)]);
    // No resolver that is asked: the failure is told.
    let lost = t.sleeper(&["--network", &net, "--dns", "127.0.0.1"]);
    assert!(found(&t, &lost, "example.org").is_empty());
    let closed = t.sleeper(&["--network", &inside, "--dns", "10.77.53.1", "--network-alias", "closed"]);
    assert!(found(&t, &closed, "example.org").is_empty());
    assert_eq!(found(&t, &closed, "closed"), [address(&t, &closed, &inside)]);
}

#[test]
fn a_container_may_be_a_name_server_itself() {
    let t = Scope::new();
    let net = t.network("net", &[]);
    let script = "nc -l -p 53 >/got & trap 'exit 0' TERM; while :; do sleep 1000 & wait; done";
    let id = t.detached(&["--network", &net, "--network-alias", "ns"], script);
    eventually("it listens", || t.docker(&["exec", &id, "netstat", "-ltn"]).stdout.contains(":53 ").then_some(()));
    assert_eq!(found(&t, &id, "ns"), [address(&t, &id, &net)]);
}

#[test]
fn it_is_back_within_a_second_after_the_daemon_was_killed() {
    if !Daemon::get().is_lighter("a daemon that is not ours is not killed") {
        return;
    }
    let _shared = docker_compat_tests::leaks::share();
    let roots = scratch("dns");
    let first = Daemon::start_in(&roots, &[]).with_busybox();
    first.docker(&["network", "create", "net"]).ok();
    let run = |name: &str| {
        let args = ["run", "-d", "--name", name, "--network", "net", "--network-alias", "both", "busybox", "sh", "-c", SLEEP];
        first.docker(&args).ok().to_owned()
    };
    let (a, _b) = (run("one"), run("two"));
    let before = found_by(&first, &a, "two");
    assert_eq!(before.len(), 1);
    first.kill_nine();
    let start = Instant::now();
    let second = Daemon::start_in(&roots, &[]);
    assert_eq!(found_by(&second, &a, "two"), before);
    assert!(start.elapsed() < Duration::from_secs(2), "with the daemon's own start: {:?}", start.elapsed());
    assert_eq!(found_by(&second, &a, "both").len(), 2);
    second.docker(&["rm", "-f", "two"]).ok();
    assert!(found_by(&second, &a, "two").is_empty());
    second.docker(&["rm", "-f", &a]).ok();
    second.docker(&["network", "rm", "net"]).ok();
}
