//! What a client asks of a new network, made into what the kernel is to have. The words of refusals are dockerd's.

use super::kept::Made;
use lighter_domain::network::{Ipam, IpamPool, NewNetwork};
use lighter_domain::{Error, Network, Result, id::random_hex64};
use lighter_engine::Basics;
use lighter_network::{GatewayMode, IpvlanMode, Kind, MacvlanMode, NetworkSpec, Pick, Range, first_host};
use std::collections::BTreeMap;
use std::net::IpAddr;
use time::OffsetDateTime;

const BRIDGE_NAME: &str = "com.docker.network.bridge.name";
const ICC: &str = "com.docker.network.bridge.enable_icc";
const MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";
const GATEWAY4: &str = "com.docker.network.bridge.gateway_mode_ipv4";
const GATEWAY6: &str = "com.docker.network.bridge.gateway_mode_ipv6";
/// Where ports are published that ask for no address.
pub(super) const HOST_BINDING: &str = "com.docker.network.bridge.host_binding_ipv4";
const MTU: &str = "com.docker.network.driver.mtu";
const PREFIX: &str = "com.docker.network.container_iface_prefix";

/// A network that can be made. Pools that are to be chosen are not in it yet.
#[derive(Debug)]
pub(super) struct Plan {
    pub network: Network,
    pub spec: NetworkSpec,
    pub pick: Pick,
}

/// Decides on a request; `others` are the networks that there are.
pub(super) fn plan(new: NewNetwork, others: &[Made]) -> Result<Plan> {
    let Basics { driver, ipam_driver, enable_ipv4, enable_ipv6 } = Basics::of(&new)?;
    let NewNetwork {
        name,
        driver: _,
        enable_ipv4: _,
        enable_ipv6: _,
        internal,
        attachable,
        ipam,
        options,
        labels,
        config_only,
        config_from,
    } = new;
    let id = random_hex64();
    let bridged = driver == "bridge";
    let mode = |key| if bridged { gateway_mode(&options, key) } else { Ok(GatewayMode::Nat) };
    let (gateway4, gateway6) = (mode(GATEWAY4)?, mode(GATEWAY6)?);
    let isolated = [gateway4, gateway6].map(|mode| mode == GatewayMode::Isolated);
    if !internal && isolated.contains(&true) {
        return Err(Error::internal("gateway mode 'isolated' can only be used for an internal network"));
    }
    let (v4, v6) = ranges(ipam.pools, (enable_ipv4, isolated[0]), (enable_ipv6, isolated[1]), bridged)?;
    let short = id.get(..12).unwrap_or(&id);
    let mut spec = NetworkSpec {
        id: id.clone(),
        name: name.clone(),
        kind: Kind::Bridge,
        device: format!("br-{short}"),
        own_parent: false,
        v4: v4.as_ref().map(range),
        v6: v6.as_ref().map(range),
        gateway4,
        gateway6,
        internal,
        icc: true,
        masquerade: true,
        mtu: number(&options, MTU)?,
        prefix: options.get(PREFIX).cloned(),
    };
    if bridged {
        bridge(&mut spec, &options)?;
    } else {
        on_parent(&mut spec, &driver, short, &options, others)?;
    }
    let pick = Pick { v4: enable_ipv4 && v4.is_none(), v6: enable_ipv6 && v6.is_none() };
    let network = Network {
        id,
        name,
        driver,
        created_at: OffsetDateTime::now_utc(),
        enable_ipv4,
        enable_ipv6,
        internal,
        attachable,
        ipam: Ipam { driver: ipam_driver, options: ipam.options, pools: v4.into_iter().chain(v6).collect() },
        options,
        labels,
        builtin: false,
        config_only,
        config_from,
    };
    Ok(Plan { network, spec, pick })
}

impl Plan {
    /// The network with the pools that were chosen for it.
    pub fn settled(mut self, spec: NetworkSpec) -> Made {
        let pools = &mut self.network.ipam.pools;
        let has = |pools: &[IpamPool], v4: bool| pools.iter().any(|pool| pool.subnet.addr().is_ipv4() == v4);
        for range in [&spec.v4, &spec.v6].into_iter().flatten() {
            if !has(pools, range.subnet.addr().is_ipv4()) {
                let aux_addresses = BTreeMap::new();
                pools.push(IpamPool { subnet: range.subnet, ip_range: None, gateway: range.gateway, aux_addresses });
            }
        }
        pools.sort_by_key(|pool| !pool.subnet.addr().is_ipv4());
        Made { network: std::sync::Arc::new(self.network), spec: Some(spec) }
    }
}

fn range(pool: &IpamPool) -> Range {
    Range {
        subnet: pool.subnet,
        range: pool.ip_range,
        gateway: pool.gateway,
        aux: pool.aux_addresses.values().copied().collect(),
    }
}

/// The pools that were asked for, complete; of families that are off, none. Of each family: whether it is on, and whether the
/// host is to have no address there.
fn ranges(
    pools: Vec<IpamPool>,
    ipv4: (bool, bool),
    ipv6: (bool, bool),
    bridged: bool,
) -> Result<(Option<IpamPool>, Option<IpamPool>)> {
    let (mut v4, mut v6) = (None, None);
    for mut pool in pools {
        check(&pool)?;
        let (slot, (on, isolated)) = if pool.subnet.addr().is_ipv4() { (&mut v4, ipv4) } else { (&mut v6, ipv6) };
        if !isolated {
            pool.gateway = pool.gateway.or_else(|| free_gateway(&pool));
        }
        if !on {
            continue;
        }
        if slot.is_some() {
            let text = if bridged {
                "bridge driver doesn't support multiple subnets"
            } else {
                "only one subnet of each family is supported"
            };
            return Err(Error::forbidden(text));
        }
        *slot = Some(pool);
    }
    Ok((v4, v6))
}

fn check(pool: &IpamPool) -> Result<()> {
    let subnet = pool.subnet;
    let parent = |what: &str, which: &dyn std::fmt::Display| {
        Error::invalid(format!("invalid network config:\ninvalid {what} {which}: parent subnet is {subnet}"))
    };
    if subnet != subnet.trunc() {
        let text = format!("invalid network config:\ninvalid subnet {subnet}: it should be {}", subnet.trunc());
        return Err(Error::invalid(text));
    }
    // The last two sizes have no room for a gateway and a container.
    if subnet.prefix_len() + 1 >= subnet.max_prefix_len() {
        return Err(Error::invalid(format!("invalid network config:\ninvalid subnet {subnet}: it is too small")));
    }
    if let Some(range) = pool.ip_range.filter(|range| !subnet.contains(range)) {
        return Err(parent("ip-range", &range));
    }
    let outside = |ip: &&IpAddr| !subnet.contains(*ip);
    if let Some(gateway) = pool.gateway.as_ref().filter(outside) {
        return Err(parent("gateway", gateway));
    }
    match pool.aux_addresses.iter().find(|(_, ip)| outside(ip)) {
        Some((name, ip)) => Err(parent("auxiliary address", &format!("{name}: {ip}"))),
        None => Ok(()),
    }
}

/// The first address, unless somebody has that.
fn free_gateway(pool: &IpamPool) -> Option<IpAddr> {
    let taken = |ip: &IpAddr| pool.aux_addresses.values().any(|aux| aux == ip);
    let first = first_host(&pool.subnet)?;
    if taken(&first) { pool.subnet.hosts().find(|ip| *ip > first && !taken(ip)) } else { Some(first) }
}

fn bridge(spec: &mut NetworkSpec, options: &BTreeMap<String, String>) -> Result<()> {
    if let Some(name) = options.get(BRIDGE_NAME).filter(|name| !name.is_empty()) {
        spec.device.clone_from(name);
    }
    spec.icc = flag(options, ICC)?;
    spec.masquerade = flag(options, MASQUERADE)?;
    if let Some(ip) = options.get(HOST_BINDING).filter(|ip| !ip.is_empty() && ip.parse::<IpAddr>().is_err()) {
        return Err(bad_value(HOST_BINDING, ip, "nil ip"));
    }
    Ok(())
}

fn gateway_mode(options: &BTreeMap<String, String>, key: &str) -> Result<GatewayMode> {
    Ok(match options.get(key).map(String::as_str) {
        None | Some("nat") => GatewayMode::Nat,
        Some("nat-unprotected") => GatewayMode::NatUnprotected,
        Some("routed") => GatewayMode::Routed,
        Some("isolated") => GatewayMode::Isolated,
        Some(odd) => return Err(bad_value(key, odd, &format!("unknown gateway mode {odd}"))),
    })
}

fn on_parent(
    spec: &mut NetworkSpec,
    driver: &str,
    short: &str,
    options: &BTreeMap<String, String>,
    others: &[Made],
) -> Result<()> {
    let mode = options.get(&format!("{driver}_mode")).map_or("", String::as_str);
    let odd = |usual: &str| {
        let text = format!("requested {driver} mode '{mode}' is not valid, '{usual}' mode is the {driver} driver default");
        Error::invalid(text)
    };
    spec.kind = match (driver, mode) {
        ("macvlan", "" | "bridge") => Kind::Macvlan(MacvlanMode::Bridge),
        ("macvlan", "private") => Kind::Macvlan(MacvlanMode::Private),
        ("macvlan", "vepa") => Kind::Macvlan(MacvlanMode::Vepa),
        ("macvlan", "passthru") => Kind::Macvlan(MacvlanMode::Passthru),
        ("macvlan", _) => return Err(odd("bridge")),
        (_, "" | "l2") => Kind::Ipvlan(IpvlanMode::L2),
        (_, "l3" | "l3s") => return Err(Error::not_implemented(format!("the linux engine does not do ipvlan mode {mode} yet"))),
        _ => return Err(odd("l2")),
    };
    let parent = options.get("parent").map_or("", String::as_str);
    // Without a parent, and without a way out, the containers have only each other.
    if parent.is_empty() || spec.internal {
        spec.device = if driver == "macvlan" { format!("dm-{short}") } else { format!("di-{short}") };
        spec.own_parent = true;
        return Ok(());
    }
    let same = |other: &&NetworkSpec| other.device == parent && matches!(spec.kind, Kind::Macvlan(_)) && !other.is_bridge();
    if let Some(other) = others.iter().filter_map(|made| made.spec.as_ref()).find(same) {
        return Err(Error::internal(format!("network {} is already using parent interface {parent}", other.id)));
    }
    parent.clone_into(&mut spec.device);
    // `eth0.10` is made, if it is not there.
    let vlan = parent.rsplit_once('.').and_then(|(_, vlan)| vlan.parse::<u16>().ok());
    spec.own_parent = vlan.is_some_and(|vlan| (1..4095).contains(&vlan));
    Ok(())
}

fn bad_value(key: &str, value: &str, why: &str) -> Error {
    Error::invalid(format!("failed to parse {key} value: {value} ({why})"))
}

/// As Go reads booleans; true without one.
fn flag(options: &BTreeMap<String, String>, key: &str) -> Result<bool> {
    match options.get(key).map(String::as_str) {
        None | Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some(odd) => Err(bad_value(key, odd, &format!("strconv.ParseBool: parsing {odd:?}: invalid syntax"))),
    }
}

fn number(options: &BTreeMap<String, String>, key: &str) -> Result<Option<u32>> {
    let Some(text) = options.get(key).filter(|text| !text.is_empty()) else { return Ok(None) };
    match text.parse::<u32>() {
        Ok(0) => Ok(None),
        Ok(mtu) if (68..=65_535).contains(&mtu) => Ok(Some(mtu)),
        Ok(_) => Err(bad_value(key, text, "it is not between 68 and 65535")),
        Err(_) => Err(bad_value(key, text, &format!("strconv.Atoi: parsing {text:?}: invalid syntax"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lighter_domain::ErrorKind;

    fn options(all: &[(&str, &str)]) -> BTreeMap<String, String> {
        all.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn pool(subnet: &str) -> IpamPool {
        IpamPool { subnet: subnet.parse().unwrap(), ip_range: None, gateway: None, aux_addresses: BTreeMap::new() }
    }

    fn with(change: impl FnOnce(&mut NewNetwork)) -> Result<Plan> {
        let mut new = NewNetwork { name: "net".into(), ..NewNetwork::default() };
        change(&mut new);
        plan(new, &[])
    }

    #[test]
    fn a_plain_one_is_a_bridge_with_an_address_pool_to_be_chosen() {
        let plan = with(|_| ()).unwrap();
        assert_eq!(
            (plan.network.driver.as_str(), plan.spec.kind, plan.pick),
            ("bridge", Kind::Bridge, Pick { v4: true, v6: false })
        );
        assert_eq!(plan.spec.device, format!("br-{}", &plan.network.id[..12]));
        assert!(plan.spec.icc && plan.spec.masquerade && !plan.spec.internal);
        let chosen = NetworkSpec { v4: Some(Range::of("10.9.0.0/24".parse().unwrap())), ..plan.spec.clone() };
        let pools = plan.settled(chosen).network.ipam.pools.clone();
        assert_eq!((pools.len(), pools[0].gateway), (1, Some("10.9.0.1".parse().unwrap())));
    }

    #[test]
    fn pools_are_completed_and_checked() {
        let mut taken = pool("10.9.0.0/24");
        taken.aux_addresses.insert("a".into(), "10.9.0.1".parse().unwrap());
        let plan = with(|n| n.ipam.pools = vec![taken]).unwrap();
        assert_eq!(plan.spec.v4.unwrap().gateway, Some("10.9.0.2".parse().unwrap()));
        // A family that is off has no pool, whatever is asked.
        let plan = with(|n| n.ipam.pools = vec![pool("fd00::/64"), pool("10.9.0.0/24")]).unwrap();
        assert!(plan.spec.v6.is_none() && plan.network.ipam.pools.len() == 1 && plan.pick == Pick::default());
        let refused = |change: fn(&mut IpamPool)| {
            let mut one = pool("10.9.0.0/24");
            change(&mut one);
            with(|n| n.ipam.pools = vec![one]).unwrap_err().to_string()
        };
        let words = refused(|p| p.gateway = Some("10.8.0.1".parse().unwrap()));
        assert!(words.ends_with("invalid gateway 10.8.0.1: parent subnet is 10.9.0.0/24"), "{words}");
        let words = refused(|p| p.ip_range = Some("10.8.0.0/25".parse().unwrap()));
        assert!(words.ends_with("invalid ip-range 10.8.0.0/25: parent subnet is 10.9.0.0/24"), "{words}");
        let words = refused(|p| p.subnet = "10.9.0.7/24".parse().unwrap());
        assert!(words.ends_with("invalid subnet 10.9.0.7/24: it should be 10.9.0.0/24"), "{words}");
        let two = with(|n| n.ipam.pools = vec![pool("10.9.0.0/24"), pool("10.8.0.0/24")]).unwrap_err();
        assert_eq!(two.message(), "bridge driver doesn't support multiple subnets");
    }

    #[test]
    fn options_of_a_bridge() {
        let all = [(ICC, "false"), (MASQUERADE, "0"), (MTU, "1400"), (BRIDGE_NAME, "mine0"), (PREFIX, "lan"), ("unknown", "x")];
        let spec = with(|n| n.options = options(&all)).unwrap().spec;
        assert_eq!((spec.icc, spec.masquerade, spec.mtu, spec.device.as_str()), (false, false, Some(1400), "mine0"));
        assert_eq!(spec.prefix.as_deref(), Some("lan"));
        for odd in [(ICC, "maybe"), (MTU, "x"), (MTU, "3"), (HOST_BINDING, "x")] {
            let error = with(|n| n.options = options(&[odd])).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{odd:?}");
        }
    }

    #[test]
    fn gateways() {
        let of = |mode: &str, internal: bool| {
            with(|n| {
                n.internal = internal;
                n.enable_ipv6 = Some(true);
                n.options = options(&[(GATEWAY6, mode)]);
                n.ipam.pools = vec![pool("fd00::/64"), pool("10.9.0.0/24")];
            })
        };
        let spec = of("routed", false).unwrap().spec;
        assert_eq!((spec.gateway4, spec.gateway6), (GatewayMode::Nat, GatewayMode::Routed));
        let spec = of("isolated", true).unwrap().spec;
        let gateways = [spec.v4, spec.v6].map(|range| range.unwrap().gateway.is_some());
        assert_eq!((spec.gateway6, gateways), (GatewayMode::Isolated, [true, false]));
        let refused = of("isolated", false).unwrap_err();
        assert_eq!(refused.message(), "gateway mode 'isolated' can only be used for an internal network");
        assert_eq!(
            of("odd", false).unwrap_err().message(),
            format!("failed to parse {GATEWAY6} value: odd (unknown gateway mode odd)")
        );
    }

    #[test]
    fn parents() {
        let macvlan = |all: &[(&str, &str)]| {
            with(|n| {
                n.driver = "macvlan".into();
                n.options = options(all);
            })
        };
        let spec = macvlan(&[("parent", "eth0")]).unwrap().spec;
        assert_eq!((spec.device.as_str(), spec.own_parent, spec.kind), ("eth0", false, Kind::Macvlan(MacvlanMode::Bridge)));
        assert!(macvlan(&[("parent", "eth0.10")]).unwrap().spec.own_parent);
        let plan = macvlan(&[]).unwrap();
        assert_eq!(plan.spec.device, format!("dm-{}", &plan.spec.id[..12]));
        assert!(macvlan(&[("macvlan_mode", "odd")]).unwrap_err().message().contains("is not valid"));
        let first = macvlan(&[("parent", "eth0")]).unwrap();
        let spec = first.spec.clone();
        let again = NewNetwork { driver: "macvlan".into(), options: options(&[("parent", "eth0")]), ..NewNetwork::default() };
        assert!(
            super::plan(again, &[first.settled(spec)]).unwrap_err().message().contains("already using parent interface eth0")
        );
    }

    #[test]
    fn what_there_is_not() {
        let driver = |name: &str| with(|n| n.driver = name.into()).unwrap_err();
        assert_eq!(driver("host").kind(), ErrorKind::Forbidden);
        assert_eq!((driver("nosuch").kind(), driver("nosuch").message()), (ErrorKind::NotFound, "plugin \"nosuch\" not found"));
        assert!(with(|n| n.enable_ipv4 = Some(false)).is_err());
    }
}
