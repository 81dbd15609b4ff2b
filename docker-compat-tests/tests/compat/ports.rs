//! `docker run -p`: from where published ports are reached, and how they are shown.

use crate::networks::{SERVER, fetched, serves};
use docker_compat_tests::Scope;
use docker_compat_tests::registry::free_port;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

/// What a server of ours says there; nothing where none answers.
pub(crate) fn ask(to: &str) -> String {
    let to: SocketAddr = to.parse().unwrap();
    let Ok(mut stream) = TcpStream::connect_timeout(&to, Duration::from_secs(3)) else { return String::new() };
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut text = String::new();
    let asked = stream.write_all(b"GET / HTTP/1.0\r\n\r\n").and_then(|()| stream.read_to_string(&mut text));
    if asked.is_err() {
        return String::new();
    }
    text.rsplit("\r\n\r\n").next().unwrap_or_default().trim().to_owned()
}

/// The address of the machine that others know it by.
fn outer() -> String {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // Nothing is sent: the kernel only chooses a source.
    socket.connect("198.51.100.1:9").unwrap();
    socket.local_addr().unwrap().ip().to_string()
}

#[test]
fn on_all_addresses_of_the_host() {
    let t = Scope::new();
    let port = free_port();
    let server = t.detached(&["--network", "bridge", "-p", &format!("{port}:80")], SERVER);
    serves(&t, &server);
    assert_eq!(ask(&format!("127.0.0.1:{port}")), "hello");
    assert_eq!(ask(&format!("{}:{port}", outer())), "hello");
    assert_eq!(ask(&format!("[::1]:{port}")), "hello");
    // From itself, and from another network, by the host.
    let net = t.network("other", &[]);
    let other = t.sleeper(&["--network", &net]);
    if t.daemon.is_lighter("it keeps networks apart here, too, and leads nobody back to itself beside its proxy") {
        for from in [&server, &other] {
            assert_eq!(fetched(&t, from, &outer(), &port.to_string()), "hello");
        }
    }
    let shown = t.docker(&["port", &server]);
    assert_eq!(shown.ok(), format!("80/tcp -> 0.0.0.0:{port}\n80/tcp -> [::]:{port}"));
    let listed = t.docker(&["ps", "--filter", &format!("id={server}"), "--format", "{{.Ports}}"]);
    assert!(listed.ok().contains(&format!("0.0.0.0:{port}->80/tcp")), "{}", listed.stdout);
    t.docker(&["stop", &server]).ok();
    assert_eq!(ask(&format!("127.0.0.1:{port}")), "");
    assert_eq!(t.docker(&["port", &server]).ok(), "");
    // Once it is stopped, its port is free.
    TcpListener::bind(("0.0.0.0", port)).unwrap();
}

#[test]
fn on_one_address_means_it() {
    let t = Scope::new();
    let port = free_port();
    let server = t.detached(&["--network", "bridge", "-p", &format!("127.0.0.1:{port}:80")], SERVER);
    serves(&t, &server);
    assert_eq!(ask(&format!("127.0.0.1:{port}")), "hello");
    assert_eq!(ask(&format!("{}:{port}", outer())), "");
    assert_eq!(t.docker(&["port", &server]).ok(), format!("80/tcp -> 127.0.0.1:{port}"));
}

#[test]
fn chosen_ones_and_all_that_are_exposed() {
    let t = Scope::new();
    let id = t.detached(&["--network", "bridge", "-P", "--expose", "80", "--expose", "81/udp"], SERVER);
    serves(&t, &id);
    let shown = t.docker(&["port", &id]);
    let ports: Vec<&str> = shown.ok().lines().collect();
    assert_eq!(ports.len(), 4, "{ports:?}");
    let port = ports.iter().find(|l| l.starts_with("80/tcp -> 0.0.0.0:")).unwrap().rsplit(':').next().unwrap();
    assert_eq!(ask(&format!("127.0.0.1:{port}")), "hello");
    let low = free_port();
    let range = format!("{low}-{}:80", low.saturating_add(5));
    let in_range = t.sleeper(&["--network", "bridge", "-p", &range]);
    let shown = t.docker(&["port", &in_range, "80"]);
    let got: u16 = shown.ok().lines().next().unwrap().rsplit(':').next().unwrap().parse().unwrap();
    assert!((low..=low.saturating_add(5)).contains(&got), "{got} of {range}");
}

#[test]
fn taken_ones_are_refused() {
    let t = Scope::new();
    let port = free_port();
    let first = t.name("first");
    let publish = format!("{port}:80");
    t.sleeper(&["--network", "bridge", "-p", &publish, "--name", &first]);
    let refused = t.docker(&["run", "--rm", "-p", &publish, "busybox", "true"]);
    let words = refused.fails(125);
    assert!(words.contains("driver failed programming external connectivity on endpoint"), "{words}");
    assert!(words.contains(&format!("Bind for 0.0.0.0:{port} failed: port is already allocated")), "{words}");
    if t.daemon.is_lighter("it does not say who") {
        assert!(words.contains(&first), "{words}");
    }
    // It is handed on in the moment of the stop.
    t.docker(&["stop", &first]).ok();
    t.docker(&["run", "--rm", "-p", &publish, "busybox", "true"]).ok();
    // A program of the host's.
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let publish = format!("{}:80", listener.local_addr().unwrap().port());
    let refused = t.docker(&["run", "--rm", "-p", &publish, "busybox", "true"]);
    let words = refused.fails(125);
    assert!(words.contains("address already in use") || words.contains("port is already allocated"), "{words}");
    if t.daemon.is_lighter("it does not say who") {
        assert!(words.contains(&std::process::id().to_string()), "{words}");
    }
}

/// Compose makes all containers before it starts the first.
#[test]
fn the_first_start_of_a_project_names_every_collision() {
    let t = Scope::new();
    if !t.daemon.is_lighter("it finds one collision after the other, and not who has the port") {
        return;
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let of_process = taken.local_addr().unwrap().port();
    let of_container = free_port();
    let holder = t.name("holder");
    t.detached(&["--name", &holder, "--network", "bridge", "-p", &format!("{of_container}:80")], SERVER);
    let project = format!("com.docker.compose.project={}", t.mark);
    let service = |name: &str, flags: &[&str]| {
        let name = t.name(name);
        let mut args = vec!["create", "--name", &name, "--network", "bridge", "-l", &project];
        args.extend(flags);
        args.extend(["busybox", "sleep", "1000"]);
        t.docker(&args).ok();
        name
    };
    let db = service("db", &["-p", &format!("127.0.0.1:{of_process}:5432")]);
    let web = service("web", &["-p", &format!("{of_container}:80")]);
    let worker = service("worker", &[]);
    let said = t.docker(&["start", &worker]).fails(1).to_owned();
    let held = [
        format!("endpoint {web} ("),
        format!("Bind for 0.0.0.0:{of_container} failed: port is already allocated, held by container {holder}"),
        format!("endpoint {db} ("),
        format!("127.0.0.1:{of_process}: address already in use, held by process "),
        format!("({})", std::process::id()),
    ];
    for part in &held {
        assert!(said.contains(part.as_str()), "{part}: {said}");
    }
    drop(taken);
    t.docker(&["rm", "-f", &holder]).ok();
    for name in [&worker, &db, &web] {
        t.docker(&["start", name]).ok();
    }
}
