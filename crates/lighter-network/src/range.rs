//! The addresses of one subnet: which may be handed out, and which are taken.
//!
//! They are handed out in rising order and start again from below at the end, as users know it from dockerd: an address just
//! given back is the last one to be used again, and so is no surprise to whoever still talks to it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// One subnet of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// All of it; a static address may be anywhere in it.
    pub subnet: IpNet,
    /// What is handed out to those that ask for no particular address; the whole subnet without it.
    pub range: Option<IpNet>,
    /// The way out. Never handed out.
    pub gateway: Option<IpAddr>,
    /// What others have. Never handed out.
    pub aux: Vec<IpAddr>,
}

impl Range {
    /// A subnet whose first address is the gateway.
    #[must_use]
    pub fn of(subnet: IpNet) -> Self {
        let subnet = subnet.trunc();
        Self { subnet, range: None, gateway: first_host(&subnet), aux: Vec::new() }
    }
}

/// The first address of a subnet that an interface can have.
#[must_use]
pub fn first_host(subnet: &IpNet) -> Option<IpAddr> {
    subnet.hosts().find(|ip| *ip != subnet.network() || subnet.prefix_len() >= subnet.max_prefix_len() - 1)
}

/// Why an address cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Outside,
    InUse,
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    }
}

fn address(like: IpAddr, n: u128) -> IpAddr {
    match like {
        // Numbers come from within an IPv4 subnet then, so they fit.
        IpAddr::V4(_) => IpAddr::V4(u32::try_from(n).unwrap_or(u32::MAX).into()),
        IpAddr::V6(_) => IpAddr::V6(n.into()),
    }
}

/// A subnet, and who has what of it.
#[derive(Debug)]
pub(crate) struct Addresses {
    range: Range,
    taken: BTreeSet<u128>,
    last: Option<u128>,
}

impl Addresses {
    pub(crate) fn new(range: Range) -> Self {
        Self { range, taken: BTreeSet::new(), last: None }
    }

    pub(crate) fn range(&self) -> &Range {
        &self.range
    }

    fn may_be_had(&self, ip: IpAddr) -> bool {
        let subnet = &self.range.subnet;
        let roomy = subnet.prefix_len() + 1 < subnet.max_prefix_len();
        let edge = roomy && (ip == subnet.network() || (ip.is_ipv4() && ip == subnet.broadcast()));
        subnet.contains(&ip) && !edge && Some(ip) != self.range.gateway && !self.range.aux.contains(&ip)
    }

    /// The next free one.
    pub(crate) fn next(&mut self) -> Option<IpAddr> {
        let pool = self.range.range.unwrap_or(self.range.subnet);
        let (low, high) = (number(pool.network()), number(pool.broadcast()));
        let from = self.last.map_or(low, |last| last.saturating_add(1)).clamp(low, high);
        let free = |n: &u128| !self.taken.contains(n) && self.may_be_had(address(pool.network(), *n));
        // Each step passes one used address at most, so this ends soon unless the subnet is nearly full.
        let n = (from..=high).chain(low..from).find(free)?;
        self.last = Some(n);
        self.taken.insert(n);
        Some(address(pool.network(), n))
    }

    /// This very one.
    pub(crate) fn take(&mut self, ip: IpAddr) -> Result<(), Refusal> {
        if !self.may_be_had(ip) {
            let known = self.range.subnet.contains(&ip);
            return Err(if known { Refusal::InUse } else { Refusal::Outside });
        }
        if self.taken.insert(number(ip)) { Ok(()) } else { Err(Refusal::InUse) }
    }

    /// As [`Self::take`], for one that was handed out before a restart: what is handed out next comes after it.
    pub(crate) fn take_again(&mut self, ip: IpAddr) -> Result<(), Refusal> {
        self.take(ip)?;
        let pool = self.range.range.unwrap_or(self.range.subnet);
        if pool.contains(&ip) {
            self.last = self.last.max(Some(number(ip)));
        }
        Ok(())
    }

    pub(crate) fn give_back(&mut self, ip: IpAddr) {
        self.taken.remove(&number(ip));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(subnet: &str, change: impl FnOnce(&mut Range)) -> Addresses {
        let mut range = Range::of(subnet.parse().unwrap());
        change(&mut range);
        Addresses::new(range)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn rising_order_and_late_reuse() {
        let mut a = addresses("10.0.0.0/29", |_| ());
        assert_eq!(a.next(), Some(ip("10.0.0.2")));
        a.give_back(ip("10.0.0.2"));
        let rest: Vec<_> = std::iter::from_fn(|| a.next()).map(|ip| ip.to_string()).collect();
        assert_eq!(rest, ["10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.2"]);
    }

    #[test]
    fn ranges_gateways_and_what_others_have() {
        let mut a = addresses("10.0.0.0/24", |r| {
            r.range = Some("10.0.0.128/30".parse().unwrap());
            r.gateway = Some(ip("10.0.0.129"));
            r.aux = vec![ip("10.0.0.130")];
        });
        let given: Vec<_> = std::iter::from_fn(|| a.next()).map(|ip| ip.to_string()).collect();
        assert_eq!(given, ["10.0.0.128", "10.0.0.131"]);
        // A static address may be outside the range, but not be somebody's.
        assert_eq!(a.take(ip("10.0.0.9")), Ok(()));
        for (taken, why) in [
            ("10.0.0.9", Refusal::InUse),
            ("10.0.0.129", Refusal::InUse),
            ("10.0.0.130", Refusal::InUse),
            ("10.0.0.0", Refusal::InUse),
            ("10.0.1.1", Refusal::Outside),
            ("fd00::1", Refusal::Outside),
        ] {
            assert_eq!(a.take(ip(taken)), Err(why), "{taken}");
        }
    }

    #[test]
    fn ipv6_is_counted_alike() {
        let mut a = addresses("fd00:1::/64", |_| ());
        assert_eq!(a.range().gateway, Some(ip("fd00:1::1")));
        assert_eq!((a.next(), a.next()), (Some(ip("fd00:1::2")), Some(ip("fd00:1::3"))));
        assert_eq!(a.take_again(ip("fd00:1::9")), Ok(()));
        assert_eq!(a.next(), Some(ip("fd00:1::a")));
    }
}
