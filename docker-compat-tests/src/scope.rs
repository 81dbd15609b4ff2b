//! What one test makes on the shared daemon: named apart from every other
//! test's, removed at its end, and checked to be gone from the machine.

use std::sync::RwLockReadGuard;

use crate::cli::{Output, Running};
use crate::daemon::{Daemon, Kind, unique};
use crate::leaks;

/// One test's corner of the daemon.
#[derive(Debug)]
pub struct Scope {
    pub daemon: &'static Daemon,
    /// The value of the label that marks this test's containers.
    pub mark: String,
    _shared: Option<RwLockReadGuard<'static, ()>>,
}

impl Default for Scope {
    fn default() -> Self {
        Self::new()
    }
}

impl Scope {
    /// A corner shared in time with other tests.
    pub fn new() -> Self {
        Self { daemon: Daemon::get(), mark: format!("t{}", unique()), _shared: Some(leaks::share()) }
    }

    /// A corner for a test that holds the daemon alone by other means.
    pub fn unshared() -> Self {
        Self { daemon: Daemon::get(), mark: format!("t{}", unique()), _shared: None }
    }

    /// A container name of this test.
    pub fn name(&self, short: &str) -> String {
        format!("{}-{short}", self.mark)
    }

    /// Runs the CLI; `run` and `create` get the label of this test.
    pub fn docker(&self, args: &[&str]) -> Output {
        let marked = self.marked(args);
        self.daemon.docker(&marked.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The same with something on standard input.
    pub fn docker_with_input(&self, args: &[&str], input: &[u8]) -> Output {
        let marked = self.marked(args);
        self.daemon.docker_with_input(&marked.iter().map(String::as_str).collect::<Vec<_>>(), input)
    }

    /// The same, left running.
    pub fn spawn(&self, args: &[&str]) -> Running {
        let marked = self.marked(args);
        self.daemon.spawn(&marked.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The same, on a terminal.
    pub fn spawn_on_tty(&self, rows: u16, cols: u16, args: &[&str]) -> Running {
        let marked = self.marked(args);
        crate::cli::spawn_on_tty(self.daemon, rows, cols, &marked.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// `docker run --rm --network none FLAGS busybox sh -c SCRIPT`, giving the
    /// script's output. The work horse of the flag tests.
    #[track_caller]
    pub fn sh(&self, flags: &[&str], script: &str) -> String {
        let mut args = vec!["run", "--rm"];
        if !flags.iter().any(|f| f.starts_with("--net")) {
            args.extend(["--network", "none"]);
        }
        args.extend(flags);
        args.extend(["busybox", "sh", "-c", script]);
        self.docker(&args).ok().to_owned()
    }

    /// `docker run -d --network none FLAGS busybox sh -c SCRIPT`, giving the id.
    #[track_caller]
    pub fn detached(&self, flags: &[&str], script: &str) -> String {
        let mut args = vec!["run", "-d"];
        if !flags.iter().any(|f| f.starts_with("--net")) {
            args.extend(["--network", "none"]);
        }
        args.extend(flags);
        args.extend(["busybox", "sh", "-c", script]);
        self.docker(&args).ok().to_owned()
    }

    /// A running container that does nothing, and ends at once on SIGTERM.
    #[track_caller]
    pub fn sleeper(&self, flags: &[&str]) -> String {
        self.detached(flags, "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done")
    }

    /// `docker inspect` of one container, as JSON.
    #[track_caller]
    pub fn inspect(&self, id: &str) -> serde_json::Value {
        let answer = self.daemon.http("GET", &format!("/containers/{id}/json"), None);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// `docker network create FLAGS NAME`, giving the name. It goes with the test.
    #[track_caller]
    pub fn network(&self, short: &str, flags: &[&str]) -> String {
        let name = self.name(short);
        let label = format!("lighter.compat={}", self.mark);
        let mut args = vec!["network", "create", "--label", &label];
        args.extend(flags);
        args.push(&name);
        self.daemon.docker(&args).ok();
        name
    }

    fn marked(&self, args: &[&str]) -> Vec<String> {
        let mut marked: Vec<String> = args.iter().map(ToString::to_string).collect();
        let verb = if args.first() == Some(&"container") { 1 } else { 0 };
        if matches!(args.get(verb), Some(&("run" | "create"))) {
            marked.splice(verb + 1..=verb, ["--label".to_owned(), format!("lighter.compat={}", self.mark)]);
        }
        marked
    }

    /// Ids of this test's containers that still exist.
    pub fn containers(&self) -> Vec<String> {
        let filter = format!("label=lighter.compat={}", self.mark);
        let list = self.daemon.docker(&["ps", "-aq", "--no-trunc", "--filter", &filter]);
        list.stdout.lines().map(str::to_owned).collect()
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        let ids = self.containers();
        for id in &ids {
            self.daemon.docker(&["rm", "-f", "-v", id]);
        }
        let filter = format!("label=lighter.compat={}", self.mark);
        let networks = self.daemon.docker(&["network", "ls", "-q", "--filter", &filter]);
        for id in networks.stdout.lines() {
            self.daemon.docker(&["network", "rm", id]);
        }
        if std::thread::panicking() || self.daemon.kind == Kind::Reference {
            return;
        }
        leaks::assert_gone(self.daemon, &ids);
    }
}
