//! docker-py and dockerode, each by a script that goes once through what its
//! users do. `scripts/test-clients.sh` installs them under the target directory.

use std::path::Path;
use std::process::Command;

use docker_compat_tests::{Output, Scope, cli, repository, target_dir};

fn install(which: &str, there: &Path) {
    if there.exists() {
        return;
    }
    let script = repository().join("scripts/test-clients.sh");
    let made = Command::new(&script).arg(which).output().expect("scripts/test-clients.sh runs");
    assert!(made.status.success(), "{} {which}: {}", script.display(), String::from_utf8_lossy(&made.stderr));
}

fn check(out: &Output) {
    assert_eq!(out.ok().lines().last(), Some("ok"), "{}\n{}", out.stdout, out.stderr);
}

#[test]
fn docker_py() {
    let t = Scope::new();
    let python = target_dir().join("venv/bin/python");
    install("python", &python);
    let mut command = Command::new(python);
    command.arg(repository().join("docker-compat-tests/python/check.py")).arg(&t.mark);
    check(&cli::run_client(t.daemon, command));
}

#[test]
fn dockerode() {
    let t = Scope::new();
    let modules = target_dir().join("node/node_modules");
    install("node", &modules.join("dockerode"));
    let mut command = Command::new("node");
    command.arg(repository().join("docker-compat-tests/node/check.js")).arg(&t.mark).env("NODE_PATH", modules);
    check(&cli::run_client(t.daemon, command));
}
