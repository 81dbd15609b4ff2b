//! What a test needs: a root file system, control groups, a container to be, and to clean up after it.

pub mod spec;
mod sys;

use lighter_supervisor_proto::{self as proto, Cgroups, Exited, Launch, LogFile, Ready, Reply, Request, Rootfs, files};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The program under test; measurements name the release build.
pub fn supervisor() -> PathBuf {
    std::env::var_os("LIGHTER_SUPERVISOR").map_or_else(|| env!("CARGO_BIN_EXE_lighter-supervisor").into(), PathBuf::from)
}

/// Says why nothing is tested, where that is so.
pub fn can_run() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: making containers needs root");
    }
    root
}

/// The busybox image, unpacked once.
pub fn busybox() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let made = Command::new(workspace.join("scripts/busybox-image.sh")).output().unwrap();
        assert!(made.status.success(), "no busybox image: {}", String::from_utf8_lossy(&made.stderr));
        let archive = PathBuf::from(String::from_utf8(made.stdout).unwrap().lines().last().unwrap());
        // Kept for the next run: every test may be a process of its own.
        let changed = std::os::unix::fs::MetadataExt::mtime(&fs::metadata(&archive).unwrap());
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("busybox-root-{changed}"));
        if root.exists() {
            return root;
        }
        let partial = root.with_extension(std::process::id().to_string());
        fs::create_dir_all(&partial).unwrap();
        let unpack = format!("tar -xOf {} --wildcards '*/layer.tar' | tar -x -C {}", archive.display(), partial.display());
        assert!(Command::new("sh").args(["-c", &unpack]).status().unwrap().success());
        // Another process may have been faster.
        if fs::rename(&partial, &root).is_err() {
            fs::remove_dir_all(&partial).unwrap();
        }
        root
    })
}

/// A container: its directories, and its supervisor once started.
pub struct Container {
    pub launch: Launch,
    pub rootfs: Rootfs,
    pub spec: serde_json::Value,
    listener: UnixListener,
    child: Option<Child>,
    base: PathBuf,
}

impl Container {
    /// One that is to run `args`.
    pub fn new(args: &[&str]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let id = format!("{:064x}", u64::from(std::process::id()) << 20 | u64::from(NUMBER.fetch_add(1, Ordering::Relaxed)));
        // As the daemon's: on a tmpfs, with a path that is long.
        let base = Path::new("/run/lighter-supervisor-tests").join(&id);
        let run_dir = base.join("containers").join(&id);
        // The layers must not lie on an overlay themselves.
        let layers = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&id[48..]);
        for dir in [&run_dir, &layers.join("upper"), &layers.join("work")] {
            fs::create_dir_all(dir).unwrap();
        }
        let launch = Launch {
            images: Vec::new(),
            pins: Vec::new(),
            id: id.clone(),
            tty: false,
            open_stdin: false,
            stdin_once: false,
            console_size: None,
            log: Some(LogFile { path: layers.join("log.json"), max_size: 0, max_file: 1, attrs: BTreeMap::new() }),
            cgroups: make_groups(&id),
            seccomp: None,
            netns: false,
            joins_ipc: false,
            joins_pid: false,
            shm: None,
            binds: Vec::new(),
            log_to: None,
            count_late: false,
            oom_score_adj: None,
            run_dir: run_dir.clone(),
        };
        let listener = bind(&run_dir);
        let rootfs = Rootfs { lower: vec![busybox().to_owned()], upper: layers.join("upper"), work: layers.join("work") };
        Self { launch, rootfs, spec: spec::docker_like(args), listener, child: None, base }
    }

    /// Starts the supervisor, and waits for what it says.
    pub fn start(&mut self) -> Ready {
        let reader = self.spawn();
        let mut line = String::new();
        BufReader::new(reader).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("not ready: {line:?}, journal: {}", self.journal()))
    }

    /// The pid of a container that must start.
    pub fn started(&mut self) -> u32 {
        match self.start() {
            Ready::Started { pid, .. } => pid,
            Ready::Failed(failure) => panic!("{failure:?}"),
        }
    }

    /// Tells it to go on; our end of the pair, on which it says that it is ready.
    pub fn spawn(&mut self) -> UnixStream {
        let mut pair = self.spawn_waiting();
        pair.write_all(b"\n").unwrap();
        pair
    }

    /// Our end of the pair.
    pub fn spawn_waiting(&mut self) -> UnixStream {
        let dir = &self.launch.run_dir;
        fs::write(dir.join(files::LAUNCH), serde_json::to_vec(&self.launch).unwrap()).unwrap();
        fs::write(dir.join(files::SPEC), serde_json::to_vec(&self.spec).unwrap()).unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut command = Command::new(supervisor());
        command.arg(dir.join(files::LAUNCH));
        sys::with_descriptors(&mut command, vec![self.listener.as_raw_fd(), theirs.as_raw_fd()]);
        self.child = Some(command.spawn().unwrap());
        proto::send(&ours, &self.rootfs).unwrap();
        ours
    }

    pub fn supervisor_pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// A connection; made before the start it waits in the backlog.
    pub fn connect(&self) -> Session {
        // By a short path: the socket's own is too long for an address.
        let dir = File::open(&self.launch.run_dir).unwrap();
        let stream = UnixStream::connect(format!("/proc/self/fd/{}/{}", dir.as_raw_fd(), files::SOCKET)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Session(stream)
    }

    /// Waits until the supervisor has ended.
    pub fn ended(&mut self) -> std::process::ExitStatus {
        self.child.as_mut().unwrap().wait().unwrap()
    }

    /// Waits until the supervisor has ended; what it left behind.
    pub fn exited(&mut self) -> Exited {
        let status = self.ended();
        assert!(status.success(), "{status}, journal: {}", self.journal());
        let text = fs::read(self.launch.run_dir.join(files::EXIT)).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    /// The records of the log: stream and text.
    pub fn log(&self) -> Vec<(String, String)> {
        let text = fs::read_to_string(&self.launch.log.as_ref().unwrap().path).unwrap();
        let records = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        records.map(|r| (r["stream"].as_str().unwrap().to_owned(), r["log"].as_str().unwrap().to_owned())).collect()
    }

    /// The text of all records.
    pub fn log_text(&self) -> String {
        self.log().into_iter().map(|(_, text)| text).collect()
    }

    /// The path of the log.
    pub fn log_path(&self) -> PathBuf {
        self.launch.log.as_ref().unwrap().path.clone()
    }

    pub fn journal(&self) -> String {
        fs::read_to_string(self.launch.run_dir.join(files::LOG)).unwrap_or_default()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        let groups = self.launch.cgroups.v1.iter().chain(&self.launch.cgroups.v2).cloned().collect::<Vec<_>>();
        for group in &groups {
            let emptied = wait_until(|| {
                let left = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
                for pid in left.lines().filter_map(|pid| pid.parse().ok()) {
                    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
                }
                left.is_empty() && fs::remove_dir(group).is_ok()
            });
            if !emptied && !std::thread::panicking() {
                panic!("{} is left behind", group.display());
            }
        }
        let _ = fs::remove_dir_all(&self.base);
        if let Some(layers) = self.rootfs.upper.parent() {
            let _ = fs::remove_dir_all(layers);
        }
    }
}

/// A connection to a supervisor.
pub struct Session(pub UnixStream);

impl Session {
    pub fn send(&mut self, request: &Request) {
        proto::send(&mut self.0, request).unwrap();
    }

    pub fn reply(&mut self) -> Reply {
        proto::receive(&mut self.0).unwrap()
    }

    pub fn ask(&mut self, request: &Request) -> Reply {
        self.send(request);
        self.reply()
    }

    /// All raw bytes to the end.
    pub fn rest(mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).unwrap();
        bytes
    }

    /// Reads raw bytes until they contain `text`.
    pub fn read_until(&mut self, text: &str) -> String {
        let mut got = Vec::new();
        let mut chunk = [0; 4096];
        while !String::from_utf8_lossy(&got).contains(text) {
            let n = self.0.read(&mut chunk).unwrap();
            assert!(n > 0, "ended without {text:?}: {:?}", String::from_utf8_lossy(&got));
            got.extend_from_slice(&chunk[..n]);
        }
        String::from_utf8_lossy(&got).into_owned()
    }
}

/// Takes multiplexed bytes apart: standard output, standard error.
pub fn demultiplex(mut bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut outputs = (Vec::new(), Vec::new());
    while let Some((header, rest)) = bytes.split_first_chunk::<8>() {
        let len = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
        let to = if header[0] == 1 { &mut outputs.0 } else { &mut outputs.1 };
        to.extend_from_slice(&rest[..len]);
        bytes = &rest[len..];
    }
    assert!(bytes.is_empty(), "a header that is cut off");
    outputs
}

/// Waits for a condition, ten seconds at most.
pub fn wait_until(mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(10);
    while Instant::now() < end {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    condition()
}

fn bind(run_dir: &Path) -> UnixListener {
    let dir = File::open(run_dir).unwrap();
    UnixListener::bind(format!("/proc/self/fd/{}/{}", dir.as_raw_fd(), files::SOCKET)).unwrap()
}

/// A group in each hierarchy that this machine has.
fn make_groups(id: &str) -> Cgroups {
    let mut groups = Cgroups::default();
    for line in fs::read_to_string("/proc/self/mountinfo").unwrap().lines() {
        let (front, back) = line.split_once(" - ").unwrap();
        let point = PathBuf::from(front.split(' ').nth(4).unwrap());
        let group = point.join(format!("lighter-supervisor-test-{}", &id[48..]));
        match back.split(' ').next() {
            Some("cgroup") => {
                fs::create_dir(&group).unwrap();
                for file in ["cpuset.cpus", "cpuset.mems"] {
                    if let Ok(all) = fs::read(point.join(file)) {
                        fs::write(group.join(file), all).unwrap();
                    }
                }
                groups.v1.push(group);
            }
            Some("cgroup2") => {
                fs::create_dir(&group).unwrap();
                groups.v2 = Some(group);
            }
            _ => {}
        }
    }
    groups
}
