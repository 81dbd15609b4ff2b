//! The resolver of containers on user-defined networks, at 127.0.0.11 in each of them.
//!
//! It knows the names of the containers' own networks and passes everything else on to the host's resolvers. Whoever
//! puts containers on networks (the engine) tells it who is called what ([`Dns::publish`]) and which namespaces want it
//! ([`Dns::attach`]); nothing here is kept on disk, so that after a restart both are said again.
//!
//! The sockets are opened inside the container's namespace but served by the daemon's runtime: there is no process, and
//! a look-up is one datagram in and one out. They are bound to some high port, and port 53 leads there by a rule inside
//! the namespace, because a container may want to be a name server itself (a socket at 127.0.0.11:53 would keep it from
//! binding 0.0.0.0:53).
//!
//! An open socket keeps its namespace alive: [`Dns::detach`] when a container ends.
//!
//! - `names` is who is called what, and finds; `answer` turns a question into an answer. Both are without I/O.
//! - `serve` has the sockets, `place` opens them in the namespaces, `redirect` writes the rules there.
//! - `upstream` asks others.

mod answer;
mod names;
mod place;
mod redirect;
mod serve;
mod upstream;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use tokio::sync::Semaphore;

use crate::error::NetworkError;
use names::Zones;
use place::Places;

/// Where containers find their resolver.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

/// Questions that are passed on at once, for all containers together. Each costs a socket.
const MOST_FORWARDED: usize = 1024;
/// The same for one container, so that no one takes all of them.
const MOST_FORWARDED_EACH: usize = 256;

/// By what names one container is found on one network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointNames {
    /// The name that a look-up by address gives (with the network's name behind it). Found, too.
    pub name: String,
    /// Further names: short id, aliases, the name of the service.
    pub aliases: Vec<String>,
    /// Its addresses on this network, of both families.
    pub addresses: Vec<IpAddr>,
}

/// What one container sees.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// Its networks, in the order in which they are searched.
    pub networks: Vec<Seat>,
    /// Whether what is no container's name is passed on: not if all its networks are internal.
    pub forward: bool,
    /// `--dns`: asked instead of the host's resolvers, from inside the namespace.
    pub servers: Vec<IpAddr>,
    /// `ndots` was set to more than zero: then a name without a dot is never passed on, for the client comes again with
    /// a search domain added.
    pub ndots: bool,
}

/// A container's place on one network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seat {
    /// The network's id, as in [`Dns::publish`].
    pub network: String,
    /// Names that only this container knows: alias to name.
    pub links: BTreeMap<String, String>,
}

/// The resolvers of one daemon. Cheap to clone.
#[derive(Clone)]
pub struct Dns {
    inner: Arc<Inner>,
}

struct Inner {
    zones: Arc<RwLock<Zones>>,
    served: Mutex<HashMap<String, serve::Served>>,
    places: Places,
    host: Arc<upstream::HostResolvers>,
    room: Arc<Semaphore>,
}

impl std::fmt::Debug for Dns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dns").field("attached", &self.inner.served.lock().len()).finish_non_exhaustive()
    }
}

impl Dns {
    /// No network and no container yet. `resolv_conf` is the file with the host's resolvers (`/etc/resolv.conf`); they are
    /// asked from the namespace of the runtime's threads, so that one on the host's loopback is reached, too.
    #[must_use]
    pub fn new(resolv_conf: impl Into<PathBuf>) -> Self {
        let inner = Inner {
            zones: Arc::default(),
            served: Mutex::default(),
            places: Places::default(),
            host: Arc::new(upstream::HostResolvers::new(resolv_conf.into())),
            room: Arc::new(Semaphore::new(MOST_FORWARDED)),
        };
        Self { inner: Arc::new(inner) }
    }

    /// A container is on a network (`network` is its id) under these names, whatever it was before.
    pub fn publish(&self, network: &str, network_name: &str, container: &str, names: EndpointNames) {
        self.inner.zones.write().publish(network, network_name, container, names);
    }

    /// A container has left a network.
    pub fn withdraw(&self, network: &str, container: &str) {
        self.inner.zones.write().withdraw(network, container);
    }

    /// A container has ended: it is on no network any more, and has no resolver. Safe to call for one that is not known.
    pub fn forget(&self, container: &str) {
        self.inner.zones.write().withdraw_all(container);
        self.detach(container);
    }

    /// Opens the resolver of a container in its namespace; one that it has is replaced. The same container gets the same
    /// port again if it is free, so that a client in the midst of a question notices nothing of a daemon's restart.
    ///
    /// # Errors
    /// The sockets cannot be opened in the namespace, nor port 53 be led to them.
    pub async fn attach(&self, container: &str, netns: BorrowedFd<'_>, view: View) -> Result<(), NetworkError> {
        // What is there must free its port first.
        self.detach(container);
        let failed = |error| NetworkError::kernel(format!("open the resolver of container {container}"), error);
        let netns = Arc::new(netns.try_clone_to_owned().map_err(failed)?);
        let sockets = self.inner.places.open(Arc::clone(&netns), place::preferred_port(container)).await.map_err(failed)?;
        let resolver = serve::Resolver {
            zones: Arc::clone(&self.inner.zones),
            view: Arc::new(RwLock::new(Arc::new(view))),
            upstream: upstream::Upstream {
                places: self.inner.places.clone(),
                host: Arc::clone(&self.inner.host),
                netns,
                room: Arc::clone(&self.inner.room),
                own_room: Arc::new(Semaphore::new(MOST_FORWARDED_EACH)),
            },
        };
        let served = serve::serve(sockets, resolver).map_err(failed)?;
        self.inner.served.lock().insert(container.to_owned(), served);
        Ok(())
    }

    /// Changes what an attached container sees; `false` if it is not attached.
    pub fn update(&self, container: &str, view: View) -> bool {
        match self.inner.served.lock().get(container) {
            Some(served) => {
                *served.view.write() = Arc::new(view);
                true
            }
            None => false,
        }
    }

    /// Closes a container's resolver. Safe to call for one that has none.
    pub fn detach(&self, container: &str) {
        self.inner.served.lock().remove(container);
    }

    /// Whether the container has a resolver.
    #[must_use]
    pub fn is_attached(&self, container: &str) -> bool {
        self.inner.served.lock().contains_key(container)
    }
}
