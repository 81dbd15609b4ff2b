//! The handle that the engine holds. Everything that needs the kernel becomes a job for `worker`.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::addr::Ipv4Net;
use crate::attach::{Attachment, Join, Restored};
use crate::bridges::Pick;
use crate::error::NetworkError;
use crate::links::{MAX_ALIAS, MAX_IFNAME};
use crate::netns::{self, Factory};
use crate::pools::{Pool, default_pools};
use crate::ports::{Clash, PortWant};
use crate::spec::NetworkSpec;
use crate::watch::{self, Watch};
use crate::ways;
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
    /// The default network's own subnet (`--bip`); `None`: one of `pools`.
    pub subnet: Option<Ipv4Net>,
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
            subnet: None,
            avoid: Vec::new(),
            mtu: None,
            netns_pool: 2,
        }
    }

    /// Where the default network's subnet may be taken from.
    pub(crate) fn default_pools(&self) -> Vec<Pool> {
        self.subnet.map_or_else(|| self.pools.clone(), |net| vec![Pool { base: net, size: net.prefix() }])
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

/// The networks of one daemon. Cheap to clone; the last clone ends the threads.
#[derive(Clone)]
pub struct Networks {
    jobs: Sender<Job>,
    shared: Arc<Mutex<Shared>>,
    namespaces: Arc<Factory>,
    _watch: Option<Arc<Watch>>,
}

impl std::fmt::Debug for Networks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Networks").field("info", &self.info()).finish_non_exhaustive()
    }
}

/// Lets a container go unless somebody took what it was given: for the caller whose future was dropped.
struct Unclaimed {
    networks: Networks,
    container_id: Option<String>,
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some(id) = self.container_id.take() {
            self.networks.detach(&id);
        }
    }
}

impl Networks {
    /// As [`Self::open_with`], with the default network alone.
    ///
    /// # Errors
    /// As there.
    pub async fn open(config: BridgeConfig) -> Result<Self, NetworkError> {
        Self::open_with(config, Vec::new()).await
    }

    /// Settles on a subnet for the default network (the remembered one if there is one) and, if its bridge is still there from
    /// an earlier run, puts it right; makes no interface otherwise. The bridges of the other networks, `specs`, are made or put
    /// right; those of networks that are no more go. Rules are seen to by [`Self::restore`].
    ///
    /// All of it happens in the network namespace of the calling thread, and later calls keep to that one.
    ///
    /// # Errors
    /// The bridge's or the table's name is somebody else's, no subnet is free, the state cannot be kept.
    pub async fn open_with(config: BridgeConfig, specs: Vec<NetworkSpec>) -> Result<Self, NetworkError> {
        config.check()?;
        let home = netns::current().map_err(|error| NetworkError::kernel("open the network namespace", error))?;
        let home = Arc::new(home);
        let namespaces = Factory::new(Arc::clone(&home), config.netns_pool);
        let runtime = tokio::runtime::Handle::current();
        let (jobs, inbox) = channel::<Job>();
        let (reply, answer) = oneshot::channel();
        std::thread::Builder::new()
            .name("lighter-net".to_owned())
            .stack_size(512 * 1024)
            .spawn(move || match Host::open(config, specs, home, runtime) {
                Ok((host, shared)) => {
                    // If nobody waits any more, the queue is closed too and `run` returns.
                    let _ = reply.send(Ok(shared));
                    host.run(&inbox);
                }
                Err(error) => drop(reply.send(Err(error))),
            })
            .map_err(|error| NetworkError::kernel("start the network thread", error))?;
        let shared = answer.await.map_err(|_| NetworkError::WorkerGone)??;
        // Where the kernel has no nftables there is nothing to watch.
        let watch = watch::start(jobs.clone()).ok().map(Arc::new);
        Ok(Self { jobs, shared, namespaces, _watch: watch })
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

    /// Sees to it that the default network has its bridge, and so the host its address there, also with nobody on it.
    ///
    /// # Errors
    /// The bridge's name is taken, or the kernel refused.
    pub async fn ensure_default(&self) -> Result<(), NetworkError> {
        self.run(|host| {
            let id = host.shared.lock().info.network_id.clone();
            host.ensure(&id).map(drop)
        })
        .await?
    }

    /// What an administrator should know, as sentences for `docker info`: e.g. that another firewall drops what our
    /// containers send. Empty if all is well.
    pub async fn warnings(&self) -> Vec<String> {
        self.run(Host::warnings).await.unwrap_or_default()
    }

    /// Makes a network, with subnets of our choice where `pick` says so: it is what is returned, to be given to
    /// [`Self::open_with`] the next time.
    ///
    /// # Errors
    /// A subnet is another network's, none is free, the bridge's name is taken, or the kernel refused. Nothing is left then.
    pub async fn create(&self, spec: NetworkSpec, pick: Pick) -> Result<NetworkSpec, NetworkError> {
        check_device(&spec.device)?;
        self.run(move |host| host.create_network(spec, pick)).await?
    }

    /// Removes a network. One that is not there is fine.
    ///
    /// # Errors
    /// Somebody is on it.
    pub async fn remove(&self, network_id: &str) -> Result<(), NetworkError> {
        let id = network_id.to_owned();
        self.run(move |host| host.remove_network(&id)).await?
    }

    /// A new network namespace with its loopback up, owned by nobody but the returned descriptor (close-on-exec).
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn new_netns(&self) -> Result<OwnedFd, NetworkError> {
        self.namespaces.take().await
    }

    /// A new namespace, connected to networks, with ports of the host leading to it: what `docker run` needs, in one call.
    /// Undone as a whole on an error, or when the future is dropped. Call [`Self::detach`] to give it back.
    ///
    /// # Errors
    /// The container has a place there, a subnet is full, an address or a port is somebody's, or the kernel refused.
    pub async fn attach(
        &self,
        container_id: &str,
        joins: Vec<Join>,
        ports: Vec<PortWant>,
    ) -> Result<(OwnedFd, Attachment), NetworkError> {
        check_container_id(container_id)?;
        let netns = self.new_netns().await?;
        let id = container_id.to_owned();
        let networks = self.clone();
        // One job for all steps: waking the thread for each would cost a tenth of the whole.
        let (netns, attachment, mut made) = self
            .run(move |host| {
                let attachment = host.attach(&id, netns.as_fd(), &joins, &ports)?;
                Ok::<_, NetworkError>((netns, attachment, Unclaimed { networks, container_id: Some(id) }))
            })
            .await??;
        made.container_id = None;
        Ok((netns, attachment))
    }

    /// Lets a container go: its ports, and its places on networks. Returns at once; an address is free when the interface is
    /// gone, which the kernel sees to once nothing holds the namespace any more. So close the namespace's descriptor, too.
    /// Safe to call twice.
    pub fn detach(&self, container_id: &str) {
        let Some(attachment) = self.shared.lock().start_detach(container_id) else { return };
        let id = container_id.to_owned();
        let job: Job = Box::new(move |host| host.detach(&id, attachment));
        if self.jobs.send(job).is_err() {
            tracing::warn!("the network thread has ended: an address stays taken");
        }
    }

    /// Frees the ports of a container that has ended, before it is let go as a whole. Whoever asks for them after this call
    /// gets them.
    pub fn release_ports(&self, container_id: &str) {
        if self.shared.lock().attached.get(container_id).is_none_or(|attachment| attachment.ports.is_empty()) {
            return;
        }
        let id = container_id.to_owned();
        let _ = self.jobs.send(Box::new(move |host| host.release_ports(&id)));
    }

    /// Connects a container that runs, in `netns`, to a further network.
    ///
    /// # Errors
    /// As [`Self::attach`]. Nothing of it is left then.
    pub async fn join(&self, container_id: &str, netns: OwnedFd, join: Join) -> Result<Attachment, NetworkError> {
        check_container_id(container_id)?;
        let id = container_id.to_owned();
        self.run(move |host| host.join(&id, netns.as_fd(), &join)).await?
    }

    /// Takes a container that runs, in `netns`, off a network.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn leave(&self, container_id: &str, netns: OwnedFd, network_id: &str) -> Result<Attachment, NetworkError> {
        let (id, network_id) = (container_id.to_owned(), network_id.to_owned());
        self.run(move |host| host.leave(&id, netns.as_fd(), &network_id)).await?
    }

    /// Takes again what containers have that outlived the daemon, and sees to the rules; called before anything is attached.
    /// One answer for each, in order.
    ///
    /// # Errors
    /// The bridges or the rules could not be put right.
    pub async fn restore(&self, live: Vec<(String, Attachment)>) -> Result<Vec<Restored>, NetworkError> {
        self.run(move |host| host.restore(live)).await?
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

    /// Removes bridges and rules if nobody is connected; `false` if somebody is. They are made again when they are needed, with
    /// the same subnets.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn remove_all(&self) -> Result<bool, NetworkError> {
        self.run(Host::remove_all).await?
    }

    /// Which of `wants` take ports of the host, for a container on these networks.
    #[must_use]
    pub fn held(&self, joins: &[Join], wants: &[PortWant]) -> Vec<PortWant> {
        ways::of(&self.shared.lock().nets, joins).split(wants).0
    }

    /// What of `wants` could not be had now, were that container started.
    ///
    /// # Errors
    /// The network thread has ended.
    pub async fn clashes(&self, container_id: &str, wants: Vec<PortWant>) -> Result<Vec<Clash>, NetworkError> {
        let id = container_id.to_owned();
        self.run(move |host| host.ports.clashes(&id, &wants)).await
    }

    /// What a container holds, if it holds anything.
    #[must_use]
    pub fn attachment(&self, container_id: &str) -> Option<Attachment> {
        self.shared.lock().attached.get(container_id).cloned()
    }

    /// Whether no address is taken, nor on its way back.
    #[cfg(test)]
    pub(crate) fn is_quiet(&self) -> bool {
        self.shared.lock().is_quiet()
    }

    /// How many namespaces are held ready.
    #[cfg(test)]
    pub(crate) fn ready_namespaces(&self) -> usize {
        self.namespaces.ready()
    }
}

fn check_device(name: &str) -> Result<(), NetworkError> {
    let fine = !name.is_empty()
        && name.len() <= MAX_IFNAME
        && !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-@".contains(&b));
    let rule = "1 to 15 letters, digits, '_', '.', '-'";
    if fine { Ok(()) } else { Err(NetworkError::BadName { what: "interface", name: name.to_owned(), rule }) }
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
