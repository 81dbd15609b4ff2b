//! What can go wrong when a network is made or used, in words that an API answer can carry.

use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use crate::addr::Ipv4Net;

/// A failed network operation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The kernel refused a request.
    #[error("{what}")]
    Kernel {
        /// What was being done, e.g. `create bridge lighter0`.
        what: String,
        /// The kernel's errno.
        #[source]
        source: io::Error,
    },
    /// A file of ours could not be read or written.
    #[error("{what} {}", path.display())]
    File {
        /// What was being done.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The remembered network is not readable as such.
    #[error("{} is damaged: move it away to have a new network chosen", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A name in the configuration cannot be used.
    #[error("{what} {name:?} is not a valid name ({rule})")]
    BadName {
        /// Which setting or argument.
        what: &'static str,
        /// Its value.
        name: String,
        /// What is allowed.
        rule: &'static str,
    },
    /// The bridge's name belongs to something else.
    #[error("interface {name} already exists and is not this daemon's ({owner}); choose another bridge name")]
    BridgeTaken {
        /// Name of the interface.
        name: String,
        /// Whose it is, as far as can be seen.
        owner: String,
    },
    /// The nftables table's name belongs to something else.
    #[error("nftables table inet {name} already exists and is not this daemon's ({owner}); choose another table name")]
    TableTaken {
        /// Name of the table.
        name: String,
        /// Whose it is, as far as can be seen.
        owner: String,
    },
    /// No pool has a subnet that collides with nothing.
    #[error("could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network")]
    NoFreeSubnet,
    /// All addresses of the subnet are in use.
    #[error("no available IPv4 addresses on this network's address pools: {subnet}")]
    Exhausted {
        /// The full subnet.
        subnet: Ipv4Net,
    },
    /// The container has an address already.
    #[error("container {container_id} already has address {ip} on this network")]
    AlreadyConnected {
        /// The container.
        container_id: String,
        /// Its address.
        ip: Ipv4Addr,
    },
    /// An address to be restored is outside the subnet, or another container's.
    #[error("address {ip} of container {container_id} cannot be taken again: {why}")]
    CannotRestore {
        /// The container.
        container_id: String,
        /// The wanted address.
        ip: Ipv4Addr,
        /// Outside, reserved or in use.
        why: &'static str,
    },
    /// The endpoint is not (or no longer) one of this network.
    #[error("endpoint {endpoint_id} is not known to this network")]
    UnknownEndpoint {
        /// The endpoint.
        endpoint_id: String,
    },
    /// The thread that talks to the kernel has ended.
    #[error("the network thread has ended")]
    WorkerGone,
}

impl NetworkError {
    pub(crate) fn kernel(what: impl Into<String>, source: io::Error) -> Self {
        Self::Kernel { what: what.into(), source }
    }

    pub(crate) fn file(what: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::File { what, path: path.into(), source }
    }
}
