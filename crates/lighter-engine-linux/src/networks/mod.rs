//! Networks: those that exist without anyone having made them are here, those that users make in `kept`.
//!
//! `request` decides on what is asked of a new one, `live` connects containers that run, `names` lets them find each other, `ports` and `holders` are about what
//! is published. What the kernel is told is the affair of `lighter-network`.

mod holders;
mod kept;
mod live;
mod names;
pub(crate) mod ports;
mod request;

pub(crate) use kept::{Kept, Made};

use crate::LinuxEngine;
use crate::engine::Inner;
use crate::fail::Context as _;
use async_trait::async_trait;
use lighter_domain::network::{Ipam, IpamPool, NewNetwork, Placement};
use lighter_domain::{Container, Error, ErrorKind, Network, Result, id::random_hex64};
use lighter_engine::{PortConflict, configuration};
use lighter_network::{NetworkError, Networks};
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
            config_only: false,
            config_from: String::new(),
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

/// In dockerd's words and kinds.
fn refused(error: &NetworkError) -> Error {
    let kind = match error {
        NetworkError::PoolOverlaps | NetworkError::AddressInUse { .. } | NetworkError::InUse { .. } => ErrorKind::Forbidden,
        NetworkError::NoFreeSubnet | NetworkError::NoSuchSubnet { .. } | NetworkError::BadName { .. } => {
            ErrorKind::InvalidArgument
        }
        NetworkError::NoParent { .. } => ErrorKind::InvalidArgument,
        NetworkError::BridgeTaken { .. } => ErrorKind::Conflict,
        _ => ErrorKind::Internal,
    };
    Error::new(kind, in_full(error))
}

/// With its causes.
pub(crate) fn in_full(error: &NetworkError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(e) = cause {
        text.push_str(": ");
        text.push_str(&e.to_string());
        cause = e.source();
    }
    text
}

impl Inner {
    /// All networks: those that nobody made, then the others in the order of their making.
    pub(crate) fn all_networks(&self) -> Vec<Arc<Network>> {
        let mut all = self.builtin_networks();
        all.extend(self.kept.all().into_iter().map(|made| made.network));
        all
    }

    async fn create_network(self: &Arc<Self>, new: NewNetwork) -> Result<Arc<Network>> {
        let changing = Arc::clone(&self.kept.changing).lock_owned().await;
        let this = Arc::clone(self);
        if new.config_only {
            let network = Arc::new(configuration(new));
            let made = Made { network: Arc::clone(&network), spec: None };
            let keep = move || {
                let _changing = changing;
                this.kept.add(made)
            };
            return tokio::task::spawn_blocking(keep).await.context("writing was broken off")?.map(|()| network);
        }
        let plan = request::plan(new, &self.kept.all())?;
        // Goes on when the caller goes away: else a bridge would be left until the next start.
        let task = tokio::spawn(async move {
            let _changing = changing;
            let spec = this.networks.create(plan.spec.clone(), plan.pick).await.map_err(|e| refused(&e))?;
            let made = plan.settled(spec);
            let network = Arc::clone(&made.network);
            let that = Arc::clone(&this);
            let kept = tokio::task::spawn_blocking(move || that.kept.add(made)).await.context("writing was broken off")?;
            if let Err(error) = kept {
                if let Err(e) = this.networks.remove(&network.id).await {
                    tracing::warn!(network = network.name, error = %e, "what there was of a network could not be removed");
                }
                return Err(error);
            }
            Ok(network)
        });
        task.await.context("making a network was broken off")?
    }

    async fn remove_network(self: &Arc<Self>, id: &str) -> Result<()> {
        let changing = Arc::clone(&self.kept.changing).lock_owned().await;
        if self.kept.find(id).is_none() {
            return Ok(());
        }
        let (this, id) = (Arc::clone(self), id.to_owned());
        let task = tokio::spawn(async move {
            let _changing = changing;
            this.networks.remove(&id).await.map_err(|e| refused(&e))?;
            tokio::task::spawn_blocking(move || this.kept.remove(&id)).await.context("removing was broken off")?
        });
        task.await.context("removing a network was broken off")?
    }
}

#[async_trait]
impl lighter_engine::Networks for LinuxEngine {
    async fn list(&self) -> Result<Vec<Arc<Network>>> {
        Ok(self.inner.all_networks())
    }

    async fn create(&self, new: NewNetwork) -> Result<Arc<Network>> {
        self.inner.create_network(new).await
    }

    async fn remove(&self, id: &str) -> Result<()> {
        self.inner.remove_network(id).await
    }

    async fn connect(&self, container: &Container, network: &Network) -> Result<Placement> {
        self.inner.connect_live(container, network).await
    }

    async fn disconnect(&self, container: &Container, network: &Network) -> Result<Placement> {
        self.inner.disconnect_live(container, network).await
    }

    async fn renamed(&self, container: &Container) -> Result<()> {
        if let Some(attachment) = self.inner.networks.attachment(container.id.as_str()) {
            self.inner.publish_names(container, &attachment);
        }
        Ok(())
    }

    async fn port_conflicts(&self, containers: &[Arc<Container>]) -> Result<Vec<PortConflict>> {
        self.inner.conflicts(containers).await
    }
}
