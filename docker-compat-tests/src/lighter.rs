//! The `lighter` command as a child process.

use crate::cli::{self, Output, Running};
use crate::daemon::{Daemon, lighterd};
use std::path::PathBuf;
use std::process::Command;

/// The command beside our daemon.
pub fn program() -> PathBuf {
    let path = lighterd().with_file_name("lighter");
    assert!(path.exists(), "no lighter beside lighterd: build it (cargo build -p lighter-cli)");
    path
}

/// The command, ready to be told more.
pub fn command(daemon: &Daemon, args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(args).env_remove("DOCKER_HOST").env_remove("XDG_RUNTIME_DIR").env("LIGHTER_HOST", daemon.host());
    command
}

/// Runs it to its end.
pub fn run(daemon: &Daemon, args: &[&str]) -> Output {
    let mut running = spawn(daemon, args);
    running.close_stdin();
    running.wait()
}

/// Starts it.
pub fn spawn(daemon: &Daemon, args: &[&str]) -> Running {
    cli::start(command(daemon, args), format!("(lighter) {}", args.join(" ")))
}
