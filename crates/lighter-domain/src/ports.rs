//! Published ports, as a container asks for them: read from its configuration in one place, for all engines.

use crate::{ContainerConfig, Error, HostConfig, Result};
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;

/// One port that is to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedPort {
    pub container_port: u16,
    pub protocol: Protocol,
    /// `None`: all addresses of the host.
    pub host_ip: Option<IpAddr>,
    /// Any one of them, the first that is free; `None`: one that the engine chooses.
    pub host_ports: Option<RangeInclusive<u16>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Tcp, Self::Udp, Self::Sctp].into_iter().find(|p| p.as_str().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl WantedPort {
    /// `80/tcp`, as `inspect` has it.
    pub fn key(&self) -> String {
        format!("{}/{}", self.container_port, self.protocol)
    }

    /// The one port of the host that it must have; `None` where there is a choice.
    pub fn fixed(&self) -> Option<u16> {
        self.host_ports.as_ref().filter(|range| range.start() == range.end()).map(|range| *range.start())
    }
}

/// Everything that a container publishes: its bindings, and with `PublishAllPorts` what it exposes besides. Whether it is on a
/// network that can publish is not looked at. Fails with dockerd's words (400) where a port or an address is none.
///
/// A binding counts without the port being exposed, too: dockerd forgets such a binding in silence.
pub fn wanted(config: &ContainerConfig, host: &HostConfig) -> Result<Vec<WantedPort>> {
    let mut wanted = Vec::new();
    for (port, bindings) in &host.port_bindings {
        let (ports, protocol) = container_ports(port)?;
        for container_port in ports {
            for at in bindings {
                let host_ports = host_ports(&at.host_port)?;
                wanted.push(WantedPort { container_port, protocol, host_ip: host_ip(&at.host_ip)?, host_ports });
            }
        }
    }
    if host.publish_all_ports {
        for port in &config.exposed_ports {
            // What an image exposes may be nonsense; that is no reason not to run it.
            let Ok((ports, protocol)) = container_ports(port) else { continue };
            for container_port in ports {
                if !wanted.iter().any(|w| (w.container_port, w.protocol) == (container_port, protocol)) {
                    wanted.push(WantedPort { container_port, protocol, host_ip: None, host_ports: None });
                }
            }
        }
    }
    Ok(wanted)
}

/// `80`, `80/udp`, `8000-8010/tcp`.
fn container_ports(text: &str) -> Result<(RangeInclusive<u16>, Protocol)> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = Protocol::parse(protocol).ok_or_else(|| invalid(text))?;
    Ok((range(ports).ok_or_else(|| invalid(ports))?, protocol))
}

fn host_ports(text: &str) -> Result<Option<RangeInclusive<u16>>> {
    match text {
        "" | "0" => Ok(None),
        text => range(text).map(Some).ok_or_else(|| invalid(text)),
    }
}

fn host_ip(text: &str) -> Result<Option<IpAddr>> {
    match text {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| Error::invalid(format!("invalid IP address: {text}"))),
    }
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to) = (from.parse().ok()?, to.parse().ok()?);
    (from > 0 && from <= to).then_some(from..=to)
}

fn invalid(text: &str) -> Error {
    Error::invalid(format!("invalid port specification: \"{text}\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host_config::PortBinding;

    fn of(bindings: &[(&str, &str, &str)], all: bool) -> Result<Vec<String>> {
        let mut host = HostConfig { publish_all_ports: all, ..HostConfig::default() };
        for (port, ip, at) in bindings {
            let binding = PortBinding { host_ip: (*ip).to_owned(), host_port: (*at).to_owned() };
            host.port_bindings.entry((*port).to_owned()).or_default().push(binding);
        }
        let exposed_ports = ["80/tcp", "53/udp", "nonsense"].map(str::to_owned).into();
        let config = ContainerConfig { exposed_ports, ..ContainerConfig::default() };
        let shown = |w: &WantedPort| {
            let ip = w.host_ip.map_or("*".to_owned(), |ip| ip.to_string());
            let ports = w.host_ports.as_ref().map_or("?".to_owned(), |r| format!("{}-{}", r.start(), r.end()));
            format!("{ip} {ports} {}", w.key())
        };
        Ok(wanted(&config, &host)?.iter().map(shown).collect())
    }

    #[test]
    fn all_forms() {
        let bindings = [("80/tcp", "", "8080"), ("80/tcp", "127.0.0.1", ""), ("81", "::1", "0"), ("9/sctp", "", "90-92")];
        let wanted = ["* 8080-8080 80/tcp", "127.0.0.1 ? 80/tcp", "::1 ? 81/tcp", "* 90-92 9/sctp"];
        assert_eq!(of(&bindings, false).unwrap(), wanted);
        assert_eq!(of(&[("80/tcp", "", "8080")], true).unwrap(), ["* 8080-8080 80/tcp", "* ? 53/udp"]);
    }

    #[test]
    fn nonsense_is_refused() {
        for (port, ip, at, words) in [
            ("x/tcp", "", "1", "invalid port specification: \"x\""),
            ("80/foo", "", "1", "invalid port specification: \"80/foo\""),
            ("80", "", "99999", "invalid port specification: \"99999\""),
            ("80", "", "90-80", "invalid port specification: \"90-80\""),
            ("80", "zz", "80", "invalid IP address: zz"),
        ] {
            assert_eq!(of(&[(port, ip, at)], false).unwrap_err().message(), words);
        }
    }
}
