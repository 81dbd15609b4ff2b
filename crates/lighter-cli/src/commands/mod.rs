//! One module for each command: ask, convert, print.

mod context;
mod doctor;
mod events;
mod explain;
mod gc;
mod logs;
mod metrics;
mod pipeline;
mod ports;
mod sample_data;
mod service;
mod shell;
mod stacks;
mod store;

use crate::args::{Args, Command, Logs};
use crate::client::{self, Client};
use std::process::ExitCode;

/// What every command gets.
pub struct Asker {
    pub client: Client,
    pub json: bool,
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { host, json, command } = args;
    let asker = || anyhow::Ok(Asker { client: Client::new(client::socket(host.as_deref())?), json });
    match command {
        Command::Events(query) => events::run(&asker()?, query).await?,
        Command::Explain { container } => explain::run(&asker()?, &container).await?,
        Command::Logs(Logs::Search(query)) => logs::search(&asker()?, query).await?,
        Command::Metrics(how) => metrics::run(&asker()?, how).await?,
        Command::Ports => ports::run(&asker()?).await?,
        Command::Stacks { what } => stacks::run(&asker()?, what).await?,
        Command::Gc(how) => gc::run(&asker()?, &how).await?,
        Command::Doctor => return doctor::run(&asker()?).await,
        Command::Context(what) => context::run(&asker()?, &what)?,
        Command::Store(what) => return store::run(&asker()?, what).await,
        Command::Pipeline(what) => return pipeline::run(&asker()?, what).await,
        Command::Service(what) => return service::run(&what),
        Command::SampleData { containers, seed } => sample_data::run(&asker()?, containers, seed).await?,
        Command::Completions { shell } => shell::completions(shell)?,
        Command::Man { directory } => shell::man(&directory)?,
    }
    Ok(ExitCode::SUCCESS)
}
