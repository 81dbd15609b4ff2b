//! The engine whose containers exist only as records: for tests of the layers above, demonstrations, client development.
//!
//! It never pretends otherwise: [`Description::warnings`] says that nothing runs, process ids are above what a kernel can
//! give, and what would need real content (`save`) is refused. What a container "does" follows from its arguments alone
//! (see `program.rs`), so that the layers above can be tested for exit codes, streams, signals and logs without root.
//! Named only by `lighterd` and by tests.

mod archive;
mod images;
mod journal;
mod networks;
mod observe;
mod process;
mod program;
mod reference;
mod volumes;

use crate::images::MemoryImages;
use crate::journal::LogReader;
use crate::process::{Phase, Process, Streams};
use async_trait::async_trait;
use lighter_domain::volume::Volume;
use lighter_domain::{Container, ContainerId, Error, ExecConfig, Exit, Result, Signal};
use lighter_engine::{
    Attach, AttachOptions, ByteStream, Description, Engine, Exec, ExecSession, Found, FoundState, Images, LogQuery, Logs, Pause,
    Review, Session, StartFailure, Started, Stats, Top, Volumes, fields,
};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// As `info` and the table of fields have it.
const NAME: &str = "memory";
/// Linux gives no process id above 2^22; ours can be mistaken for nobody's.
const FIRST_PID: u32 = 5_000_000;

/// What a [`MemoryEngine`] begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryConfig {
    /// A record `busybox:latest` is there from the start.
    pub busybox: bool,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self { busybox: true }
    }
}

/// See the crate's documentation.
pub struct MemoryEngine {
    containers: RwLock<HashMap<ContainerId, Arc<Slot>>>,
    images: MemoryImages,
    networks: networks::Networks,
    volumes: RwLock<BTreeMap<String, Arc<Volume>>>,
    next_pid: AtomicU32,
}

/// One container's record.
struct Slot {
    process: Arc<Process>,
    tty: bool,
    execs: Mutex<HashMap<String, Arc<Process>>>,
}

impl Slot {
    /// What was started inside ends with the container, as in a pid namespace.
    fn end_execs(&self) {
        let execs = std::mem::take(&mut *self.execs.lock());
        for exec in execs.into_values() {
            exec.signal(Signal::KILL);
        }
    }
}

impl MemoryEngine {
    /// An engine without containers.
    pub fn new(config: MemoryConfig) -> Self {
        Self {
            containers: RwLock::default(),
            images: if config.busybox { MemoryImages::with_busybox() } else { MemoryImages::default() },
            networks: networks::Networks::default(),
            volumes: RwLock::default(),
            next_pid: AtomicU32::new(FIRST_PID),
        }
    }

    fn slot(&self, id: &ContainerId) -> Result<Arc<Slot>> {
        let found = self.containers.read().get(id).cloned();
        found.ok_or_else(|| Error::not_found(format!("No such container: {id}")))
    }

    /// The record of a container, made if it is not there: this engine forgets everything when the daemon ends.
    fn slot_or_new(&self, container: &Container) -> Arc<Slot> {
        if let Ok(slot) = self.slot(&container.id) {
            return slot;
        }
        let streams = Streams {
            tty: container.config.tty,
            open_stdin: container.config.open_stdin,
            stdin_once: container.config.stdin_once,
            logged: true,
        };
        let new = || Arc::new(Slot { process: Process::new(streams), tty: streams.tty, execs: Mutex::default() });
        Arc::clone(self.containers.write().entry(container.id.clone()).or_insert_with(new))
    }

    fn pid(&self) -> u32 {
        self.next_pid.fetch_add(1, Ordering::Relaxed)
    }
}

/// Docker's name of this machine's architecture.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn no_such_exec(exec_id: &str) -> Error {
    Error::not_found(format!("No such exec instance: {exec_id}"))
}

fn not_running(id: &ContainerId) -> Error {
    Error::conflict(format!("container {id} is not running"))
}

#[async_trait]
impl Engine for MemoryEngine {
    fn make_believe(&self) -> bool {
        true
    }

    fn describe(&self) -> Description {
        Description {
            name: NAME,
            operating_system: "Lighter memory engine".to_owned(),
            os_type: "linux".to_owned(),
            architecture: std::env::consts::ARCH.to_owned(),
            cpus: std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX)),
            storage_driver: "memory".to_owned(),
            cgroup_driver: "none".to_owned(),
            cgroup_version: "2".to_owned(),
            components: vec![("memory".to_owned(), env!("CARGO_PKG_VERSION").to_owned())],
            warnings: vec![
                "WARNING: The memory engine runs nothing: containers, images and networks are records that end with the daemon"
                    .to_owned(),
            ],
            ..Description::default()
        }
    }

    fn review(&self, container: &Container) -> Result<Review> {
        let mut found = Review::default();
        fields::review(NAME, container, &mut found)?;
        Ok(found)
    }

    async fn create(&self, container: &Container) -> Result<()> {
        self.slot_or_new(container);
        Ok(())
    }

    async fn start(&self, container: &Container) -> Result<Started, StartFailure> {
        let slot = self.slot_or_new(container);
        if let Phase::Running { .. } = slot.process.phase() {
            return Err(Error::conflict(format!("container {} is already running", container.id)).into());
        }
        slot.end_execs();
        let placement = self.networks.start(container)?;
        let pid = self.pid();
        match slot.process.start(&container.path, &container.args, pid) {
            Ok(started_at) => Ok(Started { pid, started_at, placement }),
            Err(why) => {
                self.networks.end(&container.id);
                Err(StartFailure { exit_code: why.exit_code, error: Error::invalid(why.message) })
            }
        }
    }

    async fn signal(&self, id: &ContainerId, signal: Signal) -> Result<()> {
        let slot = self.slot(id)?;
        match slot.process.signal(signal) {
            true => Ok(()),
            false => Err(not_running(id)),
        }
    }

    async fn wait(&self, id: &ContainerId) -> Result<Exit> {
        let slot = self.slot(id)?;
        let mut phase = slot.process.subscribe();
        let ended = phase.wait_for(|p| matches!(p, Phase::Ended(_) | Phase::Gone)).await;
        let exit = match ended.as_deref() {
            Ok(Phase::Ended(exit)) => exit.clone(),
            _ => return Err(Error::not_found(format!("No such container: {id}"))),
        };
        drop(ended);
        slot.end_execs();
        Ok(exit)
    }

    async fn cleanup(&self, id: &ContainerId) -> Result<()> {
        self.networks.end(id);
        Ok(())
    }

    async fn remove(&self, id: &ContainerId) -> Result<()> {
        let mut containers = self.containers.write();
        let Some(slot) = containers.get(id) else { return Ok(()) };
        if let Phase::Running { .. } = slot.process.phase() {
            return Err(Error::conflict(format!("container {id} is running")));
        }
        slot.process.discard();
        containers.remove(id);
        self.networks.end(id);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<Found>> {
        let found = |(id, slot): (&ContainerId, &Arc<Slot>)| {
            let state = match slot.process.phase() {
                Phase::Running { pid, started_at } => {
                    FoundState::Running { pid, started_at, paused: slot.process.paused(), placement: self.networks.placement(id) }
                }
                Phase::Ended(exit) => FoundState::Exited(exit),
                Phase::Idle | Phase::Gone => FoundState::Idle,
            };
            Found { id: id.clone(), state }
        };
        Ok(self.containers.read().iter().map(found).collect())
    }

    async fn reconcile(&self, known: &[Arc<Container>]) -> Result<()> {
        let known: HashSet<&ContainerId> = known.iter().map(|c| &c.id).collect();
        self.containers.write().retain(|id, slot| {
            let keep = known.contains(id);
            if !keep {
                slot.process.signal(Signal::KILL);
                slot.process.discard();
            }
            keep
        });
        Ok(())
    }

    async fn size_rw(&self, _id: &ContainerId) -> Result<Option<u64>> {
        Ok(Some(0))
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
    fn images(&self) -> Option<&dyn Images> {
        Some(&self.images)
    }
    fn pause(&self) -> Option<&dyn Pause> {
        Some(self)
    }
    fn volumes(&self) -> Option<&dyn Volumes> {
        Some(self)
    }
    fn networks(&self) -> Option<&dyn lighter_engine::Networks> {
        Some(&self.networks)
    }
    fn stats(&self) -> Option<&dyn Stats> {
        Some(self)
    }
    fn top(&self) -> Option<&dyn Top> {
        Some(self)
    }
    fn update(&self) -> Option<&dyn lighter_engine::Update> {
        Some(self)
    }
}

#[async_trait]
impl Attach for MemoryEngine {
    async fn attach(&self, container: &Container, options: AttachOptions) -> Result<Session> {
        Ok(self.slot_or_new(container).process.attach(options))
    }

    async fn resize(&self, id: &ContainerId, _rows: u16, _cols: u16) -> Result<()> {
        match self.slot(id)?.process.phase() {
            Phase::Running { .. } => Ok(()),
            Phase::Idle | Phase::Ended(_) | Phase::Gone => Err(not_running(id)),
        }
    }
}

#[async_trait]
impl Exec for MemoryEngine {
    async fn exec(&self, container: &Container, exec_id: &str, config: &ExecConfig) -> Result<ExecSession, StartFailure> {
        let slot = self.slot(&container.id)?;
        if !matches!(slot.process.phase(), Phase::Running { .. }) {
            return Err(not_running(&container.id).into());
        }
        let process = Process::new(Streams { tty: config.tty, open_stdin: config.attach_stdin, stdin_once: true, logged: false });
        let options = AttachOptions { stdin: config.attach_stdin, stdout: config.attach_stdout, stderr: config.attach_stderr };
        let session = (options.stdin || options.stdout || options.stderr).then(|| process.attach(options));
        let Some((program, args)) = config.cmd.split_first() else {
            return Err(Error::invalid("No exec command specified").into());
        };
        let pid = self.pid();
        let mut phase = process.subscribe();
        if let Err(why) = process.start(program, args, pid) {
            return Err(StartFailure { exit_code: why.exit_code, error: Error::invalid(why.message) });
        }
        slot.execs.lock().insert(exec_id.to_owned(), process);
        let exec_id = exec_id.to_owned();
        let exit = Box::pin(async move {
            let ended = phase.wait_for(|p| matches!(p, Phase::Ended(_) | Phase::Gone)).await;
            let code = match ended.as_deref() {
                Ok(Phase::Ended(exit)) => exit.code,
                _ => 137,
            };
            drop(ended);
            slot.execs.lock().remove(&exec_id);
            Ok(code)
        });
        Ok(ExecSession { pid, session, exit })
    }

    async fn signal_exec(&self, id: &ContainerId, exec_id: &str, signal: Signal) -> Result<()> {
        let exec = self.slot(id)?.execs.lock().get(exec_id).cloned();
        match exec {
            Some(exec) if exec.signal(signal) => Ok(()),
            _ => Err(no_such_exec(exec_id)),
        }
    }

    async fn resize_exec(&self, id: &ContainerId, exec_id: &str, _rows: u16, _cols: u16) -> Result<()> {
        match self.slot(id)?.execs.lock().get(exec_id) {
            Some(_) => Ok(()),
            None => Err(no_such_exec(exec_id)),
        }
    }
}

#[async_trait]
impl Logs for MemoryEngine {
    async fn logs(&self, container: &Container, query: LogQuery) -> Result<ByteStream> {
        let slot = self.slot_or_new(container);
        Ok(Box::pin(LogReader::new(Arc::clone(&slot.process), query, slot.tty)))
    }
}

#[async_trait]
impl Pause for MemoryEngine {
    async fn pause(&self, id: &ContainerId) -> Result<()> {
        match self.slot(id)?.process.set_paused(true) {
            true => Ok(()),
            false => Err(Error::conflict(format!("container {id} cannot be paused"))),
        }
    }

    async fn unpause(&self, id: &ContainerId) -> Result<()> {
        match self.slot(id)?.process.set_paused(false) {
            true => Ok(()),
            false => Err(Error::conflict(format!("container {id} is not paused"))),
        }
    }
}
