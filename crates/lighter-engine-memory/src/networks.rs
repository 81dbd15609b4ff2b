//! Networks as records: pools and addresses are managed as they should be, and nothing is connected.

mod addresses;
mod ports;

use addresses::{Addresses, choose_pools};
use async_trait::async_trait;
use lighter_domain::container::EndpointStatus;
use lighter_domain::id::random_hex64;
use lighter_domain::network::{Ipam, IpamPool, NewNetwork, Placement};
use lighter_domain::{Container, ContainerId, EndpointConfig, Error, Network, Result};
use lighter_engine::{Basics, PortConflict, configuration};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use time::OffsetDateTime;

#[derive(Default)]
pub(crate) struct Networks(Mutex<State>);

struct State {
    all: Vec<Made>,
    /// Of containers that run: where they are, by network name.
    placed: BTreeMap<ContainerId, Placement>,
    ports: ports::Ports,
}

struct Made {
    network: Arc<Network>,
    addresses: Addresses,
}

impl Default for State {
    fn default() -> Self {
        let network = |name: &str, driver: &str, pools: Vec<IpamPool>| {
            let network = Network {
                id: random_hex64(),
                name: name.to_owned(),
                driver: driver.to_owned(),
                created_at: OffsetDateTime::now_utc(),
                enable_ipv4: true,
                enable_ipv6: false,
                internal: false,
                attachable: false,
                ipam: Ipam { driver: "default".to_owned(), options: None, pools },
                options: BTreeMap::new(),
                labels: BTreeMap::new(),
                builtin: true,
                config_only: false,
                config_from: String::new(),
            };
            Made { addresses: Addresses::of(&network.ipam), network: Arc::new(network) }
        };
        let net = ipnet::Ipv4Net::new_assert(Ipv4Addr::new(172, 17, 0, 0), 16);
        let gateway = Some(IpAddr::V4(Ipv4Addr::new(172, 17, 0, 1)));
        let pool = IpamPool { subnet: net.into(), ip_range: None, gateway, aux_addresses: BTreeMap::new() };
        let all = vec![
            network("bridge", "bridge", vec![pool]),
            network("host", "host", Vec::new()),
            network("none", "null", Vec::new()),
        ];
        Self { all, placed: BTreeMap::new(), ports: ports::Ports::default() }
    }
}

impl State {
    /// Takes what the container asks of one network.
    fn join(&mut self, container: &Container, name: &str) -> Result<EndpointStatus> {
        let id = container.networks.get(name).map_or("", |at| at.network_id.as_str());
        let found = self.all.iter_mut().find(|m| if id.is_empty() { m.network.name == name } else { m.network.id == id });
        let made = found.ok_or_else(|| Error::not_found(format!("network {name} not found")))?;
        let none = EndpointConfig::default();
        made.addresses.take(&made.network, container.endpoints.get(name).unwrap_or(&none))
    }

    fn leave(&mut self, status: &EndpointStatus) {
        if let Some(made) = self.all.iter_mut().find(|m| m.network.id == status.network_id) {
            made.addresses.give_back(status);
        }
    }
}

impl Networks {
    /// Puts a container that starts onto its networks.
    pub fn start(&self, container: &Container) -> Result<Placement> {
        let mode = match container.host_config.network_mode.as_str() {
            "" | "default" => "bridge",
            mode => mode,
        };
        let mut names: Vec<&str> = container.endpoints.keys().chain(container.networks.keys()).map(String::as_str).collect();
        if !mode.starts_with("container:") {
            names.push(mode);
        }
        names.sort_unstable();
        names.dedup();
        let mut state = self.0.lock();
        let mut placement = Placement::default();
        for name in names {
            match state.join(container, name) {
                Ok(status) => drop(placement.networks.insert(name.to_owned(), status)),
                Err(error) => {
                    placement.networks.values().for_each(|status| state.leave(status));
                    return Err(error);
                }
            }
        }
        match state.ports.take(container) {
            Ok(ports) => placement.ports = ports,
            Err(error) => {
                placement.networks.values().for_each(|status| state.leave(status));
                return Err(error);
            }
        }
        state.placed.insert(container.id.clone(), placement.clone());
        Ok(placement)
    }

    /// A container's run is over.
    pub fn end(&self, id: &ContainerId) {
        let mut state = self.0.lock();
        if let Some(placement) = state.placed.remove(id) {
            placement.networks.values().for_each(|status| state.leave(status));
        }
        state.ports.give_back(id);
    }

    pub fn placement(&self, id: &ContainerId) -> Placement {
        self.0.lock().placed.get(id).cloned().unwrap_or_default()
    }
}

#[async_trait]
impl lighter_engine::Networks for Networks {
    async fn list(&self) -> Result<Vec<Arc<Network>>> {
        Ok(self.0.lock().all.iter().map(|m| m.network.clone()).collect())
    }

    async fn create(&self, new: NewNetwork) -> Result<Arc<Network>> {
        if new.config_only {
            let network = Arc::new(configuration(new));
            let addresses = Addresses::of(&Ipam::default());
            self.0.lock().all.push(Made { network: network.clone(), addresses });
            return Ok(network);
        }
        let Basics { driver, ipam_driver, enable_ipv4, enable_ipv6 } = Basics::of(&new)?;
        let NewNetwork {
            name,
            driver: _,
            enable_ipv4: _,
            enable_ipv6: _,
            internal,
            attachable,
            ipam,
            options,
            labels,
            config_only,
            config_from,
        } = new;
        let mut state = self.0.lock();
        let real = state.all.iter().filter(|m| !m.network.config_only);
        let taken = real.flat_map(|m| &m.network.ipam.pools).map(|pool| pool.subnet).collect::<Vec<_>>();
        let pools = choose_pools(ipam.pools, enable_ipv4, enable_ipv6, &taken)?;
        let network = Arc::new(Network {
            id: random_hex64(),
            name,
            driver,
            created_at: OffsetDateTime::now_utc(),
            enable_ipv4,
            enable_ipv6,
            internal,
            attachable,
            ipam: Ipam { driver: ipam_driver, options: ipam.options, pools },
            options,
            labels,
            builtin: false,
            config_only,
            config_from,
        });
        state.all.push(Made { network: network.clone(), addresses: Addresses::of(&network.ipam) });
        Ok(network)
    }

    async fn remove(&self, id: &str) -> Result<()> {
        let mut state = self.0.lock();
        let used = state.placed.values().flat_map(|p| p.networks.values()).any(|at| at.network_id == id);
        if used {
            return Err(Error::forbidden(format!("network {id} has active endpoints")));
        }
        state.all.retain(|m| m.network.builtin || m.network.id != id);
        Ok(())
    }

    async fn connect(&self, container: &Container, network: &Network) -> Result<Placement> {
        let mut state = self.0.lock();
        if !state.placed.contains_key(&container.id) {
            return Err(crate::not_running(&container.id));
        }
        let status = state.join(container, &network.name)?;
        let placement = state.placed.entry(container.id.clone()).or_default();
        placement.networks.insert(network.name.clone(), status);
        Ok(placement.clone())
    }

    async fn disconnect(&self, container: &Container, network: &Network) -> Result<Placement> {
        let mut state = self.0.lock();
        let placement = state.placed.get_mut(&container.id).ok_or_else(|| crate::not_running(&container.id))?;
        let left = placement.networks.remove(&network.name);
        let placement = placement.clone();
        if let Some(status) = left {
            state.leave(&status);
        }
        Ok(placement)
    }

    async fn renamed(&self, _container: &Container) -> Result<()> {
        Ok(())
    }

    async fn port_conflicts(&self, containers: &[Arc<Container>]) -> Result<Vec<PortConflict>> {
        Ok(self.0.lock().ports.conflicts(containers))
    }
}
