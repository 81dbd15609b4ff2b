//! The two small address types that the standard library lacks: an IPv4 network and a MAC address.
//! Both are stored and shown as text, so both parse from and print to it.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Text that is not an address of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct ParseAddrError {
    /// What was given.
    pub text: String,
    /// What it should have been.
    pub expected: &'static str,
}

/// An IPv4 network: its first address and the length of its prefix. Host bits are always zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Ipv4Net {
    network: u32,
    prefix: u8,
}

impl Ipv4Net {
    /// The network of `prefix` bits that holds `addr`. A prefix above 32 counts as 32.
    #[must_use]
    pub fn containing(addr: Ipv4Addr, prefix: u8) -> Self {
        let prefix = prefix.min(32);
        Self { network: u32::from(addr) & mask(prefix), prefix }
    }

    /// First address of the network.
    #[must_use]
    pub fn network(&self) -> Ipv4Addr {
        self.network.into()
    }

    /// Last address of the network.
    #[must_use]
    pub fn broadcast(&self) -> Ipv4Addr {
        (self.network | !mask(self.prefix)).into()
    }

    /// Length of the prefix in bits, 0 to 32.
    #[must_use]
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// The netmask as an address.
    #[must_use]
    pub fn netmask(&self) -> Ipv4Addr {
        mask(self.prefix).into()
    }

    /// Whether `addr` lies within.
    #[must_use]
    pub fn contains(&self, addr: Ipv4Addr) -> bool {
        u32::from(addr) & mask(self.prefix) == self.network
    }

    /// Whether the two share any address.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let shorter = mask(self.prefix.min(other.prefix));
        self.network & shorter == other.network & shorter
    }

    /// The `n`th address, if it is within the network.
    #[must_use]
    pub fn nth(&self, n: u32) -> Option<Ipv4Addr> {
        let addr = Ipv4Addr::from(self.network.checked_add(n)?);
        self.contains(addr).then_some(addr)
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

impl fmt::Display for Ipv4Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network(), self.prefix)
    }
}

impl FromStr for Ipv4Net {
    type Err = ParseAddrError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || ParseAddrError { text: text.to_owned(), expected: "an IPv4 network such as 172.17.0.0/16" };
        let (addr, prefix) = text.split_once('/').ok_or_else(bad)?;
        let addr: Ipv4Addr = addr.parse().map_err(|_| bad())?;
        let prefix: u8 = prefix.parse().map_err(|_| bad())?;
        if prefix > 32 {
            return Err(bad());
        }
        Ok(Self::containing(addr, prefix))
    }
}

impl From<Ipv4Net> for String {
    fn from(net: Ipv4Net) -> Self {
        net.to_string()
    }
}

impl TryFrom<String> for Ipv4Net {
    type Error = ParseAddrError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// An Ethernet address; shown as `02:42:ac:11:00:02`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// The address that goes with an IPv4 address: locally administered, the four bytes at its end.
    /// Since the two belong together, a neighbour's ARP cache stays right when an address gets a new owner.
    #[must_use]
    pub fn of_ip(ip: Ipv4Addr) -> Self {
        let [a, b, c, d] = ip.octets();
        Self([0x02, 0x42, a, b, c, d])
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for MacAddr {
    type Err = ParseAddrError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || ParseAddrError { text: text.to_owned(), expected: "a MAC address such as 02:42:ac:11:00:02" };
        let mut bytes = [0u8; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(bad)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| bad())?;
        }
        if parts.next().is_some() {
            return Err(bad());
        }
        Ok(Self(bytes))
    }
}

impl From<MacAddr> for String {
    fn from(mac: MacAddr) -> Self {
        mac.to_string()
    }
}

impl TryFrom<String> for MacAddr {
    type Error = ParseAddrError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn network_text_and_bounds() {
        let net: Ipv4Net = "172.17.3.4/16".parse().unwrap();
        assert_eq!(net.to_string(), "172.17.0.0/16");
        assert_eq!(net.broadcast(), Ipv4Addr::new(172, 17, 255, 255));
        assert_eq!(net.nth(1), Some(Ipv4Addr::new(172, 17, 0, 1)));
        assert_eq!(net.nth(65536), None);
        let all: Ipv4Net = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains(Ipv4Addr::BROADCAST) && all.overlaps(&net));
        for bad in ["", "1.2.3.4", "1.2.3.4/33", "1.2.3/8", "a/8", "1.2.3.4/-1"] {
            assert!(bad.parse::<Ipv4Net>().is_err(), "{bad}");
        }
    }

    #[test]
    fn mac_text() {
        let mac = MacAddr::of_ip(Ipv4Addr::new(172, 17, 0, 2));
        assert_eq!(mac.to_string(), "02:42:ac:11:00:02");
        assert_eq!("02:42:ac:11:00:02".parse::<MacAddr>(), Ok(mac));
        for bad in ["", "02:42", "02:42:ac:11:00:02:03", "2:42:ac:11:0:2", "zz:42:ac:11:00:02"] {
            assert!(bad.parse::<MacAddr>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn overlap_is_what_the_bounds_say(a: u32, pa in 0u8..=32, b: u32, pb in 0u8..=32) {
            let (x, y) = (Ipv4Net::containing(a.into(), pa), Ipv4Net::containing(b.into(), pb));
            let apart = x.broadcast() < y.network() || y.broadcast() < x.network();
            prop_assert_eq!(x.overlaps(&y), !apart);
            prop_assert_eq!(x.to_string().parse::<Ipv4Net>().unwrap(), x);
        }
    }
}
