//! `docker-compose` 1.29, in Python, as Debian 12 ships it: it has other names for containers, other requests, and an older API.

use crate::compose::project;
use docker_compat_tests::{Output, Project, cli, eventually, target_dir};
use std::process::Command;

fn v1(p: &Project, args: &[&str]) -> Output {
    let program = target_dir().join("compose-v1/docker-compose");
    assert!(program.exists(), "no docker-compose of Debian 12: run scripts/test-clients.sh compose");
    let mut command = Command::new(program);
    command.arg("-f").arg(p.path().join("compose.yaml")).args(["-p", &p.name]).args(args);
    // Left to itself it takes the newest, and then misses `ContainerConfig` of images when it makes a container anew.
    command.env("COMPOSE_API_VERSION", "1.44");
    cli::run_client(p.daemon, command)
}

/// Ids of a service's containers.
fn ids(p: &Project, service: &str) -> Vec<String> {
    let mut ids: Vec<_> = v1(p, &["ps", "-q", service]).lines().into_iter().map(str::to_owned).collect();
    ids.sort();
    ids
}

const SHOP: &str = r#"
services:
  web:
    <<: *idle
    depends_on:
      db: {condition: service_healthy}
    ports: ["127.0.0.1::80"]
    environment: {GREETING: hello}
    command: ["sh", "-c", "mkdir /w; echo $$GREETING >/w/index.html; echo serving; trap 'exit 0' TERM; httpd -f -p 80 -h /w & wait"]
  db:
    <<: *idle
    volumes: ["data:/data"]
    networks: {default: {aliases: [database]}}
    healthcheck: {test: ["CMD", "true"], interval: 1s}
  worker: {<<: *idle}
volumes: {data: }
"#;

#[test]
fn a_project_comes_up_changes_and_goes() {
    let p = project(SHOP);
    v1(&p, &["up", "-d"]).ok();
    let before = [ids(&p, "web"), ids(&p, "db"), ids(&p, "worker")];
    assert_eq!(before.each_ref().map(Vec::len), [1, 1, 1]);
    let shown = v1(&p, &["ps"]);
    assert!(shown.ok().contains(&format!("{}_web_1", p.name)) && shown.stdout.contains("Up (healthy)"), "{}", shown.stdout);

    let said = v1(&p, &["exec", "-T", "web", "sh", "-c", "echo $GREETING; exit 4"]);
    said.fails(4);
    assert_eq!(said.stdout.trim(), "hello");
    for name in ["db", "database", &format!("{}_db_1", p.name)] {
        let found = v1(&p, &["exec", "-T", "web", "nslookup", name]);
        assert!(found.stdout.contains(&format!("Name:\t{name}")), "{name}: {}", found.stdout);
    }
    let logs = || v1(&p, &["logs", "--no-color", "web"]).stdout;
    eventually("its output is in the log", || logs().contains("web_1     | serving").then_some(()));
    let address = v1(&p, &["port", "web", "80"]).ok().trim().to_owned();
    eventually("its port answers", || (crate::ports::ask(&address) == "hello").then_some(()));

    // A second time, nothing is different.
    let again = v1(&p, &["up", "-d"]);
    assert!(
        again.ok().is_empty() && again.stderr.contains("up-to-date") && !again.stderr.contains("Recreat"),
        "{}",
        again.stderr
    );
    assert_eq!(before, [ids(&p, "web"), ids(&p, "db"), ids(&p, "worker")]);

    v1(&p, &["up", "-d", "--scale", "worker=3"]).ok();
    let three = ids(&p, "worker");
    assert!(three.len() == 3 && three.contains(&before[2][0]), "{three:?}");
    v1(&p, &["scale", "worker=1"]).ok();
    assert_eq!(ids(&p, "worker"), before[2]);
    let once = v1(&p, &["run", "--rm", "-T", "worker", "sh", "-c", "nslookup web >/dev/null && echo found"]);
    assert_eq!(once.ok().trim(), "found");

    v1(&p, &["exec", "-T", "db", "sh", "-c", "echo kept >/data/word"]).ok();
    v1(&p, &["restart", "-t", "0", "db"]).ok();
    v1(&p, &["stop", "-t", "0"]).ok();
    v1(&p, &["start"]).ok();
    v1(&p, &["up", "-d", "--force-recreate", "-t", "0"]).ok();
    assert_ne!(ids(&p, "db"), before[1]);
    assert_eq!(v1(&p, &["exec", "-T", "db", "cat", "/data/word"]).ok().trim(), "kept");
    v1(&p, &["down", "-v", "-t", "0"]).ok();
    assert_eq!(p.leftovers(), Vec::<String>::new());
}

#[test]
fn what_one_version_made_the_other_finds() {
    let p = project("services:\n  a: {<<: *idle}\n  b: {<<: *idle}\n");
    v1(&p, &["up", "-d", "a"]).ok();
    assert_eq!(p.ids("a"), ids(&p, "a"));
    assert_eq!(p.sh("a", "echo one"), "one");
    p.compose(&["stop", "-t", "0"]).ok();
    let shown = v1(&p, &["ps"]);
    // The signal and the kill come at once.
    assert!(["Exit 0", "Exit 137"].iter().any(|end| shown.ok().contains(end)), "{}", shown.stdout);
    v1(&p, &["rm", "-f"]).ok();
    assert!(p.all_containers().is_empty());
}
