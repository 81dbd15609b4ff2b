//! A container's network: its namespace, its endpoint on the bridge, and the files of `/etc` that depend on them.

use crate::engine::Inner;
use crate::fail::Context as _;
use crate::spec::modes::{Modes, Network};
use crate::spec::process::hostname;
use lighter_domain::container::EndpointStatus;
use lighter_domain::{Container, Error, ErrorKind, Placement, Result};
use lighter_network::hosts::{self, HostsEntry};
use lighter_network::resolv::{self, DnsOverrides, ResolvMode};
use lighter_network::{Endpoint, NetworkError};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

/// What a container is started with.
#[derive(Default)]
pub(crate) struct Attached {
    /// `None`: the host's.
    pub netns: Option<OwnedFd>,
    pub endpoint: Option<Endpoint>,
}

impl Inner {
    /// Makes the namespace and, on the bridge, the endpoint.
    pub(crate) async fn connect(&self, container: &Container, modes: &Modes) -> Result<Attached> {
        match modes.network {
            Network::Host => Ok(Attached::default()),
            Network::None => {
                let netns = self.networks.new_netns().await.map_err(|e| failed(&e))?;
                Ok(Attached { netns: Some(netns), endpoint: None })
            }
            Network::Bridge => {
                let (netns, endpoint) = self.networks.connect(container.id.as_str()).await.map_err(|e| failed(&e))?;
                Ok(Attached { netns: Some(netns), endpoint: Some(endpoint) })
            }
        }
    }

    /// As `inspect` shows it: by network name.
    pub(crate) fn placement(&self, modes: Option<Network>, endpoint: Option<&Endpoint>) -> Placement {
        let (name, status) = match (endpoint, modes) {
            (Some(e), _) => ("bridge", status(e)),
            (None, Some(Network::Host)) => ("host", bare(&self.ids.host)),
            (None, Some(Network::None)) => ("none", bare(&self.ids.none)),
            (None, _) => return Placement::default(),
        };
        Placement { networks: BTreeMap::from([(name.to_owned(), status)]), ports: BTreeMap::new() }
    }

    /// Writes `hosts`, `hostname` and `resolv.conf`. Blocking.
    pub(crate) fn write_etc(&self, container: &Container, modes: &Modes, endpoint: Option<&Endpoint>) -> Result<()> {
        let id = &container.id;
        let name = hostname(container, modes);
        let write = |path: std::path::PathBuf, text: String| std::fs::write(&path, text).at("cannot write", &path);
        write(self.layout.hostname(id), format!("{name}\n"))?;
        write(self.layout.hosts(id), self.hosts(container, modes, &name, endpoint)?)?;
        let overrides = dns(container)?;
        let mode = if modes.own_network() { ResolvMode::Isolated { ipv6: false } } else { ResolvMode::Host };
        write(self.layout.resolv_conf(id), resolv::resolv_conf(&resolv::read_host(), &overrides, mode))
    }

    fn hosts(&self, container: &Container, modes: &Modes, name: &str, endpoint: Option<&Endpoint>) -> Result<String> {
        let gateway = IpAddr::V4(endpoint.map_or_else(|| self.networks.info().gateway, |e| e.gateway));
        let extra = extra_hosts(container, Some(gateway))?;
        let ip = endpoint.map(|e| IpAddr::V4(e.ip));
        if modes.own_network() {
            return Ok(hosts::hosts_file(name, &container.config.domainname, ip, &extra, true));
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
        gateway: Some(IpAddr::V4(e.gateway)),
        ip: Some(IpAddr::V4(e.ip)),
        prefix_len: e.prefix_len,
        mac: e.mac.to_string(),
        ..EndpointStatus::default()
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

fn failed(error: &NetworkError) -> Error {
    let mut text = format!("failed to set up container networking: {error}");
    let mut cause = std::error::Error::source(error);
    while let Some(e) = cause {
        text.push_str(": ");
        text.push_str(&e.to_string());
        cause = e.source();
    }
    Error::new(ErrorKind::Internal, text)
}
