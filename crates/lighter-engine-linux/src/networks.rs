//! The networks that exist without anyone having made them.

use crate::LinuxEngine;
use crate::engine::Inner;
use crate::fail::Context as _;
use async_trait::async_trait;
use lighter_domain::network::{Ipam, IpamPool, NewNetwork, Placement};
use lighter_domain::{Container, Error, Network, Result, id::random_hex64};
use lighter_engine::PortConflict;
use lighter_network::Networks;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use time::OffsetDateTime;

/// Their ids, which must stay the same for ever.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ids {
    #[serde(skip)]
    pub bridge: String,
    pub host: String,
    pub none: String,
}

impl Ids {
    /// Reads them, or makes them up and keeps them. Blocking.
    pub(crate) fn load(data_root: &Path, networks: &Networks) -> Result<Self> {
        let path = data_root.join("builtin-networks.json");
        let kept = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Self>(&text).ok());
        let mut ids = match kept {
            Some(ids) => ids,
            None => {
                let ids = Self { bridge: String::new(), host: random_hex64(), none: random_hex64() };
                let text = serde_json::to_vec(&ids).at("cannot encode", &path)?;
                let fresh = path.with_extension("new");
                std::fs::write(&fresh, text).at("cannot write", &fresh)?;
                std::fs::rename(&fresh, &path).at("cannot write", &path)?;
                ids
            }
        };
        ids.bridge = networks.info().network_id;
        Ok(ids)
    }
}

impl Inner {
    fn builtin_networks(&self) -> Vec<Arc<Network>> {
        let info = self.networks.info();
        let plain = |id: &str, name: &str, driver: &str| Network {
            id: id.to_owned(),
            name: name.to_owned(),
            driver: driver.to_owned(),
            created_at: OffsetDateTime::UNIX_EPOCH,
            enable_ipv4: true,
            enable_ipv6: false,
            internal: false,
            attachable: false,
            ipam: Ipam { driver: "default".to_owned(), ..Ipam::default() },
            options: BTreeMap::new(),
            labels: BTreeMap::new(),
            builtin: true,
        };
        let mut bridge = plain(&self.ids.bridge, "bridge", "bridge");
        if let Ok(subnet) = info.subnet.to_string().parse() {
            let gateway = Some(info.gateway.into());
            bridge.ipam.pools.push(IpamPool { subnet, ip_range: None, gateway, aux_addresses: BTreeMap::new() });
        }
        let options = [
            ("com.docker.network.bridge.default_bridge", "true".to_owned()),
            ("com.docker.network.bridge.enable_icc", "true".to_owned()),
            ("com.docker.network.bridge.enable_ip_masquerade", "true".to_owned()),
            ("com.docker.network.bridge.host_binding_ipv4", "0.0.0.0".to_owned()),
            ("com.docker.network.bridge.name", info.bridge),
            ("com.docker.network.driver.mtu", info.mtu.to_string()),
        ];
        bridge.options = options.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        let all = [bridge, plain(&self.ids.host, "host", "host"), plain(&self.ids.none, "none", "null")];
        all.into_iter().map(Arc::new).collect()
    }
}

fn not_yet<T>(what: &str) -> Result<T> {
    Err(Error::not_implemented(format!("the linux engine does not do {what} yet")))
}

#[async_trait]
impl lighter_engine::Networks for LinuxEngine {
    async fn list(&self) -> Result<Vec<Arc<Network>>> {
        Ok(self.inner.builtin_networks())
    }

    async fn create(&self, _new: NewNetwork) -> Result<Arc<Network>> {
        not_yet("user-defined networks")
    }

    async fn remove(&self, _id: &str) -> Result<()> {
        Ok(())
    }

    async fn connect(&self, _container: &Container, _network: &Network) -> Result<Placement> {
        not_yet("connecting containers to networks")
    }

    async fn disconnect(&self, _container: &Container, _network: &Network) -> Result<Placement> {
        not_yet("disconnecting containers from networks")
    }

    async fn renamed(&self, _container: &Container) -> Result<()> {
        Ok(())
    }

    async fn port_conflicts(&self, _containers: &[Arc<Container>]) -> Result<Vec<PortConflict>> {
        Ok(Vec::new())
    }
}
