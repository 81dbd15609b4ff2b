//! Networks that users make, and containers on them. Asked for by `network_conformance_tests!`.

use super::Fixture;
use super::support::SLEEP;
use crate::{FoundState, Networks, PortConflict, PortHolder};
use lighter_domain::host_config::PortBinding;
use lighter_domain::network::{Ipam, IpamPool, NewNetwork};
use lighter_domain::{Container, EndpointConfig, ErrorKind, Network};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A network that is removed whatever becomes of the test.
struct Net<'a> {
    networks: &'a dyn Networks,
    made: Arc<Network>,
}

impl Net<'_> {
    async fn remove(self) {
        self.networks.remove(&self.made.id).await.expect("nobody is on it any more");
        assert!(!listed(self.networks, &self.made.id).await);
    }
}

fn networks(f: &Fixture) -> &dyn Networks {
    f.engine.networks().expect("this test needs networks")
}

async fn listed(networks: &dyn Networks, id: &str) -> bool {
    networks.list().await.expect("list").iter().any(|n| n.id == id)
}

async fn made<'a>(f: &'a Fixture, name: &str, change: impl FnOnce(&mut NewNetwork)) -> Net<'a> {
    let networks = networks(f);
    let mut new = NewNetwork { name: name.to_owned(), ..NewNetwork::default() };
    change(&mut new);
    Net { networks, made: networks.create(new).await.expect("create a network") }
}

fn pool(subnet: &str) -> IpamPool {
    IpamPool { subnet: subnet.parse().expect("a subnet"), ip_range: None, gateway: None, aux_addresses: BTreeMap::new() }
}

/// A container that asks for these networks, the first of which is its mode.
fn on(f: &Fixture, nets: &[(&Net<'_>, EndpointConfig)]) -> Container {
    f.container_with(&SLEEP, |c| {
        for (net, asked) in nets.iter().rev() {
            c.host_config.network_mode.clone_from(&net.made.name);
            c.endpoints.insert(net.made.name.clone(), asked.clone());
        }
    })
}

pub async fn the_built_in_ones_are_there(f: Arc<Fixture>) {
    let list = networks(&f).list().await.expect("list");
    for (name, driver) in [("bridge", "bridge"), ("host", "host"), ("none", "null")] {
        let network = list.iter().find(|n| n.name == name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!((network.driver.as_str(), network.builtin, network.id.len()), (driver, true, 64));
    }
}

pub async fn a_network_gets_a_pool_and_goes(f: Arc<Fixture>) {
    let net = made(&f, "conf-plain", |_| {}).await;
    let made = &net.made;
    assert_eq!((made.driver.as_str(), made.builtin, made.enable_ipv4, made.enable_ipv6), ("bridge", false, true, false));
    let [pool] = made.ipam.pools.as_slice() else { panic!("one pool: {:?}", made.ipam) };
    assert!(pool.gateway.is_some_and(|gateway| pool.subnet.contains(&gateway)), "{pool:?}");
    assert!(listed(net.networks, &made.id).await);
    let networks = net.networks;
    net.remove().await;
    networks.remove(&"ab".repeat(32)).await.expect("one that is not there is a success");
}

pub async fn pools_do_not_overlap(f: Arc<Fixture>) {
    let wanted = |n: &mut NewNetwork| n.ipam.pools.push(pool("10.231.7.0/24"));
    let net = made(&f, "conf-pool", wanted).await;
    let again = NewNetwork { name: "conf-pool-2".to_owned(), ..NewNetwork::default() };
    let again = NewNetwork { ipam: Ipam { pools: vec![pool("10.231.0.0/16")], ..Ipam::default() }, ..again };
    let error = net.networks.create(again).await.expect_err("it overlaps");
    assert!(error.message().contains("Pool overlaps with other one on this address space"), "{error}");
    let other = made(&f, "conf-other", |_| {}).await;
    assert!(!other.made.ipam.pools[0].subnet.contains(&net.made.ipam.pools[0].subnet));
    net.remove().await;
    other.remove().await;
}

pub async fn unknown_drivers_are_refused(f: Arc<Fixture>) {
    let refused = |driver: &str| {
        let new = NewNetwork { name: "conf-driver".to_owned(), driver: driver.to_owned(), ..NewNetwork::default() };
        async { networks(&f).create(new).await.expect_err("no such driver") }
    };
    let unknown = refused("nosuch").await;
    assert_eq!((unknown.kind(), unknown.message()), (ErrorKind::NotFound, "plugin \"nosuch\" not found"));
    assert_eq!(refused("host").await.message(), "only one instance of \"host\" network is allowed");
}

pub async fn a_container_on_a_network_of_its_own(f: Arc<Fixture>) {
    let net = made(&f, "conf-own", |_| {}).await;
    let container = on(&f, &[(&net, EndpointConfig::default())]);
    let started = f.start(&container).await;
    let at = &started.placement.networks[&net.made.name];
    let subnet = net.made.ipam.pools[0].subnet;
    assert_eq!((at.network_id.as_str(), at.endpoint_id.len(), at.prefix_len), (net.made.id.as_str(), 64, subnet.prefix_len()));
    assert!(at.ip.is_some_and(|ip| subnet.contains(&ip)) && at.gateway == net.made.ipam.pools[0].gateway, "{at:?}");
    assert_eq!(started.placement.networks.len(), 1);
    net.networks.remove(&net.made.id).await.expect_err("a container is on it");
    // What list tells after a restart of the daemon is what start told.
    let Some(FoundState::Running { placement, .. }) = f.found(&container.id).await else { panic!("it runs") };
    assert_eq!(placement, started.placement);
    f.kill(&container).await;
    f.engine.cleanup(&container.id).await.expect("cleanup");
    f.engine.remove(&container.id).await.expect("remove");
    net.remove().await;
}

pub async fn addresses_that_are_asked_for(f: Arc<Fixture>) {
    let net = made(&f, "conf-fixed", |n| n.ipam.pools.push(pool("10.232.7.0/24"))).await;
    let asked = EndpointConfig {
        ipv4_address: Some("10.232.7.77".parse().expect("an address")),
        mac_address: Some("02:42:0a:e8:07:4d".to_owned()),
        ..EndpointConfig::default()
    };
    let container = on(&f, &[(&net, asked.clone())]);
    let at = f.start(&container).await.placement.networks[&net.made.name].clone();
    assert_eq!((at.ip, at.mac.as_str()), (Some("10.232.7.77".parse().expect("an address")), "02:42:0a:e8:07:4d"));
    let second = on(&f, &[(&net, asked)]);
    f.engine.create(&second).await.expect("create");
    let failure = f.engine.start(&second).await.expect_err("the address is taken");
    assert!(failure.error.message().contains("Address already in use"), "{}", failure.error);
    f.kill(&container).await;
    f.engine.cleanup(&container.id).await.expect("cleanup");
    // It is free again.
    f.engine.start(&second).await.expect("start");
    f.kill(&second).await;
    for c in [container, second] {
        f.engine.cleanup(&c.id).await.expect("cleanup");
        f.engine.remove(&c.id).await.expect("remove");
    }
    net.remove().await;
}

pub async fn several_networks_and_changes_while_it_runs(f: Arc<Fixture>) {
    let (one, two) = (made(&f, "conf-one", |_| {}).await, made(&f, "conf-two", |_| {}).await);
    let three = made(&f, "conf-three", |n| n.internal = true).await;
    let plain = EndpointConfig::default;
    let mut container = on(&f, &[(&one, plain()), (&two, plain())]);
    let placement = f.start(&container).await.placement;
    let names = |placement: &lighter_domain::Placement| placement.networks.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&placement), ["conf-one", "conf-two"]);
    container.networks = placement.networks;
    container.endpoints.insert(three.made.name.clone(), plain());
    let placement = three.networks.connect(&container, &three.made).await.expect("connect");
    assert_eq!(names(&placement), ["conf-one", "conf-three", "conf-two"]);
    assert_eq!(placement.networks["conf-three"].gateway, None, "there is no way out of an internal network");
    assert_eq!(placement.networks["conf-one"], container.networks["conf-one"], "the others stay as they are");
    container.networks = placement.networks;
    container.networks.remove("conf-two");
    let placement = two.networks.disconnect(&container, &two.made).await.expect("disconnect");
    assert_eq!(names(&placement), ["conf-one", "conf-three"]);
    two.remove().await;
    f.kill(&container).await;
    f.engine.cleanup(&container.id).await.expect("cleanup");
    f.engine.remove(&container.id).await.expect("remove");
    one.remove().await;
    three.remove().await;
}

pub async fn six_and_four(f: Arc<Fixture>) {
    let net = made(&f, "conf-six", |n| n.enable_ipv6 = Some(true)).await;
    assert_eq!(net.made.ipam.pools.len(), 2, "{:?}", net.made.ipam);
    let container = on(&f, &[(&net, EndpointConfig::default())]);
    let at = f.start(&container).await.placement.networks[&net.made.name].clone();
    let subnet = net.made.ipam.pools[1].subnet;
    assert!(at.ip.is_some() && at.ipv6.is_some_and(|ip| subnet.contains(&std::net::IpAddr::V6(ip))), "{at:?}");
    assert_eq!(at.ipv6_prefix_len, subnet.prefix_len());
    f.kill(&container).await;
    f.engine.cleanup(&container.id).await.expect("cleanup");
    f.engine.remove(&container.id).await.expect("remove");
    net.remove().await;
}

pub async fn taken_ports_are_told_beforehand(f: Arc<Fixture>) {
    let net = made(&f, "conf-ports", |_| {}).await;
    let publishing = |at: &str| {
        let mut container = on(&f, &[(&net, EndpointConfig::default())]);
        container.config.exposed_ports = ["80/tcp".to_owned()].into();
        let binding = PortBinding { host_ip: "127.0.0.1".to_owned(), host_port: at.to_owned() };
        container.host_config.port_bindings = BTreeMap::from([("80/tcp".to_owned(), vec![binding])]);
        Arc::new(container)
    };
    let networks = net.networks;
    let conflicts = |of: Vec<Arc<Container>>| async move { networks.port_conflicts(&of).await.expect("a look at ports") };
    let (any, first, second) = (publishing(""), publishing("42807"), publishing("42807"));
    assert_eq!(conflicts(vec![any.clone(), first.clone()]).await, []);
    let wanted = |holder: &Container| PortConflict {
        container: second.id.clone(),
        port: "127.0.0.1:42807/tcp".to_owned(),
        holder: PortHolder::Container(holder.id.clone()),
    };
    assert_eq!(conflicts(vec![first.clone(), second.clone()]).await, [wanted(&first)], "they want the same");
    let started = f.start(&first).await;
    let at = &started.placement.ports["80/tcp"];
    assert_eq!((at[0].host_ip.as_str(), at[0].host_port.as_str()), ("127.0.0.1", "42807"));
    assert_eq!(conflicts(vec![second.clone()]).await, [wanted(&first)]);
    f.engine.create(&second).await.expect("create");
    let failure = f.engine.start(&second).await.expect_err("the port is taken");
    assert!(failure.error.message().contains("port is already allocated"), "{}", failure.error);
    f.kill(&first).await;
    f.engine.cleanup(&first.id).await.expect("cleanup");
    assert_eq!(conflicts(vec![second.clone()]).await, []);
    assert!(f.start(&any).await.placement.ports["80/tcp"][0].host_port.parse::<u16>().is_ok_and(|p| p > 0));
    f.kill(&any).await;
    for c in [any, first, second] {
        f.engine.cleanup(&c.id).await.expect("cleanup");
        f.engine.remove(&c.id).await.expect("remove");
    }
    net.remove().await;
}
