//! Networks as records: addresses are counted up, and nothing is connected.

use async_trait::async_trait;
use lighter_domain::container::EndpointStatus;
use lighter_domain::id::random_hex64;
use lighter_domain::network::{Ipam, IpamPool, NewNetwork, Placement};
use lighter_domain::{Container, Error, Network, Result};
use lighter_engine::PortConflict;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use time::OffsetDateTime;

pub(crate) struct Networks {
    all: Vec<Arc<Network>>,
    next_address: AtomicU32,
}

impl Default for Networks {
    fn default() -> Self {
        let network = |name: &str, driver: &str, pools: Vec<IpamPool>| {
            Arc::new(Network {
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
            })
        };
        let net = ipnet::Ipv4Net::new_assert(Ipv4Addr::new(172, 17, 0, 0), 16);
        let gateway = Some(IpAddr::V4(Ipv4Addr::new(172, 17, 0, 1)));
        let pool = IpamPool { subnet: net.into(), ip_range: None, gateway, aux_addresses: BTreeMap::new() };
        let all = vec![
            network("bridge", "bridge", vec![pool]),
            network("host", "host", Vec::new()),
            network("none", "null", Vec::new()),
        ];
        Self { all, next_address: AtomicU32::new(0) }
    }
}

impl Networks {
    /// Where a container would be on its network; only the built-in ones exist.
    pub fn place(&self, container: &Container) -> Placement {
        let name = match container.host_config.network_mode.as_str() {
            "" | "default" => "bridge",
            mode => mode,
        };
        let Some(network) = self.all.iter().find(|n| n.name == name) else { return Placement::default() };
        let mut endpoint =
            EndpointStatus { network_id: network.id.clone(), endpoint_id: random_hex64(), ..EndpointStatus::default() };
        if name == "bridge" {
            // 172.17.0.2 to 172.17.255.254, again and again.
            let n = self.next_address.fetch_add(1, Ordering::Relaxed) % 65_533 + 2;
            let [a, b] = [(n >> 8) as u8, (n & 0xff) as u8];
            endpoint.gateway = Some(IpAddr::V4(Ipv4Addr::new(172, 17, 0, 1)));
            endpoint.ip = Some(IpAddr::V4(Ipv4Addr::new(172, 17, a, b)));
            endpoint.prefix_len = 16;
            endpoint.mac = format!("02:42:ac:11:{a:02x}:{b:02x}");
        }
        Placement { networks: BTreeMap::from([(name.to_owned(), endpoint)]), ports: BTreeMap::new() }
    }
}

fn not_yet<T>(what: &str) -> Result<T> {
    Err(Error::not_implemented(format!("the memory engine does not do {what} yet")))
}

#[async_trait]
impl lighter_engine::Networks for Networks {
    async fn list(&self) -> Result<Vec<Arc<Network>>> {
        Ok(self.all.clone())
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
