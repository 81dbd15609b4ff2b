//! docker compose on a socket that is for one stack: everything of that stack works, nothing of others. Ours only.

use docker_compat_tests::cli::{self, Output};
use docker_compat_tests::daemon::{Daemon, scratch};
use docker_compat_tests::{leaks, registry, target_dir};
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

static PORT: LazyLock<u16> = LazyLock::new(registry::free_port);

const SHOP: &str = "
services:
  db:
    image: busybox
    command: sh -c 'echo made > /data/product; sleep 1000'
    volumes: [data:/data, /scratch]
    networks: [back]
    stop_grace_period: 0s
    healthcheck: {test: [CMD, test, -e, /data/product], interval: 1s, start_interval: 100ms, start_period: 10s}
  web:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
    depends_on: {db: {condition: service_healthy}}
    networks: {front: , back: {aliases: [shop-web]}}
    ports: ['127.0.0.1:${PORT}:80']
    volumes: [{type: volume, source: data, target: /data, read_only: true}]
volumes: {data: }
networks: {front: , back: {internal: true}}
";

/// compose with this file on that socket.
fn compose(socket: &Path, project: &str, file: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(cli::program());
    command.args(["compose", "--progress", "plain", "-p", project, "-f"]).arg(file).args(args);
    command.env("DOCKER_HOST", format!("unix://{}", socket.display())).env("DOCKER_CONFIG", target_dir().join("clients/config"));
    command.env("PORT", PORT.to_string());
    let mut running = cli::start(command, format!("compose -p {project} {}", args.join(" ")));
    running.close_stdin();
    running.wait()
}

#[test]
fn a_project_is_brought_up_and_taken_down_on_its_own_socket() {
    if !Daemon::get().is_lighter("it has no sockets with a policy") {
        return;
    }
    let _shared = leaks::share();
    let dir = scratch("policy");
    let socket = dir.join("shop.sock");
    let settings = dir.join("daemon.json");
    let policy = format!(r#"{{"policies": [{{"host": "unix://{}", "stack": "shop"}}]}}"#, socket.display());
    std::fs::write(&settings, policy).unwrap();
    let file = dir.join("compose.yaml");
    std::fs::write(&file, SHOP).unwrap();
    let daemon = Daemon::start_in(&scratch("pol"), &["--config-file", settings.to_str().unwrap()]).with_busybox();
    let shop = |args: &[&str]| compose(&socket, "shop", &file, args);

    shop(&["up", "-d"]).ok();
    assert_eq!(shop(&["exec", "-T", "web", "cat", "/data/product"]).ok(), "made");
    assert!(shop(&["exec", "-T", "web", "nslookup", "db"]).ok().contains("db"));
    assert_eq!(shop(&["ps", "--services"]).lines().len(), 2);
    shop(&["up", "-d", "--force-recreate"]).ok();
    shop(&["logs"]).ok();
    shop(&["stop", "-t", "0"]).ok();
    shop(&["start"]).ok();
    // Another project, and what reaches beyond, does not come up here, and says why.
    let bank = compose(&socket, "bank", &file, &["up", "-d"]);
    assert!(bank.code != 0 && bank.stderr.contains("this socket is for the stack shop"), "{}", bank.stderr);
    for (more, why) in [
        ("volumes: [/etc:/x]", "must not have paths of the host"),
        ("privileged: true", "must not have rights beyond the usual"),
        ("network_mode: host", "must not have another network than the default and its own"),
    ] {
        std::fs::write(dir.join("bad.yaml"), format!("services:\n  bad:\n    image: busybox\n    {more}\n")).unwrap();
        let out = compose(&socket, "shop", &dir.join("bad.yaml"), &["up", "-d"]);
        assert!(out.code != 0 && out.stderr.contains(why), "{more}: {}", out.stderr);
        compose(&socket, "shop", &dir.join("bad.yaml"), &["down"]).ok();
    }
    shop(&["down", "-v"]).ok();
    let left = |what: &str| daemon.docker(&[what, "ls", "-q", "--filter", "label=com.docker.compose.project"]).ok().to_owned();
    assert_eq!(["container", "network", "volume"].map(left), ["", "", ""]);
    let refused = docker_compat_tests::lighter::run(&daemon, &["events", "--status", "refused", "-n", "100"]);
    assert!(refused.ok().contains("refused 403"), "{}", refused.stdout);
    std::fs::remove_dir_all(dir).unwrap();
}
