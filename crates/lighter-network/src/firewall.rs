//! The rules of all our networks, in one nftables table of our own. Nobody else's table is ever touched.
//!
//! When a network comes or goes the table is written whole, in one transaction that the kernel takes or leaves: no moment
//! exists in which a packet meets half of it, and what was in it before does not matter. Published ports, which change with
//! every container, are elements of its `maps`.
//!
//! An `accept` here cannot save a packet that another base chain drops: where dockerd has set the
//! policy of iptables' FORWARD chain to drop, our containers have no way out until the administrator lets
//! them (`iptables -I DOCKER-USER -i lighter0 -j ACCEPT` and the like). `warnings` says so.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netlink_packet_netfilter::NetfilterMessage;
use netlink_packet_netfilter::nftables::{Cmp, DataAttribute, ExpressionAttribute, Expressions, InetHookNumber, ListAttribute};

use crate::maps::{self, Element, Map};
use crate::netlink::{Netlink, Request};
use crate::nft::{self, Expression, Family};
use crate::spec::GatewayMode;

const GUARD: &str = "guard";
const FORWARD: &str = "forward";
const PREROUTING: &str = "prerouting";
const OUTPUT: &str = "output";
const POSTROUTING: &str = "postrouting";
const CHAINS: [&str; 5] = [GUARD, FORWARD, PREROUTING, OUTPUT, POSTROUTING];

const PRIORITY_RAW: i32 = -300;
const PRIORITY_FILTER: i32 = 0;
const PRIORITY_DESTINATION_NAT: i32 = -100;
const PRIORITY_SOURCE_NAT: i32 = 100;

/// What the rules need to know of one network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NetworkRules {
    pub(crate) bridge: String,
    pub(crate) subnets: Vec<(IpNet, GatewayMode)>,
    pub(crate) internal: bool,
    pub(crate) icc: bool,
    pub(crate) masquerade: bool,
}

/// The table of one daemon.
#[derive(Debug)]
pub(crate) struct Firewall {
    table: String,
    owner: String,
    /// Generation of the kernel's rule set when ours was last known to be right, and what it was right for.
    checked: Option<(u32, Vec<NetworkRules>)>,
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

type Rule = (&'static str, Vec<Expression>);

fn rule(chain: &'static str, parts: &[&[Expression]]) -> Rule {
    (chain, parts.concat())
}

fn loopback4() -> IpNet {
    Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8).into()
}

fn loopback6() -> IpNet {
    Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128).into()
}

/// Who may talk to whom. What is not dropped goes on to the chains of others.
fn forwarding(networks: &[NetworkRules], rules: &mut Vec<Rule>) {
    let (accept, drop) = ([nft::verdict(nft::ACCEPT)], [nft::verdict(nft::DROP)]);
    let among = |n: &NetworkRules| if n.icc { accept.clone() } else { drop.clone() };
    for n in networks.iter().filter(|n| n.internal) {
        rules.push(rule(FORWARD, &[&nft::from(&n.bridge), &nft::to(&n.bridge), &among(n)]));
        rules.push(rule(FORWARD, &[&nft::from(&n.bridge), &drop]));
        rules.push(rule(FORWARD, &[&nft::to(&n.bridge), &drop]));
    }
    // Answers.
    rules.push(rule(FORWARD, &[&nft::established(), &accept]));
    for n in networks.iter().filter(|n| !n.internal) {
        // To a published port, by the host's address.
        rules.push(rule(FORWARD, &[&nft::to(&n.bridge), &nft::redirected(), &accept]));
        rules.push(rule(FORWARD, &[&nft::from(&n.bridge), &nft::to(&n.bridge), &among(n)]));
        for (subnet, mode) in &n.subnets {
            openings(n, Family::of(subnet.addr()), *mode, networks, rules);
        }
        // Nobody else reaches a container that has not published a port, be it a machine that
        // routes to our subnet or a container of another bridge.
        rules.push(rule(FORWARD, &[&nft::to(&n.bridge), &drop]));
    }
}

/// What of a network is open to others without a port of the host.
fn openings(n: &NetworkRules, family: Family, mode: GatewayMode, networks: &[NetworkRules], rules: &mut Vec<Rule>) {
    let (accept, drop, to) = ([nft::verdict(nft::ACCEPT)], [nft::verdict(nft::DROP)], nft::to(&n.bridge));
    match mode {
        GatewayMode::Nat | GatewayMode::Isolated => {}
        GatewayMode::NatUnprotected => {
            for other in networks.iter().filter(|other| other.bridge != n.bridge) {
                rules.push(rule(FORWARD, &[&nft::from(&other.bridge), &to, &nft::of_family(family), &drop]));
            }
            rules.push(rule(FORWARD, &[&to, &nft::of_family(family), &accept]));
        }
        GatewayMode::Routed => {
            rules.push(rule(FORWARD, &[&to, &nft::is_in(family, Map::through(family).name()), &accept]));
            rules.push(rule(FORWARD, &[&to, &nft::icmp(family), &accept]));
        }
    }
}

/// Whose address is seen where.
fn sources(networks: &[NetworkRules], rules: &mut Vec<Rule>) {
    let masquerade = [nft::masquerade()];
    for n in networks.iter().filter(|n| !n.internal) {
        for (subnet, mode) in &n.subnets {
            if n.masquerade && *mode != GatewayMode::Routed {
                rules.push(rule(POSTROUTING, &[&nft::source_in(*subnet), &nft::not_to(&n.bridge), &masquerade]));
            }
            // Hairpin: a container that calls a published port of its own network by the host's address
            // must get its answers by the host too, or it does not know them.
            rules.push(rule(POSTROUTING, &[&nft::source_in(*subnet), &nft::to(&n.bridge), &nft::redirected(), &masquerade]));
        }
        // From the host itself by localhost, which means nothing in a container.
        rules.push(rule(POSTROUTING, &[&nft::source_in(loopback4()), &nft::to(&n.bridge), &masquerade]));
    }
}

/// Where a published port leads.
fn destinations(rules: &mut Vec<Rule>) {
    for map in Map::MAPS {
        let translate = nft::translate(map.family(), map.name(), map.is_addressed());
        let local = if map.is_addressed() { Vec::new() } else { nft::destination_local().to_vec() };
        let loopback = if map.family() == Family::V4 { loopback4() } else { loopback6() };
        let elsewhere = nft::destination_not_in(loopback);
        // What comes from outside is never for the loopback. What is from here and for ::1 cannot be led
        // elsewhere (IPv6 has no such routing): whoever holds the port takes it by the hand.
        rules.push(rule(PREROUTING, &[&elsewhere, &local, &translate]));
        let from_here = if map.family() == Family::V6 { elsewhere } else { Vec::new() };
        rules.push(rule(OUTPUT, &[&from_here, &local, &translate]));
    }
}

/// The rules of `networks`, by chain.
fn rules(networks: &[NetworkRules]) -> Vec<Rule> {
    let mut rules = Vec::new();
    // For answers to localhost our bridges route to the loopback addresses, so nothing else may.
    for n in networks {
        let drop = [nft::verdict(nft::DROP)];
        rules.push(rule(GUARD, &[&nft::from(&n.bridge), &nft::destination_in(loopback4()), &drop]));
    }
    forwarding(networks, &mut rules);
    destinations(&mut rules);
    sources(networks, &mut rules);
    rules
}

impl Firewall {
    /// `owner` is written into the table as its comment and tells our table from another daemon's.
    pub(crate) fn new(table: String, owner: String) -> Self {
        Self { table, owner, checked: None }
    }

    fn batch(&self, networks: &[NetworkRules], elements: &[Element]) -> Vec<Request<NetfilterMessage>> {
        let table = &self.table;
        let new = || nft::new_table(table, &self.owner);
        let nat = |name, hook, priority| nft::base_chain(table, name, "nat", hook, priority);
        // To delete a table it must exist, so it is made first; the kernel sees only the end result.
        let mut batch = vec![
            new(),
            nft::delete_table(table),
            new(),
            nft::base_chain(table, GUARD, "filter", InetHookNumber::PreRouting, PRIORITY_RAW),
            nft::base_chain(table, FORWARD, "filter", InetHookNumber::Forward, PRIORITY_FILTER),
            nat(PREROUTING, InetHookNumber::PreRouting, PRIORITY_DESTINATION_NAT),
            nat(OUTPUT, InetHookNumber::LocalOut, PRIORITY_DESTINATION_NAT),
            nat(POSTROUTING, InetHookNumber::PostRouting, PRIORITY_SOURCE_NAT),
        ];
        batch.extend(maps::create_all(table));
        batch.extend(maps::add(table, elements));
        batch.extend(rules(networks).into_iter().map(|(chain, expressions)| nft::rule(table, chain, expressions)));
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
    pub(crate) fn ensure(
        &mut self,
        nl: &mut Netlink,
        networks: &[NetworkRules],
        elements: impl FnOnce() -> Vec<Element>,
    ) -> Result<bool, FirewallError> {
        let generation = nft::generation(nl)?;
        if self.checked.as_ref().is_some_and(|(checked, of)| *checked == generation && of == networks) {
            return Ok(false);
        }
        let mut elements = elements();
        elements.sort();
        elements.dedup();
        let present = self.check_owner(nl)?;
        let right = present
            && same(&nft::rules(nl, &self.table)?, &rules(networks))
            && self.checked.as_ref().is_none_or(|(_, of)| of == networks)
            && maps::read(nl, &self.table)? == elements;
        if !right {
            nft::apply(nl, self.batch(networks, &elements))?;
        }
        // Somebody else's change in the same moment is found by the next comparison: it makes another generation.
        self.checked = Some((generation.wrapping_add(u32::from(!right)), networks.to_vec()));
        Ok(!right)
    }

    /// Forgets that the table was right.
    pub(crate) fn distrust(&mut self) {
        self.checked = None;
    }

    /// Takes elements out of the maps and puts others in. The table must have been ensured just before.
    pub(crate) fn change(&mut self, nl: &mut Netlink, remove: &[Element], add: &[Element]) -> io::Result<()> {
        let mut batch = maps::remove(&self.table, remove);
        batch.extend(maps::add(&self.table, add));
        if batch.is_empty() {
            return Ok(());
        }
        nft::apply(nl, batch)?;
        if let Some((generation, _)) = &mut self.checked {
            *generation = generation.wrapping_add(1);
        }
        Ok(())
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
/// given, so chains, the kinds of instructions, and what is compared with are looked at.
fn same(found: &[(String, Vec<Expression>)], wanted: &[Rule]) -> bool {
    let gist = |expressions: &[Expression]| expressions.iter().map(gist).collect::<Vec<_>>();
    // Chains are listed one after the other; within each, the order counts.
    CHAINS.iter().all(|chain| {
        let found = found.iter().filter(|(name, _)| name == chain).map(|(_, e)| gist(e));
        let wanted = wanted.iter().filter(|(name, _)| name == chain).map(|(_, e)| gist(e));
        found.eq(wanted)
    })
}

/// An instruction's name, and the value that it compares with.
fn gist(expression: &Expression) -> (String, Vec<u8>) {
    let (mut name, mut value) = (String::new(), Vec::new());
    let ListAttribute::Element(attributes) = expression else { return (name, value) };
    for attribute in attributes {
        match attribute {
            ExpressionAttribute::Name(text) => name.clone_from(text),
            ExpressionAttribute::Data(Expressions::Cmp(parts)) => {
                for part in parts {
                    if let Cmp::Data(DataAttribute::Value(bytes)) = part {
                        value.clone_from(bytes);
                    }
                }
            }
            _ => {}
        }
    }
    (name, value)
}
