//! What one daemon of ours has of the host's network, as the kernel tells it: bridges, interfaces, and what its firewall's table
//! leads elsewhere. Compared with what the daemon says that it has, what is left over by a death shows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::daemon::{Daemon, bridge_of};
use crate::eventually;

/// By what names things go is no matter; what they belong to is.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Estate {
    /// Ids of the networks that users made and that have a bridge, or a parent that is ours.
    pub networks: BTreeSet<String>,
    /// Ids of the endpoints that have an interface on one of its bridges; what else is on one, by its name.
    pub endpoints: BTreeSet<String>,
    /// `tcp 8080 172.18.0.2`: ports of the host (IPv4), and the addresses that they lead to.
    pub ports: BTreeSet<String>,
}

impl Estate {
    /// What a daemon on these roots has, be it alive or not.
    #[must_use]
    pub fn on_the_machine(roots: &Path) -> Self {
        let owner = format!("lighter {}", roots.join("data/network").display());
        let mut estate = Self { ports: ports(roots), ..Self::default() };
        let (mut bridges, mut veths) = (BTreeSet::from([bridge_of(roots).0]), Vec::new());
        for entry in std::fs::read_dir("/sys/class/net").unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let alias = std::fs::read_to_string(entry.path().join("ifalias")).unwrap_or_default();
            if let Some(id) = alias.trim().strip_prefix(&format!("{owner}#")) {
                estate.networks.insert(id.to_owned());
                bridges.insert(name);
            } else if let Ok(master) = std::fs::read_link(entry.path().join("master")) {
                veths.push((name, master.file_name().unwrap().to_string_lossy().into_owned(), alias.trim().to_owned()));
            }
        }
        for (name, _, alias) in veths.into_iter().filter(|(_, master, _)| bridges.contains(master)) {
            estate.endpoints.insert(alias.rsplit_once(':').map_or(name, |(_, endpoint)| endpoint.to_owned()));
        }
        estate
    }

    /// What the daemon says: its networks, and those of the containers that run.
    #[must_use]
    pub fn told(daemon: &Daemon) -> Self {
        let mut estate = Self::default();
        let networks = daemon.http("GET", "/networks", None).json();
        for network in networks.as_array().unwrap() {
            let builtin = ["bridge", "host", "none"].iter().any(|name| network["Name"] == *name);
            if !builtin && network["ConfigOnly"] != true {
                estate.networks.insert(network["Id"].as_str().unwrap().to_owned());
            }
        }
        for container in daemon.http("GET", "/containers/json", None).json().as_array().unwrap() {
            let path = format!("/containers/{}/json", container["Id"].as_str().unwrap());
            let shown = daemon.http("GET", &path, None).json()["NetworkSettings"].clone();
            let at: Vec<_> = shown["Networks"].as_object().into_iter().flat_map(|all| all.values()).collect();
            let words = |key| at.iter().filter_map(|e| e[key].as_str()).filter(|w| !w.is_empty()).collect::<Vec<_>>();
            estate.endpoints.extend(words("EndpointID").into_iter().map(str::to_owned));
            let addresses = words("IPAddress");
            let Some(address) = addresses.first() else { continue };
            assert!(addresses.len() == 1 || published(&shown).is_empty(), "who publishes ports is on one network: {shown}");
            estate.ports.extend(published(&shown).into_iter().map(|port| format!("{port} {address}")));
        }
        estate
    }

    /// Waits until the machine has exactly what the daemon says.
    #[track_caller]
    pub fn assert_as_told(daemon: &Daemon) {
        let roots = daemon.roots.as_ref().expect("a daemon of ours");
        let mut seen = String::new();
        let deadline = std::time::Instant::now() + crate::PATIENCE;
        while std::time::Instant::now() < deadline {
            let (told, there) = (Self::told(daemon), Self::on_the_machine(roots));
            if told == there {
                return;
            }
            seen = format!("told: {told:#?}\nthere: {there:#?}");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let logs = std::fs::read_dir(roots).into_iter().flatten().flatten().map(|entry| entry.path());
        let logs =
            logs.filter(|path| path.extension().is_some_and(|e| e == "log")).map(|path| (std::fs::read_to_string(&path), path));
        let said: String = logs.filter_map(|(text, path)| Some(format!("{}:\n{}\n", path.display(), text.ok()?))).collect();
        panic!("what the machine has is not what the daemon says\n{seen}\n{said}");
    }

    /// Waits until nothing is left of a daemon that was ended: no table, no bridge, no interface.
    #[track_caller]
    pub fn assert_nothing_left(roots: &Path) {
        let (bridge, _) = bridge_of(roots);
        eventually(&format!("nothing of {} is left", roots.display()), || {
            let clear = Self::on_the_machine(roots) == Self::default()
                && table(roots).is_none()
                && !Path::new("/sys/class/net").join(&bridge).exists();
            clear.then_some(())
        });
    }
}

/// `tcp 8080`: where a container's ports are published, by IPv4.
fn published(settings: &Value) -> BTreeSet<String> {
    let mut ports = BTreeSet::new();
    for (port, bindings) in settings["Ports"].as_object().into_iter().flatten() {
        let protocol = port.rsplit_once('/').unwrap().1;
        for binding in bindings.as_array().into_iter().flatten() {
            if !binding["HostIp"].as_str().unwrap().contains(':') {
                ports.insert(format!("{protocol} {}", binding["HostPort"].as_str().unwrap()));
            }
        }
    }
    ports
}

/// The table of a daemon on these roots, as `nft` shows it; `None`: there is none.
#[must_use]
pub fn table(roots: &Path) -> Option<Value> {
    let name = format!("lighter-{}", bridge_of(roots).0);
    let out = Command::new("nft").args(["-j", "list", "table", "inet", &name]).output().expect("nft of the package nftables");
    out.status.success().then(|| serde_json::from_slice(&out.stdout).unwrap())
}

/// How many rules the table has.
#[must_use]
pub fn rules(roots: &Path) -> usize {
    let shown = table(roots).unwrap_or_default();
    shown["nftables"].as_array().into_iter().flatten().filter(|object| object["rule"].is_object()).count()
}

fn ports(roots: &Path) -> BTreeSet<String> {
    let shown = table(roots).unwrap_or_default();
    let maps: BTreeMap<&str, &Value> = shown["nftables"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|object| Some((object["map"]["name"].as_str()?, &object["map"]["elem"])))
        .collect();
    let mut ports = BTreeSet::new();
    for name in ["ports4", "ports4-any"] {
        for element in maps.get(name).and_then(|all| all.as_array()).into_iter().flatten() {
            let (key, value) = (&element[0]["concat"], &element[1]["concat"]);
            let key = key.as_array().unwrap();
            let (protocol, port) = (key[0].as_str().unwrap(), &key[key.len() - 1]);
            ports.insert(format!("{protocol} {port} {}", value[0].as_str().unwrap()));
        }
    }
    ports
}
