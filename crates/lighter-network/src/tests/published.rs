//! Published ports: from where they are reached, and from where not.

use std::net::IpAddr;

use super::*;
use crate::{Holder, Protocol, nft};

fn want(protocol: Protocol, host_ip: Option<&str>, host: u16, container_port: u16) -> PortWant {
    let host_ports = (host != 0).then_some(host..=host);
    PortWant { protocol, container_port, host_ip: host_ip.map(|ip| ip.parse::<IpAddr>().unwrap()), host_ports }
}

fn tcp(host: u16) -> PortWant {
    want(Protocol::Tcp, None, host, 80)
}

async fn web(networks: &Networks, id: &str, ports: Vec<PortWant>) -> Container {
    let c = attach(networks, id, vec![on_default(networks)], ports).await.unwrap();
    serve(c.netns.as_fd(), 80);
    c
}

#[test]
fn reached_from_everywhere_by_the_hosts_addresses() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let networks = open(&BridgeConfig::new(dir.path())).await;
        let udp = want(Protocol::Udp, None, 8080, 80);
        let a = web(&networks, "a", vec![tcp(8080), udp]).await;
        assert_eq!(a.attachment.ports.len(), 4, "both families, both protocols: {:?}", a.attachment.ports);
        let (outside, host) = (neighbour(), host());
        let gateway = networks.info().gateway.to_string();
        let other = network(&networks, "other", |_| ()).await;
        let b = attach(&networks, "b", vec![on(&other)], Vec::new()).await.unwrap();
        for (from, to, seen) in [
            // A neighbour is seen as itself.
            (outside.as_fd(), "10.9.0.1:8080", "10.9.0.2"),
            (host.as_fd(), "10.9.0.1:8080", "10.9.0.1"),
            (host.as_fd(), "127.0.0.1:8080", gateway.as_str()),
            // Passed on by hand.
            (host.as_fd(), "[::1]:8080", gateway.as_str()),
            // From the same network, and from itself: by the host.
            (a.netns.as_fd(), "10.9.0.1:8080", gateway.as_str()),
            (a.netns.as_fd(), &format!("{gateway}:8080"), gateway.as_str()),
            // From another network by the host, too: addresses of a network mean nothing beyond it.
            (b.netns.as_fd(), "10.9.0.1:8080", gateway.as_str()),
        ] {
            assert_eq!(call(from, to).map_err(|e| format!("{to} {seen} {e}")).unwrap(), seen, "TCP to {to}");
            assert_eq!(call_udp(from, to).map_err(|e| format!("UDP {to} {seen} {e}")).unwrap(), seen, "UDP to {to}");
        }
        // The port itself is closed to others, as is another network's container as such.
        assert!(call(outside.as_fd(), &format!("{}:80", a.ip())).is_err());
        assert!(call(b.netns.as_fd(), &format!("{}:80", a.ip())).is_err());
        networks.detach("a");
        until("nobody answers", || call(host.as_fd(), "127.0.0.1:8080").is_err()).await;
        assert!(call(outside.as_fd(), "10.9.0.1:8080").is_err());
    });
}

#[test]
fn only_where_it_was_asked_for() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let networks = open(&BridgeConfig::new(dir.path())).await;
        let local = want(Protocol::Tcp, Some("127.0.0.1"), 8081, 80);
        let outer = want(Protocol::Tcp, Some("10.9.0.1"), 8082, 80);
        let outside = neighbour();
        let a = web(&networks, "a", vec![local, outer]).await;
        let host = host();
        call(host.as_fd(), "127.0.0.1:8081").unwrap();
        assert!(call(host.as_fd(), "10.9.0.1:8081").is_err());
        assert!(call(outside.as_fd(), "10.9.0.1:8081").is_err());
        call(host.as_fd(), "10.9.0.1:8082").unwrap();
        call(outside.as_fd(), "10.9.0.1:8082").unwrap();
        assert!(call(host.as_fd(), "127.0.0.1:8082").is_err());

        // What comes from outside and claims to be for the loopback is dropped, whether a neighbour's or a container's.
        std::fs::write("/proc/sys/net/ipv4/conf/out0/route_localnet", "1").unwrap();
        for (from, gateway) in [(outside.as_fd(), "10.9.0.1".to_owned()), (a.netns.as_fd(), networks.info().gateway.to_string())]
        {
            inside(from, move || {
                std::fs::write("/proc/sys/net/ipv4/conf/all/route_localnet", "1").unwrap();
                let run = |args: &[&str]| assert!(std::process::Command::new("ip").args(args).status().unwrap().success());
                // Out by the interface instead of the loopback.
                run(&["route", "del", "table", "local", "127.0.0.0/8"]);
                run(&["route", "del", "table", "local", "127.0.0.1"]);
                run(&["route", "add", "127.0.0.1/32", "via", &gateway, "dev", "eth0"]);
            });
            assert!(call(from, "127.0.0.1:8081").is_err());
        }
    });
}

#[test]
fn a_port_is_had_by_one_only() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let networks = open(&BridgeConfig::new(dir.path())).await;
        let _a = web(&networks, "a", vec![tcp(8080)]).await;
        // Really taken: no program gets it, on any address.
        for taken in ["0.0.0.0:8080", "127.0.0.1:8080", "[::]:8080"] {
            assert!(TcpListener::bind(taken).is_err(), "{taken}");
        }
        let refused = |ports| attach(&networks, "b", vec![on_default(&networks)], ports);
        for ip in [None, Some("127.0.0.1"), Some("0.0.0.0")] {
            let error = refused(vec![tcp(9090), want(Protocol::Tcp, ip, 8080, 80)]).await.err().unwrap();
            assert!(matches!(error, NetworkError::PortTaken { port: 8080, .. }), "{error:?}");
        }
        // Nothing of the failed attempts is left, and another protocol is another port.
        let b = refused(vec![tcp(9090), want(Protocol::Udp, None, 8080, 80)]).await.unwrap();
        assert_eq!(b.endpoint.ifname, "eth0");

        let program = TcpListener::bind("0.0.0.0:7070").unwrap();
        let wants = vec![tcp(8080), tcp(7070), tcp(6060), tcp(0)];
        let found = networks.clashes("c", wants.clone()).await.unwrap();
        let found: Vec<_> = found.into_iter().map(|clash| (clash.port.host_port, clash.holder)).collect();
        assert_eq!(found, [(8080, Holder::Container("a".into())), (7070, Holder::Host)]);
        let error = attach(&networks, "c", vec![on_default(&networks)], vec![tcp(7070)]).await.err().unwrap();
        assert!(matches!(error, NetworkError::PortHeld { .. }), "{error:?}");
        drop(program);

        // An ended container's ports are free before it is let go as a whole.
        networks.release_ports("a");
        attach(&networks, "c", vec![on_default(&networks)], vec![tcp(8080), tcp(7070)]).await.unwrap();
    });
}

#[test]
fn a_port_is_handed_on_at_once() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let networks = open(&BridgeConfig::new(dir.path())).await;
        let both = || vec![tcp(8080), want(Protocol::Udp, None, 8080, 80)];
        for n in 0..50 {
            let id = format!("c{n}");
            attach(&networks, &id, vec![on_default(&networks)], both()).await.unwrap();
            networks.release_ports(&id);
            assert_eq!(networks.clashes("next", both()).await.unwrap(), []);
            networks.detach(&id);
        }
    });
}

#[test]
fn ports_that_are_chosen() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let networks = open(&BridgeConfig::new(dir.path())).await;
        let _program = TcpListener::bind("0.0.0.0:8000").unwrap();
        let range = || PortWant { host_ports: Some(8000..=8002), ..tcp(0) };
        let a = attach(&networks, "a", vec![on_default(&networks)], vec![range(), range(), tcp(0), tcp(0)]).await.unwrap();
        let ports: Vec<u16> = a.attachment.ports.iter().map(|port| port.host_port).collect();
        // Both families have the same one.
        assert_eq!(ports[..4], [8001, 8001, 8002, 8002]);
        assert!(ports[4] == ports[5] && ports[6] == ports[7] && ports[4] != ports[6] && ports[4] >= 1024, "{ports:?}");
        let error = attach(&networks, "b", vec![on_default(&networks)], vec![range()]).await.err().unwrap();
        assert!(matches!(error, NetworkError::PortTaken { .. } | NetworkError::PortHeld { .. }), "{error:?}");
    });
}

#[test]
fn the_daemon_comes_and_goes() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let config = BridgeConfig::new(dir.path());
        let networks = open(&config).await;
        let a = web(&networks, "a", vec![tcp(8080)]).await;
        let (outside, host) = (neighbour(), host());
        drop(networks);
        // Nobody holds the sockets now, and yet it is there.
        until("the sockets are closed", || TcpListener::bind("0.0.0.0:8080").is_ok()).await;
        call(outside.as_fd(), "10.9.0.1:8080").unwrap();
        call(host.as_fd(), "127.0.0.1:8080").unwrap();

        let networks = open(&config).await;
        call(outside.as_fd(), "10.9.0.1:8080").unwrap();
        networks.restore(vec![("a".into(), a.attachment.clone())]).await.unwrap();
        assert!(TcpListener::bind("0.0.0.0:8080").is_err());
        call(outside.as_fd(), "10.9.0.1:8080").unwrap();
        call(host.as_fd(), "[::1]:8080").unwrap();
        let taken = attach(&networks, "b", vec![on_default(&networks)], vec![tcp(8080)]).await.err().unwrap();
        assert!(matches!(taken, NetworkError::PortTaken { .. }), "{taken:?}");

        // Rules that somebody flushed are back soon; until then the held socket does it.
        nft::apply(&mut netfilter(), vec![nft::delete_table("lighter")]).unwrap();
        call(outside.as_fd(), "10.9.0.1:8080").unwrap();
        until("the packets are led again", || call(outside.as_fd(), "10.9.0.1:8080").is_ok_and(|seen| seen == "10.9.0.2")).await;
        // Elements are missed, too.
        nft::apply(&mut netfilter(), crate::maps::remove("lighter", &crate::maps::read(&mut netfilter(), "lighter").unwrap()))
            .unwrap();
        until("they are back", || !crate::maps::read(&mut netfilter(), "lighter").unwrap().is_empty()).await;
    });
}

/// One that never pauses, from the same port, as a sender of logs would.
#[test]
fn who_goes_on_sending_datagrams_is_led_to_the_new_container() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let networks = open(&BridgeConfig::new(dir.path())).await;
        let ports = || vec![want(Protocol::Udp, None, 8080, 80)];
        let outside = neighbour();
        let sender = inside(outside.as_fd(), || {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.connect("10.9.0.1:8080").unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            socket
        });
        let answered = || sender.send(b"who am I").is_ok() && sender.recv(&mut [0; 64]).is_ok();
        let a = web(&networks, "a", ports()).await;
        until("the first answers", answered).await;
        networks.detach("a");
        until("nobody answers", || !answered()).await;
        // Its namespace and its address are there still.
        let b = web(&networks, "b", ports()).await;
        assert_ne!(a.ip(), b.ip());
        assert!((0..3).any(|_| answered()), "the second answers the same sender");
    });
}
