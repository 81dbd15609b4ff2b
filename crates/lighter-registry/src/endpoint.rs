//! Which addresses stand for a registry, in the order in which they are asked.

use crate::config::RegistryConfig;

/// The registry of names without one.
pub(crate) const HUB: &str = "docker.io";
const HUB_ADDRESS: &str = "https://registry-1.docker.io";

/// One address to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Scheme, host, port, and of mirrors perhaps a path; no slash at the end.
    pub(crate) base: String,
    /// The name under which its certificates are kept.
    pub(crate) domain: String,
    /// Whether its certificate is checked.
    pub(crate) verify: bool,
    /// A stand-in: whatever goes wrong there, the next one is asked.
    pub(crate) mirror: bool,
}

impl Endpoint {
    fn new(base: String, domain: &str, verify: bool, mirror: bool) -> Self {
        Self { base, domain: domain.to_owned(), verify, mirror }
    }
}

/// Where to pull `domain`'s images.
pub(crate) fn for_pull(config: &RegistryConfig, domain: &str) -> Vec<Endpoint> {
    let mut all = Vec::new();
    if domain == HUB {
        for mirror in &config.mirrors {
            let host = mirror.split("//").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
            all.push(Endpoint::new(mirror.clone(), host, !config.is_insecure(host), true));
        }
    }
    all.extend(for_push(config, domain));
    all
}

/// Where to push them.
pub(crate) fn for_push(config: &RegistryConfig, domain: &str) -> Vec<Endpoint> {
    if domain == HUB {
        return vec![Endpoint::new(HUB_ADDRESS.to_owned(), domain, true, false)];
    }
    if !config.is_insecure(domain) {
        return vec![Endpoint::new(format!("https://{domain}"), domain, true, false)];
    }
    vec![
        Endpoint::new(format!("https://{domain}"), domain, false, false),
        Endpoint::new(format!("http://{domain}"), domain, false, false),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bases(all: &[Endpoint]) -> Vec<&str> {
        all.iter().map(|e| e.base.as_str()).collect()
    }

    #[test]
    fn mirrors_first_and_plain_http_last() {
        let config = RegistryConfig::default().with_mirrors(&["http://localhost:5000".into()]).unwrap();
        let hub = for_pull(&config, HUB);
        assert_eq!(bases(&hub), ["http://localhost:5000", HUB_ADDRESS]);
        assert!(hub[0].mirror && !hub[0].verify && !hub[1].mirror && hub[1].verify);
        assert_eq!(bases(&for_push(&config, HUB)), [HUB_ADDRESS]);
        assert_eq!(bases(&for_pull(&config, "r.example:1")), ["https://r.example:1"]);
        assert_eq!(bases(&for_pull(&config, "localhost:5000")), ["https://localhost:5000", "http://localhost:5000"]);
    }
}
