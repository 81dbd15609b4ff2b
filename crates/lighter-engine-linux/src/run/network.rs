//! A container's network: its namespace, its places on networks, and the files of `/etc` that depend on them.

use crate::engine::Inner;
use crate::fail::Context as _;
use crate::networks::{in_full, ports};
use crate::run::peers::namespace;
use crate::spec::modes::{Modes, Network, peer};
use crate::spec::process::hostname;
use lighter_domain::container::EndpointStatus;
use lighter_domain::{Container, Error, ErrorKind, Placement, Result};
use lighter_network::hosts::{self, HostsEntry};
use lighter_network::resolv::DnsOverrides;
use lighter_network::{Ask, Attachment, Endpoint, Join, NetworkError};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, OwnedFd};

/// What a container is started with.
#[derive(Default)]
pub(crate) struct Attached {
    /// `None`: the host's.
    pub netns: Option<OwnedFd>,
    pub attachment: Attachment,
}

/// What a container asks of one network.
pub(crate) fn join_of(container: &Container, name: &str, network_id: &str) -> Result<Join> {
    const IFNAME: &str = "com.docker.network.endpoint.ifname";
    const SYSCTLS: &str = "com.docker.network.endpoint.sysctls";
    let asked = container.endpoints.get(name).cloned().unwrap_or_default();
    let mac = asked.mac_address.filter(|mac| !mac.is_empty()).map(|mac| {
        let text = mac.replace('-', ":").to_ascii_lowercase();
        text.parse().map_err(|_| Error::invalid(format!("invalid MAC address {mac}")))
    });
    let ask = Ask {
        ip: asked.ipv4_address,
        ipv6: asked.ipv6_address,
        mac: mac.transpose()?,
        ifname: asked.driver_opts.get(IFNAME).filter(|name| !name.is_empty()).cloned(),
        gw_priority: asked.gw_priority,
        sysctls: asked
            .driver_opts
            .get(SYSCTLS)
            .into_iter()
            .flat_map(|all| all.split(','))
            .filter_map(|one| one.split_once('='))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect(),
    };
    Ok(Join { network_id: network_id.to_owned(), ask })
}

impl Inner {
    /// Makes the namespace and puts it on the container's networks, or takes another container's.
    pub(crate) async fn connect(&self, container: &Container, modes: &Modes) -> Result<Attached> {
        // By that word a container finds the host at the default bridge, whatever network it is on.
        if container.host_config.extra_hosts.iter().any(|host| host.ends_with("host-gateway")) {
            self.networks.ensure_default().await.map_err(|e| starting(container, &e))?;
        }
        match modes.network {
            Network::Host => Ok(Attached::default()),
            Network::None => {
                let netns = self.networks.new_netns().await.map_err(|e| starting(container, &e))?;
                Ok(Attached { netns: Some(netns), ..Attached::default() })
            }
            Network::Joined => {
                let other = peer(&container.host_config.network_mode)
                    .ok_or_else(|| Error::internal("a network mode without a container"))?;
                if other == container.id {
                    return Err(Error::invalid("cannot join own network namespace"));
                }
                let pid = self.running_peer("network", &other)?;
                Ok(Attached { netns: Some(namespace(pid, "net")?), ..Attached::default() })
            }
            Network::Own => {
                let joins = self.joins(container)?;
                let wants = ports::wants(container, self.default_binding(container))?;
                let connected = self.networks.attach(container.id.as_str(), joins, wants).await;
                let (netns, attachment) = connected.map_err(|e| starting(container, &e))?;
                self.open_names(container, &attachment, netns.as_fd()).await?;
                Ok(Attached { netns: Some(netns), attachment })
            }
        }
    }

    /// The networks that a container is to be on: that of its mode first, then the others by name.
    pub(crate) fn joins(&self, container: &Container) -> Result<Vec<Join>> {
        let mode = match container.host_config.network_mode.as_str() {
            "" | "default" => "bridge",
            mode => mode,
        };
        let others = container.networks.keys().chain(container.endpoints.keys()).map(String::as_str);
        let mut names: Vec<&str> = others.filter(|name| !matches!(*name, "" | "default") && *name != mode).collect();
        names.sort_unstable();
        names.dedup();
        names.insert(0, mode);
        let all = self.all_networks();
        let join = |name: &str| {
            let known = container.networks.get(name).map_or("", |at| at.network_id.as_str());
            // The built-in ones are what they are called.
            let by_id = all.iter().find(|n| !known.is_empty() && n.id == known);
            let by_name = all.iter().find(|n| (known.is_empty() || n.builtin) && n.name == name);
            let network = by_id.or(by_name).ok_or_else(|| Error::not_found(format!("{NETWORKING}: network {name} not found")))?;
            join_of(container, name, &network.id)
        };
        names.into_iter().map(join).collect()
    }

    /// As `inspect` shows it: by network name.
    pub(crate) fn placement(&self, modes: Option<Network>, attachment: &Attachment) -> Placement {
        let mut networks: BTreeMap<String, EndpointStatus> =
            attachment.endpoints.iter().map(|e| (e.network.clone(), status(e))).collect();
        match modes {
            Some(Network::Host) => drop(networks.insert("host".to_owned(), bare(&self.ids.host))),
            Some(Network::None) => drop(networks.insert("none".to_owned(), bare(&self.ids.none))),
            Some(Network::Own | Network::Joined) | None => {}
        }
        Placement { networks, ports: ports::shown(&attachment.ports) }
    }

    /// A container that shares another's network has its name, too. Blocking, for a moment.
    pub(crate) fn name_of_peer(&self, container: &Container, modes: &Modes) -> Result<Option<String>> {
        let Some(other) = peer(&container.host_config.network_mode).filter(|_| modes.network == Network::Joined) else {
            return Ok(None);
        };
        let path = self.layout.hostname(&other);
        match std::fs::read_to_string(&path) {
            Ok(name) => Ok(Some(name.trim().to_owned())),
            // It has never run; that it does not run now is said elsewhere.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e).at("cannot read", &path),
        }
    }

    /// Writes `hosts`, `hostname` and `resolv.conf`, which those who share another's network have from that one. Blocking.
    pub(crate) fn write_etc(&self, container: &Container, modes: &Modes, attachment: &Attachment) -> Result<()> {
        if modes.network == Network::Joined {
            return Ok(());
        }
        let id = &container.id;
        let name = hostname(container, modes);
        let write = |path: std::path::PathBuf, text: String| std::fs::write(&path, text).at("cannot write", &path);
        write(self.layout.hostname(id), format!("{name}\n"))?;
        write(self.layout.hosts(id), self.hosts(container, modes, &name, attachment)?)?;
        write(self.layout.resolv_conf(id), self.resolv_conf(container, modes.own_network(), attachment)?)
    }

    fn hosts(&self, container: &Container, modes: &Modes, name: &str, attachment: &Attachment) -> Result<String> {
        // As with dockerd, that of the default bridge wherever the container is.
        let gateway = IpAddr::V4(self.networks.info().gateway);
        let extra = extra_hosts(container, Some(gateway))?;
        if modes.own_network() {
            return Ok(hosts::hosts_file(name, &container.config.domainname, &addresses(attachment), &extra, true));
        }
        use std::fmt::Write as _;
        let mut text = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        for entry in extra {
            let _ = writeln!(text, "{}\t{}", entry.ip, entry.names);
        }
        Ok(text)
    }

    /// After a change of networks: the container's own lines in its `hosts`, which may have been edited since. The file stays
    /// the same one, for it is mounted. Blocking.
    pub(crate) fn update_hosts(&self, container: &Container, before: &Attachment, now: &Attachment) -> Result<()> {
        let modes = Modes::of(container, self.cgroups.is_v2())?;
        let path = self.layout.hosts(&container.id);
        let text = std::fs::read_to_string(&path).at("cannot read", &path)?;
        let name = hostname(container, &modes);
        let text = hosts::moved(&text, &name, &container.config.domainname, &addresses(before), &addresses(now));
        std::fs::write(&path, text).at("cannot write", &path)
    }

    /// After a daemon's death, of a container that runs: lines of its `hosts` for addresses that it was about to lose.
    /// `subnets` are those of all networks. Blocking.
    pub(crate) fn mend_hosts(&self, container: &Container, subnets: &[ipnet::IpNet]) -> Result<()> {
        let modes = Modes::of(container, self.cgroups.is_v2())?;
        let Some(attachment) = self.networks.attachment(container.id.as_str()).filter(|_| modes.network == Network::Own) else {
            return Ok(());
        };
        let gateway = IpAddr::V4(self.networks.info().gateway);
        let extra = extra_hosts(container, Some(gateway)).unwrap_or_default();
        let ours = |ip: &IpAddr| subnets.iter().any(|net| net.contains(ip)) && !extra.iter().any(|entry| entry.ip == *ip);
        let path = self.layout.hosts(&container.id);
        let text = std::fs::read_to_string(&path).at("cannot read", &path)?;
        let name = hostname(container, &modes);
        let mended = hosts::mended(&text, &name, &container.config.domainname, &addresses(&attachment), ours);
        if mended == text { Ok(()) } else { std::fs::write(&path, mended).at("cannot write", &path) }
    }
}

/// The addresses by which a container knows itself, in the order of its networks.
fn addresses(attachment: &Attachment) -> Vec<IpAddr> {
    let of = |e: &Endpoint| [e.ip.map(IpAddr::V4), e.ipv6.map(IpAddr::V6)];
    attachment.endpoints.iter().flat_map(of).flatten().collect()
}

/// `--add-host`; the errors are dockerd's.
pub(crate) fn extra_hosts(container: &Container, gateway: Option<IpAddr>) -> Result<Vec<HostsEntry>> {
    let parse = |spec: &String| hosts::parse_extra_host(spec, gateway).map_err(|e| Error::invalid(e.to_string()));
    container.host_config.extra_hosts.iter().map(parse).collect()
}

/// `--dns` and its relatives.
pub(crate) fn dns(container: &Container) -> Result<DnsOverrides> {
    let host = &container.host_config;
    let address =
        |s: &String| s.parse::<IpAddr>().map_err(|_| Error::invalid(format!("bad parameter: invalid DNS server address: {s}")));
    Ok(DnsOverrides {
        servers: host.dns.iter().map(address).collect::<Result<_>>()?,
        search: host.dns_search.clone(),
        options: host.dns_options.clone(),
    })
}

fn status(e: &Endpoint) -> EndpointStatus {
    EndpointStatus {
        network_id: e.network_id.clone(),
        endpoint_id: e.endpoint_id.clone(),
        gateway: e.gateway.map(IpAddr::V4),
        ip: e.ip.map(IpAddr::V4),
        prefix_len: e.prefix_len,
        ipv6_gateway: e.ipv6_gateway,
        ipv6: e.ipv6,
        ipv6_prefix_len: e.ipv6_prefix_len,
        mac: e.mac.to_string(),
    }
}

/// On `host` and `none` there is nothing but the network itself.
fn bare(network_id: &str) -> EndpointStatus {
    EndpointStatus {
        network_id: network_id.to_owned(),
        endpoint_id: lighter_domain::id::random_hex64(),
        ..EndpointStatus::default()
    }
}

const NETWORKING: &str = "failed to set up container networking";

/// Why a container could not be connected, in dockerd's words.
pub(crate) fn starting(container: &Container, error: &NetworkError) -> Error {
    let text = in_full(error);
    let kind = match error {
        NetworkError::AddressInUse { .. } => ErrorKind::Forbidden,
        NetworkError::NoSuchSubnet { .. } => ErrorKind::InvalidArgument,
        NetworkError::UnknownNetwork { .. } => ErrorKind::NotFound,
        _ => ErrorKind::Internal,
    };
    let text = match error {
        NetworkError::PortTaken { .. } | NetworkError::PortHeld { .. } => {
            let (name, id) = (&container.name, &container.id);
            format!("driver failed programming external connectivity on endpoint {name} ({id}): {text}")
        }
        _ => text,
    };
    Error::new(kind, format!("{NETWORKING}: {text}"))
}
