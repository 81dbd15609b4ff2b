//! The thread that talks to the kernel, and what it holds: one job after the other. What the jobs do is in `bridges` (networks)
//! and `attach` (containers).
//!
//! One thread suffices, since the kernel itself takes changes of interfaces one at a time. A job once begun
//! is finished whatever becomes of the caller, so a cancelled request leaves nothing half-made.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use ipnet::{IpNet, Ipv4Net};
use parking_lot::Mutex;

use crate::attach::Attachment;
use crate::bridges::IP_FORWARD;
use crate::error::NetworkError;
use crate::firewall::Firewall;
use crate::leases::{Endpoint, Leases};
use crate::netlink::Netlink;
use crate::netns::{NETLINK_NETFILTER, NETLINK_ROUTE, Visitor};
use crate::networks::{BridgeConfig, NetworkInfo};
use crate::ports::Ports;
use crate::range::Range;
use crate::reaper::{Reaper, TICK};
use crate::settle::{kernel, settle};
use crate::spec::{GatewayMode, Kind, NetworkSpec};
use crate::state::Remembered;

/// Something for the thread to do.
pub(crate) type Job = Box<dyn FnOnce(&mut Host) + Send>;

/// A network, and who is on it.
#[derive(Debug)]
pub(crate) struct Net {
    pub(crate) spec: NetworkSpec,
    pub(crate) leases: Leases,
}

impl Net {
    pub(crate) fn new(spec: NetworkSpec) -> Self {
        Self { leases: Leases::new(&spec), spec }
    }
}

/// What callers may look at without asking the thread.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) info: NetworkInfo,
    /// By id.
    pub(crate) nets: BTreeMap<String, Net>,
    /// By container.
    pub(crate) attached: HashMap<String, Attachment>,
}

impl Shared {
    fn new(config: &BridgeConfig, network: &Remembered, specs: Vec<NetworkSpec>) -> Self {
        let mut shared = Self { info: info_of(config, network), nets: BTreeMap::new(), attached: HashMap::new() };
        for spec in specs.into_iter().chain([default_spec(&shared.info, config)]) {
            shared.nets.insert(spec.id.clone(), Net::new(spec));
        }
        shared
    }

    /// The default network has other addresses now. Nobody is on it.
    pub(crate) fn move_default(&mut self, config: &BridgeConfig, network: &Remembered) {
        self.info = info_of(config, network);
        let spec = default_spec(&self.info, config);
        self.nets.insert(spec.id.clone(), Net::new(spec));
    }

    /// Marks what a container holds as on its way out.
    pub(crate) fn start_detach(&mut self, container_id: &str) -> Option<Attachment> {
        let attachment = self.attached.remove(container_id)?;
        for endpoint in &attachment.endpoints {
            if let Some(net) = self.nets.get_mut(&endpoint.network_id) {
                net.leases.start_release(endpoint);
            }
        }
        Some(attachment)
    }

    pub(crate) fn finish_release(&mut self, endpoint: &Endpoint) {
        if let Some(net) = self.nets.get_mut(&endpoint.network_id) {
            net.leases.finish_release(endpoint);
        }
    }

    /// Whether nobody is on any network, nor on the way out.
    pub(crate) fn is_quiet(&self) -> bool {
        self.nets.values().all(|net| net.leases.is_empty())
    }
}

/// The thread's own: its sockets, and the state of the bridges as last seen.
pub(crate) struct Host {
    pub(crate) config: BridgeConfig,
    pub(crate) owner: String,
    pub(crate) route: Netlink,
    pub(crate) netfilter: Option<Netlink>,
    pub(crate) visitor: Visitor,
    pub(crate) firewall: Firewall,
    pub(crate) reaper: Reaper,
    pub(crate) ports: Ports,
    pub(crate) shared: Arc<Mutex<Shared>>,
    /// The indexes of bridges that have been looked over and put right since we started or made them, by network.
    pub(crate) checked: HashMap<String, u32>,
    /// Whether we have been told of the containers that were there before us.
    pub(crate) restored: bool,
}

fn info_of(config: &BridgeConfig, network: &Remembered) -> NetworkInfo {
    NetworkInfo {
        network_id: network.network_id.clone(),
        bridge: config.bridge.clone(),
        subnet: network.subnet,
        // Pools give no subnet without a first address.
        gateway: network.subnet.nth(1).unwrap_or(network.subnet.network()),
        mtu: config.mtu.unwrap_or(1500),
    }
}

/// An IPv4 network in our own type.
pub(crate) fn own_net(net: IpNet) -> Option<crate::addr::Ipv4Net> {
    match net {
        IpNet::V4(net) => Some(crate::addr::Ipv4Net::containing(net.network(), net.prefix_len())),
        IpNet::V6(_) => None,
    }
}

fn default_spec(info: &NetworkInfo, config: &BridgeConfig) -> NetworkSpec {
    let subnet = Ipv4Net::new(info.subnet.network(), info.subnet.prefix()).unwrap_or_default();
    NetworkSpec {
        id: info.network_id.clone(),
        name: "bridge".to_owned(),
        kind: Kind::Bridge,
        device: info.bridge.clone(),
        own_parent: false,
        v4: Some(Range { gateway: Some(info.gateway.into()), ..Range::of(IpNet::V4(subnet)) }),
        v6: None,
        gateway4: GatewayMode::Nat,
        gateway6: GatewayMode::Nat,
        internal: false,
        icc: true,
        masquerade: true,
        mtu: config.mtu,
        prefix: None,
    }
}

impl Host {
    /// Opens the thread's sockets, settles which default network this daemon has, and sees to the bridges of the others.
    pub(crate) fn open(
        config: BridgeConfig,
        specs: Vec<NetworkSpec>,
        home: Arc<OwnedFd>,
        runtime: tokio::runtime::Handle,
    ) -> Result<(Self, Arc<Mutex<Shared>>), NetworkError> {
        let mut route = Netlink::open(NETLINK_ROUTE).map_err(kernel("open a netlink socket"))?;
        let owner = config.owner();
        // Choosing a subnet for the default network, those of the others count, also without bridges.
        let mut clear_of = config.clone();
        clear_of.avoid.extend(specs.iter().filter_map(|spec| spec.v4.as_ref()).filter_map(|range| own_net(range.subnet)));
        let network = settle(&mut route, &clear_of, &owner)?;
        let shared = Arc::new(Mutex::new(Shared::new(&config, &network, specs)));
        let mut host = Self {
            firewall: Firewall::new(config.table_name(), owner.clone()),
            owner,
            route,
            netfilter: Netlink::open(NETLINK_NETFILTER).ok(),
            visitor: Visitor::new(home),
            reaper: Reaper::new(),
            ports: Ports::new(runtime),
            shared: Arc::clone(&shared),
            checked: HashMap::new(),
            restored: false,
            config,
        };
        host.welcome(&network.network_id)?;
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

    pub(crate) fn reap(&mut self, now: bool) {
        for endpoint in self.reaper.reap(&mut self.route, now) {
            self.shared.lock().finish_release(&endpoint);
        }
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
        if fs::read_to_string(IP_FORWARD).is_ok_and(|value| value.trim() == "0") && !self.checked.is_empty() {
            warnings.push("WARNING: IPv4 forwarding is disabled".to_owned());
        }
        warnings
    }
}
