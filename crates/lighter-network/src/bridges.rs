//! What the thread does about networks: bridges and parents that come, go and are put right, and the rules for all.

use std::fs;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use nix::errno::Errno;

use crate::addr::Ipv4Net as OwnNet;
use crate::error::NetworkError;
use crate::firewall::{FirewallError, NetworkRules};
use crate::links::{self, Link};
use crate::pools;
use crate::range::Range;
use crate::readiness::await_local;
use crate::settle::{bridge_mac, find_bridge, kernel, named, taken};
use crate::spec::{GatewayMode, NetworkSpec};
use crate::state::{self, Remembered};
use crate::worker::{Host, Net, own_net};

pub(crate) const IP_FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";
const IPV6_FORWARD: &str = "/proc/sys/net/ipv6/conf/all/forwarding";

impl Host {
    pub(crate) fn spec(&self, id: &str) -> Result<NetworkSpec, NetworkError> {
        let shared = self.shared.lock();
        let unknown = || NetworkError::UnknownNetwork { id: id.to_owned() };
        shared.nets.get(id).map(|net| net.spec.clone()).ok_or_else(unknown)
    }

    fn is_default(&self, id: &str) -> bool {
        self.shared.lock().info.network_id == id
    }

    /// What a device of ours is labelled with.
    fn device_alias(&self, id: &str) -> String {
        if self.is_default(id) { self.owner.clone() } else { format!("{}#{id}", self.owner) }
    }

    /// Called once: removes bridges and parents of networks that are no more, and sees to those of the others. What cannot be had
    /// now is tried again when a container wants it.
    pub(crate) fn welcome(&mut self, default: &str) -> Result<(), NetworkError> {
        let prefix = format!("{}#", self.owner);
        for link in links::labelled(&mut self.route, &prefix).map_err(kernel("list interfaces"))? {
            let orphan = link.alias.strip_prefix(&prefix).is_some_and(|id| !self.shared.lock().nets.contains_key(id));
            if orphan {
                tracing::info!(interface = link.name, "removing the interface of a network that is no more");
                links::delete(&mut self.route, &link.name).map_err(kernel(format!("delete interface {}", link.name)))?;
            }
        }
        let spec = self.spec(default)?;
        if self.bridge(&spec)?.is_some() {
            self.ensure_device(&spec)?;
        }
        let others: Vec<_> = self.shared.lock().nets.values().map(|net| net.spec.clone()).filter(|s| s.id != default).collect();
        for spec in others {
            if let Err(error) = self.ensure_device(&spec) {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(network = spec.name, %error, cause, "a network could not be brought up");
            }
        }
        Ok(())
    }

    /// The bridge, if it exists. An error if something else has its name.
    fn bridge(&mut self, spec: &NetworkSpec) -> Result<Option<Link>, NetworkError> {
        let alias = self.device_alias(&spec.id);
        find_bridge(&mut self.route, &spec.device, &alias, Some(&spec.id))
    }

    /// Sees to it that a network's device and the rules are there; the device's index.
    pub(crate) fn ensure(&mut self, id: &str) -> Result<u32, NetworkError> {
        let spec = self.spec(id)?;
        let index = self.ensure_device(&spec)?;
        self.ensure_rules()?;
        Ok(index)
    }

    /// The same without the rules.
    pub(crate) fn ensure_device_of(&mut self, id: &str) -> Result<u32, NetworkError> {
        let spec = self.spec(id)?;
        self.ensure_device(&spec)
    }

    fn ensure_device(&mut self, spec: &NetworkSpec) -> Result<u32, NetworkError> {
        if !spec.is_bridge() {
            return self.ensure_parent(spec);
        }
        let index = match self.bridge(spec)? {
            Some(link) if self.checked.get(&spec.id) == Some(&link.index) && link.up => link.index,
            Some(link) => {
                self.put_right(spec, link.index)?;
                link.index
            }
            None => self.create_bridge(spec)?,
        };
        self.checked.insert(spec.id.clone(), index);
        Ok(index)
    }

    fn create_bridge(&mut self, spec: &NetworkSpec) -> Result<u32, NetworkError> {
        self.move_if_taken(&spec.id)?;
        let spec = self.spec(&spec.id)?;
        let alias = self.device_alias(&spec.id);
        links::create_bridge(&mut self.route, &spec.device, bridge_mac(&spec.id), &alias, spec.mtu)
            .map_err(kernel(format!("create bridge {}", spec.device)))?;
        let Some(link) = self.bridge(&spec)? else {
            return Err(NetworkError::kernel(format!("find bridge {}", spec.device), Errno::ENODEV.into()));
        };
        self.put_right(&spec, link.index)?;
        let subnet = spec.v4.as_ref().or(spec.v6.as_ref()).map(|range| range.subnet.to_string());
        tracing::info!(bridge = spec.device, subnet, "bridge created");
        // If somebody deleted the bridge under running containers, they get it back.
        let live = self.shared.lock().nets.get(&spec.id).map(|net| net.leases.active()).unwrap_or_default();
        for endpoint in live {
            if let Err(error) = links::enslave(&mut self.route, &endpoint.host_ifname, link.index) {
                tracing::debug!(interface = endpoint.host_ifname, %error, "not put on the new bridge");
            }
        }
        Ok(link.index)
    }

    fn put_right(&mut self, spec: &NetworkSpec, index: u32) -> Result<(), NetworkError> {
        let alias = self.device_alias(&spec.id);
        // Before it is up, or it has a link-local address already.
        switch_ipv6(&spec.device, spec.v6.is_some() && spec.gateway6 != GatewayMode::Isolated);
        links::repair_bridge(&mut self.route, index, bridge_mac(&spec.id), &alias)
            .map_err(kernel(format!("configure bridge {}", spec.device)))?;
        for (range, _) in spec.subnets().filter(|(_, mode)| *mode != GatewayMode::Isolated) {
            let Some(gateway) = range.gateway else { continue };
            links::add_address(&mut self.route, index, gateway, range.subnet.prefix_len())
                .map_err(kernel(format!("give bridge {} its address {gateway}", spec.device)))?;
            if let IpAddr::V6(gateway) = gateway {
                await_local(&mut self.route, gateway);
            }
        }
        if !spec.internal {
            enable_forwarding(IP_FORWARD)?;
            if spec.v6.is_some() {
                enable_forwarding(IPV6_FORWARD)?;
            }
        }
        Ok(())
    }

    /// The interface that containers of a macvlan or ipvlan network share.
    fn ensure_parent(&mut self, spec: &NetworkSpec) -> Result<u32, NetworkError> {
        let find =
            |host: &mut Self, name: &str| links::by_name(&mut host.route, name).map_err(kernel(format!("look for {name}")));
        if let Some(link) = find(self, &spec.device)? {
            return Ok(link.index);
        }
        let missing = |name: &str| NetworkError::NoParent { name: name.to_owned() };
        if !spec.own_parent {
            return Err(missing(&spec.device));
        }
        let alias = self.device_alias(&spec.id);
        let made = match spec.device.rsplit_once('.') {
            Some((parent, vlan)) => {
                let vlan: u16 = vlan.parse().map_err(|_| missing(&spec.device))?;
                let Some(link) = find(self, parent)? else { return Err(missing(parent)) };
                links::create_vlan(&mut self.route, &spec.device, link.index, vlan, &alias)
            }
            None => match links::create_dummy(&mut self.route, &spec.device, &alias) {
                // A pair of which one end is nobody's does as well.
                Err(error) if error.raw_os_error() == Some(Errno::EOPNOTSUPP as i32) => {
                    links::create_lone_pair(&mut self.route, &spec.device, &alias)
                }
                made => made,
            },
        };
        made.map_err(kernel(format!("create interface {}", spec.device)))?;
        find(self, &spec.device)?.map(|link| link.index).ok_or_else(|| missing(&spec.device))
    }

    /// Chooses another subnet for the default network if, since the choice, the host got a route into ours. Only without a
    /// bridge, and then nobody has an address.
    fn move_if_taken(&mut self, id: &str) -> Result<(), NetworkError> {
        if !self.is_default(id) {
            return Ok(());
        }
        let info = self.shared.lock().info.clone();
        let on_it = self.shared.lock().nets.get(id).is_some_and(|net| !net.leases.is_empty());
        let taken = taken(&mut self.route, &self.config)?;
        if on_it || !taken.iter().any(|net| net.overlaps(&info.subnet)) {
            return Ok(());
        }
        let taken = [taken, self.own_subnets(Some(id))].concat();
        let subnet = pools::pick(&self.config.default_pools(), &taken).ok_or(NetworkError::NoFreeSubnet)?;
        tracing::warn!(old = %info.subnet, new = %subnet, "the host uses our subnet now: moving");
        let network = Remembered { network_id: info.network_id, subnet };
        state::save(&self.config.state_dir, &network)?;
        self.shared.lock().move_default(&self.config, &network);
        Ok(())
    }

    /// The IPv4 subnets of our networks, whether they have bridges now or not.
    fn own_subnets(&self, but: Option<&str>) -> Vec<OwnNet> {
        let shared = self.shared.lock();
        let others = shared.nets.values().filter(|net| Some(net.spec.id.as_str()) != but);
        others.filter_map(|net| net.spec.v4.as_ref()).filter_map(|range| own_net(range.subnet)).collect()
    }

    /// Makes a network. Subnets that are to be chosen are, in the returned one.
    pub(crate) fn create_network(&mut self, mut spec: NetworkSpec, pick: Pick) -> Result<NetworkSpec, NetworkError> {
        let overlaps = |a: &IpNet, b: &IpNet| a.contains(&b.network()) || b.contains(&a.network());
        let mine = [&spec.v4, &spec.v6].into_iter().flatten().map(|r| r.subnet).collect::<Vec<_>>();
        let theirs: Vec<IpNet> = {
            let shared = self.shared.lock();
            shared.nets.values().flat_map(|n| [&n.spec.v4, &n.spec.v6]).flatten().map(|r| r.subnet).collect()
        };
        if mine.iter().any(|a| theirs.iter().any(|b| overlaps(a, b))) {
            return Err(NetworkError::PoolOverlaps);
        }
        if pick.v4 {
            let taken = [taken(&mut self.route, &self.config)?, self.own_subnets(None)].concat();
            let subnet = pools::pick(&self.config.pools, &taken).ok_or(NetworkError::NoFreeSubnet)?;
            let subnet = Ipv4Net::new(subnet.network(), subnet.prefix()).unwrap_or_default();
            spec.v4 = Some(chosen(subnet.into(), spec.gateway4));
        }
        if pick.v6 {
            let routes = links::routes6(&mut self.route).map_err(kernel("list routes"))?;
            let taken = |net: &Ipv6Net| {
                let net = IpNet::V6(*net);
                theirs.iter().any(|b| overlaps(&net, b)) || routes.iter().any(|b| overlaps(&net, &IpNet::V6(*b)))
            };
            let subnet = std::iter::repeat_with(pools::random_v6).take(64).find(|net| !taken(net));
            spec.v6 = Some(chosen(subnet.ok_or(NetworkError::NoFreeSubnet)?.into(), spec.gateway6));
        }
        if spec.is_bridge() && links::by_name(&mut self.route, &spec.device).map_err(kernel("look for a bridge"))?.is_some() {
            return Err(NetworkError::BridgeTaken { name: spec.device, owner: "somebody's".to_owned() });
        }
        self.shared.lock().nets.insert(spec.id.clone(), Net::new(spec.clone()));
        if let Err(error) = self.ensure(&spec.id) {
            self.forget_network(&spec);
            return Err(error);
        }
        Ok(spec)
    }

    /// Removes a network that nobody is on. One that is not there is fine.
    pub(crate) fn remove_network(&mut self, id: &str) -> Result<(), NetworkError> {
        let Ok(spec) = self.spec(id) else { return Ok(()) };
        if self.shared.lock().nets.get(id).is_some_and(|net| !net.leases.is_empty()) {
            // Perhaps it is only somebody on the way out.
            self.reap(true);
        }
        let left = self.shared.lock().nets.get(id).map(|net| net.leases.is_empty());
        if left == Some(false) {
            return Err(NetworkError::InUse { name: spec.name });
        }
        self.forget_network(&spec);
        Ok(())
    }

    fn forget_network(&mut self, spec: &NetworkSpec) {
        self.shared.lock().nets.remove(&spec.id);
        self.checked.remove(&spec.id);
        self.delete_device(spec);
        if let Err(error) = self.ensure_rules() {
            tracing::warn!(network = spec.name, %error, "the rules of a network that is gone could not be removed");
        }
    }

    /// Deletes what is ours of a network's devices. A failure is only logged: the next start of the daemon tries again.
    pub(crate) fn delete_device(&mut self, spec: &NetworkSpec) {
        let alias = self.device_alias(&spec.id);
        let ours = match links::by_name(&mut self.route, &spec.device) {
            Ok(Some(link)) if spec.is_bridge() => link.alias == alias || link.mac == bridge_mac(&spec.id).0,
            Ok(Some(link)) => spec.own_parent && link.alias == alias,
            _ => false,
        };
        if ours && let Err(error) = links::delete(&mut self.route, &spec.device) {
            tracing::warn!(interface = spec.device, %error, "cannot delete the device of a network");
        }
    }

    /// Sees to it that the kernel has our rules, those of all networks and ports.
    pub(crate) fn ensure_rules(&mut self) -> Result<(), NetworkError> {
        let shared = self.shared.lock();
        let rules_of = |spec: &NetworkSpec| NetworkRules {
            bridge: spec.device.clone(),
            subnets: spec.subnets().map(|(range, mode)| (range.subnet, mode)).collect(),
            internal: spec.internal,
            icc: spec.icc,
            masquerade: spec.masquerade,
        };
        let rules: Vec<_> = shared.nets.values().map(|n| &n.spec).filter(|s| s.is_bridge()).map(rules_of).collect();
        let elements = || shared.attached.values().flat_map(|a| a.elements(&shared.nets)).collect();
        let table = self.config.table_name();
        let result = match self.netfilter.as_mut() {
            Some(nl) => self.firewall.ensure(nl, &rules, elements),
            None => Err(FirewallError::Kernel(Errno::EPROTONOSUPPORT.into())),
        };
        match result {
            Ok(true) => tracing::info!(table, "nftables rules written"),
            Ok(false) => {}
            Err(error) => return Err(firewall_error(error, &table, "write")),
        }
        Ok(())
    }

    /// Nobody lives who was there before us: so no port is published, whatever an earlier daemon left in the table.
    pub(crate) fn forget_ports(&mut self) -> Result<(), NetworkError> {
        if !self.checked.is_empty() {
            return self.ensure_rules();
        }
        let table = self.config.table_name();
        match self.netfilter.as_mut().map(|nl| self.firewall.remove(nl)) {
            // A table of somebody else's is none of our affair before we need its name.
            None | Some(Ok(()) | Err(FirewallError::Taken(_))) => Ok(()),
            Some(Err(error)) => Err(firewall_error(error, &table, "delete")),
        }
    }

    /// Somebody has changed rules; perhaps ours.
    pub(crate) fn mend_rules(&mut self) {
        // Without a bridge there is no table of ours, or soon none. Before we know who is there, we do not know the rules.
        if self.checked.is_empty() || !self.restored {
            return;
        }
        if let Err(error) = self.ensure_rules() {
            tracing::warn!(%error, "the rules that somebody changed could not be put back");
        }
    }

    /// Takes bridges and rules away, unless somebody is still connected.
    pub(crate) fn remove_all(&mut self) -> Result<bool, NetworkError> {
        self.reap(true);
        let ids: Vec<String> = self.shared.lock().nets.keys().cloned().collect();
        let ours = |link: &Link| ids.iter().any(|id| crate::attach::parse_alias(&link.alias, id).is_some());
        let veths = links::marked_veths(&mut self.route).map_err(kernel("list interfaces"))?;
        if veths.iter().any(ours) || !self.shared.lock().is_quiet() {
            return Ok(false);
        }
        self.checked.clear();
        let specs: Vec<_> = self.shared.lock().nets.values().map(|net| net.spec.clone()).collect();
        for spec in specs {
            self.delete_device(&spec);
        }
        if let Some(nl) = self.netfilter.as_mut() {
            let table = self.config.table_name();
            self.firewall.remove(nl).map_err(|error| firewall_error(error, &table, "delete"))?;
        }
        Ok(true)
    }
}

/// Where the host has no address, containers may have the first.
fn chosen(subnet: IpNet, mode: GatewayMode) -> Range {
    let range = Range::of(subnet);
    if mode == GatewayMode::Isolated { Range { gateway: None, ..range } } else { range }
}

/// Which subnets of a new network are to be chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pick {
    pub v4: bool,
    pub v6: bool,
}

/// Containers need the host to forward; like dockerd, we turn it on and say so. Unlike dockerd, we do not
/// then drop everybody else's forwarded packets: that would cut off other container engines of this host.
fn enable_forwarding(switch: &'static str) -> Result<(), NetworkError> {
    let file = |error| NetworkError::file("enable forwarding in", switch, error);
    if fs::read_to_string(switch).map_err(file)?.trim() != "0" {
        return Ok(());
    }
    fs::write(switch, "1").map_err(file)?;
    tracing::warn!("forwarding was off and has been turned on: {switch}");
    Ok(())
}

/// Without it, link-local addresses would be a way around the rules of a network that has no IPv6. Best effort: a kernel
/// without IPv6 has no such file.
pub(crate) fn switch_ipv6(interface: &str, on: bool) {
    let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6"), if on { "0" } else { "1" });
}

pub(crate) fn firewall_error(error: FirewallError, table: &str, verb: &str) -> NetworkError {
    match error {
        FirewallError::Kernel(source) => NetworkError::kernel(format!("{verb} nftables table inet {table}"), source),
        FirewallError::Taken(owner) => NetworkError::TableTaken { name: table.to_owned(), owner: named(owner) },
    }
}
