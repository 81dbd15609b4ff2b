use super::*;
use lighter_domain::host_config::PortBinding;
use lighter_domain::id::random_hex64;
use lighter_domain::network::{Ipam, IpamPool};
use lighter_domain::{ContainerConfig, ContainerId, EndpointConfig, HostConfig};
use time::OffsetDateTime;

fn network(name: &str, id: &str) -> Arc<Network> {
    let subnet = "10.7.0.0/16".parse().unwrap();
    Arc::new(Network {
        id: if id.is_empty() { random_hex64() } else { id.to_owned() },
        name: name.to_owned(),
        driver: "bridge".to_owned(),
        created_at: OffsetDateTime::UNIX_EPOCH,
        enable_ipv4: true,
        enable_ipv6: false,
        internal: false,
        attachable: false,
        ipam: Ipam {
            driver: "default".to_owned(),
            options: None,
            pools: vec![IpamPool { subnet, ip_range: None, gateway: None, aux_addresses: BTreeMap::new() }],
        },
        options: BTreeMap::new(),
        labels: BTreeMap::new(),
        builtin: is_predefined(name),
        config_only: false,
        config_from: String::new(),
    })
}

#[test]
fn full_ids_win_over_names_and_names_over_prefixes() {
    let (a, b) = ("ab".repeat(32), "ac".repeat(32));
    let all = [network("ac", &a), network("x", &b), network(&a, &"dd".repeat(32))];
    assert_eq!(find(&all, &a).unwrap().name, "ac");
    assert_eq!(find(&all, "ac").unwrap().id, a, "a name, though it is another's prefix");
    assert_eq!(find(&all, "acac").unwrap().name, "x");
    let said = |reference: &str| find(&all, reference).unwrap_err().to_string();
    assert_eq!(said("a"), "network a is ambiguous (2 matches found based on ID prefix)");
    assert_eq!(said("nope"), "network nope not found");
    assert_eq!(said(""), "network  not found");
}

#[test]
fn nobody_joins_what_is_removed_and_nothing_is_removed_that_is_used() {
    let uses = NetworkUses::default();
    let (net, other, one) = (network("n", ""), network("m", ""), ContainerId::generate());
    assert!(uses.hold(&net, &one) && uses.hold(&other, &one));
    assert!(uses.begin_removal(&net.id).unwrap_err().contains(&one));
    let names = |left: Vec<Arc<Network>>| left.iter().map(|n| n.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(uses.of(&one)), ["m", "n"]);
    uses.release_one(&other.id, &one);
    assert_eq!(names(uses.release(&one)), ["n"]);
    assert!(!uses.is_used(&net.id));
    uses.begin_removal(&net.id).unwrap();
    assert!(!uses.hold(&net, &one));
    uses.end_removal(&net.id);
    assert!(uses.hold(&net, &one));
}

fn asked(mode: &str, endpoints: &[(&str, EndpointConfig)]) -> Result<endpoints::Asked> {
    let host = HostConfig { network_mode: mode.to_owned(), ..HostConfig::default() };
    let all = [network("bridge", ""), network("host", ""), network("none", ""), network("n", &"ab".repeat(32))];
    let endpoints = endpoints.iter().map(|(name, e)| ((*name).to_owned(), e.clone())).collect();
    settle(&all, &ContainerConfig::default(), &host, endpoints)
}

fn names(asked: &Result<endpoints::Asked>) -> Vec<&str> {
    asked.as_ref().map_or_else(|e| vec![e.message()], |a| a.networks.keys().map(String::as_str).collect())
}

#[test]
fn networks_are_kept_by_their_names() {
    let plain = EndpointConfig::default;
    let aliased = EndpointConfig { aliases: vec!["a".to_owned()], ..plain() };
    assert_eq!(names(&asked("", &[])), ["bridge"]);
    assert_eq!(names(&asked("default", &[("default", plain())])), ["bridge"]);
    assert_eq!(names(&asked("abab", &[])), ["n"]);
    assert_eq!(names(&asked("later", &[])), ["later"]);
    assert_eq!(names(&asked("container:x", &[])), [""; 0]);
    // As in dockerd: endpoints count, where there are any.
    assert_eq!(names(&asked("bridge", &[("n", plain())])), ["n"]);
    let by_id = asked("n", &[(&"ab".repeat(32), aliased.clone())]).unwrap();
    assert_eq!(by_id.endpoints["n"], aliased);
}

#[test]
fn what_a_network_cannot_give_is_refused() {
    let said = |mode: &str, network: &str, endpoint: EndpointConfig| asked(mode, &[(network, endpoint)]).unwrap_err().to_string();
    let ip = |ip: &str| EndpointConfig { ipv4_address: Some(ip.parse().unwrap()), ..EndpointConfig::default() };
    let settings = "invalid endpoint settings:\n";
    assert_eq!(
        said("bridge", "bridge", EndpointConfig { aliases: vec!["x".into()], ..ip("172.17.0.9") }),
        format!(
            "invalid config for network bridge: {settings}* user specified IP address is supported on user defined networks only\n\
             * network-scoped alias is supported only for containers in user defined networks"
        )
    );
    assert_eq!(
        said("n", "n", ip("10.8.0.1")),
        format!("invalid config for network n: {settings}no configured subnet or ip-range contain the IP address 10.8.0.1")
    );
    assert!(asked("n", &[("n", ip("10.7.0.9"))]).is_ok());
    let mac = EndpointConfig { mac_address: Some("x".into()), ..EndpointConfig::default() };
    assert_eq!(said("n", "n", mac), "invalid config for network n: invalid MAC address x");
    let local = EndpointConfig { link_local_ips: vec!["zz".into()], ..EndpointConfig::default() };
    assert!(said("n", "n", local).ends_with("invalid link-local IP address: zz"));
    let sysctl = |text: &str| EndpointConfig {
        driver_opts: [("com.docker.network.endpoint.sysctls".to_owned(), text.to_owned())].into(),
        ..EndpointConfig::default()
    };
    assert!(asked("n", &[("n", sysctl("net.ipv4.conf.IFNAME.log_martians=1"))]).is_ok());
    assert!(said("n", "n", sysctl("net.ipv4.conf.eth0.log_martians=1")).contains("represent 'net.X.Y.ethN.Z=V'"));
}

#[test]
fn networks_that_do_not_go_together() {
    let two = |mode: &str, a: &str, b: &str| {
        let plain = EndpointConfig::default;
        names(&asked(mode, &[(a, plain()), (b, plain())])).join(" ")
    };
    assert_eq!(two("n", "n", "bridge"), "bridge n");
    assert!(two("n", "n", "none").contains("in private (none) mode"));
    assert!(two("n", "n", "host").contains("must be created in host network mode"));
    assert!(two("host", "n", "host").contains("sharing network namespace"));
    assert!(two("container:x", "n", "bridge").contains("sharing network namespace"));
}

#[test]
fn options_that_contradict_the_mode() {
    let said = |mode: &str, change: fn(&mut ContainerConfig, &mut HostConfig)| {
        let mut config = ContainerConfig::default();
        let mut host = HostConfig { network_mode: mode.to_owned(), ..HostConfig::default() };
        change(&mut config, &mut host);
        settle(&[], &config, &host, BTreeMap::new()).unwrap_err().to_string()
    };
    let peer = "container:x";
    assert_eq!(said(peer, |c, _| c.hostname = "h".into()), "conflicting options: hostname and the network mode");
    assert!(said(peer, |_, h| h.links.push("a:b".into())).contains("can't be used with links"));
    assert_eq!(said(peer, |_, h| h.dns.push("1.1.1.1".into())), "conflicting options: dns and the network mode");
    assert!(said(peer, |_, h| h.extra_hosts.push("a:1.1.1.1".into())).contains("custom host-to-IP mapping"));
    assert!(said(peer, |c, _| c.exposed_ports = ["80/tcp".into()].into()).contains("port exposing"));
    let publish = |_: &mut ContainerConfig, h: &mut HostConfig| {
        h.port_bindings.insert("80/tcp".into(), vec![PortBinding::default()]);
    };
    assert!(said(peer, publish).contains("port publishing and the container type network mode"));
    assert!(said("container:", |_, _| {}).contains("invalid container format container:<name|id>"));
    assert!(said("host", |_, h| h.links.push("a:b".into())).contains("host type networking can't be used with links"));
    assert!(said("host", |c, _| c.mac_address = Some("02:00:00:00:00:01".into())).contains("mac-address and the network mode"));
}

#[test]
fn the_old_address_is_that_of_the_main_network() {
    let config = ContainerConfig { mac_address: Some("02:00:00:00:00:01".into()), ..ContainerConfig::default() };
    let host = HostConfig { network_mode: "n".to_owned(), ..HostConfig::default() };
    let settled = settle(&[network("n", "")], &config, &host, BTreeMap::new()).unwrap();
    assert_eq!(settled.endpoints["n"].mac_address, config.mac_address);
    let other = EndpointConfig { mac_address: Some("02:00:00:00:00:02".into()), ..EndpointConfig::default() };
    let refused = settle(&[], &config, &host, BTreeMap::from([("n".to_owned(), other)])).unwrap_err();
    assert!(refused.message().starts_with("the container-wide MAC address must match"), "{refused}");
}
