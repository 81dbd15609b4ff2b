//! kill -9 of the daemon in the middle of making networks, connecting to them and publishing ports: afterwards nothing is there
//! that nobody knows, and what runs is reached.

use crate::survival::{Subject, inspect, reference};
use docker_compat_tests::estate::Estate;
use docker_compat_tests::registry::free_port;
use docker_compat_tests::{Daemon, Running, eventually, leaks};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

pub const SERVER: &str = "mkdir /w; echo hello >/w/index.html; trap 'exit 0' TERM; httpd -f -p 80 -h /w & wait";

pub fn ask(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.lines().last().map(str::to_owned)
}

/// Kills the daemon as soon as so many of the clients have ended, and gives the next one.
fn kill_amid(subject: &Subject, dead: &mut Vec<Daemon>, daemon: Daemon, mut clients: Vec<Running>, ended: usize) -> Daemon {
    eventually("some clients have ended", || {
        (clients.iter_mut().map(Running::ended).filter(|e| *e).count() >= ended).then_some(())
    });
    daemon.kill_nine();
    for client in clients {
        client.wait();
    }
    // It takes along what it finds on its roots when it is dropped.
    dead.push(daemon);
    subject.again()
}

/// Ends the daemon; nothing is left on the machine then.
pub fn finish(subject: &Subject, daemon: Daemon, dead: Vec<Daemon>) {
    daemon.terminate();
    Estate::assert_nothing_left(&subject.roots);
    leaks::assert_roots_unused(&subject.roots);
    drop((daemon, dead));
}

fn remove_all(daemon: &Daemon) {
    for id in daemon.docker(&["ps", "-aq"]).ok().lines() {
        daemon.docker(&["rm", "-f", id]).ok();
    }
    daemon.docker(&["network", "prune", "-f"]).ok();
    Estate::assert_as_told(daemon);
}

/// The address that a container finds under a name.
pub fn found(daemon: &Daemon, container: &str, name: &str) -> String {
    let out = daemon.docker(&["exec", container, "nslookup", name]);
    let answer = out.stdout.split_once("\n\n").map_or("", |(_, answer)| answer);
    answer.lines().filter_map(|line| line.strip_prefix("Address: ")).next().unwrap_or_default().trim().to_owned()
}

#[test]
fn reached_without_a_daemon_and_after_it_came_back() {
    if reference() {
        return;
    }
    let (subject, first) = Subject::new("ports");
    first.docker(&["network", "create", "mine"]).ok();
    let port = free_port();
    let publish = format!("{port}:80");
    let id = first.docker(&["run", "-d", "--network", "mine", "-p", &publish, "busybox", "sh", "-c", SERVER]).ok().to_owned();
    eventually("it answers", || ask(port).filter(|word| word == "hello"));
    let before = inspect(&first, &id)["NetworkSettings"].clone();
    first.kill_nine();
    assert_eq!(ask(port).as_deref(), Some("hello"), "nobody holds the port, and yet");
    let second = subject.again();
    assert_eq!(ask(port).as_deref(), Some("hello"));
    let after = inspect(&second, &id)["NetworkSettings"].clone();
    assert_eq!((&before["Networks"], &before["Ports"]), (&after["Networks"], &after["Ports"]));
    // It is still taken, by the container and on the host.
    let refused = second.docker(&["run", "--rm", "-p", &publish, "busybox", "true"]);
    assert!(refused.fails(125).contains("port is already allocated"), "{}", refused.stderr);
    assert!(TcpListener::bind(("0.0.0.0", port)).is_err());
    second.docker(&["network", "disconnect", "mine", &id]).ok();
    second.docker(&["network", "connect", "mine", &id]).ok();
    eventually("it answers again", || ask(port).filter(|word| word == "hello"));
    remove_all(&second);
    finish(&subject, second, vec![first]);
}

#[test]
fn a_configuration_outlives_the_daemon() {
    if reference() {
        return;
    }
    let (subject, first) = Subject::new("settings");
    first.docker(&["network", "create", "--config-only", "--subnet", "10.77.91.0/24", "--label", "a=b", "settings"]).ok();
    first.docker(&["network", "create", "--config-from", "settings", "user"]).ok();
    let all = |daemon: &Daemon| ["settings", "user"].map(|name| daemon.http("GET", &format!("/networks/{name}"), None).json());
    let before = all(&first);
    first.kill_nine();
    let second = subject.again();
    assert_eq!(all(&second), before);
    assert!(second.docker(&["network", "rm", "settings"]).fails(1).contains("is in use"));
    second.docker(&["network", "rm", "user"]).ok();
    second.docker(&["network", "rm", "settings"]).ok();
    finish(&subject, second, vec![first]);
}

#[test]
fn an_address_that_was_lost_half_way_is_not_known_any_more() {
    if reference() {
        return;
    }
    let (subject, first) = Subject::new("hosts");
    first.docker(&["network", "create", "--subnet", "10.77.92.0/24", "mine"]).ok();
    let flags = ["run", "-d", "--network", "mine", "--hostname", "web", "--add-host", "web:10.77.92.8"];
    let id = first.docker(&[&flags[..], &["busybox", "sh", "-c", SERVER]].concat()).ok().to_owned();
    let hosts = |daemon: &Daemon| daemon.docker(&["exec", &id, "cat", "/etc/hosts"]).ok().to_owned();
    let before = hosts(&first);
    // What a daemon leaves that dies between the kernel and the file; and what a user may have written.
    let add = "printf '10.77.92.9\\tweb\\n9.9.9.9\\tweb\\n10.77.92.7 web\\n' >>/etc/hosts";
    first.docker(&["exec", &id, "sh", "-c", add]).ok();
    first.kill_nine();
    let second = subject.again();
    assert_eq!(hosts(&second), format!("{before}\n9.9.9.9\tweb\n10.77.92.7 web"));
    remove_all(&second);
    finish(&subject, second, vec![first]);
}

#[test]
fn killed_while_networks_are_made() {
    if reference() {
        return;
    }
    let (subject, mut daemon) = Subject::new("networks");
    let mut dead = Vec::new();
    for round in 0..4 {
        let clients = (0..8)
            .map(|n| {
                // Every fourth has an interface of its own in the place of a bridge.
                let driver = if n % 4 == 3 { "macvlan" } else { "bridge" };
                daemon.spawn(&["network", "create", "-d", driver, &format!("n{round}-{n}")])
            })
            .collect();
        daemon = kill_amid(&subject, &mut dead, daemon, clients, 2 * round);
        Estate::assert_as_told(&daemon);
        for id in daemon.docker(&["network", "ls", "-q", "--filter", "type=custom"]).ok().lines() {
            daemon.docker(&["run", "--rm", "--network", id, "busybox", "true"]).ok();
        }
        remove_all(&daemon);
    }
    finish(&subject, daemon, dead);
}

#[test]
fn killed_while_ports_are_published() {
    if reference() {
        return;
    }
    let (subject, mut daemon) = Subject::new("published");
    let ports: Vec<u16> = (0..6).map(|_| free_port()).collect();
    let mut dead = Vec::new();
    for round in 0..4 {
        daemon.docker(&["network", "create", "mine"]).ok();
        let name = |n: usize| format!("c{round}-{n}");
        let run = |daemon: &Daemon, n: usize| {
            let publish = format!("{}:80", ports[n]);
            daemon.spawn(&["run", "-d", "--name", &name(n), "--network", "mine", "-p", &publish, "busybox", "sh", "-c", SERVER])
        };
        let clients = (0..ports.len()).map(|n| run(&daemon, n)).collect();
        daemon = kill_amid(&subject, &mut dead, daemon, clients, round);
        Estate::assert_as_told(&daemon);
        let running = daemon.docker(&["ps", "--format", "{{.Names}}"]).ok().to_owned();
        for (n, port) in ports.iter().enumerate() {
            if running.lines().any(|other| other == name(n)) {
                eventually("what runs is reached", || ask(*port).filter(|word| word == "hello"));
                let at = inspect(&daemon, &name(n))["NetworkSettings"]["Networks"]["mine"]["IPAddress"].clone();
                assert_eq!(found(&daemon, running.lines().next().unwrap(), &name(n)), at.as_str().unwrap());
            } else {
                // Neither taken nor led anywhere; what was made of the container is no obstacle.
                TcpListener::bind(("0.0.0.0", *port)).unwrap();
                daemon.docker(&["rm", "-f", &name(n)]);
                run(&daemon, n).wait().ok();
                eventually("it is reached the second time", || ask(ports[n]).filter(|word| word == "hello"));
            }
        }
        remove_all(&daemon);
    }
    finish(&subject, daemon, dead);
}

#[test]
fn killed_while_containers_are_connected() {
    if reference() {
        return;
    }
    let (subject, mut daemon) = Subject::new("connects");
    let containers = ["aa", "bb", "cc", "dd", "ee"];
    daemon.docker(&["network", "create", "first"]).ok();
    // Room for those five and no more: an address that is lost is missed.
    daemon.docker(&["network", "create", "--subnet", "10.77.90.0/29", "second"]).ok();
    for name in containers {
        daemon.docker(&["run", "-d", "--name", name, "--network", "first", "busybox", "sh", "-c", SERVER]).ok();
    }
    let mut dead = Vec::new();
    for round in 0..6 {
        let verb = if round % 2 == 0 { "connect" } else { "disconnect" };
        let clients = containers.iter().map(|name| daemon.spawn(&["network", verb, "second", name])).collect();
        daemon = kill_amid(&subject, &mut dead, daemon, clients, round / 2 + round % 2);
        Estate::assert_as_told(&daemon);
        let on_second: Vec<_> = containers.into_iter().filter(|name| is_on(&daemon, name, "second")).collect();
        for name in containers {
            let there = daemon.docker(&["exec", name, "ls", "/sys/class/net"]).ok().split_whitespace().count();
            assert_eq!(there, 2 + usize::from(on_second.contains(&name)), "round {round}: interfaces of {name}");
            let at = inspect(&daemon, name)["NetworkSettings"]["Networks"]["first"]["IPAddress"].clone();
            assert_eq!(found(&daemon, containers[0], name), at.as_str().unwrap(), "round {round}: {name} is found");
            let gateway = "ping -c 1 -W 5 $(ip route | awk '/default/{print $3}')";
            daemon.docker(&["exec", name, "sh", "-c", gateway]).ok();
        }
        if let [one, two, ..] = on_second.as_slice() {
            let at = inspect(&daemon, two)["NetworkSettings"]["Networks"]["second"]["IPAddress"].clone();
            daemon.docker(&["exec", one, "ping", "-c", "1", "-W", "5", at.as_str().unwrap()]).ok();
        }
        // The rest of it can be done.
        for name in containers {
            let known = inspect(&daemon, name)["NetworkSettings"]["Networks"]["second"].is_object();
            assert!(verb == "disconnect" || known == on_second.contains(&name), "{name} is half connected");
            if known == (verb == "disconnect") {
                daemon.docker(&["network", verb, "second", name]).ok();
            }
        }
        Estate::assert_as_told(&daemon);
    }
    remove_all(&daemon);
    finish(&subject, daemon, dead);
}

fn is_on(daemon: &Daemon, container: &str, network: &str) -> bool {
    let shown = inspect(daemon, container);
    shown["NetworkSettings"]["Networks"][network]["EndpointID"].as_str().is_some_and(|id| !id.is_empty())
}
