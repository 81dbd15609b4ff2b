//! The real program on temporary roots, with the memory engine: starting, refusing to start, serving, ending.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_lighterd");
const LIMIT: Duration = Duration::from_secs(30);

/// Temporary roots, and what a daemon on them is called with.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn socket(&self) -> PathBuf {
        self.path("docker.sock")
    }

    fn flags(&self) -> Vec<String> {
        let path = |name| self.path(name).display().to_string();
        let host = format!("unix://{}", self.socket().display());
        // No group: the result is the same on machines with and without a group `docker`.
        let flags = ["--data-root", &path("data"), "--exec-root", &path("exec"), "--pidfile", &path("pid"), "--group", ""];
        let more = ["--engine", "memory", "--config-file", "/dev/null", "-H", &host];
        flags.iter().chain(&more).map(|s| (*s).to_owned()).collect()
    }

    fn command(&self, flags: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(self.flags()).args(flags).stdin(Stdio::null()).stderr(self.log()).env_remove("NOTIFY_SOCKET");
        command
    }

    fn log(&self) -> fs::File {
        fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap()
    }

    fn logged(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn start(&self, flags: &[&str]) -> Daemon {
        self.started(self.command(flags))
    }

    fn started(&self, mut command: Command) -> Daemon {
        let mut daemon = Daemon { child: command.spawn().unwrap(), socket: self.socket() };
        eventually("the daemon answers", || {
            let ended = daemon.child.try_wait().unwrap();
            assert!(ended.is_none(), "the daemon ended ({ended:?}):\n{}", self.logged());
            daemon.try_get("/_ping").is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
        });
        daemon
    }

    /// What it says when it does not start.
    fn refused(&self, flags: &[&str]) -> String {
        let out = self.command(flags).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(out.status.code(), Some(1));
        String::from_utf8(out.stderr).unwrap()
    }
}

/// A running daemon; killed when dropped.
struct Daemon {
    child: Child,
    socket: PathBuf,
}

impl Daemon {
    fn try_get(&self, path: &str) -> Option<String> {
        self.request("GET", path, "")
    }

    fn get(&self, path: &str) -> String {
        self.try_get(path).unwrap()
    }

    fn request(&self, method: &str, path: &str, body: &str) -> Option<String> {
        let mut stream = UnixStream::connect(&self.socket).ok()?;
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let length = body.len();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Type: application/json\r\n").ok()?;
        write!(stream, "Content-Length: {length}\r\n\r\n{body}").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the daemon ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    fn terminate(mut self) {
        self.signal(rustix::process::Signal::TERM);
        assert_eq!(self.ended().code(), Some(0));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < end, "{what}: not within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o777
}

#[test]
fn it_serves_and_ends_cleanly() {
    let place = Place::new();
    let daemon = place.start(&[]);
    assert_eq!(mode(&place.socket()), 0o600);
    assert_eq!(fs::read_to_string(place.path("pid")).unwrap(), daemon.child.id().to_string());
    assert!(daemon.get("/info").contains("memory engine runs nothing"));
    daemon.terminate();
    assert!(!place.socket().exists());
    assert!(!place.path("pid").exists());
    assert!(place.path("data/lighter.db").exists());
    assert!(!place.path("data/lighter.db-wal").exists(), "the database was closed");
}

#[test]
fn what_was_made_is_there_after_a_restart() {
    let place = Place::new();
    let daemon = place.start(&[]);
    let answer = daemon.request("POST", "/containers/create?name=kept", r#"{"Image":"busybox","Cmd":["true"]}"#).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    daemon.terminate();
    let daemon = place.start(&[]);
    assert!(daemon.get("/containers/json?all=1").contains("/kept"));
    // And after the worst end, too: stale socket, stale process id.
    drop(daemon);
    assert!(place.socket().exists() && place.path("pid").exists());
    let daemon = place.start(&[]);
    assert!(daemon.get("/containers/json?all=1").contains("/kept"));
    daemon.terminate();
}

#[test]
fn one_daemon_per_data_root() {
    let place = Place::new();
    let daemon = place.start(&[]);
    let other = place.path("other.sock");
    let words = place.refused(&["-H", &format!("unix://{}", other.display())]);
    let expected = format!("(process {}) already uses the data root {}", daemon.child.id(), place.path("data").display());
    assert!(words.contains(&expected), "{words}");
    assert!(!other.exists());
    assert!(daemon.get("/_ping").ends_with("OK"));
    daemon.terminate();
}

#[test]
fn a_live_pid_file_is_respected() {
    let place = Place::new();
    fs::write(place.path("pid"), std::process::id().to_string()).unwrap();
    let words = place.refused(&[]);
    assert!(words.contains(&format!("process with PID {} is still running", std::process::id())), "{words}");
    assert_eq!(fs::read_to_string(place.path("pid")).unwrap(), std::process::id().to_string());
}

#[test]
fn what_lies_at_the_sockets_path_is_not_touched() {
    let place = Place::new();
    fs::write(place.path("victim"), "precious").unwrap();
    symlink(place.path("victim"), place.socket()).unwrap();
    assert!(place.refused(&[]).contains("is not a socket"));
    assert!(fs::symlink_metadata(place.socket()).unwrap().is_symlink());
    fs::remove_file(place.socket()).unwrap();
    fs::write(place.socket(), "a file").unwrap();
    assert!(place.refused(&[]).contains("is not a socket"));
    assert_eq!(fs::read_to_string(place.socket()).unwrap(), "a file");
    assert_eq!(fs::read_to_string(place.path("victim")).unwrap(), "precious");
    assert!(!place.path("pid").exists());
}

#[test]
fn a_umask_of_zero_opens_nothing() {
    let place = Place::new();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "umask 0; exec \"$@\"", "sh", PROGRAM]).args(place.flags()).stderr(place.log());
    let daemon = place.started(command);
    assert_eq!(mode(&place.socket()), 0o600);
    for entry in ["data", "exec", "pid", "data/lighter.lock", "data/lighter.db", "data/lighter.db-wal", "data/lighter.db-shm"] {
        assert_eq!(mode(&place.path(entry)) & 0o022, 0, "{entry}");
    }
    assert_eq!(mode(&place.path("data/lighter.db")), 0o600);
    daemon.terminate();
}

#[test]
fn a_named_group_may_use_the_socket() {
    let place = Place::new();
    let own = rustix::process::getgid().as_raw().to_string();
    let daemon = place.start(&["--group", &own]);
    assert_eq!(mode(&place.socket()), 0o660);
    daemon.terminate();
    assert!(place.refused(&["--group", "no such group"]).contains("the group \"no such group\" does not exist"));
}

#[test]
fn sighup_does_not_end_it() {
    let place = Place::new();
    let daemon = place.start(&[]);
    daemon.signal(rustix::process::Signal::HUP);
    eventually("the signal was seen", || place.logged().contains("SIGHUP"));
    assert!(daemon.get("/_ping").ends_with("OK"));
    daemon.terminate();
}

#[test]
fn streams_are_cut_at_the_end() {
    let place = Place::new();
    let mut daemon = place.start(&[]);
    let mut events = UnixStream::connect(place.socket()).unwrap();
    events.set_read_timeout(Some(LIMIT)).unwrap();
    events.write_all(b"GET /events HTTP/1.1\r\nHost: d\r\n\r\n").unwrap();
    let mut head = [0; 12];
    events.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    daemon.signal(rustix::process::Signal::INT);
    let mut rest = Vec::new();
    // The end of the stream, or a reset: either tells the client.
    let _ = events.read_to_end(&mut rest);
    assert_eq!(daemon.ended().code(), Some(0));
    assert!(!place.socket().exists());
}

#[test]
fn systemd_hands_over_a_socket_and_is_told() {
    let place = Place::new();
    let listener = UnixListener::bind(place.socket()).unwrap();
    let notify = UnixDatagram::bind(place.path("notify")).unwrap();
    notify.set_read_timeout(Some(LIMIT)).unwrap();
    let mut args = place.flags();
    // The last flag is the value of -H.
    *args.last_mut().unwrap() = "fd://".to_owned();
    let script = "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$@\"";
    let mut activated = Command::new("/bin/sh");
    activated.args(["-c", script, "sh", PROGRAM]).args(args).stderr(place.log());
    activated.stdin(Stdio::from(OwnedFd::from(listener))).env("NOTIFY_SOCKET", place.path("notify"));
    let mut daemon = place.started(activated);
    let mut told = [0; 64];
    let n = notify.recv(&mut told).unwrap();
    assert_eq!(&told[..n], b"READY=1");
    daemon.signal(rustix::process::Signal::TERM);
    let n = notify.recv(&mut told).unwrap();
    assert_eq!(&told[..n], b"STOPPING=1");
    assert_eq!(daemon.ended().code(), Some(0));
    assert!(fs::symlink_metadata(place.socket()).unwrap().file_type().is_socket(), "systemd's socket is systemd's");
    assert!(place.refused(&["-H", "fd://"]).contains("socket activation"));
}

#[test]
fn a_database_of_a_later_version_is_left_alone() {
    use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};
    let place = Place::new();
    let mut first = place.start(&[]);
    first.signal(rustix::process::Signal::TERM);
    assert_eq!(first.ended().code(), Some(0));
    let file = place.path("data/lighter.db");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut db = SqliteConnectOptions::new().filename(&file).connect().await.unwrap();
        let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                     VALUES (9999, 'later', 1, X'00', 0)";
        sqlx::query(later).execute(&mut db).await.unwrap();
        db.close().await.unwrap();
    });
    let before = fs::read(&file).unwrap();
    let words = place.refused(&[]);
    assert!(words.contains(&file.display().to_string()) && words.contains("schema version 9999"), "{words}");
    assert_eq!(fs::read(&file).unwrap(), before);
    assert!(!place.socket().exists());
}

#[test]
fn settings_are_checked() {
    let place = Place::new();
    let file = place.path("daemon.json");
    fs::write(&file, r#"{"log-level": "debug"}"#).unwrap();
    let flag = file.display().to_string();
    let words = place.refused(&["--config-file", &flag, "--log-level", "info"]);
    let twice = "the following directives are specified both as a flag and in the configuration file: \
                 log-level: (from flag: info, from file: debug)";
    assert!(words.contains(twice), "{words}");
    fs::write(&file, r#"{"tls": true}"#).unwrap();
    let words = place.refused(&["--config-file", &flag]);
    assert!(words.contains("the following directives don't match any configuration option: tls"), "{words}");
    assert!(place.refused(&["--config-file", "/nonexistent/x.json"]).contains("unable to read"));
    assert!(place.refused(&["-H", "tcp://127.0.0.1:0"]).contains("invalid address"));
    assert!(!place.path("data").exists(), "nothing was touched");
    let version = Command::new(PROGRAM).arg("--version").output().unwrap();
    assert_eq!(String::from_utf8(version.stdout).unwrap(), format!("lighterd {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn json_lines_carry_the_request_id() {
    let place = Place::new();
    let daemon = place.start(&["--log-format", "json", "--log-level", "debug"]);
    daemon.get("/containers/nosuch/json");
    daemon.terminate();
    let lines: Vec<serde_json::Value> =
        place.logged().lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect();
    assert!(lines.iter().any(|l| l["message"] == "lighterd serves"));
    assert!(
        lines.iter().any(|l| l["span"]["name"] == "request" && l["span"]["id"].as_str().is_some_and(|id| !id.is_empty())),
        "{lines:?}"
    );
}

#[test]
fn a_socket_with_a_policy_is_private_and_refuses() {
    let place = Place::new();
    let limited = place.path("read-only.sock");
    let config = place.path("daemon.json");
    let host = format!("unix://{}", limited.display());
    fs::write(
        &config,
        format!(r#"{{"policies": [{{"host": "{host}", "read-only": true}}], "retention": {{"logs": {{"rows": 10}}}}}}"#),
    )
    .unwrap();
    let mut daemon = place.start(&["--config-file", config.to_str().unwrap()]);
    assert_eq!(fs::metadata(&limited).unwrap().mode() & 0o777, 0o600);
    let main = std::mem::replace(&mut daemon.socket, limited.clone());
    assert!(daemon.get("/containers/json").starts_with("HTTP/1.1 200"));
    let refused = daemon.request("POST", "/containers/create", r#"{"Image": "busybox"}"#).unwrap();
    assert!(refused.starts_with("HTTP/1.1 403") && refused.contains("this socket is read-only"), "{refused}");
    daemon.socket = main;
    let recorded = daemon.get("/lighter/v1/events?status=refused");
    assert!(recorded.contains("ContainerCreate") && recorded.contains("\"httpStatus\":403"), "{recorded}");
    fs::write(&config, format!(r#"{{"policies": [{{"host": "{host}"}}]}}"#)).unwrap();
    drop(daemon);
    assert!(place.refused(&["--config-file", config.to_str().unwrap()]).contains("it allows everything"));
}
