//! The engine itself: what it holds open, and the `Engine` seam's methods, each handed to the module that does it.

use crate::apparmor::AppArmor;
use crate::cgroup::Cgroups;
use crate::config::LinuxConfig;
use crate::fail::Context as _;
use crate::networks::{Ids, Kept};
use crate::paths::Layout;
use crate::run::{Program, RunState, Runs};
use crate::seccomp::Seccomp;
use crate::spec::caps::CapSet;
use crate::spec::modes::etc_owner;
use crate::volumes::VolumeStore;
use async_trait::async_trait;
use lighter_domain::{Container, ContainerId, Error, ExecConfig, Exit, Finding, Result, Signal};
use lighter_engine::{
    Attach, AttachOptions, ByteStream, Description, Engine, EngineDetails, Exec, ExecSession, Files, Found, Images, LogExtent,
    LogQuery, Logs, Pause, Registry, Review, Session, StartFailure, Started, Volumes,
};
use lighter_image::{ImageId, ImageStore, Snapshots, Use};
use lighter_network::Networks;
use lighter_network::dns::Dns;
use lighter_registry::Registries;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Real OCI containers on this machine. Cheap to clone.
#[derive(Clone)]
pub struct LinuxEngine {
    pub(crate) inner: Arc<Inner>,
}

/// What the modules of this crate work on.
pub(crate) struct Inner {
    pub config: LinuxConfig,
    pub layout: Layout,
    pub cgroups: Cgroups,
    pub networks: Networks,
    /// The resolver of containers on networks that users made.
    pub dns: Dns,
    /// The networks that users made.
    pub kept: Kept,
    pub images: ImageStore,
    pub registries: Registries,
    pub snapshots: Snapshots,
    pub volumes: Arc<VolumeStore>,
    pub program: Program,
    pub seccomp: Seccomp,
    pub apparmor: AppArmor,
    pub runs: Runs,
    pub watcher: crate::logs::Watcher,
    pub ids: Ids,
    pub available: CapSet,
    pub description: Description,
    /// Which image each container is of: layers of an image removed by force are kept while one needs them.
    images_of: Mutex<HashMap<ContainerId, Vec<ImageId>>>,
}

impl std::fmt::Debug for LinuxEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LinuxEngine").field("data_root", &self.inner.layout.data_root).finish_non_exhaustive()
    }
}

impl LinuxEngine {
    /// Opens image store and network, finds running containers of an earlier daemon again. Fails without root or without
    /// the supervisor's program. One engine at a time may have a data root open; that is the caller's to see to.
    pub async fn open(config: LinuxConfig) -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Err(Error::forbidden("the linux engine needs root"));
        }
        let dir = config.data_root.join("networks");
        let kept = tokio::task::spawn_blocking(move || Kept::load(dir)).await.context("opening was broken off")??;
        let networks = Networks::open_with(config.bridge.clone(), kept.specs()).await.context("cannot open the network")?;
        let built = tokio::task::spawn_blocking(move || Inner::build(config, networks, kept)).await;
        let inner = Arc::new(built.context("opening was broken off")??);
        inner.recover().await?;
        Ok(Self { inner })
    }

    /// Takes the default bridge and its rules away, until a container needs them again, and the empty parent of the control
    /// groups; for uninstalling and for tests. `false`: containers are on the bridge, it stays.
    pub async fn remove_network(&self) -> Result<bool> {
        self.inner.cgroups.remove_parent();
        self.inner.networks.remove_all().await.context("cannot remove the network")
    }

    /// The image store, for what is not behind the engine's seam.
    pub fn image_store(&self) -> &ImageStore {
        &self.inner.images
    }
}

impl Inner {
    fn build(config: LinuxConfig, networks: Networks, kept: Kept) -> Result<Self> {
        let layout = Layout { data_root: config.data_root.clone(), exec_root: config.exec_root.clone() };
        for trash in [layout.run_trash(), layout.data_trash()] {
            crate::run::files::remove_tree(&trash)?;
        }
        for dir in [layout.runs(), layout.seccomp(), layout.containers(), layout.run_trash(), layout.data_trash(), layout.views()]
        {
            crate::run::start::make_private_dir(&dir)?;
        }
        let cgroups = Cgroups::detect(&config.cgroup_parent)?;
        let images = ImageStore::open(&layout.images()).context("cannot open the image store")?;
        let registries = Registries::new(config.registry.clone(), images.clone());
        let volumes = Arc::new(VolumeStore::open(layout.volumes())?);
        let snapshots = Snapshots::open(&layout.snapshots()).context("cannot open the writable layers")?;
        let apparmor = AppArmor::set_up();
        Ok(Self {
            apparmor,
            description: crate::describe::describe(&cgroups, &layout, apparmor, &config.registry),
            program: Program::open(&config.supervisor)?,
            seccomp: Seccomp::new(layout.seccomp()),
            ids: Ids::load(&layout.data_root, &networks)?,
            available: CapSet::available(),
            runs: Runs::default(),
            watcher: crate::logs::Watcher::default(),
            images_of: Mutex::default(),
            config,
            layout,
            cgroups,
            networks,
            dns: Dns::new("/etc/resolv.conf"),
            kept,
            registries,
            images,
            snapshots,
            volumes,
        })
    }

    pub(crate) fn note_images(&self, container: &Container) {
        let images = container.images().filter_map(|image| image.parse().ok()).collect();
        self.images_of.lock().insert(container.id.clone(), images);
    }

    async fn create(self: &Arc<Self>, container: &Container) -> Result<()> {
        self.note_images(container);
        let slot = self.runs.slot(&container.id);
        let held = slot.hold().await;
        let (this, container) = (Arc::clone(self), container.clone());
        let work = move || {
            let _held = held;
            this.make_layer(&container)?;
            this.copy_up(&container)
        };
        tokio::task::spawn_blocking(work).await.context("creating was broken off")?
    }

    pub(crate) async fn remove(self: &Arc<Self>, id: &ContainerId) -> Result<()> {
        let slot = self.runs.slot(id);
        let mut held = slot.hold().await;
        if matches!(slot.state(), RunState::Running { .. }) && self.is_alive(id).await {
            return Err(Error::conflict(format!("container {id} is running")));
        }
        let (this, id) = (Arc::clone(self), id.clone());
        // Goes on when the caller goes away: a container half removed is of no use to anybody.
        let task = tokio::spawn(async move {
            held.listener = None;
            held.dirty |= this.layout.run_dir(&id).exists();
            if held.dirty {
                this.tidy(&id, &mut held).await?;
            }
            this.images_of.lock().remove(&id);
            let (that, its_id) = (Arc::clone(&this), id.clone());
            let work = move || -> Result<()> {
                that.snapshots.remove(its_id.as_str()).context("cannot remove the writable layer")?;
                crate::run::files::discard(&that.layout.data_dir(&its_id), &that.layout.data_trash())?;
                let users = that.images_of.lock().clone();
                let in_use = |image: &ImageId| {
                    let user = users.iter().find(|(_, used)| used.contains(image))?;
                    Some(Use { container_id: user.0.as_str().to_owned(), running: false })
                };
                that.images.collect_detached(&in_use).context("cannot drop layers that nobody needs")
            };
            tokio::task::spawn_blocking(work).await.context("removing was broken off")??;
            this.runs.forget(&id);
            Ok(())
        });
        task.await.context("removing was broken off")?
    }
}

#[async_trait]
impl Engine for LinuxEngine {
    fn describe(&self) -> Description {
        self.inner.description.clone()
    }

    fn review(&self, container: &Container) -> Result<Review> {
        crate::review::review(&self.inner, container)
    }

    async fn create(&self, container: &Container) -> Result<()> {
        self.inner.create(container).await
    }

    async fn start(&self, container: &Container) -> Result<Started, StartFailure> {
        self.inner.start(container).await
    }

    async fn signal(&self, id: &ContainerId, signal: Signal) -> Result<()> {
        self.inner.signal(id, signal).await
    }

    async fn wait(&self, id: &ContainerId) -> Result<Exit> {
        self.inner.wait(id).await
    }

    async fn cleanup(&self, id: &ContainerId) -> Result<()> {
        self.inner.cleanup(id).await
    }

    async fn remove(&self, id: &ContainerId) -> Result<()> {
        self.inner.remove(id).await
    }

    async fn list(&self) -> Result<Vec<Found>> {
        self.inner.list().await
    }

    async fn reconcile(&self, known: &[Arc<Container>]) -> Result<()> {
        self.inner.reconcile(known).await
    }

    async fn size_rw(&self, id: &ContainerId) -> Result<Option<u64>> {
        let (inner, id) = (Arc::clone(&self.inner), id.clone());
        let size = tokio::task::spawn_blocking(move || inner.snapshots.size_rw(id.as_str())).await;
        size.context("measuring was broken off")?.map(Some).context("cannot measure the writable layer")
    }

    async fn diagnose(&self) -> Vec<Finding> {
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || inner.diagnose()).await.unwrap_or_default()
    }

    fn inspect(&self, container: &Container) -> EngineDetails {
        let (layout, id) = (&self.inner.layout, &container.id);
        let etc = etc_owner(container);
        let shown = |path: std::path::PathBuf| path.display().to_string();
        let mut data = BTreeMap::new();
        if let Some(paths) = self.inner.snapshots.paths(id.as_str()) {
            data.insert("UpperDir".to_owned(), shown(paths.upper));
            data.insert("WorkDir".to_owned(), shown(paths.work));
            let lower: Vec<String> = paths.lower.into_iter().map(shown).collect();
            if !lower.is_empty() {
                data.insert("LowerDir".to_owned(), lower.join(":"));
            }
        }
        let kept = crate::logs::options::of(container).is_ok_and(|o| o.is_some());
        EngineDetails {
            log_path: if kept { shown(layout.log(id)) } else { String::new() },
            hostname_path: shown(layout.hostname(&etc)),
            hosts_path: shown(layout.hosts(&etc)),
            resolv_conf_path: shown(layout.resolv_conf(&etc)),
            sandbox_key: container.state.pid().map(|pid| format!("/proc/{pid}/ns/net")).unwrap_or_default(),
            apparmor_profile: self.inner.apparmor.shown(container),
            storage_driver: "overlay2".into(),
            storage_data: data,
        }
    }

    fn attach(&self) -> Option<&dyn Attach> {
        Some(self)
    }
    fn exec(&self) -> Option<&dyn Exec> {
        Some(self)
    }
    fn logs(&self) -> Option<&dyn Logs> {
        Some(self)
    }
    fn registry(&self) -> Option<&dyn Registry> {
        Some(self)
    }
    fn images(&self) -> Option<&dyn Images> {
        Some(self)
    }
    fn pause(&self) -> Option<&dyn Pause> {
        Some(self)
    }
    fn stats(&self) -> Option<&dyn lighter_engine::Stats> {
        Some(self)
    }
    fn top(&self) -> Option<&dyn lighter_engine::Top> {
        Some(self)
    }
    fn update(&self) -> Option<&dyn lighter_engine::Update> {
        Some(self)
    }
    fn files(&self) -> Option<&dyn Files> {
        Some(self)
    }
    fn volumes(&self) -> Option<&dyn Volumes> {
        Some(self)
    }
    fn networks(&self) -> Option<&dyn lighter_engine::Networks> {
        Some(self)
    }
}

#[async_trait]
impl Attach for LinuxEngine {
    async fn attach(&self, container: &Container, options: AttachOptions) -> Result<Session> {
        self.inner.attach(container, options).await
    }

    async fn resize(&self, id: &ContainerId, rows: u16, cols: u16) -> Result<()> {
        self.inner.resize(id, None, rows, cols).await
    }
}

#[async_trait]
impl Exec for LinuxEngine {
    async fn exec(&self, container: &Container, exec_id: &str, config: &ExecConfig) -> Result<ExecSession, StartFailure> {
        self.inner.exec(container, exec_id, config).await
    }

    async fn signal_exec(&self, id: &ContainerId, exec_id: &str, signal: Signal) -> Result<()> {
        self.inner.signal_exec(id, exec_id, signal).await
    }

    async fn resize_exec(&self, id: &ContainerId, exec_id: &str, rows: u16, cols: u16) -> Result<()> {
        self.inner.resize(id, Some(exec_id), rows, cols).await
    }
}

#[async_trait]
impl Logs for LinuxEngine {
    async fn logs(&self, container: &Container, query: LogQuery) -> Result<ByteStream> {
        self.inner.logs(container, query).await
    }

    fn extent(&self, container: &Container) -> Option<LogExtent> {
        self.inner.log_extent(&container.id)
    }
}

#[async_trait]
impl Pause for LinuxEngine {
    async fn pause(&self, id: &ContainerId) -> Result<()> {
        self.inner.freeze(id, true).await
    }

    async fn unpause(&self, id: &ContainerId) -> Result<()> {
        self.inner.freeze(id, false).await
    }
}
