//! `lighter`: the command for what `docker` has no words for.
//!
//! It asks the daemon under `/lighter/v1` on the socket that the docker command uses and shows the answers: tables for people,
//! with `--json` the daemon's own JSON, one value a line. [`args`] is the whole command line; each command is a module of
//! [`commands`]; [`show`] has what they print with. What was printed is complete when the exit code is 0; 1 says that the
//! daemon refused or could not be asked, 2 that the command line is wrong.

mod args;
mod client;
mod commands;
mod local;
mod show;

use args::Args;
use clap::Parser as _;
use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(commands::run(args)),
        Err(error) => Err(error.into()),
    };
    match done.and_then(|code| Ok(std::io::stdout().flush().map(|()| code)?)) {
        Ok(code) => code,
        // `lighter events | head`: who reads no more wants no more.
        Err(error) if error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe) => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("lighter: {}", show::text::inert(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}
