//! What can go wrong when a network is made or used, in words that an API answer can carry.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;

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
    /// Another network has addresses of the wanted subnet.
    #[error("invalid pool request: Pool overlaps with other one on this address space")]
    PoolOverlaps,
    /// Somebody has the wanted address.
    #[error("Address already in use")]
    AddressInUse {
        /// The address.
        ip: IpAddr,
    },
    /// The wanted address is not one of the network's.
    #[error("no configured subnet contains IP address {ip}")]
    NoSuchSubnet {
        /// The address.
        ip: IpAddr,
        /// The network.
        network: String,
    },
    /// A host port is another container's.
    #[error("Bind for {} failed: port is already allocated", SocketAddr::new(*ip, *port))]
    PortTaken {
        /// Of the host.
        ip: IpAddr,
        /// The port.
        port: u16,
    },
    /// A host port cannot be bound, for some program has it, or the address is not the host's.
    #[error("failed to bind host port {address}/{protocol}")]
    PortHeld {
        /// Of the host.
        address: SocketAddr,
        /// `tcp`, `udp`, `sctp`.
        protocol: &'static str,
        /// The kernel's errno.
        #[source]
        source: io::Error,
    },
    /// The network is not, or no longer, there.
    #[error("network {id} not found")]
    UnknownNetwork {
        /// What it was called.
        id: String,
    },
    /// The container is not connected at all.
    #[error("container {container_id} is not connected to any network")]
    NotAttached {
        /// The container.
        container_id: String,
    },
    /// The interface that a network is to use is not there.
    #[error("invalid subinterface or interface name {name}: it does not exist")]
    NoParent {
        /// The interface.
        name: String,
    },
    /// Containers are still on it.
    #[error("network {name} has active endpoints")]
    InUse {
        /// The network.
        name: String,
    },
    /// No pool has a subnet that collides with nothing.
    #[error("all predefined address pools have been fully subnetted")]
    NoFreeSubnet,
    /// All addresses of the subnet are in use.
    #[error("no available {} addresses on this network's address pools: {subnet}", if subnet.addr().is_ipv4() { "IPv4" } else { "IPv6" })]
    Exhausted {
        /// The full subnet.
        subnet: IpNet,
    },
    /// The container has an address already.
    #[error("container {container_id} already has address {ip} on this network")]
    AlreadyConnected {
        /// The container.
        container_id: String,
        /// Its address.
        ip: IpAddr,
    },
    /// An address to be restored is outside the subnet, or another container's.
    #[error("address {ip} of container {container_id} cannot be taken again: {why}")]
    CannotRestore {
        /// The container.
        container_id: String,
        /// The wanted address.
        ip: IpAddr,
        /// Outside, reserved or in use.
        why: &'static str,
    },
    /// The interface of a place to be restored is gone.
    #[error("interface {name} of container {container_id} is gone")]
    NoInterface {
        /// Its end on the host.
        name: String,
        /// The container.
        container_id: String,
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
