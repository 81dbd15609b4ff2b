//! What a network is, as far as the kernel is concerned. The engine keeps it on disk and gives it to us at every start.

use serde::{Deserialize, Serialize};

use crate::range::Range;

/// How containers are connected to a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A bridge of ours, [`NetworkSpec::device`].
    Bridge,
    /// Each container has an interface with an address of its own on [`NetworkSpec::device`].
    Macvlan(MacvlanMode),
    /// The same with the device's own address.
    Ipvlan(IpvlanMode),
}

/// Who of a macvlan network hears whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MacvlanMode {
    Bridge,
    Private,
    Vepa,
    Passthru,
}

/// On which layer an ipvlan network works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IpvlanMode {
    L2,
    L3,
    L3s,
}

/// What a bridge's host does for one family of addresses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GatewayMode {
    /// What leaves has the host's address, and ports of the host lead to published ports. Others are closed.
    #[default]
    Nat,
    /// The same, with all ports open to whoever routes to them; not to other networks of ours.
    NatUnprotected,
    /// Addresses stay as they are; published ports are open to everybody, and none of the host leads to them.
    Routed,
    /// The host has no address there. Of internal networks only.
    Isolated,
}

/// One network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// 64 hexadecimal digits.
    pub id: String,
    /// As users call it. Between networks of the same priority, the first name is the way out.
    pub name: String,
    pub kind: Kind,
    /// Name of the bridge, or of the interface that containers share. At most 15 bytes.
    pub device: String,
    /// The device is ours to make and to remove, though it is no bridge: a VLAN of another one, or a dummy.
    #[serde(default)]
    pub own_parent: bool,
    /// IPv4 addresses; `None`: the network has none.
    pub v4: Option<Range>,
    /// IPv6 addresses.
    pub v6: Option<Range>,
    /// Of a bridge.
    #[serde(default)]
    pub gateway4: GatewayMode,
    #[serde(default)]
    pub gateway6: GatewayMode,
    /// No way out of it, and none in.
    pub internal: bool,
    /// Containers of it reach each other.
    pub icc: bool,
    /// What leaves it has the host's address.
    pub masquerade: bool,
    /// In bytes; `None`: 1500.
    pub mtu: Option<u32>,
    /// Containers' interfaces are called so, with a number after it; `None`: `eth`.
    #[serde(default)]
    pub prefix: Option<String>,
}

impl NetworkSpec {
    /// Whether it has a bridge of ours.
    #[must_use]
    pub fn is_bridge(&self) -> bool {
        self.kind == Kind::Bridge
    }

    /// Its subnets, and what the host does for each.
    pub(crate) fn subnets(&self) -> impl Iterator<Item = (&Range, GatewayMode)> {
        let both = [(&self.v4, self.gateway4), (&self.v6, self.gateway6)];
        both.into_iter().filter_map(|(range, mode)| Some((range.as_ref()?, mode)))
    }
}
