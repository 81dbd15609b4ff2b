//! The rules of all our networks, in one nftables table of our own. Nobody else's table is ever touched.
//!
//! The table is always written whole, in one transaction that the kernel takes or leaves: no moment
//! exists in which a packet meets half of it, and what was in it before does not matter. Networks
//! come and go seldom; what does change often (published ports) belongs into sets and maps of this table.
//!
//! An `accept` here cannot save a packet that another base chain drops: where dockerd has set the
//! policy of iptables' FORWARD chain to drop, our containers have no way out until the administrator lets
//! them (`iptables -I DOCKER-USER -i lighter0 -j ACCEPT` and the like). `warnings` says so.

use std::io;

use netlink_packet_netfilter::NetfilterMessage;
use netlink_packet_netfilter::nftables::InetHookNumber;

use crate::addr::Ipv4Net;
use crate::netlink::{Netlink, Request};
use crate::nft::{self, Expression};

const FORWARD: &str = "forward";
const POSTROUTING: &str = "postrouting";
const PRIORITY_FILTER: i32 = 0;
const PRIORITY_SOURCE_NAT: i32 = 100;

/// What the rules need to know of one network.
#[derive(Debug, Clone)]
pub(crate) struct NetworkRules {
    pub(crate) bridge: String,
    pub(crate) subnet: Ipv4Net,
}

/// The table of one daemon.
#[derive(Debug)]
pub(crate) struct Firewall {
    table: String,
    owner: String,
    /// Generation of the kernel's rule set when ours was last known to be right.
    checked: Option<u32>,
}

/// Why the table could not be written.
#[derive(Debug)]
pub(crate) enum FirewallError {
    /// The kernel refused.
    Kernel(io::Error),
    /// A table of that name is there and its comment is not ours.
    Taken(String),
}

impl From<io::Error> for FirewallError {
    fn from(error: io::Error) -> Self {
        Self::Kernel(error)
    }
}

impl Firewall {
    /// `owner` is written into the table as its comment and tells our table from another daemon's.
    pub(crate) fn new(table: String, owner: String) -> Self {
        Self { table, owner, checked: None }
    }

    /// The rules of `networks`, by chain.
    fn rules(networks: &[NetworkRules]) -> Vec<(&'static str, Vec<Expression>)> {
        let mut rules = Vec::new();
        for NetworkRules { bridge, subnet } in networks {
            let accept = || [nft::verdict(nft::ACCEPT)].to_vec();
            // Answers come in; what a container starts goes out, or to its neighbours.
            rules.push((FORWARD, [nft::to(bridge).to_vec(), nft::established().to_vec(), accept()].concat()));
            rules.push((FORWARD, [nft::from(bridge).to_vec(), accept()].concat()));
            // Nobody else reaches a container that has not published a port, be it a machine that
            // routes to our subnet or a container of another bridge.
            rules.push((FORWARD, [nft::to(bridge).to_vec(), [nft::verdict(nft::DROP)].to_vec()].concat()));
            let masquerade = || [nft::masquerade()].to_vec();
            rules.push((POSTROUTING, [nft::source_in(*subnet), nft::not_to(bridge).to_vec(), masquerade()].concat()));
            // Hairpin: a container that calls a published port of its own network by the host's address
            // must get its answers by the host too, or it does not know them.
            rules.push((
                POSTROUTING,
                [nft::source_in(*subnet), nft::to(bridge).to_vec(), nft::redirected().to_vec(), masquerade()].concat(),
            ));
        }
        rules
    }

    fn batch(&self, networks: &[NetworkRules]) -> Vec<Request<NetfilterMessage>> {
        let table = &self.table;
        let new = || nft::new_table(table, &self.owner);
        // To delete a table it must exist, so it is made first; the kernel sees only the end result.
        let mut batch = vec![
            new(),
            nft::delete_table(table),
            new(),
            nft::base_chain(table, FORWARD, "filter", InetHookNumber::Forward, PRIORITY_FILTER),
            nft::base_chain(table, POSTROUTING, "nat", InetHookNumber::PostRouting, PRIORITY_SOURCE_NAT),
        ];
        for (chain, expressions) in Self::rules(networks) {
            batch.push(nft::rule(table, chain, expressions));
        }
        batch
    }

    fn check_owner(&self, nl: &mut Netlink) -> Result<bool, FirewallError> {
        match nft::table_comment(nl, &self.table)? {
            None => Ok(false),
            Some(comment) if comment == self.owner => Ok(true),
            Some(comment) => Err(FirewallError::Taken(comment)),
        }
    }

    /// Sees to it that the table is there and right. `true` if it had to be written.
    ///
    /// Cheap when nobody has changed any rule since the last call, so it can be called for every container.
    pub(crate) fn ensure(&mut self, nl: &mut Netlink, networks: &[NetworkRules]) -> Result<bool, FirewallError> {
        let generation = nft::generation(nl)?;
        if self.checked == Some(generation) {
            return Ok(false);
        }
        let present = self.check_owner(nl)?;
        let wrong = !present || !same(&nft::rules(nl, &self.table)?, &Self::rules(networks));
        if wrong {
            nft::apply(nl, self.batch(networks))?;
        }
        self.checked = Some(if wrong { nft::generation(nl)? } else { generation });
        Ok(wrong)
    }

    /// Takes the table away. That it is not there is fine.
    pub(crate) fn remove(&mut self, nl: &mut Netlink) -> Result<(), FirewallError> {
        self.checked = None;
        if self.check_owner(nl)? {
            nft::apply(nl, vec![nft::delete_table(&self.table)])?;
        }
        Ok(())
    }

    /// Chains of others that drop forwarded packets by default.
    pub(crate) fn foreign_drops(&self, nl: &mut Netlink) -> io::Result<Vec<nft::ForwardChain>> {
        let mut chains = nft::forward_chains(nl)?;
        chains.retain(|chain| chain.drops && chain.table != self.table);
        Ok(chains)
    }
}

/// Whether what the kernel has is what we would write. The kernel adds attributes of its own to what it was
/// given, so chains and the kinds of instructions are compared, and how many there are.
fn same(found: &[(String, Vec<Expression>)], wanted: &[(&'static str, Vec<Expression>)]) -> bool {
    let kinds = |expressions: &[Expression]| -> Vec<String> {
        use netlink_packet_netfilter::nftables::{ExpressionAttribute, ListAttribute};
        let name = |expression: &Expression| match expression {
            ListAttribute::Element(attributes) => attributes.iter().find_map(|attribute| match attribute {
                ExpressionAttribute::Name(name) => Some(name.clone()),
                _ => None,
            }),
            _ => None,
        };
        expressions.iter().filter_map(name).collect()
    };
    // Chains are listed one after the other; within each, the order counts.
    [FORWARD, POSTROUTING].iter().all(|chain| {
        let found = found.iter().filter(|(name, _)| name == chain).map(|(_, e)| kinds(e));
        let wanted = wanted.iter().filter(|(name, _)| name == chain).map(|(_, e)| kinds(e));
        found.eq(wanted)
    })
}
