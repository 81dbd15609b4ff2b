//! What the host gets to see: the choice of subnet, the bridge, the rules, and how they live beside others'.

use std::fs;
use std::net::Ipv4Addr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_netfilter::NetfilterMessageInner;
use netlink_packet_netfilter::nftables::{ChainAttribute, InetHookNumber, NfTablesMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::*;
use crate::netlink::Request;
use crate::nft;
use crate::{NetworkError, Pool};

fn add_route(to: crate::Ipv4Net, gateway: Ipv4Addr) {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    message.header.destination_prefix_length = to.prefix();
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.kind = RouteType::Unicast;
    message.attributes =
        vec![RouteAttribute::Destination(RouteAddress::Inet(to.network())), RouteAttribute::Gateway(RouteAddress::Inet(gateway))];
    let request = Request { message: RouteNetlinkMessage::NewRoute(message), flags: NLM_F_CREATE | NLM_F_EXCL };
    route().acknowledged([request]).unwrap();
}

#[test]
fn a_subnet_that_nobody_has_and_no_interface_before_its_time() {
    on_new_host(|| async {
        foreign_bridge("docker0", Ipv4Addr::new(172, 17, 0, 1), 16);
        foreign_bridge("br-1", Ipv4Addr::new(172, 18, 7, 1), 24);
        // Ways to everywhere, as a host and a VPN client have them, rule nothing out; a route to a site does.
        for (net, prefix) in [([0, 0, 0, 0], 0), ([0, 0, 0, 0], 1), ([128, 0, 0, 0], 1), ([172, 20, 0, 0], 17)] {
            add_route(crate::Ipv4Net::containing(net.into(), prefix), Ipv4Addr::new(172, 17, 0, 9));
        }
        let dir = tempfile::tempdir().unwrap();
        let mut config = BridgeConfig::new(dir.path());
        config.avoid = vec!["172.19.4.4/32".parse().unwrap()];
        let networks = open(&config).await;
        let info = networks.info();
        assert_eq!(info.subnet.to_string(), "172.21.0.0/16");
        assert_eq!(info.gateway, Ipv4Addr::new(172, 21, 0, 1));
        assert_eq!((info.network_id.len(), info.bridge.as_str(), info.mtu), (64, "lighter0", 1500));
        assert!(!exists("lighter0"));
        assert_eq!(nft::table_comment(&mut netfilter(), "lighter").unwrap(), None);

        // Even with only `--network none` containers.
        let netns = networks.new_netns().await.unwrap();
        assert!(inside(netns.as_fd(), || links::by_name(&mut route(), "lo").unwrap().unwrap().up));
        assert!(!exists("lighter0"));

        // The choice outlives the daemon, also when another one would be made now.
        drop(networks);
        config.avoid.clear();
        config.pools = vec![Pool { base: "10.0.0.0/8".parse().unwrap(), size: 24 }];
        assert_eq!(open(&config).await.info(), info);
    });
}

#[test]
fn the_bridge_and_its_rules() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let networks = open(&BridgeConfig::new(dir.path())).await;
        fs::write("/proc/sys/net/ipv4/ip_forward", "0").unwrap();
        let Container { endpoint, .. } = container(&networks, "c1").await;
        let ip = endpoint.ip.unwrap();
        assert_eq!(ip.octets()[3], 2);
        assert_eq!(endpoint.mac.0[2..], ip.octets());
        assert_eq!((endpoint.gateway, endpoint.prefix_len), (Some(networks.info().gateway), 16));

        let bridge = links::by_name(&mut route(), "lighter0").unwrap().unwrap();
        assert!(bridge.up && bridge.kind == "bridge" && bridge.alias.starts_with("lighter /"));
        assert!(
            links::addresses(&mut route())
                .unwrap()
                .iter()
                .any(|(i, ip, net)| { (*i, *ip, *net) == (bridge.index, networks.info().gateway, networks.info().subnet) })
        );
        assert_eq!(fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap().trim(), "1");

        let rules = nft::rules(&mut netfilter(), "lighter").unwrap();
        let chain = |name: &str| rules.iter().filter(|(chain, _)| chain == name).count();
        assert_eq!((chain("forward"), chain("postrouting")), (4, 3));
        let text = format!("{rules:?}");
        assert!(text.contains("\"masq\"") && text.contains("\"ct\""));

        // Nothing needs doing the second time, and the rule set is not touched.
        let generation = nft::generation(&mut netfilter()).unwrap();
        container(&networks, "c2").await;
        assert_eq!(nft::generation(&mut netfilter()).unwrap(), generation);
        // A container's interfaces do not change the bridge's hardware address.
        let _container = container(&networks, "c3").await;
        assert_eq!(links::by_name(&mut route(), "lighter0").unwrap().unwrap().mac, bridge.mac);
    });
}

#[test]
fn rules_and_bridge_come_back_when_somebody_removed_them() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let networks = open(&BridgeConfig::new(dir.path())).await;
        let a = container(&networks, "a").await;
        nft::apply(&mut netfilter(), vec![nft::delete_table("lighter")]).unwrap();
        links::delete(&mut route(), "lighter0").unwrap();
        let b = container(&networks, "b").await;
        assert_eq!(nft::rules(&mut netfilter(), "lighter").unwrap().len(), 16);
        // Also the container that was there before is reachable again.
        talk(b.netns.as_fd(), a.netns.as_fd(), a.ip()).unwrap();

        // A rule added by others to our table does not stay either.
        let alien = nft::rule("lighter", "forward", vec![nft::verdict(nft::DROP)]);
        nft::apply(&mut netfilter(), vec![alien]).unwrap();
        container(&networks, "c").await;
        assert_eq!(nft::rules(&mut netfilter(), "lighter").unwrap().len(), 16);
    });
}

#[test]
fn daemons_side_by_side() {
    on_new_host(|| async {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = open(&BridgeConfig::new(one.path())).await;
        let _a = container(&first, "a").await;

        let mut config = BridgeConfig::new(two.path());
        let error = Networks::open(config.clone()).await.unwrap_err();
        assert!(matches!(error, NetworkError::BridgeTaken { .. }), "{error:?}");
        assert!(error.to_string().contains(&one.path().display().to_string()), "{error}");

        config.bridge = "lighter1".to_owned();
        config.table = Some("lighter".to_owned());
        let clash = try_container(&open(&config).await, "b").await.err().unwrap();
        assert!(matches!(clash, NetworkError::TableTaken { .. }), "{clash:?}");

        config.table = None;
        let second = open(&config).await;
        let _b = container(&second, "b").await;
        assert!(!first.info().subnet.overlaps(&second.info().subnet));
        assert_eq!(nft::rules(&mut netfilter(), "lighter").unwrap().len(), 16);
        assert_eq!(nft::rules(&mut netfilter(), "lighter-lighter1").unwrap().len(), 16);

        config.bridge = "lo".to_owned();
        let error = Networks::open(config.clone()).await.unwrap_err();
        assert!(matches!(error, NetworkError::BridgeTaken { .. }), "{error:?}");
        for name in ["", "sixteen-byte-nam", "a/b", "..", "a b"] {
            config.bridge = name.to_owned();
            assert!(matches!(Networks::open(config.clone()).await, Err(NetworkError::BadName { .. })), "{name}");
        }
    });
}

#[test]
fn moves_when_the_host_takes_the_subnet_before_the_bridge_is_made() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let config = BridgeConfig::new(dir.path());
        let networks = open(&config).await;
        let before = networks.info();
        foreign_bridge("docker0", before.gateway, 16);
        let a = container(&networks, "a").await;
        let info = networks.info();
        assert!(!info.subnet.overlaps(&before.subnet) && info.subnet.contains(a.ip()));
        assert_eq!(info.network_id, before.network_id);
        drop(networks);
        assert_eq!(open(&config).await.info(), info);
    });
}

#[test]
fn says_when_another_firewall_drops() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let networks = open(&BridgeConfig::new(dir.path())).await;
        container(&networks, "a").await;
        assert_eq!(networks.warnings().await, Vec::<String>::new());
        let mut chain = nft::base_chain("theirs", "FORWARD", "filter", InetHookNumber::Forward, 0);
        let NetfilterMessageInner::NfTables(NfTablesMessage::NewChain(message)) = &mut chain.message.inner else {
            panic!("not a chain");
        };
        for attribute in &mut message.attributes {
            if let ChainAttribute::Policy(policy) = attribute {
                *policy = nft::DROP;
            }
        }
        nft::apply(&mut netfilter(), vec![nft::new_table("theirs", ""), chain]).unwrap();
        let warnings = networks.warnings().await;
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("chain FORWARD of nftables table inet theirs"), "{warnings:?}");
    });
}

#[test]
fn leaves_nothing_when_asked_to_go() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let networks = open(&BridgeConfig::new(dir.path())).await;
        let a = container(&networks, "a").await;
        assert!(!networks.remove_all().await.unwrap());
        assert!(exists("lighter0"));
        networks.detach("a");
        // The namespace is still held: the interface goes all the same.
        assert!(networks.remove_all().await.unwrap());
        assert!(!exists("lighter0") && !exists(&a.endpoint.host_ifname));
        assert_eq!(nft::table_comment(&mut netfilter(), "lighter").unwrap(), None);
        assert!(networks.remove_all().await.unwrap());
        // And it can start over.
        let b = container(&networks, "b").await;
        assert!(networks.info().subnet.contains(b.ip()) && exists("lighter0"));
    });
}

#[test]
fn namespaces_are_held_ready_only_once_they_are_wanted() {
    on_new_host(|| async {
        let dir = tempfile::tempdir().unwrap();
        let mut config = BridgeConfig::new(dir.path());
        let networks = open(&config).await;
        assert_eq!(networks.ready_namespaces(), 0);
        let one = networks.new_netns().await.unwrap();
        until("two are ready", || networks.ready_namespaces() == 2).await;
        // One that comes from the stock is as good: new, and with its loopback up.
        let two = networks.new_netns().await.unwrap();
        for netns in [&one, &two] {
            let links = inside(netns.as_fd(), || (links::by_name(&mut route(), "lo").unwrap().unwrap().up, exists("eth0")));
            assert_eq!(links, (true, false));
        }
        let inode = |netns: &OwnedFd| nix::sys::stat::fstat(netns).unwrap().st_ino;
        assert_ne!(inode(&one), inode(&two));
        drop(networks);

        config.netns_pool = 0;
        let networks = open(&config).await;
        let three = networks.new_netns().await.unwrap();
        assert_eq!(networks.ready_namespaces(), 0);
        assert_ne!(inode(&three), inode(&two));
    });
}
