//! The thread that talks to the kernel, and what it does: one job after the other.
//!
//! One thread suffices, since the kernel itself takes changes of interfaces one at a time. A job once begun
//! is finished whatever becomes of the caller, so a cancelled request leaves nothing half-made.

use std::fs;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use nix::errno::Errno;
use parking_lot::Mutex;

use crate::error::NetworkError;
use crate::firewall::{Firewall, FirewallError, NetworkRules};
use crate::leases::{Endpoint, Leases};
use crate::links::{self, Link};
use crate::netlink::Netlink;
use crate::netns::{NETLINK_NETFILTER, NETLINK_ROUTE, Visitor};
use crate::networks::{BridgeConfig, Live, NetworkInfo};
use crate::pools;
use crate::reaper::{Reaper, TICK};
use crate::settle::{bridge_mac, find_bridge, kernel, named, settle, taken};
use crate::state::{self, Remembered};

/// Something for the thread to do.
pub(crate) type Job = Box<dyn FnOnce(&mut Host) + Send>;

/// What callers may look at without asking the thread.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) info: NetworkInfo,
    pub(crate) leases: Leases,
}

/// The thread's own: its sockets, and the state of the bridge as last seen.
pub(crate) struct Host {
    config: BridgeConfig,
    owner: String,
    route: Netlink,
    netfilter: Option<Netlink>,
    visitor: Visitor,
    firewall: Firewall,
    reaper: Reaper,
    shared: Arc<Mutex<Shared>>,
    /// The bridge's index, once it has been looked over and put right since we started or made it.
    checked: Option<u32>,
}

fn shared_of(config: &BridgeConfig, network: &Remembered) -> Shared {
    // Pools give no subnet without a first address.
    let gateway = network.subnet.nth(1).unwrap_or(network.subnet.network());
    Shared {
        info: NetworkInfo {
            network_id: network.network_id.clone(),
            bridge: config.bridge.clone(),
            subnet: network.subnet,
            gateway,
            mtu: config.mtu.unwrap_or(1500),
        },
        leases: Leases::new(network.network_id.clone(), network.subnet, gateway),
    }
}

/// The alias of an endpoint's interface, by which it is found again after a restart.
fn alias(endpoint: &Endpoint) -> String {
    let network = endpoint.network_id.get(..12).unwrap_or(&endpoint.network_id);
    format!("lighter:{network}:{}:{}", endpoint.container_id, endpoint.endpoint_id)
}

/// Container and endpoint of an interface with an alias of this network.
fn parse_alias<'a>(alias: &'a str, network_id: &str) -> Option<(&'a str, &'a str)> {
    let network = network_id.get(..12).unwrap_or(network_id);
    let rest = alias.strip_prefix("lighter:")?.strip_prefix(network)?;
    rest.strip_prefix(':')?.split_once(':')
}

impl Host {
    /// Opens the thread's sockets and settles which network this daemon has.
    pub(crate) fn open(config: BridgeConfig, home: Arc<OwnedFd>) -> Result<(Self, Arc<Mutex<Shared>>), NetworkError> {
        let mut route = Netlink::open(NETLINK_ROUTE).map_err(kernel("open a netlink socket"))?;
        let owner = config.owner();
        let network = settle(&mut route, &config, &owner)?;
        let shared = Arc::new(Mutex::new(shared_of(&config, &network)));
        let mut host = Self {
            firewall: Firewall::new(config.table_name(), owner.clone()),
            owner,
            route,
            netfilter: Netlink::open(NETLINK_NETFILTER).ok(),
            visitor: Visitor::new(home),
            reaper: Reaper::new(),
            shared: Arc::clone(&shared),
            checked: None,
            config,
        };
        if host.bridge()?.is_some() {
            host.ensure()?;
        }
        Ok((host, shared))
    }

    /// The thread's life: jobs, and between them a look at what is on its way out.
    pub(crate) fn run(mut self, jobs: &Receiver<Job>) {
        while !self.visitor.is_lost() {
            let job = if self.reaper.is_idle() {
                jobs.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                jobs.recv_timeout(TICK)
            };
            match job {
                Ok(job) => job(&mut self),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.reaper.is_due() {
                self.reap(false);
            }
        }
        tracing::error!("cannot return to the host's network namespace");
    }

    fn reap(&mut self, now: bool) {
        for endpoint in self.reaper.reap(&mut self.route, now) {
            self.shared.lock().leases.finish_release(&endpoint);
        }
    }

    /// Leaves an endpoint whose lease is being released to the reaper.
    pub(crate) fn release(&mut self, endpoint: Endpoint) {
        self.reaper.push(endpoint);
    }

    fn info(&self) -> NetworkInfo {
        self.shared.lock().info.clone()
    }

    /// The bridge, if it exists. An error if something else has its name.
    fn bridge(&mut self) -> Result<Option<Link>, NetworkError> {
        let id = self.info().network_id;
        find_bridge(&mut self.route, &self.config, &self.owner, Some(&id))
    }

    /// Sees to it that the bridge and the rules are there; returns the bridge's index.
    pub(crate) fn ensure(&mut self) -> Result<u32, NetworkError> {
        let index = match self.bridge()? {
            Some(link) if self.checked == Some(link.index) && link.up => link.index,
            Some(link) => {
                self.put_right(link.index)?;
                link.index
            }
            None => self.create_bridge()?,
        };
        self.checked = Some(index);
        self.ensure_rules()?;
        Ok(index)
    }

    fn create_bridge(&mut self) -> Result<u32, NetworkError> {
        self.move_if_taken()?;
        let info = self.info();
        let mac = bridge_mac(&info.network_id);
        links::create_bridge(&mut self.route, &info.bridge, mac, &self.owner, self.config.mtu)
            .map_err(kernel(format!("create bridge {}", info.bridge)))?;
        let Some(link) = self.bridge()? else {
            return Err(NetworkError::kernel(format!("find bridge {}", info.bridge), Errno::ENODEV.into()));
        };
        self.put_right(link.index)?;
        tracing::info!(bridge = info.bridge, subnet = %info.subnet, "bridge created");
        // If somebody deleted the bridge under running containers, they get it back.
        let live = self.shared.lock().leases.active();
        for endpoint in live {
            if let Err(error) = links::enslave(&mut self.route, &endpoint.host_ifname, link.index) {
                tracing::debug!(interface = endpoint.host_ifname, %error, "not put on the new bridge");
            }
        }
        Ok(link.index)
    }

    fn put_right(&mut self, index: u32) -> Result<(), NetworkError> {
        let info = self.info();
        links::repair_bridge(&mut self.route, index, bridge_mac(&info.network_id), &self.owner)
            .map_err(kernel(format!("configure bridge {}", info.bridge)))?;
        links::add_address(&mut self.route, index, info.gateway, info.subnet)
            .map_err(kernel(format!("give bridge {} its address {}", info.bridge, info.gateway)))?;
        // The network has no IPv6; link-local addresses would only be a way around its rules.
        disable_ipv6(&info.bridge);
        enable_forwarding()
    }

    /// Chooses another subnet if, since the choice, the host got a route into ours. Only without a bridge, and
    /// then nobody has an address.
    fn move_if_taken(&mut self) -> Result<(), NetworkError> {
        let taken = taken(&mut self.route, &self.config)?;
        let info = self.info();
        if !self.shared.lock().leases.is_empty() || !taken.iter().any(|net| net.overlaps(&info.subnet)) {
            return Ok(());
        }
        let subnet = pools::pick(&self.config.pools, &taken).ok_or(NetworkError::NoFreeSubnet)?;
        tracing::warn!(old = %info.subnet, new = %subnet, "the host uses our subnet now: moving");
        let network = Remembered { network_id: info.network_id, subnet };
        state::save(&self.config.state_dir, &network)?;
        *self.shared.lock() = shared_of(&self.config, &network);
        Ok(())
    }

    fn ensure_rules(&mut self) -> Result<(), NetworkError> {
        let info = self.info();
        let rules = [NetworkRules { bridge: info.bridge, subnet: info.subnet }];
        let table = self.config.table_name();
        let result = match self.netfilter.as_mut() {
            Some(nl) => self.firewall.ensure(nl, &rules),
            None => Err(FirewallError::Kernel(Errno::EPROTONOSUPPORT.into())),
        };
        match result {
            Ok(true) => tracing::info!(table, "nftables rules written"),
            Ok(false) => {}
            Err(error) => return Err(firewall_error(error, &table, "write")),
        }
        Ok(())
    }

    /// Takes an address, with bridge and rules in place.
    pub(crate) fn allocate(&mut self, container_id: &str) -> Result<Endpoint, NetworkError> {
        self.ensure()?;
        self.shared.lock().leases.allocate(container_id)
    }

    /// Connects a namespace. After an error no interface is left.
    pub(crate) fn setup(&mut self, netns: BorrowedFd<'_>, endpoint: &Endpoint) -> Result<(), NetworkError> {
        // Asked here and not by the caller, who may give the endpoint back while this waits its turn.
        if !self.shared.lock().leases.is_active(endpoint) {
            return Err(NetworkError::UnknownEndpoint { endpoint_id: endpoint.endpoint_id.clone() });
        }
        let name = &endpoint.host_ifname;
        let mtu = self.info().mtu;
        let label = alias(endpoint);
        let bridge = self.checked.map_or_else(|| self.ensure(), Ok)?;
        let mut made = links::create_veth(&mut self.route, endpoint, bridge, netns, mtu, &label);
        if made.is_err() {
            // The bridge may have been deleted since it was looked at.
            let now = self.ensure()?;
            if now != bridge {
                made = links::create_veth(&mut self.route, endpoint, now, netns, mtu, &label);
            }
        }
        if let Err((step, error)) = made {
            if step > 0 {
                self.undo(name);
            }
            return Err(NetworkError::kernel(format!("create interface {name}"), error));
        }
        let result = self.visitor.inside(netns, || {
            disable_ipv6(&endpoint.ifname);
            let mut inner = Netlink::open(NETLINK_ROUTE)?;
            links::configure(&mut inner, endpoint)
        });
        result.map_err(|error| {
            self.undo(name);
            NetworkError::kernel(format!("configure {} for container {}", endpoint.ifname, endpoint.container_id), error)
        })
    }

    fn undo(&mut self, name: &str) {
        if let Err(error) = links::delete(&mut self.route, name) {
            tracing::warn!(interface = name, %error, "cannot delete a half-made interface");
        }
    }

    /// Takes the addresses of containers that outlived the daemon.
    pub(crate) fn restore(&mut self, live: &[Live]) -> Result<Vec<Result<Endpoint, NetworkError>>, NetworkError> {
        if live.is_empty() {
            return Ok(Vec::new());
        }
        let bridge = self.ensure()?;
        let network_id = self.info().network_id;
        let veths = links::marked_veths(&mut self.route).map_err(kernel("list interfaces"))?;
        let mut restored = Vec::with_capacity(live.len());
        for Live { container_id, ip } in live {
            let found = veths.iter().find_map(|link| match parse_alias(&link.alias, &network_id) {
                Some((container, endpoint)) if container == container_id => Some((link, endpoint)),
                _ => None,
            });
            if let Some((link, _)) = found.filter(|(link, _)| link.master != bridge)
                && let Err(error) = links::enslave(&mut self.route, &link.name, bridge)
            {
                tracing::warn!(interface = link.name, %error, "cannot put the interface on its bridge");
            }
            let endpoint_id = found.map(|(_, id)| id.to_owned());
            restored.push(self.shared.lock().leases.restore(container_id, *ip, endpoint_id));
        }
        Ok(restored)
    }

    /// Deletes our interfaces that belong to no container.
    pub(crate) fn reconcile(&mut self, live: &[String]) -> Result<Vec<String>, NetworkError> {
        let id = self.info().network_id;
        let bridge = self.bridge()?.map(|link| link.index);
        let mut removed = Vec::new();
        for link in links::marked_veths(&mut self.route).map_err(kernel("list interfaces"))? {
            let ours = match parse_alias(&link.alias, &id) {
                Some((container, _)) => !live.iter().any(|id| id == container),
                // Died between the two messages of its making, if that is possible at all.
                None => link.alias.is_empty() && bridge == Some(link.master),
            };
            if !ours || self.shared.lock().leases.owns_interface(&link.name) {
                continue;
            }
            links::delete(&mut self.route, &link.name).map_err(kernel(format!("delete interface {}", link.name)))?;
            tracing::info!(interface = link.name, "orphan removed");
            removed.push(link.name);
        }
        Ok(removed)
    }

    /// Takes bridge and rules away, unless somebody is still connected.
    pub(crate) fn remove_all(&mut self) -> Result<bool, NetworkError> {
        self.reap(true);
        let id = self.info().network_id;
        let ours = |link: &Link| parse_alias(&link.alias, &id).is_some();
        let veths = links::marked_veths(&mut self.route).map_err(kernel("list interfaces"))?;
        if veths.iter().any(ours) || !self.shared.lock().leases.is_empty() {
            return Ok(false);
        }
        self.checked = None;
        if let Some(link) = self.bridge()? {
            links::delete(&mut self.route, &link.name).map_err(kernel(format!("delete bridge {}", link.name)))?;
        }
        if let Some(nl) = self.netfilter.as_mut() {
            let table = self.config.table_name();
            self.firewall.remove(nl).map_err(|error| firewall_error(error, &table, "delete"))?;
        }
        Ok(true)
    }

    /// What an administrator should know, in sentences.
    pub(crate) fn warnings(&mut self) -> Vec<String> {
        let mut warnings = Vec::new();
        let bridge = &self.config.bridge;
        let drops = self.netfilter.as_mut().map(|nl| self.firewall.foreign_drops(nl));
        for chain in drops.and_then(Result::ok).unwrap_or_default() {
            warnings.push(format!(
                "WARNING: chain {} of nftables table {} {} drops forwarded packets unless one of its own rules \
                 accepts them: containers on {bridge} may have no way out until it accepts packets from and to {bridge}",
                chain.name, chain.family, chain.table
            ));
        }
        if fs::read_to_string(IP_FORWARD).is_ok_and(|value| value.trim() == "0") && self.checked.is_some() {
            warnings.push("WARNING: IPv4 forwarding is disabled".to_owned());
        }
        warnings
    }
}

const IP_FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";

/// Containers need the host to forward; like dockerd, we turn it on and say so. Unlike dockerd, we do not
/// then drop everybody else's forwarded packets: that would cut off other container engines of this host.
fn enable_forwarding() -> Result<(), NetworkError> {
    let file = |error| NetworkError::file("enable forwarding in", IP_FORWARD, error);
    if fs::read_to_string(IP_FORWARD).map_err(file)?.trim() != "0" {
        return Ok(());
    }
    fs::write(IP_FORWARD, "1").map_err(file)?;
    tracing::warn!("IPv4 forwarding was off and has been turned on: net.ipv4.ip_forward=1");
    Ok(())
}

/// Best effort: a kernel without IPv6 has no such file.
fn disable_ipv6(interface: &str) {
    let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6"), "1");
}

fn firewall_error(error: FirewallError, table: &str, verb: &str) -> NetworkError {
    match error {
        FirewallError::Kernel(source) => NetworkError::kernel(format!("{verb} nftables table inet {table}"), source),
        FirewallError::Taken(owner) => NetworkError::TableTaken { name: table.to_owned(), owner: named(owner) },
    }
}
