//! Logs that go to a log of the machine's.

use docker_compat_tests::Scope;
use docker_compat_tests::registry::free_port;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// `docker run` with syslog at `address`, running `script`.
#[track_caller]
fn run(t: &Scope, address: &str, options: &[&str], script: &str) -> String {
    let address = format!("syslog-address={address}");
    let mut args = vec!["run", "-d", "--network", "none", "--log-driver", "syslog", "--log-opt", &address];
    for option in options {
        args.extend(["--log-opt", option]);
    }
    args.extend(["busybox", "sh", "-c", script]);
    let id = t.docker(&args).ok().to_owned();
    t.docker(&["wait", &id]).ok();
    id
}

/// The record without its time and process id, which must look right.
#[track_caller]
fn checked(record: &str) -> String {
    let words: Vec<&str> = record.trim_end().split(' ').collect();
    let pid = |w: &str| w.trim_end_matches("]:").rsplit('[').next().unwrap().parse::<u32>().is_ok();
    assert!(words.iter().any(|w| pid(w)), "{record}");
    let time = words.iter().find(|w| w.len() >= 8 && w.as_bytes().get(2) == Some(&b':') || w.contains('T') && w.ends_with('Z'));
    assert!(time.is_some(), "{record}");
    let shown: Vec<String> = words
        .iter()
        .filter(|w| *w != time.unwrap() && w.parse::<u32>().is_err() && !w.is_empty())
        .map(|w| if w.ends_with("]:") { format!("{}[]:", w.split('[').next().unwrap()) } else { (*w).to_owned() })
        .collect();
    shown.join(" ").replace(|c: char| !c.is_ascii(), "?")
}

#[test]
fn syslog_over_udp_in_each_format() {
    let t = Scope::new();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = format!("udp://{}", socket.local_addr().unwrap());
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    for format in ["", "rfc3164", "rfc5424", "rfc5424micro"] {
        let option = format!("syslog-format={format}");
        let options: Vec<&str> = if format.is_empty() { vec![] } else { vec![&option] };
        let id = run(&t, &address, &options, "echo hello there; echo -n part >&2");
        let tag = &id[..12];
        let mut got: Vec<String> = (0..2)
            .map(|_| {
                let mut piece = [0; 4096];
                let n = socket.recv(&mut piece).unwrap();
                assert_eq!(piece[n - 1], b'\n');
                checked(std::str::from_utf8(&piece[..n]).unwrap())
            })
            .collect();
        // The two streams are read independently.
        got.sort();
        let month = got[0].split(['>', ' ']).nth(1).unwrap().to_owned();
        let (err, out) = match format {
            "" => (format!("<27>{month} {tag}[]: part"), format!("<30>{month} {tag}[]: hello there")),
            "rfc3164" => (format!("<27>{month} {host} {tag}[]: part"), format!("<30>{month} {host} {tag}[]: hello there")),
            _ => (format!("<27>1 {host} {tag} {tag} - part"), format!("<30>1 {host} {tag} {tag} - hello there")),
        };
        assert_eq!(got, [err, out], "{format}");
        // As dockerd: what went elsewhere can be read here, too.
        assert_eq!(t.docker(&["logs", &id]).ok(), "hello there");
    }
}

#[test]
fn syslog_over_tcp_and_unix_sockets() {
    let t = Scope::new();
    let name = t.name("tagged");
    let tag = ["tag={{.Name}}/{{.ImageName}}", "syslog-facility=local3", "syslog-format=rfc5424"];
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    let reader = std::thread::spawn(move || {
        let (peer, _) = listener.accept().unwrap();
        BufReader::new(peer).lines().map(Result::unwrap).collect::<Vec<_>>()
    });
    let mut args = vec!["run", "--rm", "--name", &name, "--network", "none", "--log-driver", "syslog"];
    let address = format!("syslog-address={address}");
    args.extend(tag.iter().flat_map(|o| ["--log-opt", o]).chain(["--log-opt", &address]));
    args.extend(["busybox", "sh", "-c", "seq 1 2000"]);
    t.docker(&args).ok();
    let lines = reader.join().unwrap();
    assert_eq!(lines.len(), 2000);
    assert!(lines[1999].starts_with("<158>1 ") && lines[1999].ends_with(&format!(" {name}/busybox - 2000")), "{}", lines[1999]);

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gram");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    run(&t, &format!("unixgram://{}", path.display()), &[], "echo gram");
    let mut piece = [0; 4096];
    let n = socket.recv(&mut piece).unwrap();
    assert!(piece[..n].ends_with(b"]: gram\n"));

    let path = dir.path().join("stream");
    let listener = UnixListener::bind(&path).unwrap();
    run(&t, &format!("unix://{}", path.display()), &[], "echo stream");
    let (peer, _) = listener.accept().unwrap();
    let mut line = String::new();
    BufReader::new(peer).read_line(&mut line).unwrap();
    assert!(line.ends_with("]: stream\n"), "{line}");
}

#[test]
fn logs_of_a_log_that_is_not_kept_are_refused() {
    let t = Scope::new();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let id = run(&t, &format!("udp://{}", socket.local_addr().unwrap()), &["cache-disabled=true"], "echo x");
    let words = "configured logging driver does not support reading";
    assert!(t.docker(&["logs", &id]).fails(1).contains(words));
}

#[test]
fn what_cannot_be_reached_or_read_is_refused() {
    let t = Scope::new();
    let closed = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let refused = |options: &[&str], words: &str| {
        let mut args = vec!["run", "--rm", "--network", "none", "--log-driver", "syslog"];
        args.extend(options.iter().flat_map(|o| ["--log-opt", o]));
        args.extend(["busybox", "true"]);
        let out = t.docker(&args);
        assert!(out.code != 0 && out.stderr.contains(words), "{options:?}: {}", out.stderr);
    };
    let start = "failed to create task for container: failed to initialize logging driver: ";
    refused(&[&format!("syslog-address=tcp://{closed}")], &format!("{start}dial tcp {closed}: connect: connection refused"));
    refused(&["syslog-address=foo://x"], "unsupported scheme: 'foo'");
    refused(&["syslog-address=unix:///no/such"], "stat /no/such: no such file or directory");
    refused(&["syslog-facility=bogus"], "invalid syslog facility");
    refused(&["syslog-format=bogus"], "Invalid syslog format");
    refused(&["nosuch=1"], "unknown log opt 'nosuch' for syslog log driver");
    refused(&["tag={{.Nope}}"], "can't evaluate field Nope in type *logger.Info");
    let out = t.docker(&["run", "--rm", "--log-driver", "nosuch", "busybox", "true"]);
    assert!(out.fails(125).contains("error looking up logging plugin nosuch: plugin \"nosuch\" not found"), "{}", out.stderr);
}

#[test]
fn the_local_driver_can_be_read() {
    let t = Scope::new();
    let id = t.detached(&["--log-driver", "local", "--log-opt", "max-size=1m"], "seq 1 100");
    t.docker(&["wait", &id]).ok();
    assert_eq!(t.docker(&["logs", &id]).ok().lines().count(), 100);
}
