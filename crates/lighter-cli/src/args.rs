//! The command line. Completions and man pages are made from it.

use clap::{Args as ClapArgs, Parser, Subcommand, ValueHint};
use std::path::PathBuf;

/// What the docker command has no words for: the record of requests, explanations, ports, the machine, the database.
#[derive(Debug, Parser)]
#[command(name = "lighter", version, propagate_version = true, arg_required_else_help = true)]
pub struct Args {
    /// The daemon's socket [default: $LIGHTER_HOST, else /run/lighter/docker.sock or that of your own daemon]
    #[arg(short = 'H', long, global = true, value_name = "unix://PATH", value_hint = ValueHint::FilePath)]
    pub host: Option<String>,
    /// The daemon's JSON instead of tables, one value a line
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Requests that were made of the daemon, and what came of them
    Events(Events),
    /// What was asked of a container, what became of it, and who did what to it
    Explain {
        /// Name or id, also of a container that is gone
        container: String,
    },
    /// What containers printed
    #[command(subcommand)]
    Logs(Logs),
    /// What a container, or each container of a stack, used over time
    Metrics(Metrics),
    /// Who has which port of the host
    Ports,
    /// Containers that belong together: compose projects
    Stacks {
        #[command(subcommand)]
        what: Option<Stacks>,
    },
    /// Look at this machine: what works, what does not, and what to do
    Doctor,
    /// Remove images that nobody uses, by the daemon's policy or the one given here
    Gc(Gc),
    /// The docker context that leads to this daemon
    #[command(subcommand)]
    Context(Context),
    /// The database
    #[command(subcommand)]
    Store(Store),
    /// Steps in containers, one after the other, over one workspace
    #[command(subcommand, visible_alias = "pipelines")]
    Pipeline(Pipeline),
    /// The daemon as a service of systemd or launchd, started by its socket
    #[command(subcommand)]
    Service(Service),
    /// Make containers, images and the rest to look at; on the memory engine only
    SampleData {
        /// So many random containers more
        #[arg(long, value_name = "N", default_value_t = 0)]
        containers: u32,
        /// Of the random ones
        #[arg(long, value_name = "N", default_value_t = 0)]
        seed: u64,
    },
    /// Print a script that completes this command's words in a shell
    Completions { shell: clap_complete::Shell },
    /// Write the man pages into a directory
    Man {
        #[arg(value_hint = ValueHint::DirPath)]
        directory: PathBuf,
    },
}

#[derive(Debug, ClapArgs)]
pub struct Events {
    /// Go on with each request as it comes
    #[arg(short, long)]
    pub follow: bool,
    /// The newest so many [default: 30; with --follow 10]
    #[arg(short = 'n', long, value_name = "N")]
    pub limit: Option<u32>,
    /// Operation, such as ContainerCreate; may be given several times, as may the others
    #[arg(long, value_name = "OPERATION")]
    pub kind: Vec<String>,
    /// Name or id, also of a container that is gone
    #[arg(long, value_name = "CONTAINER")]
    pub container: Vec<String>,
    /// Compose project
    #[arg(long, value_name = "STACK")]
    pub stack: Vec<String>,
    /// Part of the client's User-Agent
    #[arg(long, value_name = "TEXT")]
    pub client: Vec<String>,
    #[arg(long, value_parser = ["ok", "refused", "failed", "aborted"])]
    pub status: Vec<String>,
    /// A date, or a duration back from now: 2026-01-31T10:00:00Z, 1h30m
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Logs {
    /// Find lines by their words, also of containers that are gone
    Search(LogSearch),
}

#[derive(Debug, ClapArgs)]
pub struct LogSearch {
    /// Words that must all be there; 'several words' beside each other, begin*; after --, -word must not be there
    #[arg(required_unless_present_any = ["container", "stack", "level", "source", "since", "until"])]
    pub query: Vec<String>,
    /// Name or id, also of a container that is gone; may be given several times, as may stacks
    #[arg(long, value_name = "CONTAINER")]
    pub container: Vec<String>,
    /// Compose project
    #[arg(long, value_name = "STACK")]
    pub stack: Vec<String>,
    /// At least so severe
    #[arg(long, value_parser = ["trace", "debug", "info", "warn", "error", "fatal"])]
    pub level: Option<String>,
    #[arg(long, value_parser = ["stdout", "stderr"])]
    pub source: Option<String>,
    /// A date, or a duration back from now: 2026-01-31T10:00:00Z, 1h30m
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// The newest so many [default: 100]
    #[arg(short = 'n', long, value_name = "N")]
    pub limit: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub enum Stacks {
    /// One stack: its containers, what waits for what, ports, volumes, networks
    Show { name: String },
}

#[derive(Debug, ClapArgs)]
pub struct Metrics {
    /// Container or stack, also one that is gone
    #[arg(value_name = "CONTAINER|STACK")]
    pub name: String,
    /// A date, or a duration back from now
    #[arg(long, value_name = "TIME", default_value = "1h")]
    pub since: String,
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// The samples as comma-separated values
    #[arg(long, conflicts_with = "svg")]
    pub csv: bool,
    /// Draw a chart into this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub svg: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub struct Gc {
    /// Only say what would be removed
    #[arg(long)]
    pub dry_run: bool,
    /// Keep what was used or pulled within this time: 720h
    #[arg(long, value_name = "DURATION")]
    pub keep_duration: Option<String>,
    /// Remove the least recently used while all layers together take more: 20GB
    #[arg(long, value_name = "SIZE")]
    pub max_used_space: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Context {
    /// Make or renew the context, and say how to use it
    Install {
        #[arg(long, default_value = "lighter")]
        name: String,
        /// Make it the one that docker uses
        #[arg(long)]
        r#use: bool,
    },
    /// Remove the context
    Remove {
        #[arg(long, default_value = "lighter")]
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum Pipeline {
    /// Run the pipeline of a YAML file, and show what its steps print
    Run {
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Only start it
        #[arg(short, long)]
        detach: bool,
    },
    /// End one that is under way
    Cancel { pipeline: String },
    /// The newest
    List {
        /// Only those for this stack
        #[arg(long, value_name = "STACK")]
        stack: Option<String>,
        #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
        limit: u32,
    },
    /// One, with its steps; by its id or its name
    Show { pipeline: String },
    /// Remove some that are over, with the containers of their steps and their workspaces
    Rm {
        #[arg(required = true, value_name = "PIPELINE")]
        pipelines: Vec<String>,
    },
    /// Run one that is over once more
    Rerun {
        pipeline: String,
        /// Begin with this step, in the workspace that the ones before it left
        #[arg(long, value_name = "STEP")]
        from: Option<String>,
        /// Only start it
        #[arg(short, long)]
        detach: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum Service {
    /// Write the files of the service and have its socket served
    Install {
        /// The daemon [default: lighterd beside this program]
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        program: Option<PathBuf>,
        /// Only print the files
        #[arg(long)]
        print: bool,
    },
    /// Whether it is there, and served
    Status,
    /// Stop it and remove its files; containers go on
    Uninstall,
}

#[derive(Debug, Subcommand)]
pub enum Store {
    /// Copy the database while the daemon works; the copy holds the environment of containers
    Backup {
        /// Made with mode 0600; must not exist
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Examine the database
    Check,
}
