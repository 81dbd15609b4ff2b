//! What containers can reach, and what can reach them.

use std::net::Ipv4Addr;

use super::*;

#[test]
fn containers_talk_to_each_other_and_the_host() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let networks = open(&BridgeConfig::new(dir.path())).await;
        let (a, b) = (container(&networks, "a").await, container(&networks, "b").await);
        assert_ne!(a.ip(), b.ip());
        let (a_ns, b_ns, host_ns) = (a.netns.as_fd(), b.netns.as_fd(), host());
        assert_eq!(talk(a_ns, b_ns, b.ip()).unwrap(), a.ip());
        assert_eq!(talk(b_ns, a_ns, a.ip()).unwrap(), b.ip());
        assert_eq!(talk(host_ns.as_fd(), a_ns, a.ip()).unwrap(), a.endpoint.gateway.unwrap());
        assert_eq!(talk(a_ns, host_ns.as_fd(), a.endpoint.gateway.unwrap()).unwrap(), a.ip());
        // Itself, by loopback and by its own address.
        talk(a_ns, a_ns, Ipv4Addr::LOCALHOST).unwrap();
        talk(a_ns, a_ns, a.ip()).unwrap();

        let eth0 = inside(a_ns, || links::by_name(&mut route(), "eth0").unwrap().unwrap());
        assert_eq!(eth0.mac, a.endpoint.mac.0);
        assert!(eth0.up);
        let v6 = inside(a_ns, || std::fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap_or_default());
        assert!(!v6.contains("eth0"), "no IPv6 where the network has none: {v6}");
        let veth = links::by_name(&mut route(), &a.endpoint.host_ifname).unwrap().unwrap();
        assert_eq!(veth.master, links::by_name(&mut route(), "lighter0").unwrap().unwrap().index);
        assert!(veth.alias.contains(":a:") && veth.group == links::VETH_GROUP);
    });
}

#[test]
fn the_way_out_is_masqueraded_and_the_way_in_closed() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let networks = open(&BridgeConfig::new(dir.path())).await;
        let a = container(&networks, "a").await;
        let outside = neighbour();
        let seen = talk(a.netns.as_fd(), outside.as_fd(), Ipv4Addr::new(10, 9, 0, 2)).unwrap();
        assert_eq!(seen, Ipv4Addr::new(10, 9, 0, 1), "the host's address, not the container's");
        // The neighbour has a route to the container, and reaches the host, but not the container.
        talk(outside.as_fd(), host().as_fd(), Ipv4Addr::new(10, 9, 0, 1)).unwrap();
        let refused = talk(outside.as_fd(), a.netns.as_fd(), a.ip()).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::TimedOut);
    });
}

#[test]
fn a_smaller_mtu_is_kept_to() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let mut config = BridgeConfig::new(dir.path());
        config.mtu = Some(1280);
        let networks = open(&config).await;
        let a = container(&networks, "a").await;
        assert_eq!(inside(a.netns.as_fd(), || interface_mtu("eth0")).unwrap(), 1280);
        assert_eq!(interface_mtu("lighter0").unwrap(), 1280);
    });
}

fn interface_mtu(name: &str) -> std::io::Result<u32> {
    use netlink_packet_route::RouteNetlinkMessage;
    use netlink_packet_route::link::{LinkAttribute, LinkMessage};
    let mut ask = LinkMessage::default();
    ask.attributes = vec![LinkAttribute::IfName(name.to_owned())];
    let answer: RouteNetlinkMessage = route().get(RouteNetlinkMessage::GetLink(ask))?;
    let RouteNetlinkMessage::NewLink(link) = answer else { panic!("not a link") };
    let mtu = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Mtu(mtu) => Some(*mtu),
        _ => None,
    });
    Ok(mtu.unwrap())
}
