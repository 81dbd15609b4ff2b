//! Networks of containers on Linux: bridges, addresses, network namespaces, firewall rules, and the
//! resolver and hosts files that go with them.
//!
//! Only the engine for Linux uses this crate. It knows nothing of containers beyond an id, so that the
//! same code serves whatever runs in the namespace. Everything goes to the kernel by netlink; no program
//! is started, because starting one (`ip`, `nft`) costs more than all the work it would do.
//!
//! How it is laid out, from the outside in:
//! - [`Networks`] is the handle that callers hold. Its calls are jobs for one OS thread (`worker`).
//! - `links` and `firewall` say what to ask of the kernel, `netlink` asks it.
//! - `netns` makes and enters namespaces. `leases` and `pools` decide on addresses. `state` remembers.
//! - [`resolv`] and [`hosts`] are pure text.
//! - [`dns`] answers containers on user-defined networks.
//!
//! Today there is one network, the default bridge. What is per network (`NetworkInfo`, the leases, the
//! rules of `firewall`) is already a value of its own, so that user-defined networks become a map of them.

mod addr;
pub mod dns;
mod error;
mod firewall;
pub mod hosts;
mod leases;
mod links;
mod netlink;
mod netns;
mod networks;
mod nft;
mod pools;
mod probe;
mod reaper;
pub mod resolv;
mod settle;
mod state;
mod worker;

pub use addr::{Ipv4Net, MacAddr, ParseAddrError};
pub use error::NetworkError;
pub use leases::Endpoint;
pub use networks::{BridgeConfig, Live, NetworkInfo, Networks};
pub use pools::{Pool, default_pools};
pub use probe::nftables;

#[cfg(test)]
mod tests;
