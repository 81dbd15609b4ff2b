//! Chooses what runs the containers. The only place in the whole that names a concrete engine.

use crate::config::{Config, EngineChoice};
use lighter_engine::Engine;
use lighter_engine_linux::{LinuxConfig, LinuxEngine, Pool, Proxies, RegistryConfig};
use lighter_engine_memory::{MemoryConfig, MemoryEngine};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const USUAL_ROOT: &str = "/var/lib/lighter";

/// An engine that is there for this machine and user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chosen {
    Linux,
    Memory,
}

/// Why no engine can be had.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(
        "the linux engine needs root to make containers: start lighterd with sudo, or try it without real containers \
         with --engine memory"
    )]
    NotRoot,
    #[error("the linux engine runs on Linux only: use --engine memory for containers that exist as records")]
    NotLinux,
    #[error("invalid setting {0}")]
    Setting(String),
    #[error("there is no {name} at {}: it belongs beside lighterd, or name it with {variable}", path.display())]
    Program { name: &'static str, variable: &'static str, path: PathBuf },
    #[error("the linux engine cannot start")]
    Linux(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Decides, before anything on the machine is touched.
pub fn choose(choice: EngineChoice, root: bool) -> Result<Chosen, EngineError> {
    match choice {
        EngineChoice::Memory => Ok(Chosen::Memory),
        EngineChoice::Auto | EngineChoice::Linux if !cfg!(target_os = "linux") => Err(EngineError::NotLinux),
        EngineChoice::Auto | EngineChoice::Linux if !root => Err(EngineError::NotRoot),
        EngineChoice::Auto | EngineChoice::Linux => Ok(Chosen::Linux),
    }
}

/// An engine, and what is to be done with it when the daemon ends.
pub struct Opened {
    pub engine: Arc<dyn Engine>,
    /// A Linux engine on a network of its own, see [`Opened::tidy`].
    temporary: Option<Arc<LinuxEngine>>,
}

impl Opened {
    /// A daemon on other roots than the usual ones (a test, an experiment) takes its bridge with it, if no container needs
    /// it. The usual one stays, as docker0 does.
    pub async fn tidy(&self) {
        if let Some(engine) = &self.temporary {
            match engine.remove_network().await {
                Ok(removed) => tracing::debug!(removed, "the network of this data root"),
                Err(error) => tracing::warn!(%error, "the bridge could not be removed"),
            }
        }
    }
}

/// Makes it.
pub async fn open(chosen: Chosen, config: &Config) -> Result<Opened, EngineError> {
    match chosen {
        Chosen::Memory => Ok(Opened { engine: Arc::new(MemoryEngine::new(MemoryConfig::default())), temporary: None }),
        Chosen::Linux => {
            let mut settings = linux_config(config)?;
            find_programs(&mut settings, |variable| std::env::var_os(variable))?;
            let engine = LinuxEngine::open(settings).await.map_err(|e| EngineError::Linux(Box::new(e)))?;
            let engine = Arc::new(engine);
            let temporary = (!is_usual(&config.data_root)).then(|| Arc::clone(&engine));
            Ok(Opened { engine, temporary })
        }
    }
}

fn is_usual(data_root: &Path) -> bool {
    data_root == Path::new(USUAL_ROOT)
}

/// Daemons on different roots run side by side: bridge and control group are named after the data root, unless it is the
/// usual one.
fn linux_config(config: &Config) -> Result<LinuxConfig, EngineError> {
    let network = &config.network;
    let mut linux = LinuxConfig::new(&config.data_root, &config.exec_root);
    if !is_usual(&config.data_root) {
        let mark = fnv(config.data_root.as_os_str().as_encoded_bytes());
        linux.bridge.bridge = format!("ltr{mark:08x}");
        linux.cgroup_parent = format!("lighter-{mark:08x}");
    }
    if let Some(bridge) = &network.bridge {
        if bridge == "none" {
            return Err(EngineError::Setting("--bridge none: containers can have --network none instead".to_owned()));
        }
        linux.bridge.bridge.clone_from(bridge);
    }
    let bad = |what: &str, value: &str, error: &dyn std::fmt::Display| EngineError::Setting(format!("{what} {value}: {error}"));
    if !network.default_address_pools.is_empty() {
        let pool = |p: &crate::config::Pool| {
            let base = p.base.parse().map_err(|e| bad("--default-address-pool", &p.to_string(), &e))?;
            Ok(Pool { base, size: p.size })
        };
        linux.bridge.pools = network.default_address_pools.iter().map(pool).collect::<Result<_, EngineError>>()?;
    }
    if let Some(bip) = &network.bip {
        let net: lighter_engine_linux::Ipv4Net = bip.parse().map_err(|e| bad("--bip", bip, &e))?;
        let first = u32::from(net.network()).saturating_add(1);
        if bip.split('/').next() != Some(std::net::Ipv4Addr::from(first).to_string().as_str()) {
            return Err(bad("--bip", bip, &"the bridge can have the first address of its network only"));
        }
        linux.bridge.subnet = Some(net);
    }
    linux.registry = registry_config(&config.registry)?;
    Ok(linux)
}

fn registry_config(config: &crate::config::Registry) -> Result<RegistryConfig, EngineError> {
    let setting = |e: lighter_engine_linux::RegistryError| EngineError::Setting(e.to_string());
    let mut registry = RegistryConfig::default();
    registry.max_downloads = config.max_downloads.unwrap_or(registry.max_downloads);
    registry.max_uploads = config.max_uploads.unwrap_or(registry.max_uploads);
    registry.max_attempts = config.max_attempts.unwrap_or(registry.max_attempts);
    registry.certs_dirs = vec![config.certs_dir.clone(), "/etc/docker/certs.d".into()];
    let crate::config::Proxies { http, https, exempt } = &config.proxies;
    let said = Proxies { http: http.clone(), https: https.clone(), exempt: exempt.clone() };
    registry.proxies = said.or_environment(|name| std::env::var(name)).map_err(setting)?;
    registry.with_insecure(&config.insecure).and_then(|r| r.with_mirrors(&config.mirrors)).map_err(setting)
}

/// The helper programs lie beside the daemon unless the environment says where. Without an init the daemon can do
/// everything but `--init`, so a missing one is an error only where it was asked for by name.
fn find_programs(linux: &mut LinuxConfig, variable: impl Fn(&str) -> Option<OsString>) -> Result<(), EngineError> {
    const SUPERVISOR: &str = "LIGHTER_SUPERVISOR";
    const INIT: &str = "LIGHTER_INIT";
    let named = |name| variable(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    if let Some(path) = named(SUPERVISOR) {
        linux.supervisor = path;
    }
    if !linux.supervisor.is_file() {
        let path = linux.supervisor.clone();
        return Err(EngineError::Program { name: "lighter-supervisor", variable: SUPERVISOR, path });
    }
    match named(INIT) {
        Some(path) if !path.is_file() => Err(EngineError::Program { name: "lighter-init", variable: INIT, path }),
        Some(path) => {
            linux.init = path;
            Ok(())
        }
        None => Ok(()),
    }
}

/// FNV-1a: the same in every build, which the standard hasher does not promise.
fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, b| (hash ^ u32::from(*b)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::Flags;
    use clap::Parser as _;

    #[test]
    fn without_root_the_way_out_is_named() {
        assert_eq!(choose(EngineChoice::Memory, false).unwrap(), Chosen::Memory);
        let words = choose(EngineChoice::Auto, false).unwrap_err().to_string();
        assert!(words.contains("sudo") && words.contains("--engine memory"), "{words}");
        assert_eq!(choose(EngineChoice::Auto, true).unwrap(), Chosen::Linux);
    }

    fn linux(argv: &[&str]) -> Result<LinuxConfig, EngineError> {
        let all = ["lighterd", "--config-file", "/dev/null"].iter().chain(argv);
        linux_config(&Config::new(Flags::try_parse_from(all).unwrap(), true).unwrap())
    }

    #[test]
    fn side_by_side() {
        let usual = linux(&[]).unwrap();
        assert_eq!((usual.bridge.bridge.as_str(), usual.cgroup_parent.as_str()), ("lighter0", "lighter"));
        let [a, b] = ["/tmp/a", "/tmp/b"].map(|root| linux(&["--data-root", root]).unwrap());
        assert_ne!(a.bridge.bridge, b.bridge.bridge);
        assert_ne!(a.cgroup_parent, b.cgroup_parent);
        assert!(a.bridge.bridge.len() <= 15);
        assert_eq!(linux(&["--data-root", "/tmp/a", "--bridge", "mine0"]).unwrap().bridge.bridge, "mine0");
    }

    #[test]
    fn networks_of_the_bridge() {
        let bridge = linux(&["--bip", "10.9.8.1/24"]).unwrap().bridge;
        assert_eq!(bridge.subnet.map(|net| net.to_string()).as_deref(), Some("10.9.8.0/24"));
        assert!(bridge.pools.len() > 1, "other networks have the usual pools");
        let pools = linux(&["--default-address-pool", "base=10.0.0.0/8,size=20"]).unwrap().bridge.pools;
        assert_eq!((pools[0].base.to_string().as_str(), pools[0].size), ("10.0.0.0/8", 20));
        for bad in
            [["--bip", "10.9.8.7/24"], ["--bip", "10.9.8.1"], ["--bridge", "none"], ["--default-address-pool", "base=x,size=9"]]
        {
            assert!(matches!(linux(&bad), Err(EngineError::Setting(_))), "{bad:?}");
        }
    }
    #[test]
    fn helper_programs() {
        let dir = tempfile::tempdir().unwrap();
        let there = dir.path().join("there");
        std::fs::write(&there, "").unwrap();
        let gone = dir.path().join("gone");
        let find = |supervisor: Option<&Path>, init: Option<&Path>| {
            let mut settings = linux(&[]).unwrap();
            settings.supervisor = gone.clone();
            let variable = |name: &str| match name {
                "LIGHTER_SUPERVISOR" => supervisor.map(|p| p.as_os_str().to_owned()),
                "LIGHTER_INIT" => init.map(|p| p.as_os_str().to_owned()),
                _ => None,
            };
            find_programs(&mut settings, variable).map(|()| settings).map_err(|e| e.to_string())
        };
        let found = find(Some(&there), Some(&there)).unwrap();
        assert_eq!((&found.supervisor, &found.init), (&there, &there));
        assert!(find(Some(&there), None).unwrap().init.ends_with("lighter-init"));
        for (supervisor, init, word) in [(None, None, "LIGHTER_SUPERVISOR"), (Some(&*there), Some(&*gone), "LIGHTER_INIT")] {
            let words = find(supervisor, init).unwrap_err();
            assert!(words.contains(word) && words.contains(gone.to_str().unwrap()), "{words}");
        }
    }
}
