//! The short-lived process that makes the container with the runtime library, so that the supervisor itself never blocks,
//! never joins a control group and never carries the library's memory. The container's process is created as its *sibling*:
//! the supervisor's own child.

use crate::cgroup::Groups;
use crate::error::SetupError;
use crate::spec::{self, Place};
use crate::sys;
use crate::wiring::{FIRST_OWN_FD, NOTES_FD, Note, Wiring};
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use lighter_supervisor_proto::{Launch, files};
use serde_json::Value;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::rc::Rc;

/// In a helper and what it makes, until the program is executed: the detached view of the control groups.
pub const CGROUP_VIEW_FD: RawFd = FIRST_OWN_FD;
/// The same for namespaces to be joined.
const NETNS_FD: RawFd = FIRST_OWN_FD + 1;
const IPCNS_FD: RawFd = FIRST_OWN_FD + 2;
const PIDNS_FD: RawFd = FIRST_OWN_FD + 3;

/// What all processes that are made for one container need.
pub struct Site {
    pub launch: Launch,
    pub groups: Groups,
    /// The compiled filter.
    pub seccomp: Option<Rc<[u8]>>,
    pub namespaces: Namespaces,
    pub cgroup_view: Option<OwnedFd>,
    /// The stand-in for the container's group, see [`crate::cgroup::hide_hierarchies`].
    pub cgroup_path: PathBuf,
    /// The limit on open files that we were started with.
    pub open_files: (u64, u64),
}

/// Those that are there already. Held open only until the container runs: they would keep alive what is in them.
#[derive(Default)]
pub struct Namespaces {
    pub net: Option<OwnedFd>,
    pub ipc: Option<OwnedFd>,
    pub pid: Option<OwnedFd>,
}

impl Namespaces {
    /// By the runtime specification's names: the namespace and its number in a helper.
    fn all(&self) -> [(&'static str, Option<&OwnedFd>, RawFd); 3] {
        [("network", self.net.as_ref(), NETNS_FD), ("ipc", self.ipc.as_ref(), IPCNS_FD), ("pid", self.pid.as_ref(), PIDNS_FD)]
    }
}

/// Starts the helper; its pid.
pub fn start(site: &Site, wiring: &Wiring<'_>) -> io::Result<i32> {
    match sys::fork_into(site.groups.birth())? {
        Some(pid) => Ok(pid),
        None => run(site, wiring),
    }
}

/// In the helper process.
fn run(site: &Site, wiring: &Wiring<'_>) -> ! {
    let [net, ipc, pid] = site.namespaces.all().map(|(_, fd, _)| fd.map(AsFd::as_fd));
    let own = [site.cgroup_view.as_ref().map(AsFd::as_fd), net, ipc, pid];
    let done = wiring.arrange(site, &own, site.launch.count_late).and_then(|()| make_container(site, wiring));
    if let Err(error) = &done {
        Note::Failed(error.failure()).send(sys::borrow(NOTES_FD));
    }
    sys::exit_now(i32::from(done.is_err()));
}

fn make_container(site: &Site, wiring: &Wiring<'_>) -> Result<(), SetupError> {
    let launch = &site.launch;
    let text = fs::read(launch.run_dir.join(files::SPEC)).map_err(SetupError::io("read the specification"))?;
    let spec = serde_json::from_slice(&text).map_err(|source| SetupError::Json { what: "read the specification", source })?;
    let rootfs = launch.run_dir.join(files::ROOTFS);
    let joined = site.namespaces.all().into_iter().filter(|(_, fd, _)| fd.is_some());
    let joined: Vec<_> = joined.map(|(kind, _, number)| (kind, format!("/proc/self/fd/{number}"))).collect();
    let place = Place { rootfs: &rootfs, cgroup: &site.cgroup_path, joined: &joined, terminal: launch.tty };
    let (spec, mut program) = spec::split(spec, &launch.id, &place)?;
    wiring.complete(&mut program, site, false, launch.count_late);
    if site.cgroup_view.is_none() {
        program.cgroup_mount = None;
    }
    let scratch = launch.run_dir.join(files::SCRATCH);
    let bundle = scratch.join("bundle");
    fs::create_dir_all(&bundle).map_err(SetupError::io("make the bundle"))?;
    write_json(&bundle.join("config.json"), &spec)?;
    let mut container = ContainerBuilder::new(launch.id.clone(), SyscallType::default())
        .with_root_path(scratch.join("libcontainer"))?
        .with_console_socket(wiring.console.as_ref().map(|name| launch.run_dir.join(name)))
        .with_executor(program)
        .as_init(&bundle)
        .with_systemd(false)
        .as_sibling(true)
        .with_detach(true)
        .build()?;
    let pid = container.pid().ok_or(SetupError::Spec("process id"))?;
    Note::Pid(pid.as_raw()).send(sys::borrow(NOTES_FD));
    Ok(container.start()?)
}

fn write_json(path: &std::path::Path, value: &Value) -> Result<(), SetupError> {
    let text = serde_json::to_vec(value).map_err(|source| SetupError::Json { what: "write the specification", source })?;
    fs::write(path, text).map_err(SetupError::io(format!("write {}", path.display())))
}
