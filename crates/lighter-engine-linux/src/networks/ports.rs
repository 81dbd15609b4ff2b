//! Published ports: what a container asks for, what it has, and who has what it cannot have.

use super::holders;
use super::request::HOST_BINDING;
use crate::engine::Inner;
use crate::fail::Context as _;
use lighter_domain::host_config::PortBinding;
use lighter_domain::{Container, ContainerId, Error, Result};
use lighter_engine::{PortConflict, PortHolder};
use lighter_network::{Clash, Holder, PortWant, Protocol, Published};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// What a container asks to be published: first what must be some port, so that what may be any does not take it.
pub(crate) fn wants(container: &Container, default: Option<IpAddr>) -> Result<Vec<PortWant>> {
    let host = &container.host_config;
    let mut wants = Vec::new();
    for (port, bindings) in &host.port_bindings {
        let (container_port, protocol) = port_of(port)?;
        for binding in bindings {
            let host_ip = match binding.host_ip.as_str() {
                "" => default,
                text => Some(text.trim_matches(['[', ']']).parse().map_err(|_| bad_binding(text))?),
            };
            wants.push(PortWant { protocol, container_port, host_ip, host_ports: host_ports(&binding.host_port)? });
        }
    }
    if host.publish_all_ports {
        let bound = |port: &String| host.port_bindings.get(port).is_some_and(|bindings| !bindings.is_empty());
        for port in container.config.exposed_ports.iter().filter(|port| !bound(port)) {
            let (container_port, protocol) = port_of(port)?;
            wants.push(PortWant { protocol, container_port, host_ip: default, host_ports: None });
        }
    }
    let freedom = |want: &PortWant| want.host_ports.as_ref().map_or(usize::MAX, |range| range.len());
    wants.sort_by_key(freedom);
    Ok(wants)
}

fn bad_binding(text: &str) -> Error {
    Error::invalid(format!("invalid port specification: invalid IP address: {text}"))
}

/// `80/tcp`; TCP where it is not said.
fn port_of(text: &str) -> Result<(u16, Protocol)> {
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let odd = || Error::invalid(format!("invalid port specification: {text:?}"));
    let port = port.parse().map_err(|_| odd())?;
    Ok((port, protocol.parse().map_err(|()| odd())?))
}

/// `8080`, `8000-8010`, or nothing for any.
fn host_ports(text: &str) -> Result<Option<RangeInclusive<u16>>> {
    let odd = || Error::invalid(format!("invalid port specification: invalid hostPort: {text}"));
    if matches!(text, "" | "0") {
        return Ok(None);
    }
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let (low, high): (u16, u16) = (low.parse().map_err(|_| odd())?, high.parse().map_err(|_| odd())?);
    if low == 0 || low > high { Err(odd()) } else { Ok(Some(low..=high)) }
}

/// As `inspect` shows what is published.
pub(crate) fn shown(ports: &[Published]) -> BTreeMap<String, Vec<PortBinding>> {
    let mut all: BTreeMap<String, Vec<PortBinding>> = BTreeMap::new();
    for port in ports {
        // Where none of the host's is needed, dockerd shows none.
        let host_port = if port.is_let_through() { String::new() } else { port.host_port.to_string() };
        let binding = PortBinding { host_ip: port.host_ip.to_string(), host_port };
        all.entry(format!("{}/{}", port.container_port, port.protocol.name())).or_default().push(binding);
    }
    all
}

impl Inner {
    /// The address at which a container's ports are published that ask for none: as its way out says.
    pub(crate) fn default_binding(&self, container: &Container) -> Option<IpAddr> {
        let priority = |name: &str| container.endpoints.get(name).map_or(0, |asked| asked.gw_priority);
        let (name, at) = container.networks.iter().min_by_key(|(name, _)| (-priority(name), *name))?;
        let all = self.kept.all();
        let made = all.iter().find(|made| made.network.id == at.network_id || made.network.name == *name)?;
        made.network.options.get(HOST_BINDING)?.parse().ok()
    }

    pub(super) async fn conflicts(&self, containers: &[Arc<Container>]) -> Result<Vec<PortConflict>> {
        let mut found = Vec::new();
        let mut claimed: Vec<(ContainerId, PortWant)> = Vec::new();
        for container in containers {
            if matches!(container.host_config.network_mode.as_str(), "host" | "none") {
                continue;
            }
            let mut wants = wants(container, self.default_binding(container))?;
            // That a network of it is not there is said by its start.
            if let Ok(joins) = self.joins(container) {
                wants = self.networks.held(&joins, &wants);
            }
            let clashes = self.networks.clashes(container.id.as_str(), wants.clone()).await.context("cannot look at ports")?;
            for Clash { port, holder } in clashes {
                let holder = match holder {
                    Holder::Container(id) => ContainerId::parse(&id).map_or(PortHolder::Unknown, PortHolder::Container),
                    Holder::Host => process_on(port).await,
                };
                found.push(PortConflict { container: container.id.clone(), port: text_of(port.host(), port.protocol), holder });
            }
            for want in wants.iter().filter(|want| single(want).is_some()) {
                let other = claimed.iter().find(|(id, other)| *id != container.id && same_place(other, want));
                if let (Some((id, _)), Some(port)) = (other, single(want)) {
                    let at = SocketAddr::new(want.host_ip.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)), port);
                    let (container, holder) = (container.id.clone(), PortHolder::Container(id.clone()));
                    found.push(PortConflict { container, port: text_of(at, want.protocol), holder });
                }
            }
            claimed.extend(wants.into_iter().map(|want| (container.id.clone(), want)));
        }
        Ok(found)
    }
}

fn text_of(at: SocketAddr, protocol: Protocol) -> String {
    format!("{at}/{}", protocol.name())
}

fn single(want: &PortWant) -> Option<u16> {
    want.host_ports.as_ref().filter(|range| range.start() == range.end()).map(|range| *range.start())
}

fn same_place(a: &PortWant, b: &PortWant) -> bool {
    let everywhere = |ip: Option<IpAddr>| ip.is_none_or(|ip| ip.is_unspecified());
    let family = |ip: Option<IpAddr>| ip.map(|ip| ip.is_ipv4());
    let met = match (a.host_ip, b.host_ip) {
        (Some(x), Some(y)) if x == y => true,
        (x, y) if x.is_none() || y.is_none() || family(x) == family(y) => everywhere(x) || everywhere(y),
        _ => false,
    };
    a.protocol == b.protocol && single(a).is_some() && single(a) == single(b) && met
}

async fn process_on(port: Published) -> PortHolder {
    let look = move || holders::of(port.protocol, port.host_ip, port.host_port);
    match tokio::task::spawn_blocking(look).await {
        Ok(Some((pid, name))) => PortHolder::Process { pid, name },
        _ => PortHolder::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(bindings: &[(&str, &str, &str)]) -> Container {
        let mut container = crate::testing::container();
        for (port, ip, host) in bindings {
            let binding = PortBinding { host_ip: (*ip).into(), host_port: (*host).into() };
            container.host_config.port_bindings.entry((*port).into()).or_default().push(binding);
        }
        container
    }

    #[test]
    fn all_forms() {
        let mut c = container(&[("80/tcp", "", ""), ("53/udp", "127.0.0.1", "5353"), ("90", "::1", "8000-8010")]);
        c.config.exposed_ports = ["80/tcp".to_owned(), "99/sctp".to_owned()].into();
        let got = wants(&c, None).unwrap();
        let want = |protocol, container_port, ip: Option<&str>, host_ports| PortWant {
            protocol,
            container_port,
            host_ip: ip.map(|ip| ip.parse().unwrap()),
            host_ports,
        };
        let plain = [
            want(Protocol::Udp, 53, Some("127.0.0.1"), Some(5353..=5353)),
            want(Protocol::Tcp, 90, Some("::1"), Some(8000..=8010)),
            want(Protocol::Tcp, 80, None, None),
        ];
        assert_eq!(got, plain);
        c.host_config.publish_all_ports = true;
        let more = want(Protocol::Sctp, 99, Some("10.0.0.1"), None);
        assert_eq!(wants(&c, Some("10.0.0.1".parse().unwrap())).unwrap().last(), Some(&more));
        for odd in
            [("x/tcp", "", "1"), ("80/xtp", "", "1"), ("80/tcp", "host", "1"), ("80/tcp", "", "9-8"), ("80/tcp", "", "70000")]
        {
            assert!(wants(&container(&[odd]), None).is_err(), "{odd:?}");
        }
    }

    #[test]
    fn who_is_in_whose_way() {
        let want = |ip: Option<&str>, port: u16| PortWant {
            protocol: Protocol::Tcp,
            container_port: 80,
            host_ip: ip.map(|ip| ip.parse().unwrap()),
            host_ports: Some(port..=port),
        };
        for (a, b, met) in [
            (want(None, 80), want(None, 80), true),
            (want(None, 80), want(Some("127.0.0.1"), 80), true),
            (want(None, 80), want(Some("::1"), 80), true),
            (want(Some("0.0.0.0"), 80), want(Some("::1"), 80), false),
            (want(Some("10.0.0.1"), 80), want(Some("10.0.0.2"), 80), false),
            (want(Some("10.0.0.1"), 80), want(Some("10.0.0.1"), 80), true),
            (want(None, 80), want(None, 81), false),
        ] {
            assert_eq!((same_place(&a, &b), same_place(&b, &a)), (met, met), "{a:?} {b:?}");
        }
    }
}
