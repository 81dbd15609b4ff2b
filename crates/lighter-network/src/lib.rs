//! Networks of containers on Linux: bridges, addresses, network namespaces, firewall rules, and the
//! resolver and hosts files that go with them.
//!
//! Only the engine for Linux uses this crate. It knows nothing of containers beyond an id, so that the
//! same code serves whatever runs in the namespace. Everything goes to the kernel by netlink; no program
//! is started, because starting one (`ip`, `nft`) costs more than all the work it would do.
//!
//! How it is laid out, from the outside in:
//! - [`Networks`] is the handle that callers hold. Its calls are jobs for one OS thread (`worker`).
//! - `bridges` and `attach` are the jobs: for networks, and for containers.
//! - `links` and `firewall` (with `maps` and `flows` for published ports) say what to ask of the kernel, `netlink` asks it; `watch`
//!   notices when somebody else changes rules.
//! - `netns` makes and enters namespaces. `leases`, `range` and `pools` decide on addresses. `ports` holds ports of the host,
//!   `relay` passes on what the firewall cannot, and `ways` has where they lead. `state` remembers the default network.
//! - [`resolv`] and [`hosts`] are pure text.
//! - [`dns`] answers containers on user-defined networks.

mod addr;
mod attach;
mod bridges;
pub mod dns;
mod error;
mod firewall;
mod flows;
pub mod hosts;
mod leases;
mod links;
mod maps;
mod netlink;
mod netns;
mod networks;
mod nft;
mod pools;
mod ports;
mod probe;
mod range;
mod readiness;
mod reaper;
mod relay;
pub mod resolv;
mod settle;
mod spec;
mod state;
mod watch;
mod ways;
mod worker;

pub use addr::{Ipv4Net, MacAddr, ParseAddrError};
pub use attach::{Attachment, Join, Restored};
pub use bridges::Pick;
pub use error::NetworkError;
pub use leases::{Ask, Endpoint};
pub use networks::{BridgeConfig, NetworkInfo, Networks};
pub use pools::{Pool, default_pools};
pub use ports::{Clash, Holder, PortWant, Protocol, Published};
pub use probe::nftables;
pub use range::{Range, first_host};
pub use spec::{GatewayMode, IpvlanMode, Kind, MacvlanMode, NetworkSpec};

#[cfg(test)]
mod tests;
