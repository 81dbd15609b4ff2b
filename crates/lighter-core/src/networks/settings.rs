//! Networks that only hold a configuration (`--config-only`), and those that have their settings from one (`--config-from`).
//!
//! A swarm has its nodes' own addresses this way. On one machine they are a template: nobody is ever on one, and it stays as
//! long as a network refers to it. The words are dockerd's.

use crate::wording;
use lighter_domain::network::NewNetwork;
use lighter_domain::{Error, Network, Result};
use std::sync::Arc;

/// What a network of either kind must not be asked for with.
pub(super) fn check(new: &NewNetwork, scope: &str, ingress: bool) -> Result<()> {
    if new.config_only && (ingress || new.internal || new.attachable || !scope.is_empty()) {
        let text = "configuration network can only contain network specific fields. \
                    Network operator fields like [ ingress | internal | attachable | scope ] are not supported.";
        return Err(Error::forbidden(text));
    }
    if new.config_from.is_empty() {
        return Ok(());
    }
    if new.config_only {
        return Err(Error::forbidden("a configuration network cannot depend on another configuration network"));
    }
    // Internal and attachable are not of the configuration, and everybody's own.
    let own = !matches!(new.ipam.driver.as_str(), "" | "default")
        || new.enable_ipv4 == Some(false)
        || new.enable_ipv6 == Some(true)
        || !new.labels.is_empty()
        || new.ipam.options.as_ref().is_some_and(|options| !options.is_empty())
        || !new.ipam.pools.is_empty();
    let only =
        |what: &str| Err(Error::forbidden(format!("{what} are not supported if the network depends on a configuration network")));
    match (own, new.options.is_empty()) {
        (true, _) => only("user specified configurations"),
        (false, false) => only("network driver options"),
        (false, true) => Ok(()),
    }
}

/// Gives a new network what the one holds that it refers to.
pub(super) fn apply(all: &[Arc<Network>], new: &mut NewNetwork) -> Result<()> {
    if new.config_from.is_empty() {
        return Ok(());
    }
    // By its name alone, as in dockerd.
    let Some(from) = all.iter().find(|n| n.config_only && n.name == new.config_from) else {
        return Err(wording::no_such_configuration(&new.config_from));
    };
    new.enable_ipv4 = Some(from.enable_ipv4);
    new.enable_ipv6 = Some(from.enable_ipv6);
    new.labels.clone_from(&from.labels);
    new.options.clone_from(&from.options);
    let own = new.ipam.options.take();
    new.ipam.clone_from(&from.ipam);
    if new.ipam.options.as_ref().is_none_or(|options| options.is_empty()) {
        new.ipam.options = own;
    }
    Ok(())
}

/// Nobody gets onto a network that only holds a configuration.
pub(crate) fn refuse_joining(network: &Network) -> Result<()> {
    if network.config_only {
        return Err(Error::forbidden("cannot create endpoint on configuration-only network"));
    }
    Ok(())
}
