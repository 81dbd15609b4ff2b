//! The handle that the engine holds. Everything that needs the kernel becomes a job for `worker`.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::addr::Ipv4Net;
use crate::error::NetworkError;
use crate::leases::Endpoint;
use crate::links::{MAX_ALIAS, MAX_IFNAME};
use crate::netns::{self, Factory};
use crate::pools::{Pool, default_pools};
use crate::worker::{Host, Job, Shared};

/// What a daemon decides about its default bridge.
#[derive(Debug, Clone)]
pub struct BridgeConfig {
    /// Where the choice of subnet is kept, in a file of its own. Made if it does not exist. Also tells this
    /// daemon's bridge and table from another's, so no two daemons may share it.
    pub state_dir: PathBuf,
    /// Name of the bridge, at most 15 bytes. Daemons that run side by side need different ones.
    pub bridge: String,
    /// Name of the nftables table of family inet. `None`: `lighter` for bridge `lighter0`, else `lighter-<bridge>`.
    pub table: Option<String>,
    /// Where a subnet may be taken from, in order of preference.
    pub pools: Vec<Pool>,
    /// Networks to keep clear of beyond those that the host has routes for: those of its name servers, say, or
    /// what another engine on this host will take when it starts.
    pub avoid: Vec<Ipv4Net>,
    /// MTU of bridge and containers; `None`: 1500.
    pub mtu: Option<u32>,
    /// How many network namespaces to hold ready while containers come and go.
    pub netns_pool: usize,
}

impl BridgeConfig {
    /// The defaults, with the choice kept in `state_dir`.
    #[must_use]
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self {
            state_dir: state_dir.into(),
            bridge: "lighter0".to_owned(),
            table: None,
            pools: default_pools(),
            avoid: Vec::new(),
            mtu: None,
            netns_pool: 2,
        }
    }

    pub(crate) fn table_name(&self) -> String {
        match &self.table {
            Some(table) => table.clone(),
            None if self.bridge == "lighter0" => "lighter".to_owned(),
            None => format!("lighter-{}", self.bridge),
        }
    }

    /// What marks bridge and table as this daemon's. The end of a long path says more than its start.
    pub(crate) fn owner(&self) -> String {
        const MOST: usize = 180;
        let path = self.state_dir.to_string_lossy();
        let start = path.len().saturating_sub(MOST);
        let start = (start..=path.len()).find(|&at| path.is_char_boundary(at)).unwrap_or(0);
        format!("lighter {}", &path[start..])
    }

    fn check(&self) -> Result<(), NetworkError> {
        let word = |what, name: &str, most, rule| {
            let fine = !name.is_empty()
                && name.len() <= most
                && !name.starts_with('.')
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
            if fine { Ok(()) } else { Err(NetworkError::BadName { what, name: name.to_owned(), rule }) }
        };
        word("bridge", &self.bridge, MAX_IFNAME, "1 to 15 letters, digits, '_', '.', '-'")?;
        word("nftables table", &self.table_name(), 64, "1 to 64 letters, digits, '_', '.', '-'")
    }
}

/// The network as it is: chosen once, the same after every restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkInfo {
    /// 64 hexadecimal digits.
    pub network_id: String,
    /// Name of the bridge.
    pub bridge: String,
    /// The addresses.
    pub subnet: Ipv4Net,
    /// The bridge's own address.
    pub gateway: Ipv4Addr,
    /// MTU in bytes.
    pub mtu: u32,
}

/// A container that outlived the daemon, and the address that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// The container.
    pub container_id: String,
    /// Its address.
    pub ip: Ipv4Addr,
}

/// The networks of one daemon. Cheap to clone; the last clone ends the threads.
#[derive(Clone)]
pub struct Networks {
    jobs: Sender<Job>,
    shared: Arc<Mutex<Shared>>,
    namespaces: Arc<Factory>,
}

impl std::fmt::Debug for Networks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Networks").field("info", &self.info()).finish_non_exhaustive()
    }
}

/// Gives an endpoint back unless somebody took it: for the caller whose future was dropped.
struct Unclaimed {
    networks: Networks,
    endpoint: Option<Endpoint>,
}

impl Unclaimed {
    fn claim(mut self) -> Option<Endpoint> {
        self.endpoint.take()
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some(endpoint) = self.endpoint.take() {
            self.networks.teardown(&endpoint);
        }
    }
}

impl Networks {
    /// Settles on a subnet (the remembered one if there is one) and, if the bridge is still there from an earlier
    /// run, puts it and the rules right. Makes no interface otherwise.
    ///
    /// All of it happens in the network namespace of the calling thread, and later calls keep to that one.
    ///
    /// # Errors
    /// The bridge's or the table's name is somebody else's, no subnet is free, the state cannot be kept.
    pub async fn open(config: BridgeConfig) -> Result<Self, NetworkError> {
        config.check()?;
        let home = netns::current().map_err(|error| NetworkError::kernel("open the network namespace", error))?;
        let home = Arc::new(home);
        let namespaces = Factory::new(Arc::clone(&home), config.netns_pool);
        let (jobs, inbox) = channel::<Job>();
        let (reply, answer) = oneshot::channel();
        std::thread::Builder::new()
            .name("lighter-net".to_owned())
            .stack_size(512 * 1024)
            .spawn(move || match Host::open(config, home) {
                Ok((host, shared)) => {
                    // If nobody waits any more, the queue is closed too and `run` returns.
                    let _ = reply.send(Ok(shared));
                    host.run(&inbox);
                }
                Err(error) => drop(reply.send(Err(error))),
            })
            .map_err(|error| NetworkError::kernel("start the network thread", error))?;
        let shared = answer.await.map_err(|_| NetworkError::WorkerGone)??;
        Ok(Self { jobs, shared, namespaces })
    }

    async fn run<T: Send + 'static>(&self, job: impl FnOnce(&mut Host) -> T + Send + 'static) -> Result<T, NetworkError> {
        let (reply, answer) = oneshot::channel();
        let job = move |host: &mut Host| drop(reply.send(job(host)));
        self.jobs.send(Box::new(job)).map_err(|_| NetworkError::WorkerGone)?;
        answer.await.map_err(|_| NetworkError::WorkerGone)
    }

    /// The default network. Known from the start, also before its bridge exists.
    #[must_use]
    pub fn info(&self) -> NetworkInfo {
        self.shared.lock().info.clone()
    }

    /// What an administrator should know, as sentences for `docker info`: e.g. that another firewall drops what our
    /// containers send. Empty if all is well.
    pub async fn warnings(&self) -> Vec<String> {
        self.run(Host::warnings).await.unwrap_or_default()
    }

    /// A new network namespace with its loopback up, owned by nobody but the returned descriptor (close-on-exec).
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn new_netns(&self) -> Result<OwnedFd, NetworkError> {
        self.namespaces.take().await
    }

    /// Takes an address for a container, making the bridge if this is the first. Call [`Self::teardown`] to give it back.
    ///
    /// # Errors
    /// The container has one, the subnet is full, or the bridge or the rules could not be made.
    pub async fn allocate(&self, container_id: &str) -> Result<Endpoint, NetworkError> {
        check_container_id(container_id)?;
        let id = container_id.to_owned();
        let networks = self.clone();
        let made = self
            .run(move |host| {
                let endpoint = host.allocate(&id)?;
                Ok::<_, NetworkError>(Unclaimed { networks, endpoint: Some(endpoint) })
            })
            .await??;
        made.claim().ok_or(NetworkError::WorkerGone)
    }

    /// Connects a namespace: an interface pair, its end within named, addressed, up and routed, loopback untouched.
    ///
    /// # Errors
    /// The endpoint is not (any more) allocated, or the kernel refused. No interface is left then; the address is
    /// still taken.
    pub async fn setup(&self, netns: BorrowedFd<'_>, endpoint: &Endpoint) -> Result<(), NetworkError> {
        // An own descriptor: the job is done also when the caller has gone.
        let netns = netns.try_clone_to_owned().map_err(|error| NetworkError::kernel("keep the network namespace open", error))?;
        let endpoint = endpoint.clone();
        self.run(move |host| host.setup(netns.as_fd(), &endpoint)).await?
    }

    /// A new namespace, connected: what `docker run` needs, in one call. Undone as a whole on an error, or when the
    /// future is dropped.
    ///
    /// # Errors
    /// As [`Self::allocate`], [`Self::new_netns`] and [`Self::setup`].
    pub async fn connect(&self, container_id: &str) -> Result<(OwnedFd, Endpoint), NetworkError> {
        check_container_id(container_id)?;
        let netns = self.new_netns().await?;
        let id = container_id.to_owned();
        let networks = self.clone();
        // One job for both steps: waking the thread twice would cost a tenth of the whole.
        let made = self
            .run(move |host| {
                let endpoint = host.allocate(&id)?;
                let made = Unclaimed { networks, endpoint: Some(endpoint.clone()) };
                host.setup(netns.as_fd(), &endpoint)?;
                Ok::<_, NetworkError>((netns, made))
            })
            .await?;
        let (netns, made) = made?;
        let endpoint = made.claim().ok_or(NetworkError::WorkerGone)?;
        Ok((netns, endpoint))
    }

    /// Gives an endpoint back. Returns at once; the address is free when the interface is gone, which the kernel sees to
    /// once nothing holds the namespace any more. So close the namespace's descriptor, too. Safe to call twice.
    pub fn teardown(&self, endpoint: &Endpoint) {
        if self.shared.lock().leases.start_release(endpoint) {
            let endpoint = endpoint.clone();
            let job: Job = Box::new(move |host| host.release(endpoint));
            if self.jobs.send(job).is_err() {
                tracing::warn!("the network thread has ended: an address stays taken");
            }
        }
    }

    /// Takes the addresses of containers that outlived the daemon, before anything is allocated. One result for each,
    /// in order; what does not fit the network any more is an error of its own.
    ///
    /// # Errors
    /// The bridge or the rules could not be put right.
    pub async fn restore(&self, live: &[Live]) -> Result<Vec<Result<Endpoint, NetworkError>>, NetworkError> {
        let live = live.to_vec();
        self.run(move |host| host.restore(&live)).await?
    }

    /// Removes the interfaces of containers that are not among `live` and have no endpoint here, as a crash may leave
    /// them. Touches only what carries this network's marks. Returns the names of what it removed.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn reconcile(&self, live: &[String]) -> Result<Vec<String>, NetworkError> {
        let live = live.to_vec();
        self.run(move |host| host.reconcile(&live)).await?
    }

    /// Removes bridge and rules if nobody is connected; `false` if somebody is. The next [`Self::allocate`] makes them
    /// again, with the same subnet.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn remove_all(&self) -> Result<bool, NetworkError> {
        self.run(Host::remove_all).await?
    }

    /// A container's endpoint, if it has one.
    #[must_use]
    pub fn endpoint_of(&self, container_id: &str) -> Option<Endpoint> {
        self.shared.lock().leases.of(container_id)
    }

    /// All endpoints, by address.
    #[must_use]
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.shared.lock().leases.active()
    }

    /// Whether no address is taken, nor on its way back.
    #[cfg(test)]
    pub(crate) fn is_quiet(&self) -> bool {
        self.shared.lock().leases.is_empty()
    }

    /// How many namespaces are held ready.
    #[cfg(test)]
    pub(crate) fn ready_namespaces(&self) -> usize {
        self.namespaces.ready()
    }
}

/// The id becomes part of an interface's alias, which has limited room and colons of its own.
fn check_container_id(id: &str) -> Result<(), NetworkError> {
    const MOST: usize = MAX_ALIAS - "lighter:".len() - 12 - 1 - 1 - 64;
    let fine = !id.is_empty() && id.len() <= MOST && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    if fine {
        return Ok(());
    }
    Err(NetworkError::BadName {
        what: "container id",
        name: id.chars().take(64).collect(),
        rule: "letters, digits, '_', '.', '-'",
    })
}
