//! `docker compose`: projects come up, change, and go.

use docker_compat_tests::Project;

/// A service that does nothing, and ends at once when it is told to.
pub(crate) const IDLE: &str = r#"
x-idle: &idle
  image: busybox
  command: ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done"]
"#;

/// A project whose services begin with `<<: *idle`.
pub(crate) fn project(services: &str) -> Project {
    Project::new(&format!("{IDLE}\n{services}"))
}

/// The addresses that a service finds under a name.
pub(crate) fn found(p: &Project, service: &str, name: &str) -> Vec<String> {
    let out = p.compose(&["exec", "-T", service, "nslookup", name]);
    let answer = out.stdout.split_once("\n\n").map_or("", |(_, answer)| answer);
    let mut all: Vec<_> = answer.lines().filter_map(|l| l.strip_prefix("Address: ")).map(|ip| ip.trim().to_owned()).collect();
    all.sort();
    all
}

const WEB_AND_DB: &str = r#"
services:
  web:
    <<: *idle
    depends_on:
      db: {condition: service_healthy}
    ports: ["127.0.0.1::80"]
    command: ["sh", "-c", "mkdir /w; echo hello >/w/index.html; trap 'exit 0' TERM; httpd -f -p 80 -h /w & wait"]
  db:
    <<: *idle
    volumes: ["data:/data"]
    healthcheck: {test: ["CMD", "true"], interval: 1s, start_interval: 100ms, start_period: 5s}
volumes:
  data:
"#;

#[test]
fn up_twice_recreates_nothing_and_down_keeps_the_data() {
    let p = project(WEB_AND_DB);
    p.up(&["--wait"]);
    let ids = (p.id("web"), p.id("db"));
    assert_eq!(p.inspect("db")["State"]["Health"]["Status"], "healthy");
    assert_eq!(found(&p, "web", "db").len(), 1);
    assert_eq!(found(&p, "db", "web"), found(&p, "web", &format!("{}-web-1", p.name)));
    let again = p.up(&["--wait"]);
    assert!(!again.stderr.contains("Recreate"), "{}", again.stderr);
    assert_eq!(ids, (p.id("web"), p.id("db")));
    p.sh("db", "echo kept >/data/word");
    p.compose(&["down", "-t", "0"]).ok();
    assert!(p.all_containers().is_empty());
    assert_eq!(p.leftovers(), [format!("volume {}_data", p.name)]);
    p.up(&[]);
    assert_eq!(p.sh("db", "cat /data/word"), "kept");
    p.down();
}

#[test]
fn published_ports_are_shown_and_answer() {
    let p = project(WEB_AND_DB);
    p.up(&["--wait"]);
    let address = p.compose(&["port", "web", "80"]).ok().trim().to_owned();
    docker_compat_tests::eventually("the service answers at its port", || {
        let mut stream = std::net::TcpStream::connect(&address).ok()?;
        use std::io::{Read, Write};
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        text.ends_with("hello\n").then_some(())
    });
}

#[test]
fn services_grow_and_shrink() {
    let p = project("services:\n  worker: {<<: *idle}\n  client: {<<: *idle}\n");
    p.up(&["--scale", "worker=3"]);
    let three = p.ids("worker");
    assert_eq!((three.len(), found(&p, "client", "worker").len()), (3, 3));
    p.up(&["--scale", "worker=1"]);
    let one = p.ids("worker");
    assert!(one.len() == 1 && three.contains(&one[0]), "{one:?} of {three:?}");
    assert_eq!(found(&p, "client", "worker").len(), 1);
    p.compose(&["scale", "worker=2"]).ok();
    assert_eq!(found(&p, "client", "worker").len(), 2);
    p.down();
}

#[test]
fn what_has_changed_is_made_anew_and_orphans_go() {
    let p = project("services:\n  a: {<<: *idle}\n  b: {<<: *idle}\n  c: {<<: *idle}\n");
    p.up(&[]);
    let (a, b) = (p.id("a"), p.id("b"));
    p.write("compose.yaml", &format!("{IDLE}\nservices:\n  a: {{<<: *idle, environment: [X=1]}}\n  b: {{<<: *idle}}\n"));
    let out = p.up(&["--remove-orphans"]);
    assert!(out.stderr.contains("c-1"), "{}", out.stderr);
    assert_ne!(p.id("a"), a);
    assert_eq!(p.id("b"), b);
    assert_eq!(p.all_containers().len(), 2);
    assert_eq!(p.sh("a", "echo $X"), "1");
    p.up(&["--force-recreate"]);
    assert_ne!(p.id("b"), b);
    assert_eq!(p.inspect("a")["Name"], format!("/{}-a-1", p.name));
    p.down();
}

#[test]
fn an_anonymous_volume_moves_to_the_new_container() {
    let p = project("services:\n  a: {<<: *idle, volumes: [/data]}\n");
    p.up(&[]);
    p.sh("a", "echo kept >/data/word");
    p.up(&["--force-recreate"]);
    assert_eq!(p.sh("a", "cat /data/word"), "kept");
    p.up(&["--force-recreate", "-V"]);
    assert_eq!(p.sh("a", "ls /data"), "");
}

#[test]
fn services_wait_for_each_other() {
    let p = project(
        r#"
services:
  job: {<<: *idle, command: ["sh", "-c", "echo done >/data/job"], volumes: ["data:/data"]}
  db:
    <<: *idle
    depends_on: {job: {condition: service_completed_successfully}}
    volumes: ["data:/data"]
    healthcheck: {test: ["CMD-SHELL", "test -e /data/job"], interval: 200ms, retries: 50}
  web:
    <<: *idle
    depends_on: {db: {condition: service_healthy}, side: {condition: service_started}}
  side: {<<: *idle}
volumes: {data: }
"#,
    );
    p.up(&[]);
    let shown = p.compose(&["ps", "-a", "--format", "{{.Service}} {{.State}} {{.Health}} {{.ExitCode}}"]);
    let mut lines: Vec<_> = shown.lines().iter().map(|l| l.trim().to_owned()).collect();
    lines.sort();
    assert_eq!(lines, ["db running healthy 0", "job exited  0", "side running  0", "web running  0"]);
}

#[test]
fn a_job_that_fails_stops_those_who_wait_for_it() {
    let p = project(
        r#"
services:
  job: {<<: *idle, command: ["false"]}
  web: {<<: *idle, depends_on: {job: {condition: service_completed_successfully}}}
"#,
    );
    let out = p.compose(&["up", "-d"]);
    assert!(out.fails(1).contains(r#"service "job" didn't complete successfully: exit 1"#), "{}", out.stderr);
    let p = project(
        r#"
services:
  db: {<<: *idle, healthcheck: {test: ["CMD", "false"], interval: 100ms, retries: 2}}
  web: {<<: *idle, depends_on: {db: {condition: service_healthy}}}
"#,
    );
    let out = p.compose(&["up", "-d"]);
    assert!(out.fails(1).contains("is unhealthy"), "{}", out.stderr);
}

#[test]
fn up_ends_with_the_first_container() {
    let p = project(
        r#"
services:
  main: {<<: *idle, command: ["sh", "-c", "echo from main; exit 7"]}
  side: {<<: *idle}
"#,
    );
    let out = p.compose(&["up", "--abort-on-container-exit", "--exit-code-from", "main", "-t", "0"]);
    out.fails(7);
    assert!(out.stdout.contains("from main"), "{}", out.stdout);
    assert!(p.ids("side").is_empty());
    let mut up = p.spawn(&["up", "--attach", "main", "-t", "0"]);
    up.wait_for("from main");
    up.close_stdin();
    up.signal(rustix::process::Signal::INT);
    up.wait();
}
