//! Who is called what on which network, and the finding. No I/O.

use std::collections::HashMap;
use std::net::IpAddr;

use super::{EndpointNames, View};

/// The names of all networks, by the networks' ids.
#[derive(Debug, Default)]
pub(super) struct Zones(HashMap<String, Zone>);

/// The names of one network. Names are kept in lower case, since DNS does not tell cases apart.
#[derive(Debug, Default)]
struct Zone {
    /// The network's name.
    name: String,
    endpoints: HashMap<String, EndpointNames>,
    /// Name to containers, in the order of their coming.
    by_name: HashMap<String, Vec<String>>,
    by_address: HashMap<IpAddr, String>,
}

impl Zone {
    fn remove(&mut self, container: &str) {
        let Some(old) = self.endpoints.remove(container) else { return };
        for name in all_names(&old) {
            if let Some(holders) = self.by_name.get_mut(name) {
                holders.retain(|holder| holder != container);
                if holders.is_empty() {
                    self.by_name.remove(name);
                }
            }
        }
        self.by_address.retain(|_, holder| holder != container);
    }

    fn insert(&mut self, container: &str, names: EndpointNames) {
        for name in all_names(&names) {
            let holders = self.by_name.entry(name.clone()).or_default();
            if !holders.iter().any(|holder| holder == container) {
                holders.push(container.to_owned());
            }
        }
        for address in &names.addresses {
            self.by_address.insert(*address, container.to_owned());
        }
        self.endpoints.insert(container.to_owned(), names);
    }

    fn addresses(&self, name: &str) -> Option<Vec<IpAddr>> {
        let holders = self.by_name.get(name)?;
        Some(holders.iter().filter_map(|holder| self.endpoints.get(holder)).flat_map(|e| e.addresses.iter().copied()).collect())
    }
}

fn all_names(names: &EndpointNames) -> impl Iterator<Item = &String> {
    std::iter::once(&names.name).chain(&names.aliases).filter(|name| !name.is_empty())
}

impl Zones {
    pub(super) fn publish(&mut self, network: &str, network_name: &str, container: &str, names: EndpointNames) {
        let zone = self.0.entry(network.to_owned()).or_default();
        zone.name = network_name.to_lowercase();
        let lower = EndpointNames {
            name: names.name.to_lowercase(),
            aliases: names.aliases.iter().map(|alias| alias.to_lowercase()).collect(),
            addresses: names.addresses,
        };
        zone.remove(container);
        zone.insert(container, lower);
    }

    pub(super) fn withdraw(&mut self, network: &str, container: &str) {
        let Some(zone) = self.0.get_mut(network) else { return };
        zone.remove(container);
        if zone.endpoints.is_empty() {
            self.0.remove(network);
        }
    }

    pub(super) fn withdraw_all(&mut self, container: &str) {
        self.0.retain(|_, zone| {
            zone.remove(container);
            !zone.endpoints.is_empty()
        });
    }

    /// The addresses of a name (lower case, no dot at its end) as `view` sees it: `None` if nobody there is called so. The
    /// first network that knows it counts. `name.network` names one on a certain network.
    pub(super) fn find(&self, view: &View, name: &str) -> Option<Vec<IpAddr>> {
        let seats = || view.networks.iter().filter_map(|seat| Some((seat, self.0.get(&seat.network)?)));
        for (seat, zone) in seats() {
            let linked = seat.links.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(name));
            let found = match linked {
                Some((_, target)) => zone.addresses(&target.to_lowercase()),
                None => zone.addresses(name),
            };
            if found.is_some() {
                return found;
            }
        }
        seats().find_map(|(_, zone)| zone.addresses(name.strip_suffix(&zone.name)?.strip_suffix('.')?))
    }

    /// The name of an address on one of the view's networks, the network's name behind it.
    pub(super) fn find_name(&self, view: &View, address: IpAddr) -> Option<String> {
        view.networks.iter().find_map(|seat| {
            let zone = self.0.get(&seat.network)?;
            let endpoint = zone.endpoints.get(zone.by_address.get(&address)?)?;
            Some(format!("{}.{}", endpoint.name, zone.name))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Seat;
    use std::collections::BTreeMap;

    fn names(name: &str, aliases: &[&str], addresses: &[&str]) -> EndpointNames {
        EndpointNames {
            name: name.into(),
            aliases: aliases.iter().map(|&a| a.into()).collect(),
            addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        }
    }

    fn view(networks: &[&str]) -> View {
        let networks = networks.iter().map(|&network| Seat { network: network.into(), links: BTreeMap::new() }).collect();
        View { networks, ..View::default() }
    }

    fn ips(texts: &[&str]) -> Option<Vec<IpAddr>> {
        Some(texts.iter().map(|t| t.parse().unwrap()).collect())
    }

    fn zones() -> Zones {
        let mut zones = Zones::default();
        zones.publish("n1", "front", "a", names("web-1", &["web", "aaa", "web"], &["10.0.1.2"]));
        zones.publish("n1", "front", "b", names("Web-2", &["WEB"], &["10.0.1.3", "fd00::3"]));
        zones.publish("n2", "back.end", "c", names("db", &["data.store"], &["10.0.2.2"]));
        zones
    }

    #[test]
    fn each_sees_its_own_networks_only() {
        let zones = zones();
        assert_eq!(zones.find(&view(&["n1"]), "web-1"), ips(&["10.0.1.2"]));
        assert_eq!(zones.find(&view(&["n1"]), "web-2"), ips(&["10.0.1.3", "fd00::3"]));
        assert_eq!(zones.find(&view(&["n1"]), "web"), ips(&["10.0.1.2", "10.0.1.3", "fd00::3"]));
        assert_eq!(zones.find(&view(&["n1"]), "db"), None);
        assert_eq!(zones.find(&view(&["n2"]), "web"), None);
        assert_eq!(zones.find(&view(&["n1", "n2"]), "db"), ips(&["10.0.2.2"]));
        assert_eq!(zones.find(&view(&["gone"]), "db"), None);
    }

    #[test]
    fn the_networks_name_may_stand_behind() {
        let zones = zones();
        let both = view(&["n1", "n2"]);
        assert_eq!(zones.find(&both, "web-1.front"), ips(&["10.0.1.2"]));
        assert_eq!(zones.find(&both, "db.back.end"), ips(&["10.0.2.2"]));
        assert_eq!(zones.find(&both, "data.store.back.end"), ips(&["10.0.2.2"]));
        for unknown in ["web-1.back.end", "db.front", "front", ".front", "web-1.fronty", "web-1front"] {
            assert_eq!(zones.find(&both, unknown), None, "{unknown}");
        }
    }

    #[test]
    fn the_first_network_that_knows_a_name_counts() {
        let mut zones = zones();
        zones.publish("n2", "back.end", "d", names("other", &["web"], &["10.0.2.9"]));
        assert_eq!(zones.find(&view(&["n2", "n1"]), "web"), ips(&["10.0.2.9"]));
        assert_eq!(zones.find(&view(&["n1", "n2"]), "web"), ips(&["10.0.1.2", "10.0.1.3", "fd00::3"]));
    }

    #[test]
    fn links_are_ones_own() {
        let mut mine = view(&["n1"]);
        mine.networks[0].links.insert("Server".into(), "Web-1".into());
        mine.networks[0].links.insert("nobody".into(), "gone".into());
        assert_eq!(zones().find(&mine, "server"), ips(&["10.0.1.2"]));
        assert_eq!(zones().find(&mine, "nobody"), None);
        assert_eq!(zones().find(&view(&["n1"]), "server"), None);
    }

    #[test]
    fn addresses_lead_back() {
        let zones = zones();
        let both = view(&["n1", "n2"]);
        assert_eq!(zones.find_name(&both, "10.0.1.3".parse().unwrap()).as_deref(), Some("web-2.front"));
        assert_eq!(zones.find_name(&both, "fd00::3".parse().unwrap()).as_deref(), Some("web-2.front"));
        assert_eq!(zones.find_name(&view(&["n1"]), "10.0.2.2".parse().unwrap()), None);
    }

    #[test]
    fn renamed_and_gone() {
        let mut zones = zones();
        zones.publish("n1", "front", "a", names("new", &[], &["10.0.1.7"]));
        let n1 = view(&["n1"]);
        assert_eq!(zones.find(&n1, "web-1"), None);
        assert_eq!(zones.find(&n1, "web"), ips(&["10.0.1.3", "fd00::3"]));
        assert_eq!(zones.find_name(&n1, "10.0.1.2".parse().unwrap()), None);
        zones.withdraw("n1", "a");
        zones.withdraw("n1", "a");
        assert_eq!(zones.find(&n1, "new"), None);
        zones.publish("n2", "back.end", "b", names("b", &[], &["10.0.2.3"]));
        zones.withdraw_all("b");
        assert_eq!((zones.find(&n1, "web"), zones.find(&view(&["n2"]), "b")), (None, None));
        zones.withdraw("n2", "c");
        assert!(zones.0.is_empty());
    }
}
