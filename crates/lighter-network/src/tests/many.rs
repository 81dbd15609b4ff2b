//! Networks that users made: several at once, containers on some of them, and what comes and goes while they run.

use std::net::{IpAddr, Ipv6Addr};

use super::*;
use crate::{MacAddr, Range};

fn range(subnet: &str) -> Option<Range> {
    Some(Range::of(subnet.parse().unwrap()))
}

fn reaches(from: &Container, to: &Container, network: &NetworkSpec) -> bool {
    let ip = to.attachment.on(&network.id).unwrap().ip.unwrap();
    talk(from.netns.as_fd(), to.netns.as_fd(), ip).is_ok()
}

#[test]
fn networks_are_apart_and_a_container_may_be_on_several() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let networks = open(&BridgeConfig::new(dir.path())).await;
        let red = network(&networks, "red", |_| ()).await;
        let blue = network(&networks, "blue", |spec| spec.v4 = range("10.77.0.0/24")).await;
        assert!(exists(&red.device) && exists(&blue.device));
        let r = attach(&networks, "r", vec![on(&red)], Vec::new()).await.unwrap();
        let b = attach(&networks, "b", vec![on(&blue)], Vec::new()).await.unwrap();
        let both = attach(&networks, "both", vec![on(&red), on(&blue)], Vec::new()).await.unwrap();
        let names: Vec<_> = both.attachment.endpoints.iter().map(|e| e.ifname.as_str()).collect();
        assert_eq!(names, ["eth0", "eth1"]);
        assert!(reaches(&r, &both, &red) && reaches(&b, &both, &blue) && reaches(&both, &b, &blue));
        assert!(!reaches(&r, &b, &blue) && !reaches(&b, &r, &red));
        // By the first name of those with the same priority it gets out.
        let outside = neighbour();
        assert_eq!(both.attachment.way_out().unwrap().network, "blue");
        assert_eq!(talk(both.netns.as_fd(), outside.as_fd(), Ipv4Addr::new(10, 9, 0, 2)).unwrap(), Ipv4Addr::new(10, 9, 0, 1));

        let overlap = bridge_spec("green", |spec| spec.v4 = range("10.77.0.128/25"));
        assert!(matches!(networks.create(overlap, Pick::default()).await, Err(NetworkError::PoolOverlaps)));
        assert!(matches!(networks.remove(&red.id).await, Err(NetworkError::InUse { .. })));
        networks.detach("r");
        networks.detach("both");
        networks.remove(&red.id).await.unwrap();
        networks.remove(&red.id).await.unwrap();
        assert!(!exists(&red.device) && exists(&blue.device));
        assert!(matches!(attach(&networks, "x", vec![on(&red)], Vec::new()).await, Err(NetworkError::UnknownNetwork { .. })));
    });
}

#[test]
fn what_is_asked_of_an_endpoint() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let networks = open(&BridgeConfig::new(dir.path())).await;
        let red = network(&networks, "red", |spec| spec.v4 = range("10.77.0.0/24")).await;
        let blue = network(&networks, "blue", |_| ()).await;
        let mac: MacAddr = "02:11:22:33:44:55".parse().unwrap();
        let ask = Ask {
            ip: Some(Ipv4Addr::new(10, 77, 0, 99)),
            mac: Some(mac),
            ifname: Some("lan0".into()),
            gw_priority: 1,
            sysctls: vec![("net.ipv4.conf.IFNAME.forwarding".into(), "1".into())],
            ..Ask::default()
        };
        let join = Join { network_id: red.id.clone(), ask };
        let a = attach(&networks, "a", vec![on(&blue), join.clone()], Vec::new()).await.unwrap();
        let found = inside(a.netns.as_fd(), || links::by_name(&mut route(), "lan0").unwrap().unwrap());
        assert_eq!(found.mac, mac.0);
        let set = |name: &'static str| {
            let path = format!("/proc/sys/net/ipv4/conf/{name}/forwarding");
            inside(a.netns.as_fd(), move || std::fs::read_to_string(path).unwrap().trim() == "1")
        };
        assert!(set("lan0"));
        let odd = Ask { sysctls: vec![("net.ipv4.conf.IFNAME.no-such".into(), "1".into())], ..Ask::default() };
        let odd = Join { network_id: blue.id.clone(), ask: odd };
        assert!(matches!(attach(&networks, "odd", vec![odd], Vec::new()).await, Err(NetworkError::Kernel { .. })));
        let b = attach(&networks, "b", vec![on(&red)], Vec::new()).await.unwrap();
        talk(b.netns.as_fd(), a.netns.as_fd(), Ipv4Addr::new(10, 77, 0, 99)).unwrap();
        // Its priority beats the names.
        assert_eq!(a.attachment.way_out().unwrap().network, "red");
        let taken = attach(&networks, "c", vec![join], Vec::new()).await.err().unwrap();
        assert!(matches!(taken, NetworkError::AddressInUse { .. }), "{taken:?}");
    });
}

#[test]
fn internal_networks_and_those_without_talk_among_containers() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let networks = open(&BridgeConfig::new(dir.path())).await;
        let inner = network(&networks, "inner", |spec| spec.internal = true).await;
        let quiet = network(&networks, "quiet", |spec| spec.icc = false).await;
        let outside = neighbour();
        let out = Ipv4Addr::new(10, 9, 0, 2);
        let (a, b) = (
            attach(&networks, "a", vec![on(&inner)], Vec::new()).await.unwrap(),
            attach(&networks, "b", vec![on(&inner)], Vec::new()).await.unwrap(),
        );
        assert!(reaches(&a, &b, &inner));
        assert!(talk(a.netns.as_fd(), outside.as_fd(), out).is_err());
        // Not even with a route of its own making.
        let gateway = inner.v4.as_ref().unwrap().gateway.unwrap().to_string();
        inside(a.netns.as_fd(), move || {
            let args = ["route", "add", "default", "via", &gateway];
            assert!(std::process::Command::new("ip").args(args).status().unwrap().success());
        });
        assert!(talk(a.netns.as_fd(), outside.as_fd(), out).is_err());

        let (c, d) = (
            attach(&networks, "c", vec![on(&quiet)], Vec::new()).await.unwrap(),
            attach(&networks, "d", vec![on(&quiet)], Vec::new()).await.unwrap(),
        );
        assert!(!reaches(&c, &d, &quiet));
        talk(c.netns.as_fd(), outside.as_fd(), out).unwrap();
        talk(host().as_fd(), d.netns.as_fd(), d.ip()).unwrap();
    });
}

#[test]
fn comes_and_goes_while_it_runs() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let config = BridgeConfig::new(dir.path());
        let networks = open(&config).await;
        let (red, blue) = (network(&networks, "red", |_| ()).await, network(&networks, "blue", |_| ()).await);
        let want = PortWant { protocol: crate::Protocol::Tcp, container_port: 80, host_ip: None, host_ports: Some(8080..=8080) };
        let mut a = attach(&networks, "a", vec![on(&red)], vec![want]).await.unwrap();
        serve(a.netns.as_fd(), 80);
        let b = attach(&networks, "b", vec![on(&blue)], Vec::new()).await.unwrap();
        let outside = neighbour();
        let ns = || a.netns.try_clone().unwrap();
        let both = networks.join("a", ns(), on(&blue)).await.unwrap();
        assert_eq!(both.on(&blue.id).unwrap().ifname, "eth1");
        assert!(matches!(networks.join("a", ns(), on(&blue)).await, Err(NetworkError::AlreadyConnected { .. })));
        a.attachment = both.clone();
        assert!(reaches(&b, &a, &blue));
        call(outside.as_fd(), "10.9.0.1:8080").unwrap();

        // It goes by the other network now, and its port is led there.
        let one = networks.leave("a", a.netns.try_clone().unwrap(), &red.id).await.unwrap();
        assert_eq!(one.way_out().unwrap().network, "blue");
        assert!(!inside(a.netns.as_fd(), || exists("eth0")));
        assert_eq!(call(outside.as_fd(), "10.9.0.1:8080").unwrap(), "10.9.0.2");
        talk(a.netns.as_fd(), outside.as_fd(), Ipv4Addr::new(10, 9, 0, 2)).unwrap();
        // The address is free, and the name of the interface, too.
        networks.remove(&red.id).await.unwrap();

        // A daemon that comes later knows of it what it was told last.
        drop(networks);
        let networks = Networks::open_with(config, vec![blue.clone()]).await.unwrap();
        let restored = networks.restore(vec![("a".into(), one), ("b".into(), b.attachment.clone())]).await.unwrap();
        assert!(restored.iter().all(|(_, lost)| lost.is_empty()), "{restored:?}");
        call(outside.as_fd(), "10.9.0.1:8080").unwrap();
        let none = networks.leave("a", a.netns.try_clone().unwrap(), &blue.id).await.unwrap();
        assert!(none.endpoints.is_empty());
        assert!(call(outside.as_fd(), "10.9.0.1:8080").is_err());
        let again = networks.join("a", a.netns.try_clone().unwrap(), on(&blue)).await.unwrap();
        assert_eq!(again.endpoints[0].ifname, "eth0");
        // The kernel takes a moment until a new interface carries packets.
        until("it is reached again", || call(outside.as_fd(), "10.9.0.1:8080").is_ok()).await;
    });
}

#[test]
fn bridges_of_networks_that_are_no_more_go_and_others_come_back() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let config = BridgeConfig::new(dir.path());
        let networks = open(&config).await;
        let (kept, lost) = (network(&networks, "kept", |_| ()).await, network(&networks, "lost", |_| ()).await);
        drop(networks);
        links::delete(&mut route(), &kept.device).unwrap();
        foreign_bridge("theirs", Ipv4Addr::new(10, 66, 0, 1), 24);
        // Another daemon's networks are not ours to remove.
        let other_dir = tempfile::tempdir().unwrap();
        let mut other_config = BridgeConfig::new(other_dir.path());
        other_config.bridge = "lighter1".to_owned();
        let others = open(&other_config).await;
        let other = network(&others, "other", |_| ()).await;
        let networks = Networks::open_with(config, vec![kept.clone()]).await.unwrap();
        assert!(exists(&kept.device) && !exists(&lost.device) && exists("theirs") && exists(&other.device));
        networks.restore(Vec::new()).await.unwrap();
        assert!(networks.remove_all().await.unwrap());
        assert!(!exists(&kept.device) && exists(&other.device));
    });
}

#[test]
fn ipv6_with_addresses_of_its_own() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let networks = open(&BridgeConfig::new(dir.path())).await;
        let six = bridge_spec("six", |spec| spec.v6 = range("fd00:77::/64"));
        let six = networks.create(six, Pick { v4: true, v6: false }).await.unwrap();
        let chosen = networks.create(bridge_spec("chosen", |_| ()), Pick { v4: false, v6: true }).await.unwrap();
        assert_eq!(chosen.v6.as_ref().unwrap().subnet.prefix_len(), 64);
        let only = attach(&networks, "only", vec![on(&chosen)], Vec::new()).await.unwrap();
        assert!(only.endpoint.ip.is_none() && only.endpoint.ipv6.is_some());

        let want = PortWant { protocol: crate::Protocol::Tcp, container_port: 80, host_ip: None, host_ports: Some(8080..=8080) };
        let ask = Ask { ipv6: Some("fd00:77::99".parse().unwrap()), ..Ask::default() };
        let a = attach(&networks, "a", vec![Join { network_id: six.id.clone(), ask }], vec![want]).await.unwrap();
        let b = attach(&networks, "b", vec![on(&six)], Vec::new()).await.unwrap();
        assert_eq!(b.endpoint.ipv6, Some("fd00:77::2".parse::<Ipv6Addr>().unwrap()));
        serve(a.netns.as_fd(), 80);
        assert_eq!(call(b.netns.as_fd(), "[fd00:77::99]:80").unwrap(), "fd00:77::2");
        let gateway: IpAddr = "fd00:77::1".parse().unwrap();
        assert_eq!(six.v6.as_ref().unwrap().gateway, Some(gateway));
        // By the host's address: from itself, and from another network.
        assert_eq!(call(host().as_fd(), "[fd00:77::1]:8080").unwrap(), "fd00:77::1");
        assert_eq!(call(only.netns.as_fd(), "[fd00:77::1]:8080").unwrap(), "fd00:77::1");
        assert!(call(only.netns.as_fd(), "[fd00:77::99]:80").is_err());
    });
}

#[test]
fn an_ipv6_address_can_be_called_at_once() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let networks = open(&BridgeConfig::new(dir.path())).await;
        let six = bridge_spec("six", |spec| spec.v6 = range("fd00:77::/64"));
        let six = networks.create(six, Pick { v4: false, v6: false }).await.unwrap();
        for n in 0..30 {
            let one = attach(&networks, &format!("c{n}"), vec![on(&six)], Vec::new()).await.unwrap();
            let ip = one.endpoint.ipv6.unwrap();
            assert!(inside(one.netns.as_fd(), move || crate::readiness::is_local(&mut route(), ip)), "{ip}");
        }
        assert!(crate::readiness::is_local(&mut route(), "fd00:77::1".parse().unwrap()));
    });
}

#[test]
fn macvlan_with_a_parent_and_without() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let networks = open(&BridgeConfig::new(dir.path())).await;
        let outside = neighbour();
        let mac = |name: &str, change: fn(&mut NetworkSpec)| {
            let mut spec = bridge_spec(name, |spec| spec.kind = Kind::Macvlan(crate::MacvlanMode::Bridge));
            change(&mut spec);
            spec
        };
        // On an interface of the host's, the containers are neighbours of its neighbours.
        let lan = mac("lan", |spec| {
            spec.device = "out0".into();
            spec.v4 = range("10.9.0.0/24").map(|range| Range { range: Some("10.9.0.128/25".parse().unwrap()), ..range });
        });
        let lan = networks.create(lan, Pick::default()).await.unwrap();
        let a = attach(&networks, "a", vec![on(&lan)], Vec::new()).await.unwrap();
        let b = attach(&networks, "b", vec![on(&lan)], Vec::new()).await.unwrap();
        assert!(a.endpoint.host_ifname.is_empty());
        assert!(reaches(&a, &b, &lan));
        talk(outside.as_fd(), a.netns.as_fd(), a.ip()).unwrap();
        networks.detach("a");
        networks.detach("b");
        until("nobody is on it", || networks.is_quiet()).await;
        networks.remove(&lan.id).await.unwrap();
        assert!(exists("out0"), "it is not ours");

        // Without one they have only each other, and what was made for that goes with the network.
        let alone = mac("alone", |spec| {
            spec.device = format!("dm-{}", &spec.id[..12]);
            spec.own_parent = true;
            spec.v4 = range("10.78.0.0/24");
        });
        let alone = networks.create(alone, Pick::default()).await.unwrap();
        let c = attach(&networks, "c", vec![on(&alone)], Vec::new()).await.unwrap();
        let d = attach(&networks, "d", vec![on(&alone)], Vec::new()).await.unwrap();
        assert!(reaches(&c, &d, &alone));
        let left = networks.leave("c", c.netns.try_clone().unwrap(), &alone.id).await.unwrap();
        assert!(left.endpoints.is_empty() && !inside(c.netns.as_fd(), || exists("eth0")));
        networks.detach("d");
        until("nobody is on it", || networks.is_quiet()).await;
        networks.remove(&alone.id).await.unwrap();
        assert!(!exists(&alone.device));

        let missing = mac("missing", |spec| spec.device = "no-such".into());
        let error = networks.create(missing, Pick { v4: true, v6: false }).await.unwrap_err();
        assert!(matches!(error, NetworkError::NoParent { .. }), "{error:?}");
    });
}
