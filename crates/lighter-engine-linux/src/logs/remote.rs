//! The drivers that hand records to a log of the machine's: syslog and journald. Their options, checked in dockerd's words when
//! a container is made; what the supervisor needs of them, resolved when it starts.

use super::{options, tag};
use lighter_domain::{Container, Error, Result};
use lighter_supervisor_proto::{LogTo, SyslogAddress, SyslogFormat};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::Path;

pub(super) const SYSLOG_KEYS: [&str; 12] = [
    "env",
    "env-regex",
    "labels",
    "labels-regex",
    "syslog-address",
    "syslog-facility",
    "syslog-format",
    "syslog-tls-ca-cert",
    "syslog-tls-cert",
    "syslog-tls-key",
    "syslog-tls-skip-verify",
    "tag",
];
pub(super) const JOURNALD_KEYS: [&str; 5] = ["env", "env-regex", "labels", "labels-regex", "tag"];
const FACILITIES: [&str; 12] =
    ["kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"];
/// As of "daemon".
const DEFAULT_FACILITY: u8 = 3;
const SYSLOG_PORT: u16 = 514;

/// Where records are to go.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Remote {
    Syslog { to: Address, format: SyslogFormat, facility: u8, tag: String },
    Journald { tag: String },
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Here(SyslogAddress),
    /// Host and port, with the scheme `udp` or not.
    There {
        host: String,
        port: u16,
        udp: bool,
    },
}

/// `None`: to nobody. Looks nothing up.
pub(crate) fn of(container: &Container) -> Result<Option<Remote>> {
    let config = &container.host_config.log_config;
    let option = |key: &str| config.options.get(key).map_or("", String::as_str);
    let tag = |template: &str| tag::expand(if template.is_empty() { "{{.ID}}" } else { template }, container);
    Ok(match config.driver.as_str() {
        "syslog" => Some(Remote::Syslog {
            to: address(option("syslog-address"))?,
            format: format(option("syslog-format"))?,
            facility: facility(option("syslog-facility"))?,
            tag: tag(option("tag"))?,
        }),
        "journald" => Some(Remote::Journald { tag: tag(option("tag"))? }),
        _ => None,
    })
}

/// As the supervisor is told it; names are looked up. Blocking.
pub(crate) fn resolved(container: &Container) -> Result<Option<LogTo>> {
    Ok(match of(container)? {
        None => None,
        Some(Remote::Syslog { to, format, facility, tag }) => {
            let to = match to {
                Address::Here(to) => to,
                Address::There { host, port, udp: true } => SyslogAddress::Udp(look_up("udp", &host, port)?),
                Address::There { host, port, udp: false } => SyslogAddress::Tcp(look_up("tcp", &host, port)?),
            };
            Some(LogTo::Syslog { to, format, facility, tag })
        }
        Some(Remote::Journald { tag }) => {
            let fixed = [
                ("CONTAINER_ID", container.id.short().to_owned()),
                ("CONTAINER_ID_FULL", container.id.to_string()),
                ("CONTAINER_NAME", container.name.clone()),
                ("CONTAINER_TAG", tag.clone()),
                ("IMAGE_NAME", container.config.image.clone()),
                ("SYSLOG_IDENTIFIER", tag),
            ];
            let extra = options::attributes(container).map(|(name, value)| (journal_name(&name), value));
            let fixed = fixed.into_iter().map(|(name, value)| (name.to_owned(), value));
            Some(LogTo::Journald { fields: extra.filter(|(name, _)| !name.is_empty()).chain(fixed).collect() })
        }
    })
}

fn look_up(network: &str, host: &str, port: u16) -> Result<SocketAddr> {
    let failed = |why: String| {
        let text = format!("failed to create task for container: failed to initialize logging driver: dial {network}: {why}");
        Error::internal(text)
    };
    // Go takes no host for this one.
    let host = if host.is_empty() { "127.0.0.1" } else { host };
    let found = (host, port).to_socket_addrs().map_err(|e| failed(format!("lookup {host}: {e}")))?;
    found.into_iter().next().ok_or_else(|| failed(format!("lookup {host}: no such host")))
}

/// Upper case letters, digits and underscores, the last not in front.
fn journal_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    name.chars().map(plain).collect::<String>().trim_start_matches('_').to_owned()
}

fn address(text: &str) -> Result<Address> {
    if text.is_empty() {
        return Ok(Address::Here(SyslogAddress::Local));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(Error::invalid(format!("unsupported scheme: '{}'", text.split(':').next().unwrap_or_default())));
    };
    match scheme {
        "unix" | "unixgram" => {
            if let Err(e) = std::fs::metadata(rest) {
                let why =
                    if e.kind() == std::io::ErrorKind::NotFound { "no such file or directory".into() } else { e.to_string() };
                return Err(Error::invalid(format!("stat {rest}: {why}")));
            }
            let path = Path::new(rest).to_owned();
            let to = if scheme == "unix" { SyslogAddress::Unix(path) } else { SyslogAddress::Unixgram(path) };
            Ok(Address::Here(to))
        }
        "udp" | "tcp" => {
            let (host, port) = match rest.rsplit_once(':') {
                Some((host, port)) if !port.contains(']') => {
                    let bad = || Error::invalid(format!("invalid port {port:?} in syslog-address"));
                    (host, port.parse().map_err(|_| bad())?)
                }
                _ => (rest, SYSLOG_PORT),
            };
            let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            Ok(Address::There { host, port, udp: scheme == "udp" })
        }
        "tcp+tls" => Err(Error::not_implemented("syslog over TLS is not implemented by Lighter's linux engine")),
        other => Err(Error::invalid(format!("unsupported scheme: '{other}'"))),
    }
}

fn format(text: &str) -> Result<SyslogFormat> {
    match text {
        "" => Ok(SyslogFormat::Local),
        "rfc3164" => Ok(SyslogFormat::Rfc3164),
        "rfc5424" => Ok(SyslogFormat::Rfc5424),
        "rfc5424micro" => Ok(SyslogFormat::Rfc5424Micro),
        _ => Err(Error::invalid("Invalid syslog format")),
    }
}

fn facility(text: &str) -> Result<u8> {
    if text.is_empty() {
        return Ok(DEFAULT_FACILITY);
    }
    let by_name = FACILITIES.iter().position(|name| *name == text).and_then(|n| u8::try_from(n).ok());
    let local = text.strip_prefix("local").and_then(|n| n.parse::<u8>().ok()).filter(|n| *n < 8).map(|n| 16 + n);
    let number = text.parse::<u8>().ok().filter(|n| *n < 24);
    by_name.or(local).or(number).ok_or_else(|| Error::invalid("invalid syslog facility"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(driver: &str, options: &[(&str, &str)]) -> Result<Option<Remote>> {
        let mut container = crate::testing::container();
        container.host_config.log_config.driver = driver.into();
        container.host_config.log_config.options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        of(&container)
    }

    #[test]
    fn syslog_options() {
        let options = [
            ("syslog-address", "udp://log.test:5140"),
            ("syslog-facility", "local3"),
            ("syslog-format", "rfc5424"),
            ("tag", "t"),
        ];
        let there = Address::There { host: "log.test".into(), port: 5140, udp: true };
        let want = Remote::Syslog { to: there, format: SyslogFormat::Rfc5424, facility: 19, tag: "t".into() };
        assert_eq!(with("syslog", &options).unwrap(), Some(want));
        let there = |text| match address(text).unwrap() {
            Address::There { host, port, .. } => (host, port),
            Address::Here(to) => panic!("{to:?}"),
        };
        assert_eq!(there("tcp://[::1]:601"), ("::1".to_owned(), 601));
        assert_eq!(there("tcp://[::1]"), ("::1".to_owned(), 514));
        assert_eq!(there("udp://10.0.0.1"), ("10.0.0.1".to_owned(), 514));
        assert_eq!(facility("23").unwrap(), 23);
    }

    #[test]
    fn what_dockerd_refuses() {
        let words = |key: &str, value: &str| with("syslog", &[(key, value)]).unwrap_err().message().to_owned();
        assert_eq!(words("syslog-address", "foo://x"), "unsupported scheme: 'foo'");
        assert_eq!(words("syslog-address", "unix:///nosuch"), "stat /nosuch: no such file or directory");
        assert_eq!(words("syslog-facility", "local8"), "invalid syslog facility");
        assert_eq!(words("syslog-format", "x"), "Invalid syslog format");
    }

    #[test]
    fn names_of_journal_fields() {
        assert_eq!(journal_name("com.example/a"), "COM_EXAMPLE_A");
        assert_eq!(journal_name("__x1"), "X1");
    }
}
