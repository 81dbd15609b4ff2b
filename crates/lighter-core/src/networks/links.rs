//! Links between containers on the default bridge (`--link`), which has no names otherwise: the linked container's addresses
//! go into the hosts file, its ports and environment into the environment, as dockerd has done since before networks.
//!
//! A link is kept as `<id>:<alias>`, so that renaming changes nothing. Engines never see one: they are given a container that
//! asks for more hosts and more environment. On other networks the endpoint has the links, and the resolver answers for them.

use super::{BRIDGE, is_predefined};
use crate::daemon::Shared;
use crate::registry::Registry;
use lighter_domain::{Container, EndpointConfig, Error, HostConfig, Result};
use std::collections::{BTreeMap, BTreeSet};

/// Puts ids in the place of names. On a network that users made, links become those of the endpoint. Called when a container
/// is made.
pub(crate) fn resolve(
    registry: &Registry,
    host: &mut HostConfig,
    endpoints: &mut BTreeMap<String, EndpointConfig>,
    main: &str,
) -> Result<()> {
    let links = std::mem::take(&mut host.links);
    for link in links {
        let (name, alias) = parse(&link)?;
        if !is_predefined(main) {
            endpoints.entry(main.to_owned()).or_default().links.push(format!("{name}:{alias}"));
            continue;
        }
        // Not a 404, which clients take for a missing image.
        let found = registry.find(name).map_err(|e| Error::invalid(format!("could not get container for {name}: {e}")))?;
        host.links.push(format!("{}:{alias}", found.id));
    }
    Ok(())
}

/// `name`, `name:alias`, and what `inspect` shows: `/name:/container/alias`.
fn parse(link: &str) -> Result<(&str, &str)> {
    let bad = || Error::invalid(format!("bad format for links: {link}"));
    let (name, alias) = link.split_once(':').unwrap_or((link, link));
    let name = name.strip_prefix('/').unwrap_or(name);
    let alias = alias.rsplit('/').next().unwrap_or(alias);
    if name.is_empty() || alias.is_empty() || alias.contains(':') { Err(bad()) } else { Ok((name, alias)) }
}

impl Shared {
    /// A container's links as `inspect` shows them.
    pub(crate) fn shown_links(&self, container: &Container) -> Vec<String> {
        let shown = |link: &String| {
            let (id, alias) = link.split_once(':')?;
            let target =
                self.registry.find(id).map_or_else(|_| id.get(..12).unwrap_or(id).to_owned(), |e| e.snapshot().name.clone());
            Some(format!("/{target}:/{}/{alias}", container.name))
        };
        container.host_config.links.iter().filter_map(shown).collect()
    }

    /// Gives a container that is about to start, or to run an exec, what its links lead to. Fails (409) where one leads to nothing
    /// that runs.
    pub(crate) fn follow_links(&self, container: &mut Container) -> Result<()> {
        let links = std::mem::take(&mut container.host_config.links);
        if !container.networks.contains_key(BRIDGE) {
            return Ok(());
        }
        for link in &links {
            let Some((id, alias)) = link.split_once(':') else { continue };
            let target = self.registry.find(id).ok().map(|entry| entry.snapshot()).filter(|t| t.state.is_running());
            let Some(target) = target else {
                let name = self.registry.find(id).map_or_else(|_| id.to_owned(), |e| e.snapshot().name.clone());
                let text = format!("Cannot link to a non running container: /{name} AS /{}/{alias}", container.name);
                return Err(Error::conflict(text));
            };
            let Some(address) = target.networks.get(BRIDGE).and_then(|at| at.ip) else {
                let text = format!("Cannot link to /{}, as it does not belong to the default network", target.name);
                return Err(Error::conflict(text));
            };
            let names = [alias, target.config.hostname.as_str(), target.name.as_str()];
            for (_, name) in names.iter().enumerate().filter(|(n, name)| !names[..*n].contains(name)) {
                container.host_config.extra_hosts.push(format!("{name}:{address}"));
            }
            let environment =
                environment(&container.name, alias, &address.to_string(), &target.config.exposed_ports, &target.config.env);
            // What the container says itself counts.
            let own: Vec<String> = container.config.env.iter().map(|e| key(e).to_owned()).collect();
            container.config.env.extend(environment.into_iter().filter(|e| !own.iter().any(|k| k == key(e))));
        }
        Ok(())
    }
}

fn key(variable: &str) -> &str {
    variable.split('=').next().unwrap_or(variable)
}

/// The variables that tell of a linked container.
fn environment(own: &str, alias: &str, address: &str, exposed: &BTreeSet<String>, env: &[String]) -> Vec<String> {
    let prefix = alias.to_uppercase().replace('-', "_");
    let mut ports: Vec<(u16, &str)> = exposed
        .iter()
        .filter_map(|p| {
            let (number, protocol) = p.split_once('/').unwrap_or((p, "tcp"));
            Some((number.parse().ok()?, protocol))
        })
        .collect();
    // As in dockerd: of two protocols with the same port, TCP is the first.
    ports.sort_by_key(|(number, protocol)| (*number, *protocol != "tcp"));
    let mut variables = Vec::new();
    if let Some((number, protocol)) = ports.first() {
        variables.push(format!("{prefix}_PORT={protocol}://{address}:{number}"));
    }
    for (number, protocol) in ports {
        let port = format!("{prefix}_PORT_{number}_{}", protocol.to_uppercase());
        variables.push(format!("{port}={protocol}://{address}:{number}"));
        variables.push(format!("{port}_ADDR={address}"));
        variables.push(format!("{port}_PORT={number}"));
        variables.push(format!("{port}_PROTO={protocol}"));
    }
    variables.push(format!("{prefix}_NAME=/{own}/{alias}"));
    let theirs = env.iter().filter(|e| !matches!(key(e), "HOME" | "PATH"));
    variables.extend(theirs.map(|e| format!("{prefix}_ENV_{e}")));
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_in_all_their_forms() {
        assert_eq!(parse("db").unwrap(), ("db", "db"));
        assert_eq!(parse("db:base").unwrap(), ("db", "base"));
        assert_eq!(parse("/db:/web/base").unwrap(), ("db", "base"));
        for bad in ["", ":", "a:", ":b", "a:b:c"] {
            assert_eq!(parse(bad).unwrap_err().message(), format!("bad format for links: {bad}"));
        }
    }

    #[test]
    fn what_a_link_puts_into_the_environment() {
        let exposed = ["80/tcp", "53/udp", "53/tcp"].map(str::to_owned).into();
        let env = ["PATH=/bin", "FOO=bar", "HOME=/"].map(str::to_owned).to_vec();
        let variables = environment("web", "data-base", "172.17.0.2", &exposed, &env);
        assert_eq!(
            variables,
            [
                "DATA_BASE_PORT=tcp://172.17.0.2:53",
                "DATA_BASE_PORT_53_TCP=tcp://172.17.0.2:53",
                "DATA_BASE_PORT_53_TCP_ADDR=172.17.0.2",
                "DATA_BASE_PORT_53_TCP_PORT=53",
                "DATA_BASE_PORT_53_TCP_PROTO=tcp",
                "DATA_BASE_PORT_53_UDP=udp://172.17.0.2:53",
                "DATA_BASE_PORT_53_UDP_ADDR=172.17.0.2",
                "DATA_BASE_PORT_53_UDP_PORT=53",
                "DATA_BASE_PORT_53_UDP_PROTO=udp",
                "DATA_BASE_PORT_80_TCP=tcp://172.17.0.2:80",
                "DATA_BASE_PORT_80_TCP_ADDR=172.17.0.2",
                "DATA_BASE_PORT_80_TCP_PORT=80",
                "DATA_BASE_PORT_80_TCP_PROTO=tcp",
                "DATA_BASE_NAME=/web/data-base",
                "DATA_BASE_ENV_FOO=bar",
            ]
        );
    }
}
