//! The daemon under test: found, started, awaited, stopped.
//!
//! A started daemon is the child of a small shell that holds a pipe from this
//! process: when the test program ends in whatever way, the pipe closes and the
//! shell stops the daemon and removes its containers. libtest has no hook for
//! the end of a run, and a killed run must not leave containers either.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use crate::cli::{self, Output, Running};
use crate::http::{Client, Response};
use crate::{eventually, repository, target_dir};

/// Which daemon answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Ours.
    Lighter,
    /// Anything that `LIGHTER_COMPAT_HOST` names: the reference.
    Reference,
}

/// A daemon and the ways to talk to it.
#[derive(Debug)]
pub struct Daemon {
    pub kind: Kind,
    /// Path of the Unix socket.
    pub socket: PathBuf,
    /// Data and exec roots; only of a daemon that we started.
    pub roots: Option<PathBuf>,
    watcher: Option<Child>,
    pid: Option<u32>,
}

impl Daemon {
    /// The daemon of this test program, with `busybox:latest` loaded.
    ///
    /// # Panics
    /// When not root, or when there is no daemon to be had.
    pub fn get() -> &'static Self {
        static SHARED: OnceLock<Daemon> = OnceLock::new();
        SHARED.get_or_init(|| {
            require_root();
            let daemon = match std::env::var("LIGHTER_COMPAT_HOST") {
                Ok(host) if !host.is_empty() => Self {
                    kind: Kind::Reference,
                    socket: host.strip_prefix("unix://").expect("LIGHTER_COMPAT_HOST is a unix:// address").into(),
                    roots: None,
                    watcher: None,
                    pid: None,
                },
                _ => {
                    let roots = scratch("shared");
                    Self::start_in(&roots, &[])
                }
            };
            daemon.load_busybox();
            daemon
        })
    }

    /// True when the daemon under test is ours; says so when a test is left out.
    pub fn is_lighter(&self, why: &str) -> bool {
        if self.kind == Kind::Reference {
            eprintln!("left out on the reference daemon: {why}");
        }
        self.kind == Kind::Lighter
    }

    /// Starts our daemon on the given roots and waits until it answers.
    /// Panics when it does not.
    pub fn start_in(roots: &Path, flags: &[&str]) -> Self {
        require_root();
        match Self::try_start_in(roots, flags) {
            Ok(daemon) => daemon,
            Err(log) => panic!("lighterd did not start; its output:\n{log}"),
        }
    }

    /// Like [`Daemon::start_in`], giving what the daemon printed when it ends
    /// instead of answering.
    pub fn try_start_in(roots: &Path, flags: &[&str]) -> Result<Self, String> {
        std::fs::create_dir_all(roots).unwrap();
        let socket = roots.join("docker.sock");
        let log = roots.join(format!("daemon.{}.log", unique()));
        let mut watcher = Command::new("/bin/sh")
            .arg("-c")
            .arg(WATCHER)
            .arg("watcher")
            .arg(lighterd())
            .args(daemon_flags(roots, &socket))
            .args(flags)
            .env("WATCHED_LOG", &log)
            .env("WATCHED_ROOTS", roots)
            .env("WATCHED_BRIDGE", bridge_of(roots).0)
            .env("WATCHED_CLI", cli::program())
            .env("DOCKER_HOST", format!("unix://{}", socket.display()))
            .env("DOCKER_CONFIG", target_dir().join("clients/config"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("/bin/sh runs");
        let mut line = String::new();
        BufReader::new(watcher.stdout.take().expect("piped")).read_line(&mut line).unwrap();
        let pid: u32 = line.trim().parse().expect("the watcher prints the daemon's pid");
        let daemon =
            Self { kind: Kind::Lighter, socket, roots: Some(roots.to_path_buf()), watcher: Some(watcher), pid: Some(pid) };
        let up = eventually("the daemon answers /_ping or ends", || {
            if daemon.ping() {
                return Some(true);
            }
            (!alive(pid)).then_some(false)
        });
        // A refused second daemon must not be mistaken for the first one's answer.
        if up && alive(pid) { Ok(daemon) } else { Err(std::fs::read_to_string(&log).unwrap_or_default()) }
    }

    fn ping(&self) -> bool {
        Client::connect(&self.socket).and_then(|mut c| c.get("/_ping")).is_ok_and(|r| r.status == 200)
    }

    /// Process id of a daemon that we started.
    pub fn pid(&self) -> u32 {
        self.pid.expect("only for a daemon started by the tests")
    }

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> std::io::Result<usize> {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).map(Iterator::count)
    }

    /// Kills the daemon with SIGKILL, leaving its containers alone.
    pub fn kill_nine(&self) {
        self.signal(rustix::process::Signal::KILL);
    }

    /// Sends SIGTERM and waits until the daemon is gone.
    pub fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
        eventually("the daemon ends after the signal", || (!alive(self.pid())).then_some(()));
    }

    fn load_busybox(&self) {
        let has = self.http("GET", "/images/busybox:latest/json", None);
        if has.status != 200 {
            let tar = busybox_tar();
            self.docker(&["load", "-q", "-i", tar.to_str().unwrap()]).ok();
        }
    }

    /// Loads `busybox:latest` if it is missing; for daemons on fresh roots.
    pub fn with_busybox(self) -> Self {
        self.load_busybox();
        self
    }

    /// `unix://` address for clients.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Runs the docker CLI to its end.
    pub fn docker(&self, args: &[&str]) -> Output {
        cli::run(self, args, b"")
    }

    /// Runs the docker CLI with something on its standard input.
    pub fn docker_with_input(&self, args: &[&str], input: &[u8]) -> Output {
        cli::run(self, args, input)
    }

    /// Starts the docker CLI and leaves it running.
    pub fn spawn(&self, args: &[&str]) -> Running {
        cli::spawn(self, args)
    }

    /// One request on a connection of its own. `body` is sent as JSON.
    pub fn http(&self, method: &str, path: &str, body: Option<&str>) -> Response {
        Client::connect(&self.socket)
            .and_then(|mut c| c.request(method, path, &[], body.map(str::as_bytes)))
            .unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    /// The newest API version the daemon serves, as (major, minor).
    pub fn api_version(&self) -> (u32, u32) {
        let version = self.http("GET", "/version", None).json();
        let text = version["ApiVersion"].as_str().expect("ApiVersion").to_owned();
        let (major, minor) = text.split_once('.').expect("major.minor");
        (major.parse().unwrap(), minor.parse().unwrap())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut watcher) = self.watcher.take() {
            drop(watcher.stdin.take());
            let _ = watcher.wait();
        }
        if let Some(roots) = &self.roots {
            let _ = std::fs::remove_dir_all(roots);
        }
    }
}

/// Starts its arguments as the daemon, prints the pid, and waits for the end of
/// its standard input. Then it removes the containers, stops the daemon, and
/// ends what the roots still have: this runs after failed tests too, whose
/// containers must not stay on the machine.
const WATCHER: &str = r#"
"$@" >"$WATCHED_LOG" 2>&1 </dev/null &
pid=$!
echo "$pid"
exec >/dev/null
cat >/dev/null
ids=$(timeout 10 "$WATCHED_CLI" ps -aq 2>/dev/null)
[ -z "$ids" ] || timeout 30 "$WATCHED_CLI" rm -f $ids >/dev/null 2>&1
timeout 10 "$WATCHED_CLI" network prune -f >/dev/null 2>&1
kill -TERM "$pid" 2>/dev/null
n=0
while kill -0 "$pid" 2>/dev/null && [ "$n" -lt 200 ]; do n=$((n + 1)); sleep 0.05; done
kill -KILL "$pid" 2>/dev/null
for p in /proc/[0-9]*; do
    case "$(tr '\0' ' ' <"$p/cmdline" 2>/dev/null)" in
    /bin/sh*) ;;
    *"$WATCHED_ROOTS"*) kill -KILL "${p#/proc/}" ;;
    esac
done
grep -F "$WATCHED_ROOTS/" /proc/mounts | cut -d' ' -f2 | sort -r | while read -r m; do umount -l "$m"; done
ip link delete "$WATCHED_BRIDGE" 2>/dev/null
nft delete table inet "lighter-$WATCHED_BRIDGE" 2>/dev/null
"#;

fn daemon_flags(roots: &Path, socket: &Path) -> Vec<String> {
    vec![
        "-H".into(),
        format!("unix://{}", socket.display()),
        "--data-root".into(),
        roots.join("data").display().to_string(),
        "--exec-root".into(),
        roots.join("exec").display().to_string(),
        "--pidfile".into(),
        roots.join("lighterd.pid").display().to_string(),
        "--engine".into(),
        "linux".into(),
        "--log-level".into(),
        "info".into(),
        // Each daemon its own bridge: several run at once.
        "--bridge".into(),
        bridge_of(roots).0,
        "--bip".into(),
        bridge_of(roots).1,
    ]
}

/// Name and address of the bridge for a daemon on these roots: the same for the
/// next daemon there, another for every other.
pub(crate) fn bridge_of(roots: &Path) -> (String, String) {
    use std::hash::{Hash, Hasher};
    let mut hasher = std::hash::DefaultHasher::new();
    roots.hash(&mut hasher);
    let number = hasher.finish() % 65_536;
    (format!("ltc{number:04x}"), format!("10.{}.{}.1/24", 200 + number / 256 % 50, number % 256))
}

/// Path of our daemon: `LIGHTERD`, or beside the test program's directory.
pub fn lighterd() -> PathBuf {
    if let Some(path) = std::env::var_os("LIGHTERD") {
        return path.into();
    }
    let exe = std::env::current_exe().expect("own path");
    let beside = exe.ancestors().nth(2).expect("target/<profile>/deps").join("lighterd");
    for candidate in [beside, target_dir().join("debug/lighterd"), target_dir().join("release/lighterd")] {
        if candidate.exists() {
            return candidate;
        }
    }
    panic!("no lighterd: build it (cargo build -p lighterd) or set LIGHTERD or LIGHTER_COMPAT_HOST");
}

/// The image every test starts from; made on first use.
pub fn busybox_tar() -> PathBuf {
    let tar = target_dir().join("images/busybox.tar");
    if !tar.exists() {
        let script = repository().join("scripts/busybox-image.sh");
        let made = Command::new(&script).output().expect("scripts/busybox-image.sh runs");
        assert!(made.status.success(), "{}: {}", script.display(), String::from_utf8_lossy(&made.stderr));
    }
    tar
}

/// A fresh directory for a daemon's roots, short enough for socket paths.
pub fn scratch(name: &str) -> PathBuf {
    let base = std::env::var_os("LIGHTER_COMPAT_TMP").map_or_else(|| PathBuf::from("/tmp/lighter/compat"), Into::into);
    let dir = base.join(format!("{name}-{}", unique()));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// A name no other test of this machine uses at the moment.
pub fn unique() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Whether a process exists and is no zombie.
pub fn alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z')))
}

fn require_root() {
    assert!(
        rustix::process::geteuid().is_root(),
        "THE COMPATIBILITY TESTS NEED ROOT: they run real containers. Try: sudo -E make test"
    );
}
