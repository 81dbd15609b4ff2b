//! What the thread does about containers: their interfaces, default routes and published ports come and go.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::fs;
use std::os::fd::BorrowedFd;

use serde::{Deserialize, Serialize};

use crate::bridges::switch_ipv6;
use crate::error::NetworkError;
use crate::flows;
use crate::leases::{Ask, Endpoint};
use crate::links::{self, WaysOut};
use crate::netlink::Netlink;
use crate::netns::NETLINK_ROUTE;
use crate::ports::{PortWant, Published};
use crate::readiness;
use crate::settle::kernel;
use crate::spec::NetworkSpec;
use crate::ways;
use crate::worker::Host;

/// A network that a container is to be on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// The network's id.
    pub network_id: String,
    /// What is asked there.
    pub ask: Ask,
}

/// What a container holds: its places on networks, and its ports on the host. Kept by the caller beside the container, for
/// [`crate::Networks::restore`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    pub endpoints: Vec<Endpoint>,
    pub ports: Vec<Published>,
}

/// Of several, the one with the highest priority, and of those the first name.
pub(crate) fn first_of<'a, T>(endpoints: &'a [Endpoint], has: impl Fn(&'a Endpoint) -> Option<T>) -> Option<(&'a Endpoint, T)> {
    let all = endpoints.iter().filter_map(|endpoint| has(endpoint).map(|it| (endpoint, it)));
    all.min_by_key(|(endpoint, _)| (Reverse(endpoint.gw_priority), endpoint.network.clone()))
}

impl Attachment {
    /// The place on a network, by its id.
    #[must_use]
    pub fn on(&self, network_id: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.network_id == network_id)
    }

    /// By which network the container gets out: IPv4 where it can.
    #[must_use]
    pub fn way_out(&self) -> Option<&Endpoint> {
        first_of(&self.endpoints, |e| e.gateway)
            .map(|(e, _)| e)
            .or_else(|| first_of(&self.endpoints, |e| e.ipv6_gateway).map(|(e, _)| e))
    }

    fn ways(&self) -> WaysOut {
        let v4 = first_of(&self.endpoints, |e| e.gateway).map(|(e, gateway)| (e.ifname.clone(), gateway));
        let v6 = first_of(&self.endpoints, |e| e.ipv6_gateway).map(|(e, gateway)| (e.ifname.clone(), gateway));
        WaysOut { v4, v6 }
    }
}

/// The alias of an endpoint's interface, by which it is found again after a restart.
fn alias(endpoint: &Endpoint) -> String {
    let network = endpoint.network_id.get(..12).unwrap_or(&endpoint.network_id);
    format!("lighter:{network}:{}:{}", endpoint.container_id, endpoint.endpoint_id)
}

/// Container and endpoint of an interface with an alias of this network.
pub(crate) fn parse_alias<'a>(alias: &'a str, network_id: &str) -> Option<(&'a str, &'a str)> {
    let network = network_id.get(..12).unwrap_or(network_id);
    let rest = alias.strip_prefix("lighter:")?.strip_prefix(network)?;
    rest.strip_prefix(':')?.split_once(':')
}

/// The first name of an interface that the container does not have.
fn free_name(spec: &NetworkSpec, taken: &HashSet<String>) -> String {
    let prefix = spec.prefix.as_deref().unwrap_or("eth");
    (0..).map(|n: u32| format!("{prefix}{n}")).find(|name| !taken.contains(name)).unwrap_or_else(|| prefix.to_owned())
}

/// From within the interface's namespace, which is the one that `/proc/sys/net` is of.
fn set_sysctls(endpoint: &Endpoint) -> std::io::Result<()> {
    for (name, value) in &endpoint.sysctls {
        let path: Vec<&str> = name
            .split('.')
            .map(|part| if part.eq_ignore_ascii_case("IFNAME") { endpoint.ifname.as_str() } else { part })
            .collect();
        // Names are of the network's own part, and no way out of it.
        if path.first() != Some(&"net") || path.iter().any(|part| part.is_empty() || part.contains('/')) {
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, format!("sysctl {name}")));
        }
        fs::write(format!("/proc/sys/{}", path.join("/")), value)
            .map_err(|error| std::io::Error::new(error.kind(), format!("sysctl {name}: {error}")))?;
    }
    Ok(())
}

impl Host {
    /// Connects a new container's namespace to its networks and publishes its ports, all or nothing.
    pub(crate) fn attach(
        &mut self,
        container_id: &str,
        netns: BorrowedFd<'_>,
        joins: &[Join],
        wants: &[PortWant],
    ) -> Result<Attachment, NetworkError> {
        let (held, through) = ways::of(&self.shared.lock().nets, joins).split(wants);
        let mut ports = self.ports.claim(container_id, &held)?;
        if !through.is_empty() {
            ports.extend(through);
            ports.sort_by_key(|port| port.host_ip.is_ipv6());
        }
        let mut attachment = Attachment { endpoints: Vec::new(), ports };
        let result = self.connect_all(container_id, netns, joins, &mut attachment).and_then(|()| {
            self.shared.lock().attached.insert(container_id.to_owned(), attachment.clone());
            self.publish(container_id, &Attachment::default())
        });
        if let Err(error) = result {
            self.shared.lock().attached.remove(container_id);
            self.ports.release(container_id);
            self.undo(&attachment.endpoints);
            return Err(error);
        }
        Ok(attachment)
    }

    fn connect_all(
        &mut self,
        container_id: &str,
        netns: BorrowedFd<'_>,
        joins: &[Join],
        attachment: &mut Attachment,
    ) -> Result<(), NetworkError> {
        let mut names = HashSet::new();
        for join in joins {
            let endpoint = self.allocate(container_id, join, &names)?;
            names.insert(endpoint.ifname.clone());
            attachment.endpoints.push(endpoint.clone());
            self.create_interface(&endpoint, netns)?;
        }
        let ways = attachment.ways();
        self.configure(netns, &attachment.endpoints, &ways)
    }

    /// Takes addresses, with the network's device and the rules in place.
    fn allocate(&mut self, container_id: &str, join: &Join, names: &HashSet<String>) -> Result<Endpoint, NetworkError> {
        self.ensure(&join.network_id)?;
        if join.ask.ip.is_some() || join.ask.ipv6.is_some() {
            // One that was there before may be gone but for its interface.
            let Ask { ip, ipv6, .. } = join.ask;
            let same = |e: &Endpoint| (ip.is_some() && e.ip == ip) || (ipv6.is_some() && e.ipv6 == ipv6);
            let in_the_way = |e: &Endpoint| e.network_id == join.network_id && same(e);
            for endpoint in self.reaper.hurry(&mut self.route, in_the_way) {
                self.shared.lock().finish_release(&endpoint);
            }
        }
        let mut shared = self.shared.lock();
        let unknown = || NetworkError::UnknownNetwork { id: join.network_id.clone() };
        let net = shared.nets.get_mut(&join.network_id).ok_or_else(unknown)?;
        let mut ask = join.ask.clone();
        ask.ifname.get_or_insert_with(|| free_name(&net.spec, names));
        net.leases.allocate(&net.spec, container_id, &ask)
    }

    fn create_interface(&mut self, endpoint: &Endpoint, netns: BorrowedFd<'_>) -> Result<(), NetworkError> {
        let spec = self.spec(&endpoint.network_id)?;
        if !spec.is_bridge() {
            let parent = self.ensure(&spec.id)?;
            return links::create_on_parent(&mut self.route, endpoint, spec.kind, parent, netns, spec.mtu)
                .map_err(kernel(format!("create interface {} on {}", endpoint.ifname, spec.device)));
        }
        let name = &endpoint.host_ifname;
        let mtu = spec.mtu.unwrap_or(1500);
        let label = alias(endpoint);
        let bridge = match self.checked.get(&spec.id) {
            Some(index) => *index,
            None => self.ensure(&spec.id)?,
        };
        let mut made = links::create_veth(&mut self.route, endpoint, bridge, netns, mtu, !spec.icc, &label);
        if made.is_err() {
            // The bridge may have been deleted since it was looked at.
            let now = self.ensure(&spec.id)?;
            if now != bridge {
                made = links::create_veth(&mut self.route, endpoint, now, netns, mtu, !spec.icc, &label);
            }
        }
        made.map_err(|(step, error)| {
            if step > 0 {
                self.delete_link(name);
            }
            NetworkError::kernel(format!("create interface {name}"), error)
        })
    }

    /// Addresses and routes of interfaces, in one visit to their namespace.
    fn configure(&mut self, netns: BorrowedFd<'_>, endpoints: &[Endpoint], ways: &WaysOut) -> Result<(), NetworkError> {
        if endpoints.is_empty() {
            return Ok(());
        }
        let result = self.visitor.inside(netns, || {
            let mut inner = Netlink::open(NETLINK_ROUTE)?;
            for endpoint in endpoints {
                switch_ipv6(&endpoint.ifname, endpoint.ipv6.is_some());
                links::configure(&mut inner, endpoint, ways)?;
                set_sysctls(endpoint)?;
            }
            Ok(())
        });
        let names: Vec<_> = endpoints.iter().map(|endpoint| endpoint.ifname.as_str()).collect();
        result.map_err(kernel(format!("configure {} of container {}", names.join(", "), endpoints[0].container_id)))?;
        for Endpoint { host_ifname, network_id, .. } in endpoints.iter().filter(|endpoint| !endpoint.host_ifname.is_empty()) {
            // A bridge is up with the first on it.
            for name in [host_ifname, &self.spec(network_id)?.device] {
                readiness::await_running(&mut self.route, name).map_err(kernel(format!("look at interface {name}")))?;
            }
        }
        Ok(())
    }

    fn delete_link(&mut self, name: &str) {
        if let Err(error) = links::delete(&mut self.route, name) {
            tracing::warn!(interface = name, %error, "cannot delete an interface");
        }
    }

    /// Endpoints that came to nothing. Interfaces on a parent go with their namespace.
    fn undo(&mut self, endpoints: &[Endpoint]) {
        for endpoint in endpoints {
            if !endpoint.host_ifname.is_empty() {
                self.delete_link(&endpoint.host_ifname);
            }
            let mut shared = self.shared.lock();
            if let Some(net) = shared.nets.get_mut(&endpoint.network_id) {
                net.leases.start_release(endpoint);
                net.leases.finish_release(endpoint);
            }
        }
    }

    /// Brings the firewall's maps and the held sockets in line with what a container holds, after it was something else.
    fn publish(&mut self, container_id: &str, before: &Attachment) -> Result<(), NetworkError> {
        let (old, new, targets, bridges) = {
            let shared = self.shared.lock();
            let now = shared.attached.get(container_id).cloned().unwrap_or_default();
            if now.ports.is_empty() && before.ports.is_empty() {
                return Ok(());
            }
            let on = |endpoint: &Endpoint| shared.nets.get(&endpoint.network_id).map(|net| net.spec.clone());
            let bridges: Vec<_> = now.endpoints.iter().filter_map(on).filter(NetworkSpec::is_bridge).collect();
            (before.elements(&shared.nets), now.elements(&shared.nets), now.targets(&shared.nets), bridges)
        };
        if !new.is_empty() {
            self.ensure_rules_as(container_id, before)?;
        }
        let remove: Vec<_> = old.iter().filter(|element| !new.contains(element)).cloned().collect();
        let add: Vec<_> = new.iter().filter(|element| !old.contains(element)).cloned().collect();
        if let Some(nl) = self.netfilter.as_mut()
            && let Err(error) = self.firewall.change(nl, &remove, &add)
        {
            // Somebody has changed them meanwhile: then all of it is written anew.
            tracing::debug!(%error, "published ports could not be changed one by one");
            self.firewall.distrust();
            self.ensure_rules()?;
        }
        if !(remove.is_empty() && add.is_empty()) {
            let now = self.shared.lock().attached.get(container_id).map(|now| now.ports.clone()).unwrap_or_default();
            self.forget_flows(&[now, before.ports.clone()].concat());
        }
        // With the rules in place that keep others out: answers to localhost find their way.
        for spec in bridges {
            let _ = fs::write(format!("/proc/sys/net/ipv4/conf/{}/route_localnet", spec.device), "1");
        }
        let (v4, v6) = targets;
        self.ports.direct(container_id, v4.or(v6).map(|(ip, _)| ip));
        Ok(())
    }

    /// Where it fails, senders of datagrams that never pause are led to where the port led before.
    fn forget_flows(&mut self, ports: &[Published]) {
        if let Some(nl) = self.netfilter.as_mut()
            && let Err(error) = flows::forget(nl, ports)
        {
            tracing::debug!(%error, "the flows to published ports could not be forgotten");
        }
    }

    /// The rules as they were when a container held something else.
    fn ensure_rules_as(&mut self, container_id: &str, before: &Attachment) -> Result<(), NetworkError> {
        let now = self.shared.lock().attached.insert(container_id.to_owned(), before.clone());
        let result = self.ensure_rules();
        let mut shared = self.shared.lock();
        match now {
            Some(now) => shared.attached.insert(container_id.to_owned(), now),
            None => shared.attached.remove(container_id),
        };
        result
    }

    /// The second half of letting a container go: what was marked by `Shared::start_detach` goes.
    pub(crate) fn detach(&mut self, container_id: &str, attachment: Attachment) {
        self.unpublish(container_id, &attachment);
        for endpoint in attachment.endpoints {
            if endpoint.host_ifname.is_empty() {
                self.shared.lock().finish_release(&endpoint);
            } else {
                self.reaper.push(endpoint);
            }
        }
    }

    /// The ports of a container are free again.
    fn unpublish(&mut self, container_id: &str, attachment: &Attachment) {
        self.ports.release(container_id);
        if attachment.ports.is_empty() {
            return;
        }
        let elements = attachment.elements(&self.shared.lock().nets);
        if let Some(nl) = self.netfilter.as_mut()
            && let Err(error) = self.firewall.change(nl, &elements, &[])
        {
            tracing::debug!(%error, "published ports could not be removed one by one");
            self.firewall.distrust();
            if let Err(error) = self.ensure_rules() {
                tracing::warn!(container = container_id, %error, "published ports could not be removed");
            }
        }
        self.forget_flows(&attachment.ports);
    }

    /// Frees the ports of a container that has ended; its interfaces go later.
    pub(crate) fn release_ports(&mut self, container_id: &str) {
        let held = {
            let mut shared = self.shared.lock();
            let Some(attachment) = shared.attached.get_mut(container_id) else { return };
            let held = attachment.clone();
            attachment.ports.clear();
            held
        };
        self.unpublish(container_id, &held);
    }

    /// Connects a container that runs to a further network.
    pub(crate) fn join(&mut self, container_id: &str, netns: BorrowedFd<'_>, join: &Join) -> Result<Attachment, NetworkError> {
        let before = self.shared.lock().attached.get(container_id).cloned().unwrap_or_default();
        let names = before.endpoints.iter().map(|endpoint| endpoint.ifname.clone()).collect();
        let endpoint = self.allocate(container_id, join, &names)?;
        let mut now = before.clone();
        now.endpoints.push(endpoint.clone());
        let made = self.create_interface(&endpoint, netns).and_then(|()| {
            self.configure(netns, std::slice::from_ref(&endpoint), &WaysOut::default())?;
            self.reroute(netns, &before, &now)
        });
        if let Err(error) = made {
            self.undo(&[endpoint]);
            return Err(error);
        }
        self.shared.lock().attached.insert(container_id.to_owned(), now.clone());
        self.publish(container_id, &before)?;
        Ok(now)
    }

    /// Takes a container that runs off a network. One that it is not on is fine.
    pub(crate) fn leave(
        &mut self,
        container_id: &str,
        netns: BorrowedFd<'_>,
        network_id: &str,
    ) -> Result<Attachment, NetworkError> {
        let before = self.shared.lock().attached.get(container_id).cloned().unwrap_or_default();
        let Some(endpoint) = before.on(network_id).cloned() else { return Ok(before) };
        let mut now = before.clone();
        now.endpoints.retain(|other| other.network_id != network_id);
        let gone = if endpoint.host_ifname.is_empty() {
            let name = endpoint.ifname.clone();
            self.visitor.inside(netns, || links::delete(&mut Netlink::open(NETLINK_ROUTE)?, &name))
        } else {
            links::delete(&mut self.route, &endpoint.host_ifname)
        };
        gone.map_err(kernel(format!("delete interface {}", endpoint.ifname)))?;
        // Its routes have gone with it; so the others' must be set whether they were or not.
        self.reroute(netns, &Attachment::default(), &now)?;
        {
            let mut shared = self.shared.lock();
            shared.attached.insert(container_id.to_owned(), now.clone());
            if let Some(net) = shared.nets.get_mut(network_id) {
                net.leases.start_release(&endpoint);
                net.leases.finish_release(&endpoint);
            }
        }
        self.publish(container_id, &before)?;
        Ok(now)
    }

    fn reroute(&mut self, netns: BorrowedFd<'_>, before: &Attachment, now: &Attachment) -> Result<(), NetworkError> {
        let ways = now.ways();
        if ways == before.ways() {
            return Ok(());
        }
        self.visitor
            .inside(netns, || links::reroute(&mut Netlink::open(NETLINK_ROUTE)?, &ways))
            .map_err(kernel("set the default route"))
    }

    /// Takes again what containers have that outlived the daemon. What of it does not fit any more is left out of the answers.
    pub(crate) fn restore(&mut self, live: Vec<(String, Attachment)>) -> Result<Vec<Restored>, NetworkError> {
        self.restored = true;
        if live.is_empty() {
            if let Err(error) = self.forget_ports() {
                tracing::warn!(%error, "the rules of an earlier daemon could not be put right");
            }
            return Ok(Vec::new());
        }
        let veths = links::marked_veths(&mut self.route).map_err(kernel("list interfaces"))?;
        let mut restored = Vec::with_capacity(live.len());
        for (container_id, mut attachment) in live {
            let mut lost = Vec::new();
            attachment.endpoints.retain(|endpoint| match self.restore_endpoint(endpoint, &veths) {
                Ok(()) => true,
                Err(error) => {
                    lost.push(error);
                    false
                }
            });
            self.ports.restore(&container_id, &attachment.ports);
            let mut shared = self.shared.lock();
            let (v4, v6) = attachment.targets(&shared.nets);
            self.ports.direct(&container_id, v4.or(v6).map(|(ip, _)| ip));
            shared.attached.insert(container_id, attachment.clone());
            restored.push((attachment, lost));
        }
        self.ensure_rules()?;
        Ok(restored)
    }

    fn restore_endpoint(&mut self, endpoint: &Endpoint, veths: &[links::Link]) -> Result<(), NetworkError> {
        let device = self.ensure_device_of(&endpoint.network_id)?;
        if !endpoint.host_ifname.is_empty() {
            let Some(link) = veths.iter().find(|link| link.name == endpoint.host_ifname) else {
                // The earlier daemon was taking it off the network when it ended.
                let name = endpoint.host_ifname.clone();
                return Err(NetworkError::NoInterface { name, container_id: endpoint.container_id.clone() });
            };
            if link.master != device
                && let Err(error) = links::enslave(&mut self.route, &link.name, device)
            {
                tracing::warn!(interface = link.name, %error, "cannot put the interface on its bridge");
            }
        }
        let mut shared = self.shared.lock();
        let unknown = || NetworkError::UnknownNetwork { id: endpoint.network_id.clone() };
        shared.nets.get_mut(&endpoint.network_id).ok_or_else(unknown)?.leases.restore(endpoint)
    }

    /// Deletes our interfaces that belong to no container, and those of living ones that nobody wrote down: the earlier daemon
    /// was putting it onto a network when it ended.
    pub(crate) fn reconcile(&mut self, live: &[String]) -> Result<Vec<String>, NetworkError> {
        let ids: Vec<String> = self.shared.lock().nets.keys().cloned().collect();
        let bridges: HashSet<u32> = self.checked.values().copied().collect();
        let mut removed = Vec::new();
        for link in links::marked_veths(&mut self.route).map_err(kernel("list interfaces"))? {
            let ours = match ids.iter().find_map(|id| parse_alias(&link.alias, id)) {
                Some((container, _)) => {
                    // Of one whose places could not be read we know nothing.
                    self.shared.lock().attached.contains_key(container) || !live.iter().any(|id| id == container)
                }
                // Died between the two messages of its making, if that is possible at all.
                None => link.alias.is_empty() && bridges.contains(&link.master),
            };
            if !ours || self.shared.lock().nets.values().any(|net| net.leases.owns_interface(&link.name)) {
                continue;
            }
            links::delete(&mut self.route, &link.name).map_err(kernel(format!("delete interface {}", link.name)))?;
            tracing::info!(interface = link.name, "orphan removed");
            removed.push(link.name);
        }
        Ok(removed)
    }
}

/// What a container has again, and what it could not have.
pub type Restored = (Attachment, Vec<NetworkError>);
