//! What the administrator says about registries: `insecure-registries`, `registry-mirrors`, certificates, limits.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::proxies::Proxies;

/// Settings, with dockerd's names and defaults.
#[derive(Debug, Clone)]
pub struct RegistryConfig {
    insecure: Vec<Insecure>,
    /// Base addresses asked before Docker Hub, each with scheme and without a slash at its end.
    pub(crate) mirrors: Vec<String>,
    /// Directories with one directory per registry: `<host[:port]>/{*.crt,*.cert,*.key}`.
    pub certs_dirs: Vec<PathBuf>,
    /// On the way to registries, but for those on loopback.
    pub proxies: Proxies,
    /// Layers downloaded at the same time, all pulls together.
    pub max_downloads: usize,
    /// Layers uploaded at the same time.
    pub max_uploads: usize,
    /// How often a download is tried.
    pub max_attempts: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Insecure {
    /// `host` or `host:port`.
    Name(String),
    Net(IpAddr, u8),
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self {
            insecure: vec![Insecure::Net([127, 0, 0, 0].into(), 8), Insecure::Net(IpAddr::V6(1.into()), 128)],
            mirrors: Vec::new(),
            proxies: Proxies::default(),
            certs_dirs: vec!["/etc/docker/certs.d".into()],
            max_downloads: 3,
            max_uploads: 5,
            max_attempts: 5,
        }
    }
}

impl RegistryConfig {
    /// Adds registries that need not prove who they are: `host[:port]` or a network in CIDR notation.
    ///
    /// # Errors
    /// A value that is neither.
    pub fn with_insecure(mut self, registries: &[String]) -> Result<Self> {
        for text in registries {
            let name = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).unwrap_or(text);
            self.insecure.push(parse_insecure(name).ok_or_else(|| {
                Error::Invalid(format!("insecure registry {text} is not valid: it must be HOST[:PORT] or a network (CIDR)"))
            })?);
        }
        Ok(self)
    }

    /// Sets the mirrors of Docker Hub.
    ///
    /// # Errors
    /// A value that is not `http[s]://host[:port][/]`.
    pub fn with_mirrors(mut self, mirrors: &[String]) -> Result<Self> {
        for text in mirrors {
            let bad = |why: &str| Error::Invalid(format!("invalid mirror: {why}: {text}"));
            let url = reqwest::Url::parse(text).map_err(|e| bad(&e.to_string()))?;
            if !matches!(url.scheme(), "http" | "https") {
                return Err(bad("unsupported scheme"));
            }
            if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.host_str().is_none() {
                return Err(bad("no query, fragment or user information is allowed"));
            }
            self.mirrors.push(text.trim_end_matches('/').to_owned());
        }
        Ok(self)
    }

    /// Whether the registry may be talked to without a certificate, or without encryption. Loopback always may.
    pub(crate) fn is_insecure(&self, domain: &str) -> bool {
        let host = host_of(domain);
        let address = match host {
            "localhost" => Some(IpAddr::from([127, 0, 0, 1])),
            _ => host.trim_start_matches('[').trim_end_matches(']').parse().ok(),
        };
        self.insecure.iter().any(|rule| match rule {
            Insecure::Name(name) => name == domain || name == host,
            Insecure::Net(net, bits) => address.is_some_and(|address| contains(*net, *bits, address)),
        })
    }

    /// Networks and names that are insecure, for `docker info`.
    pub fn insecure(&self) -> (Vec<String>, Vec<String>) {
        let (mut nets, mut names) = (Vec::new(), Vec::new());
        for rule in &self.insecure {
            match rule {
                Insecure::Net(net, bits) => nets.push(format!("{net}/{bits}")),
                Insecure::Name(name) => names.push(name.clone()),
            }
        }
        (nets, names)
    }

    /// As `docker info` shows them.
    pub fn mirrors(&self) -> Vec<String> {
        self.mirrors.iter().map(|mirror| format!("{mirror}/")).collect()
    }
}

/// `host[:port]` without its port.
pub(crate) fn host_of(domain: &str) -> &str {
    match domain.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) && (!host.contains(':') || host.ends_with(']')) => host,
        _ => domain,
    }
}

fn parse_insecure(text: &str) -> Option<Insecure> {
    if let Some((address, bits)) = text.split_once('/') {
        let address: IpAddr = address.parse().ok()?;
        let bits: u8 = bits.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        return (bits <= most).then_some(Insecure::Net(address, bits));
    }
    let fine = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b));
    fine.then(|| Insecure::Name(text.to_owned()))
}

fn contains(net: IpAddr, bits: u8, address: IpAddr) -> bool {
    let (net, address, width) = match (net, address) {
        (IpAddr::V4(net), IpAddr::V4(address)) => (u128::from(net.to_bits()), u128::from(address.to_bits()), 32),
        (IpAddr::V6(net), IpAddr::V6(address)) => (net.to_bits(), address.to_bits(), 128),
        _ => return false,
    };
    let shift = width - u32::from(bits);
    net.checked_shr(shift).unwrap_or(0) == address.checked_shr(shift).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_insecure_and_so_is_what_is_named() {
        let config = RegistryConfig::default().with_insecure(&["reg.example:5000".into(), "10.1.0.0/16".into()]).unwrap();
        for yes in ["localhost", "localhost:5000", "127.3.2.1:80", "[::1]:5000", "reg.example:5000", "10.1.200.3:1"] {
            assert!(config.is_insecure(yes), "{yes}");
        }
        for no in ["reg.example", "reg.example:5001", "10.2.0.1", "docker.io", "localhost.example", "[::2]:5000"] {
            assert!(!config.is_insecure(no), "{no}");
        }
        for bad in ["", "a b", "10.0.0.0/33", "x/y"] {
            assert!(RegistryConfig::default().with_insecure(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }

    #[test]
    fn mirrors_are_checked() {
        let config = RegistryConfig::default().with_mirrors(&["https://m.example/".into(), "http://n:5000/p".into()]).unwrap();
        assert_eq!(config.mirrors, ["https://m.example", "http://n:5000/p"]);
        for bad in ["m.example", "ftp://m", "https://u:p@m", "https://m/?q", ""] {
            assert!(RegistryConfig::default().with_mirrors(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}
