//! kill -9 of the daemon in the middle of making networks and publishing ports: afterwards nothing is there that nobody knows,
//! and what runs is reached.

use crate::survival::{Subject, inspect, reference};
use docker_compat_tests::{Daemon, eventually};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

const SERVER: &str = "mkdir /w; echo hello >/w/index.html; trap 'exit 0' TERM; httpd -f -p 80 -h /w & wait";

fn ask(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.lines().last().map(str::to_owned)
}

fn free_port() -> u16 {
    TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
}

fn networks(daemon: &Daemon) -> Vec<String> {
    let ids = daemon.docker(&["network", "ls", "-q", "--no-trunc", "--filter", "type=custom"]);
    ids.ok().lines().map(str::to_owned).collect()
}

/// Bridges on the machine that a daemon on these roots has marked as its own, by the ids of their networks.
fn bridges(subject: &Subject) -> Vec<String> {
    let mark = format!("{}#", subject.roots.join("data/network").display());
    let interfaces = std::fs::read_dir("/sys/class/net").unwrap().flatten();
    let aliases = interfaces.filter_map(|entry| std::fs::read_to_string(entry.path().join("ifalias")).ok());
    aliases.filter_map(|alias| alias.trim().split_once(&mark).map(|(_, id)| id.to_owned())).collect()
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
    second.docker(&["rm", "-f", &id]).ok();
    second.docker(&["network", "rm", "mine"]).ok();
    assert_eq!(bridges(&subject), Vec::<String>::new());
}

#[test]
fn killed_while_networks_are_made() {
    if reference() {
        return;
    }
    let (subject, mut daemon) = Subject::new("networks");
    // Each takes along what it finds on its roots when it is dropped.
    let mut dead = Vec::new();
    for round in 0..4u64 {
        let makers: Vec<_> = (0..6)
            .map(|n| {
                let (net, run) = (format!("n{round}-{n}"), format!("c{round}-{n}"));
                let made = daemon.spawn(&["network", "create", &net]);
                (made, daemon.spawn(&["run", "-d", "--name", &run, "-p", "80", "busybox", "sleep", "1000"]))
            })
            .collect();
        // In the middle of it, at another moment each time.
        std::thread::sleep(Duration::from_millis(20 + 60 * round));
        daemon.kill_nine();
        for (made, run) in makers {
            made.wait();
            run.wait();
        }
        dead.push(std::mem::replace(&mut daemon, subject.again()));
        let mut known = networks(&daemon);
        let mut there = bridges(&subject);
        known.sort();
        there.sort();
        assert_eq!(known, there, "round {round}: each network has its bridge, each bridge its network");
        // What runs is on its network, and what does not has left nothing behind.
        let running = daemon.docker(&["ps", "-q", "--no-trunc"]);
        for id in running.ok().lines() {
            daemon.docker(&["exec", id, "sh", "-c", "ping -c 1 -W 5 $(ip route | awk '/default/{print $3}')"]).ok();
        }
        // Everything can still be made and removed.
        for id in daemon.docker(&["ps", "-aq"]).ok().lines() {
            daemon.docker(&["rm", "-f", id]).ok();
        }
        daemon.docker(&["network", "prune", "-f"]).ok();
        assert_eq!(bridges(&subject), Vec::<String>::new(), "round {round}");
    }
}
