//! The short-lived process that makes a container or an exec with the runtime library, so that the supervisor itself never
//! blocks, never joins a control group and never carries the library's memory. What it makes is created as its *sibling*: the
//! supervisor's own child.
//!
//! It reports through the notes pipe: one JSON [`Note`] a line. End of file means: the helper has ended, and the program was
//! executed (the pipe is close-on-exec) or the process that was to become it is dead.

use crate::cgroup::{self, Groups};
use crate::error::SetupError;
use crate::spec::{self, Place, Program};
use crate::sys;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use lighter_supervisor_proto::{Failure, Launch, files};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::rc::Rc;

/// In a helper and what it makes, until the program is executed: the notes pipe.
pub const NOTES_FD: RawFd = 3;
/// The same for the detached view of the control groups.
pub const CGROUP_VIEW_FD: RawFd = 4;
/// The same for namespaces to be joined.
const NETNS_FD: RawFd = 5;
const IPCNS_FD: RawFd = 6;
const PIDNS_FD: RawFd = 7;
/// The same for `tasks` of the group that counts processes, where that is joined last.
pub const COUNTING_FD: RawFd = 8;
/// Longer texts are cut: a note is one write that must not be split.
const MAX_MESSAGE: usize = 3000;

/// One line on the notes pipe.
#[derive(Debug, Serialize, Deserialize)]
pub enum Note {
    Pid(i32),
    Failed(Failure),
}

impl Note {
    /// Writes the line; a reader that is gone does not matter.
    pub fn send(mut self, to: BorrowedFd<'_>) {
        if let Self::Failed(failure) = &mut self {
            let cut = failure.message.floor_char_boundary(MAX_MESSAGE);
            failure.message.truncate(cut);
        }
        if let Ok(mut line) = serde_json::to_vec(&self) {
            line.push(b'\n');
            let _ = rustix::io::write(to, &line);
        }
    }
}

/// What all helpers of one container need.
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

/// The three standard streams of a process to be made.
pub struct Stdio<'a> {
    pub stdin: BorrowedFd<'a>,
    pub stdout: BorrowedFd<'a>,
    pub stderr: BorrowedFd<'a>,
}

/// What is to be made.
pub enum Job {
    Container,
    /// An OCI `Process` object; without the filter if `unconfined`.
    Exec {
        number: u32,
        process: Value,
        unconfined: bool,
    },
}

/// How it is connected.
pub struct Wiring<'a> {
    pub stdio: Stdio<'a>,
    pub notes: BorrowedFd<'a>,
    /// Name of the console socket in the run directory, for a terminal.
    pub console: Option<PathBuf>,
    pub console_size: Option<(u16, u16)>,
}

/// Starts a helper; its pid.
pub fn start(site: &Site, job: Job, wiring: &Wiring<'_>) -> io::Result<i32> {
    match sys::fork_into(site.groups.birth())? {
        Some(pid) => Ok(pid),
        None => run(site, job, wiring),
    }
}

/// In the helper process.
fn run(site: &Site, job: Job, wiring: &Wiring<'_>) -> ! {
    // A running container may be at its limit; only one that is being made has a group with nothing in it.
    let count_late = site.launch.count_late || matches!(job, Job::Exec { .. });
    let done = arrange(site, wiring, count_late).and_then(|()| match job {
        Job::Container => make_container(site, wiring),
        Job::Exec { number, process, unconfined } => make_exec(site, wiring, number, process, unconfined),
    });
    if let Err(error) = &done {
        Note::Failed(error.failure()).send(sys::borrow(NOTES_FD));
    }
    sys::exit_now(i32::from(done.is_err()));
}

/// Descriptors, signals, limits and control groups as the new process is to find them.
fn arrange(site: &Site, wiring: &Wiring<'_>, count_late: bool) -> Result<(), SetupError> {
    sys::reset_signals();
    let raw = |fd: Option<&OwnedFd>| fd.map(AsRawFd::as_raw_fd);
    // First out of the way of the fixed numbers, then onto them.
    let [net, ipc, pid] = site.namespaces.all().map(|(_, fd, number)| (raw(fd), number));
    let fixed = [
        (Some(wiring.stdio.stdin.as_raw_fd()), 0),
        (Some(wiring.stdio.stdout.as_raw_fd()), 1),
        (Some(wiring.stdio.stderr.as_raw_fd()), 2),
        (Some(wiring.notes.as_raw_fd()), NOTES_FD),
        (raw(site.cgroup_view.as_ref()), CGROUP_VIEW_FD),
        net,
        ipc,
        pid,
        (site.groups.counting().filter(|_| count_late).map(|fd| fd.as_raw_fd()), COUNTING_FD),
    ];
    site.groups.join()?;
    if let Some(tasks) = site.groups.counting().filter(|_| !count_late) {
        cgroup::join(tasks)?;
    }
    let mut lifted = [None; 9];
    for (slot, (fd, _)) in lifted.iter_mut().zip(&fixed) {
        *slot = fd.map(|fd| sys::dup_above(fd, 10)).transpose().map_err(SetupError::io("arrange descriptors"))?;
    }
    // Nothing else of the supervisor may travel: the sockets and pipes of others. Numbers that are not used lead to the input, for the
    // library wants to find the namespaces of its specification even for an exec, which joins them otherwise.
    let [input, ..] = lifted;
    for (slot, (_, target)) in lifted.iter().zip(&fixed) {
        if let Some(fd) = slot.or(input) {
            sys::dup_to(fd, *target).map_err(SetupError::io("arrange descriptors"))?;
        }
    }
    sys::close_range(COUNTING_FD + 1, i32::MAX);
    for fd in NOTES_FD..=COUNTING_FD {
        let _ = sys::set_cloexec(fd, true);
    }
    let (soft, hard) = site.open_files;
    let _ = nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, soft, hard);
    // Inherited by the new process; the supervisor's own score protects it from being chosen.
    fs::write("/proc/self/oom_score_adj", site.launch.oom_score_adj.unwrap_or(0).to_string())
        .map_err(SetupError::io("set the out-of-memory score"))
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
    complete(&mut program, site, wiring, false, launch.count_late);
    if site.cgroup_view.is_none() {
        program.cgroup_mount = None;
    }
    let bundle = scratch(site).join("bundle");
    fs::create_dir_all(&bundle).map_err(SetupError::io("make the bundle"))?;
    write_json(&bundle.join("config.json"), &spec)?;
    let mut container = builder(site, wiring)?
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

fn make_exec(site: &Site, wiring: &Wiring<'_>, number: u32, mut process: Value, unconfined: bool) -> Result<(), SetupError> {
    let mut program = spec::split_process(&mut process, &site.launch.id, wiring.console.is_some())?;
    complete(&mut program, site, wiring, unconfined, true);
    let file = scratch(site).join(format!("exec-{number}.json"));
    write_json(&file, &process)?;
    let made = builder(site, wiring)
        .map(|builder| builder.with_executor(program).as_tenant().with_process(Some(&file)).as_sibling(true).with_detach(true));
    let built = made.and_then(|builder| Ok(builder.build()?));
    let _ = fs::remove_file(&file);
    Note::Pid(built?.as_raw()).send(sys::borrow(NOTES_FD));
    Ok(())
}

fn complete(program: &mut Program, site: &Site, wiring: &Wiring<'_>, unconfined: bool, count_late: bool) {
    program.joins_counting = site.groups.counting().is_some() && count_late;
    program.seccomp = site.seccomp.clone().filter(|_| !unconfined);
    program.console_size = wiring.console.as_ref().and(wiring.console_size);
}

fn builder(site: &Site, wiring: &Wiring<'_>) -> Result<ContainerBuilder, SetupError> {
    let run_dir = &site.launch.run_dir;
    let console = wiring.console.as_ref().map(|name| run_dir.join(name));
    Ok(ContainerBuilder::new(site.launch.id.clone(), SyscallType::default())
        .with_root_path(scratch(site).join("libcontainer"))?
        .with_console_socket(console))
}

/// Where the library is given its files, and keeps its own.
fn scratch(site: &Site) -> PathBuf {
    site.launch.run_dir.join(files::SCRATCH)
}

fn write_json(path: &std::path::Path, value: &Value) -> Result<(), SetupError> {
    let text = serde_json::to_vec(value).map_err(|source| SetupError::Json { what: "write the specification", source })?;
    fs::write(path, text).map_err(SetupError::io(format!("write {}", path.display())))
}
