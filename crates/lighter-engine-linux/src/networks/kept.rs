//! The networks that users made, on disk: one file each, written whole or not at all. A network is there when its file is.

use crate::fail::Context as _;
use lighter_domain::network::{Ipam, IpamPool};
use lighter_domain::{Network, Result};
use lighter_network::NetworkSpec;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use time::OffsetDateTime;

/// A network as clients see it, and as the kernel has it: not at all, if it only holds a configuration.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub network: Arc<Network>,
    pub spec: Option<NetworkSpec>,
}

/// All of them.
pub(crate) struct Kept {
    dir: PathBuf,
    all: RwLock<Vec<Made>>,
    /// Held while one is made or removed.
    pub changing: Arc<tokio::sync::Mutex<()>>,
}

impl Kept {
    /// Reads them. A file that cannot be understood is said and left alone. Blocking.
    pub(crate) fn load(dir: PathBuf) -> Result<Self> {
        fs::create_dir_all(&dir).at("cannot make", &dir)?;
        let mut all = Vec::new();
        for entry in fs::read_dir(&dir).at("cannot read", &dir)?.flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let read = fs::read(&path).map_err(|e| e.to_string());
            match read.and_then(|text| serde_json::from_slice::<Record>(&text).map_err(|e| e.to_string())) {
                Ok(record) => all.push(record.into_made()),
                Err(error) => tracing::error!(path = %path.display(), error, "a network's file cannot be read: it is left out"),
            }
        }
        all.sort_by_key(|made| (made.network.created_at, made.network.id.clone()));
        Ok(Self { dir, all: RwLock::new(all), changing: Arc::default() })
    }

    pub(crate) fn all(&self) -> Vec<Made> {
        self.all.read().clone()
    }

    pub(crate) fn find(&self, id: &str) -> Option<Made> {
        self.all.read().iter().find(|made| made.network.id == id).cloned()
    }

    pub(crate) fn specs(&self) -> Vec<NetworkSpec> {
        self.all.read().iter().filter_map(|made| made.spec.clone()).collect()
    }

    fn path(&self, id: &str) -> PathBuf {
        self.dir.join(format!("{id}.json"))
    }

    /// Blocking.
    pub(crate) fn add(&self, made: Made) -> Result<()> {
        let path = self.path(&made.network.id);
        let text = serde_json::to_vec_pretty(&Record::of(&made)).at("cannot encode", &path)?;
        write(&path, &text).at("cannot write", &path)?;
        self.all.write().push(made);
        Ok(())
    }

    /// Blocking.
    pub(crate) fn remove(&self, id: &str) -> Result<()> {
        let path = self.path(id);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e).at("cannot remove", &path),
            _ => {}
        }
        self.all.write().retain(|made| made.network.id != id);
        Ok(())
    }
}

fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = File::create(&fresh)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

/// A file's content.
#[derive(Serialize, Deserialize)]
struct Record {
    driver: String,
    /// Nanoseconds since the epoch.
    created_at: i64,
    enable_ipv4: bool,
    enable_ipv6: bool,
    attachable: bool,
    ipam_driver: String,
    ipam_options: Option<BTreeMap<String, String>>,
    pools: Vec<Pool>,
    options: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    #[serde(default)]
    config_from: String,
    #[serde(flatten)]
    what: What,
}

/// What a network is beside its settings.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    Spec(Box<NetworkSpec>),
    /// It is nothing but those.
    Configuration {
        id: String,
        name: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Pool {
    subnet: ipnet::IpNet,
    ip_range: Option<ipnet::IpNet>,
    gateway: Option<IpAddr>,
    aux_addresses: BTreeMap<String, IpAddr>,
}

impl Record {
    fn of(made: &Made) -> Self {
        let network = Network::clone(&made.network);
        let pool = |IpamPool { subnet, ip_range, gateway, aux_addresses }| Pool { subnet, ip_range, gateway, aux_addresses };
        Self {
            driver: network.driver,
            created_at: i64::try_from(network.created_at.unix_timestamp_nanos()).unwrap_or_default(),
            enable_ipv4: network.enable_ipv4,
            enable_ipv6: network.enable_ipv6,
            attachable: network.attachable,
            ipam_driver: network.ipam.driver,
            ipam_options: network.ipam.options,
            pools: network.ipam.pools.into_iter().map(pool).collect(),
            options: network.options,
            labels: network.labels,
            config_from: network.config_from,
            what: match made.spec.clone() {
                Some(spec) => What::Spec(Box::new(spec)),
                None => What::Configuration { id: network.id, name: network.name },
            },
        }
    }

    fn into_made(self) -> Made {
        let pool = |Pool { subnet, ip_range, gateway, aux_addresses }| IpamPool { subnet, ip_range, gateway, aux_addresses };
        let (id, name, spec) = match self.what {
            What::Spec(spec) => (spec.id.clone(), spec.name.clone(), Some(*spec)),
            What::Configuration { id, name } => (id, name, None),
        };
        let network = Network {
            id,
            name,
            driver: self.driver,
            created_at: OffsetDateTime::from_unix_timestamp_nanos(self.created_at.into()).unwrap_or(OffsetDateTime::UNIX_EPOCH),
            enable_ipv4: self.enable_ipv4,
            enable_ipv6: self.enable_ipv6,
            internal: spec.as_ref().is_some_and(|spec| spec.internal),
            attachable: self.attachable,
            ipam: Ipam {
                driver: self.ipam_driver,
                options: self.ipam_options,
                pools: self.pools.into_iter().map(pool).collect(),
            },
            options: self.options,
            labels: self.labels,
            builtin: false,
            config_only: spec.is_none(),
            config_from: self.config_from,
        };
        Made { network: Arc::new(network), spec }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lighter_domain::network::NewNetwork;

    #[test]
    fn comes_back_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Kept::load(dir.path().to_owned()).unwrap();
        let pool = IpamPool {
            subnet: "10.7.0.0/16".parse().unwrap(),
            ip_range: Some("10.7.1.0/24".parse().unwrap()),
            gateway: None,
            aux_addresses: BTreeMap::from([("router".into(), "10.7.1.9".parse().unwrap())]),
        };
        let new = NewNetwork {
            name: "net".into(),
            ipam: Ipam { pools: vec![pool], ..Ipam::default() },
            options: BTreeMap::from([("com.docker.network.driver.mtu".into(), "1400".into())]),
            labels: BTreeMap::from([("a".into(), "b".into())]),
            attachable: true,
            ..NewNetwork::default()
        };
        let plan = super::super::request::plan(new, &[]).unwrap();
        let made = Made { network: Arc::new(Network { config_from: "settings".into(), ..plan.network }), spec: Some(plan.spec) };
        kept.add(made.clone()).unwrap();
        let settings = NewNetwork { name: "settings".into(), ipam: made.network.ipam.clone(), ..NewNetwork::default() };
        let settings = Made { network: Arc::new(lighter_engine::configuration(settings)), spec: None };
        kept.add(settings.clone()).unwrap();
        std::fs::write(dir.path().join("torn.json"), "{").unwrap();
        let again = Kept::load(dir.path().to_owned()).unwrap().all();
        assert_eq!((again.len(), &again[0].network, &again[0].spec), (2, &made.network, &made.spec));
        assert_eq!((&again[1].network, again[1].spec.is_some()), (&settings.network, false));
        kept.remove(&settings.network.id).unwrap();
        kept.remove(&made.network.id).unwrap();
        kept.remove(&made.network.id).unwrap();
        assert!(Kept::load(dir.path().to_owned()).unwrap().all().is_empty());
    }
}
