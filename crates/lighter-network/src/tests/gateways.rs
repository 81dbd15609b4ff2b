//! What the host does for a bridge's addresses: translates them, or lets them be seen as they are.

use std::net::IpAddr;

use super::*;
use crate::Protocol;

fn tcp(host: u16, container_port: u16) -> PortWant {
    PortWant { protocol: Protocol::Tcp, container_port, host_ip: None, host_ports: Some(host..=host) }
}

/// A container that serves on two ports, of which it publishes the first.
async fn server(networks: &Networks, id: &str, net: &NetworkSpec) -> Container {
    let c = attach(networks, id, vec![on(net)], vec![tcp(8080, 80)]).await.unwrap();
    serve(c.netns.as_fd(), 80);
    serve(c.netns.as_fd(), 81);
    c
}

#[test]
fn routed_addresses_are_seen_as_they_are() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let config = BridgeConfig::new(dir.path());
        let networks = open(&config).await;
        networks.restore(Vec::new()).await.unwrap();
        let routed = network(&networks, "routed", |spec| spec.gateway4 = GatewayMode::Routed).await;
        let other = network(&networks, "other", |_| ()).await;
        let outside = neighbour();
        let a = server(&networks, "a", &routed).await;
        let b = attach(&networks, "b", vec![on(&other)], Vec::new()).await.unwrap();
        let [port] = a.attachment.ports.as_slice() else { panic!("one, of IPv4: {:?}", a.attachment.ports) };
        assert!(port.is_let_through() && port.host_ip == IpAddr::V4(Ipv4Addr::UNSPECIFIED), "{port:?}");
        let at = |port: u16| format!("{}:{port}", a.ip());
        for mended in [false, true] {
            assert_eq!(call(outside.as_fd(), &at(80)).unwrap(), "10.9.0.2", "published, and reached by its own address");
            call(b.netns.as_fd(), &at(80)).unwrap();
            for from in [&outside, &b.netns] {
                assert!(call(from.as_fd(), &at(81)).is_err(), "not published");
            }
            // No port of the host: it is free, and leads nowhere.
            assert!(call(outside.as_fd(), "10.9.0.1:8080").is_err());
            drop(TcpListener::bind((Ipv4Addr::UNSPECIFIED, 8080)).unwrap());
            if !mended {
                crate::nft::apply(&mut netfilter(), vec![crate::nft::delete_table("lighter")]).unwrap();
                until("the rules are back", || crate::maps::read(&mut netfilter(), "lighter").unwrap().len() == 1).await;
            }
        }
        // Out it goes with its own address.
        let listener = inside(outside.as_fd(), || TcpListener::bind(("10.9.0.2", 90)).unwrap());
        let seen = std::thread::spawn(move || listener.accept().unwrap().1.ip().to_string());
        inside(a.netns.as_fd(), || drop(TcpStream::connect(("10.9.0.2", 90)).unwrap()));
        assert_eq!(seen.join().unwrap(), a.ip().to_string());
        // Two may publish the same; what the first had is the first's alone.
        let c = server(&networks, "c", &routed).await;
        call(outside.as_fd(), &format!("{}:80", c.ip())).unwrap();
        networks.detach("c");
        until("its port is closed", || crate::maps::read(&mut netfilter(), "lighter").unwrap().len() == 1).await;
        call(outside.as_fd(), &at(80)).unwrap();
        // The next daemon takes it as it is.
        drop(networks);
        let networks = Networks::open_with(config, vec![routed, other]).await.unwrap();
        let live = [("a", &a), ("b", &b)].map(|(id, c)| (id.to_owned(), c.attachment.clone()));
        let restored = networks.restore(live.to_vec()).await.unwrap();
        assert!(restored[0].0 == a.attachment && restored[0].1.is_empty(), "nothing of it is lost: {restored:?}");
        assert_eq!(crate::maps::read(&mut netfilter(), "lighter").unwrap().len(), 1);
        call(outside.as_fd(), &at(80)).unwrap();
        drop(TcpListener::bind((Ipv4Addr::UNSPECIFIED, 8080)).unwrap());
    });
}

#[test]
fn unprotected_ports_are_open_to_whoever_routes_there() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let networks = open(&BridgeConfig::new(dir.path())).await;
        let wide = network(&networks, "wide", |spec| spec.gateway4 = GatewayMode::NatUnprotected).await;
        let other = network(&networks, "other", |_| ()).await;
        let outside = neighbour();
        let a = server(&networks, "a", &wide).await;
        let b = attach(&networks, "b", vec![on(&other)], Vec::new()).await.unwrap();
        for port in [80, 81] {
            assert_eq!(call(outside.as_fd(), &format!("{}:{port}", a.ip())).unwrap(), "10.9.0.2");
            assert!(call(b.netns.as_fd(), &format!("{}:{port}", a.ip())).is_err(), "networks of ours are apart");
        }
        call(outside.as_fd(), "10.9.0.1:8080").unwrap();
        call(b.netns.as_fd(), "10.9.0.1:8080").unwrap();
    });
}

#[test]
fn the_host_has_no_address_where_it_is_isolated() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let networks = open(&BridgeConfig::new(dir.path())).await;
        let alone = network(&networks, "alone", |spec| {
            spec.gateway4 = GatewayMode::Isolated;
            spec.internal = true;
        })
        .await;
        let range = alone.v4.clone().unwrap();
        assert_eq!(range.gateway, None);
        let a = attach(&networks, "a", vec![on(&alone)], Vec::new()).await.unwrap();
        let b = attach(&networks, "b", vec![on(&alone)], Vec::new()).await.unwrap();
        assert_eq!(crate::first_host(&range.subnet), Some(a.ip().into()), "the first address is a container's");
        let index = links::by_name(&mut route(), &alone.device).unwrap().unwrap().index;
        assert!(links::addresses(&mut route()).unwrap().iter().all(|(at, _, _)| *at != index));
        serve(a.netns.as_fd(), 80);
        call(b.netns.as_fd(), &format!("{}:80", a.ip())).unwrap();
    });
}
