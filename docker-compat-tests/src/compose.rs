//! A project of `docker compose` in a directory of its own, taken down and looked for at the test's end.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::cli::{self, Output, Running};
use crate::daemon::{Daemon, Kind, unique};
use crate::leaks;

/// One project.
#[derive(Debug)]
pub struct Project {
    pub daemon: &'static Daemon,
    pub name: String,
    dir: TempDir,
    seen: std::cell::RefCell<std::collections::BTreeSet<String>>,
    _shared: Option<std::sync::RwLockReadGuard<'static, ()>>,
}

impl Project {
    /// A project with this `compose.yaml`.
    pub fn new(yaml: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let name = format!("p{}", unique());
        let shared = Some(leaks::share());
        let project = Self { daemon: Daemon::get(), name, dir, seen: Default::default(), _shared: shared };
        project.write("compose.yaml", yaml);
        project
    }

    /// Where its files are.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes one of its files.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn args<'a>(&'a self, args: &[&'a str]) -> Vec<&'a str> {
        let dir = self.path().to_str().unwrap();
        let mut all = vec!["compose", "--progress", "plain", "--project-directory", dir, "-p", &self.name];
        all.extend(args);
        all
    }

    /// `docker compose ARGS`, to its end.
    pub fn compose(&self, args: &[&str]) -> Output {
        let out = self.daemon.docker(&self.args(args));
        self.seen.borrow_mut().extend(self.all_containers());
        out
    }

    /// The same, left running.
    pub fn spawn(&self, args: &[&str]) -> Running {
        cli::spawn(self.daemon, &self.args(args))
    }

    /// `up -d` with further flags, which must succeed.
    #[track_caller]
    pub fn up(&self, flags: &[&str]) -> Output {
        let mut args = vec!["up", "-d"];
        args.extend(flags);
        let out = self.compose(&args);
        out.ok();
        out
    }

    /// Ids of a service's running containers.
    #[track_caller]
    pub fn ids(&self, service: &str) -> Vec<String> {
        self.compose(&["ps", "-q", service]).lines().into_iter().map(str::to_owned).collect()
    }

    /// Id of a service's one container.
    #[track_caller]
    pub fn id(&self, service: &str) -> String {
        let ids = self.ids(service);
        assert_eq!(ids.len(), 1, "containers of {service}: {ids:?}");
        ids[0].clone()
    }

    /// What a shell script says in a service's container.
    #[track_caller]
    pub fn sh(&self, service: &str, script: &str) -> String {
        self.compose(&["exec", "-T", service, "sh", "-c", script]).ok().trim().to_owned()
    }

    /// `docker inspect` of a service's one container.
    #[track_caller]
    pub fn inspect(&self, service: &str) -> serde_json::Value {
        let answer = self.daemon.http("GET", &format!("/containers/{}/json", self.id(service)), None);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    fn filter(&self) -> String {
        format!("label=com.docker.compose.project={}", self.name)
    }

    /// All of its containers, also those that have ended.
    pub fn all_containers(&self) -> Vec<String> {
        let list = self.daemon.docker(&["ps", "-aq", "--no-trunc", "--filter", &self.filter()]);
        list.stdout.lines().map(str::to_owned).collect()
    }

    /// What there is of it: containers, networks, volumes.
    pub fn leftovers(&self) -> Vec<String> {
        let filter = self.filter();
        let mut all = self.all_containers();
        for what in ["network", "volume"] {
            let list = self.daemon.docker(&[what, "ls", "-q", "--filter", &filter]);
            all.extend(list.ok().lines().map(|line| format!("{what} {line}")));
        }
        all
    }

    /// `down -v --remove-orphans`, after which nothing is left.
    #[track_caller]
    pub fn down(&self) {
        self.compose(&["down", "-v", "--remove-orphans", "-t", "0"]).ok();
        assert!(self.leftovers().is_empty(), "left after down -v: {:?}", self.leftovers());
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let args = ["down", "-v", "--remove-orphans", "-t", "0"];
        let down = self.daemon.docker(&self.args(&args));
        for id in self.all_containers() {
            self.daemon.docker(&["rm", "-f", "-v", &id]);
        }
        if std::thread::panicking() || self.daemon.kind == Kind::Reference {
            return;
        }
        down.ok();
        let ids: Vec<String> = self.seen.borrow().iter().cloned().collect();
        leaks::assert_gone(self.daemon, &ids);
    }
}
