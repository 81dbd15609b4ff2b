//! `lighter-supervisor <launch file>`: makes one container, holds its streams, writes its log, reaps it and keeps its exit
//! status, whatever becomes of the daemon. The daemon starts one for each container; see `lighter-supervisor-proto` for the
//! files and descriptors between the two.
//!
//! One thread and no runtime: the runtime library must be called from a single thread, and a thousand of these must be cheap.

mod cgroup;
mod client;
mod clock;
mod error;
mod helper;
mod join;
mod journal;
mod log;
mod lookup;
mod outbox;
mod poll;
mod process;
mod program;
mod rootfs;
mod server;
mod shared;
mod spec;
mod summons;
mod sys;
mod wiring;

use cgroup::Groups;
use error::SetupError;
use helper::{Namespaces, Site};
use lighter_supervisor_proto::{DAEMON_FD, LISTENER_FD, Launch, Ready, Shm, files, joined};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rustix::fs::{Mode, OFlags};
use server::Server;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;

fn main() -> ExitCode {
    let (listener, daemon) = (sys::adopt(LISTENER_FD), sys::adopt(DAEMON_FD));
    let (Some(listener), Some(daemon)) = (listener, daemon) else { return ExitCode::from(2) };
    let Some(path) = std::env::args_os().nth(1) else { return ExitCode::from(2) };
    match daemon
        .try_clone()
        .map_err(SetupError::io("copy a descriptor"))
        .and_then(|copy| prepare(Path::new(&path), listener, copy))
    {
        Ok(Some(server)) => {
            drop(daemon);
            server.run();
            ExitCode::SUCCESS
        }
        // The daemon gave the start up, or is gone.
        Ok(None) => ExitCode::SUCCESS,
        Err(error) => {
            let failure = error.failure();
            journal::note(&failure.message);
            if let Ok(mut line) = serde_json::to_vec(&Ready::Failed(failure)) {
                // For a daemon that comes later; the launch file lies in the run directory.
                let _ = std::fs::write(Path::new(&path).with_file_name(files::READY), &line);
                line.push(b'\n');
                let _ = std::fs::File::from(daemon).write_all(&line);
            }
            ExitCode::FAILURE
        }
    }
}

/// Everything before the event loop. `None`: there is nothing to be started.
fn prepare(launch_file: &Path, listener: OwnedFd, daemon: OwnedFd) -> Result<Option<Server>, SetupError> {
    detach()?;
    let signals = server::block_signals().map_err(SetupError::io("take signals"))?;
    let Some(layers) = summons::rootfs(&daemon)? else { return Ok(None) };
    let root = rootfs::make(&layers)?;
    let Some(mut given) = summons::wait(&daemon)? else { return Ok(None) };
    let text = std::fs::read(launch_file).map_err(SetupError::io(format!("read {}", launch_file.display())))?;
    let launch: Launch =
        serde_json::from_slice(&text).map_err(|source| SetupError::Json { what: "read the launch file", source })?;
    journal::open(launch.run_dir.join(files::LOG));
    let mounts = given.take(joined::MOUNTS, matches!(launch.shm, Some(Shm::Of { .. })))?;
    let shm = shared::take_shm(&launch, mounts)?;
    // The run directory is where sockets are made: its path may be longer than a socket's name can be.
    std::env::set_current_dir(&launch.run_dir).map_err(SetupError::io("enter the run directory"))?;
    let groups = Groups::open(&launch.cgroups)?;
    let namespaces = Namespaces {
        net: given.take(joined::NETWORK, launch.netns)?,
        ipc: given.take(joined::IPC, launch.joins_ipc)?,
        pid: given.take(joined::PROCESSES, launch.joins_pid)?,
    };
    let seccomp = launch.seccomp.as_ref().map(|path| std::fs::read(path).map(Rc::from)).transpose();
    let seccomp = seccomp.map_err(SetupError::io("read the seccomp program"))?;
    rootfs::enter_namespace()?;
    let binds = shared::take_binds(&launch)?;
    rootfs::let_nothing_out()?;
    let scratch = launch.run_dir.join(files::SCRATCH);
    rootfs::mount_scratch(&scratch)?;
    let (cgroup, rootfs) = (scratch.join("cgroup"), launch.run_dir.join(files::ROOTFS));
    for dir in [&cgroup, &rootfs] {
        std::fs::create_dir(dir).map_err(SetupError::io(format!("make {}", dir.display())))?;
    }
    let cgroup_view = cgroup::view(&launch.cgroups, &cgroup)?;
    let cgroup_path = cgroup::hide_hierarchies(&cgroup)?;
    rootfs::place(&layers, root, &rootfs)?;
    launch.images.iter().try_for_each(rootfs::mount_image)?;
    launch.pins.iter().try_for_each(rootfs::pin)?;
    shared::place_binds(&binds)?;
    shared::place_shm(&launch, shm)?;
    let site = Site { open_files: raise_open_files(), launch, groups, seccomp, namespaces, cgroup_view, cgroup_path };
    Server::new(site, listener, daemon, signals).map(Some)
}

/// Lets go of the daemon: its session, its streams, its fate.
fn detach() -> Result<(), SetupError> {
    // Fails for a session's leader, which is then already what we want.
    let _ = nix::unistd::setsid();
    rustix::process::umask(Mode::from_bits_truncate(0o022));
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    let null = null.map_err(SetupError::io("open /dev/null"))?;
    for number in 0..3 {
        sys::dup_to(null.as_raw_fd(), number).map_err(SetupError::io("detach the standard streams"))?;
    }
    // The supervisor is the last that should be killed for want of memory; helpers reset it.
    let _ = std::fs::write("/proc/self/oom_score_adj", "-999");
    prctl::set_dumpable(false).map_err(SetupError::io("become undumpable"))?;
    prctl::set_child_subreaper(true).map_err(SetupError::io("become the reaper"))
}

/// Many execs want many descriptors. What was before goes to the container.
fn raise_open_files() -> (u64, u64) {
    let limits = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    let _ = setrlimit(Resource::RLIMIT_NOFILE, limits.1, limits.1);
    limits
}
