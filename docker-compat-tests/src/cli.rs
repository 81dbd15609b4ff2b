//! The docker CLI as a child process, with a deadline on everything.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::{eventually, repository, target_dir};

/// No single CLI call of the tests takes longer than this.
const DEADLINE: Duration = Duration::from_secs(60);

/// What a finished CLI call gave.
#[derive(Debug, Clone)]
pub struct Output {
    pub args: String,
    /// Exit status of the CLI; -1 when a signal ended it.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// Standard output of a call that must have succeeded, trailing newline cut.
    #[track_caller]
    pub fn ok(&self) -> &str {
        assert_eq!(self.code, 0, "docker {} failed:\n{}{}", self.args, self.stdout, self.stderr);
        self.stdout.trim_end_matches('\n')
    }

    /// Asserts the exit status, giving standard error, trailing newline cut.
    #[track_caller]
    pub fn fails(&self, code: i32) -> &str {
        assert_eq!(self.code, code, "docker {}: exit status\nstdout: {}\nstderr: {}", self.args, self.stdout, self.stderr);
        self.stderr.trim_end_matches('\n')
    }

    /// Standard output parsed as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(self.ok()).unwrap_or_else(|e| panic!("docker {}: {e}:\n{}", self.args, self.stdout))
    }

    /// Lines of a successful call's standard output.
    #[track_caller]
    pub fn lines(&self) -> Vec<&str> {
        self.ok().lines().collect()
    }
}

/// A CLI call in progress. Killed when dropped.
#[derive(Debug)]
pub struct Running {
    args: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Arc<Mutex<Vec<u8>>>,
    stderr: Arc<Mutex<Vec<u8>>>,
    readers: Vec<std::thread::JoinHandle<()>>,
}

/// The docker CLI the tests use: `DOCKER_CLI`, or the one that
/// `scripts/clients.sh` put under the target directory.
pub fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("DOCKER_CLI") {
        return path.into();
    }
    let fetched = target_dir().join("clients/bin/docker");
    if !fetched.exists() {
        let script = repository().join("scripts/clients.sh");
        let made = Command::new(&script).output().expect("scripts/clients.sh runs");
        assert!(made.status.success(), "{}: {}", script.display(), String::from_utf8_lossy(&made.stderr));
    }
    fetched
}

fn command(daemon: &Daemon, args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(args);
    set_environment(&mut command, daemon);
    command
}

/// Points a client program at the daemon, and away from the user's settings.
pub fn set_environment(command: &mut Command, daemon: &Daemon) {
    command
        .env("DOCKER_HOST", daemon.host())
        .env("DOCKER_CONFIG", target_dir().join("clients/config"))
        .env("DOCKER_CLI_HINTS", "false")
        .env_remove("DOCKER_CONTEXT")
        .env_remove("DOCKER_API_VERSION")
        .env_remove("DOCKER_TLS_VERIFY");
}

/// Runs the CLI to its end.
pub fn run(daemon: &Daemon, args: &[&str], input: &[u8]) -> Output {
    let mut running = spawn(daemon, args);
    running.send(input);
    running.close_stdin();
    running.wait()
}

/// Starts the CLI.
pub fn spawn(daemon: &Daemon, args: &[&str]) -> Running {
    start(command(daemon, args), args.join(" "))
}

/// Starts the CLI on a terminal of the given size (by `script` of util-linux,
/// which every Debian has), with our pipe as the keyboard.
pub fn spawn_on_tty(daemon: &Daemon, rows: u16, cols: u16, args: &[&str]) -> Running {
    let quoted: Vec<String> = args.iter().map(|a| format!("'{}'", a.replace('\'', r"'\''"))).collect();
    let line = format!("stty rows {rows} cols {cols}; exec '{}' {}", program().display(), quoted.join(" "));
    let mut command = Command::new("script");
    command.args(["-qefc", &line, "/dev/null"]).env("SHELL", "/bin/sh").env("TERM", "xterm");
    set_environment(&mut command, daemon);
    start(command, args.join(" "))
}

/// Starts any prepared client command.
pub fn start(mut command: Command, args: String) -> Running {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let (stdout, out) = collect(child.stdout.take().expect("piped"));
    let (stderr, err) = collect(child.stderr.take().expect("piped"));
    Running { args, stdin: child.stdin.take(), child, stdout, stderr, readers: vec![out, err] }
}

type Collected = (Arc<Mutex<Vec<u8>>>, std::thread::JoinHandle<()>);

fn collect(mut from: impl Read + Send + 'static) -> Collected {
    let into = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&into);
    let reader = std::thread::spawn(move || {
        let mut buffer = [0; 65536];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            shared.lock().unwrap().extend_from_slice(&buffer[..n]);
        }
    });
    (into, reader)
}

impl Running {
    /// Writes to the client's standard input.
    pub fn send(&mut self, bytes: &[u8]) {
        if let Some(stdin) = &mut self.stdin {
            // A client that has ended already is judged by its output.
            let _ = stdin.write_all(bytes).and_then(|()| stdin.flush());
        }
    }

    /// Ends the client's standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Standard output so far.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout.lock().unwrap()).into_owned()
    }

    /// Standard error so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr.lock().unwrap()).into_owned()
    }

    /// Waits until standard output contains `text`.
    #[track_caller]
    pub fn wait_for(&self, text: &str) {
        let args = self.args.clone();
        let deadline = Instant::now() + crate::PATIENCE;
        while !self.stdout().contains(text) {
            assert!(
                Instant::now() < deadline,
                "docker {args}: no {text:?} in its output:\n{}\nstderr: {}",
                self.stdout(),
                self.stderr()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Process id of the client.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the client.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// True once the client has ended.
    pub fn ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for the end of the client.
    #[track_caller]
    pub fn wait(mut self) -> Output {
        let deadline = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > deadline {
                let _ = self.child.kill();
                panic!(
                    "docker {} did not end within {DEADLINE:?}\nstdout: {}\nstderr: {}",
                    self.args,
                    self.stdout(),
                    self.stderr()
                );
            }
            std::thread::sleep(Duration::from_millis(3));
        };
        self.finish(status)
    }

    fn finish(&mut self, status: ExitStatus) -> Output {
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        Output {
            args: std::mem::take(&mut self.args),
            code: status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&std::mem::take(&mut *self.stdout.lock().unwrap())).into_owned(),
            stderr: String::from_utf8_lossy(&std::mem::take(&mut *self.stderr.lock().unwrap())).into_owned(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Runs a prepared client command (a Python or Node script) to its end.
pub fn run_client(daemon: &Daemon, mut command: Command) -> Output {
    set_environment(&mut command, daemon);
    let shown = format!("{command:?}");
    let mut running = start(command, shown);
    running.close_stdin();
    running.wait()
}

/// Waits until a container's state is as wanted, by the API.
#[track_caller]
pub fn wait_state(daemon: &Daemon, id: &str, wanted: &str) {
    eventually(&format!("container {id} is {wanted}"), || {
        let answer = daemon.http("GET", &format!("/containers/{id}/json"), None);
        (answer.status == 200 && answer.json()["State"]["Status"] == wanted).then_some(())
    });
}
