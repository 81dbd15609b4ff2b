//! kill -9 of the daemon in the middle of `docker compose up` and `down`: what runs is reached, and the next `up` or `down`
//! goes on where the last was cut off.

use crate::networks::{SERVER, ask, finish, found};
use crate::survival::{Subject, inspect, reference};
use docker_compat_tests::estate::Estate;
use docker_compat_tests::registry::free_port;
use docker_compat_tests::{Daemon, Running, eventually};

const SERVICES: usize = 20;

struct Project {
    dir: tempfile::TempDir,
    /// Of `s0` and `s10`.
    ports: [u16; 2],
}

impl Project {
    fn new() -> Self {
        let (dir, own) = (tempfile::tempdir().unwrap(), [free_port(), free_port()]);
        let mut yaml = "services:\n".to_owned();
        for n in 0..SERVICES {
            let ports = if n % 10 == 0 { format!(", ports: ['{}:80']", own[n / 10]) } else { String::new() };
            yaml += &format!("  s{n}: {{image: busybox, command: [sh, -c, {SERVER:?}], volumes: ['v{n}:/v']{ports}}}\n");
        }
        yaml += "volumes:\n";
        for n in 0..SERVICES {
            yaml += &format!("  v{n}:\n");
        }
        std::fs::write(dir.path().join("compose.yaml"), yaml).unwrap();
        Self { dir, ports: own }
    }

    fn start(&self, daemon: &Daemon, args: &[&str]) -> Running {
        let mut all = vec!["compose", "--progress", "plain", "--project-directory", self.dir.path().to_str().unwrap()];
        all.extend(["-p", "twenty"]);
        all.extend(args);
        daemon.spawn(&all)
    }

    /// Every service that runs finds every other, and those with ports answer.
    fn check(&self, daemon: &Daemon) -> usize {
        Estate::assert_as_told(daemon);
        let shown = daemon.docker(&["ps", "--format", r#"{{.Names}} {{.Label "com.docker.compose.service"}}"#]);
        let running: Vec<(&str, &str)> = shown.ok().lines().map(|line| line.split_once(' ').unwrap()).collect();
        for (name, service) in &running {
            let at = inspect(daemon, name)["NetworkSettings"]["Networks"]["twenty_default"]["IPAddress"].clone();
            assert_eq!(found(daemon, running[0].0, service), at.as_str().unwrap(), "{service}");
        }
        for (n, port) in [(0, self.ports[0]), (10, self.ports[1])] {
            if running.iter().any(|(_, service)| *service == format!("s{n}")) {
                eventually("a published port answers", || ask(port).filter(|word| word == "hello"));
            }
        }
        running.len()
    }
}

fn running(daemon: &Daemon) -> usize {
    daemon.http("GET", "/containers/json", None).json().as_array().unwrap().len()
}

#[test]
fn killed_in_the_middle_of_up_and_down() {
    if reference() {
        return;
    }
    let (subject, mut daemon) = Subject::new("twenty");
    let project = Project::new();
    let mut dead = Vec::new();
    for (up, down) in [(0, 19), (1, 10), (12, 1)] {
        let client = project.start(&daemon, &["up", "-d"]);
        eventually("some services run", || {
            let made = !daemon.http("GET", "/containers/json?all=1", None).json().as_array().unwrap().is_empty();
            (made && running(&daemon) >= up).then_some(())
        });
        daemon.kill_nine();
        client.wait();
        dead.push(std::mem::replace(&mut daemon, subject.again()));
        project.check(&daemon);
        project.start(&daemon, &["up", "-d"]).wait().ok();
        assert_eq!(project.check(&daemon), SERVICES);

        let client = project.start(&daemon, &["down", "-v", "-t", "0"]);
        eventually("some services have ended", || (running(&daemon) <= down).then_some(()));
        daemon.kill_nine();
        client.wait();
        dead.push(std::mem::replace(&mut daemon, subject.again()));
        project.check(&daemon);
        project.start(&daemon, &["down", "-v", "-t", "0"]).wait().ok();
        Estate::assert_as_told(&daemon);
        let left = [&["ps", "-aq"][..], &["network", "ls", "-q", "--filter", "type=custom"], &["volume", "ls", "-q"]];
        assert!(left.iter().all(|what| daemon.docker(what).ok().is_empty()), "something is left after down -v");
    }
    finish(&subject, daemon, dead);
}
