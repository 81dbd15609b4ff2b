//! lighterd: reads the configuration, takes the lock and the sockets, and wires store, engine, core and API together.
//!
//! What must happen while the process has one thread (descriptors from systemd or launchd, the umask, the allocator) happens
//! here; the rest of the daemon's life is in [`serve`].

mod config;
mod config_file;
mod engine;
mod flags;
mod listen;
mod lock;
mod logging;
mod notify;
mod quiet;
mod record_config;
mod serve;
mod sys;

use crate::config::Config;
use crate::flags::Flags;
use anyhow::Context as _;
use clap::Parser as _;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::process::ExitCode;

/// Bytes of stack of a thread; only what is touched counts.
const STACK: usize = 1 << 20;
/// Descriptors wanted: each idle client is one.
const DESCRIPTORS: u64 = 1 << 20;

fn main() -> ExitCode {
    #[expect(unsafe_code, reason = "first thing in main: there is one thread, and nothing was opened")]
    // SAFETY: as the reason says.
    let handed = unsafe { sys::take_from_manager() };
    sys::tune_allocator();
    let flags = Flags::parse();
    match run(flags, handed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Also for the time before there is a log.
            eprintln!("lighterd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: Flags, handed: sys::FromManager) -> anyhow::Result<()> {
    let root = rustix::process::geteuid().is_root();
    let config = Config::new(flags, root)?;
    logging::start(config.log_level, config.log_format);
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let chosen = engine::choose(config.engine, root)?;
    // Whoever started us may have a umask of 0: nothing of ours is to be written by others.
    rustix::process::umask(rustix::fs::Mode::from_bits_retain(0o022));
    raise_descriptor_limit();
    // Containers' users pass through the roots to their own files; they cannot list them.
    directory(&config.data_root, 0o711)?;
    directory(&config.exec_root, 0o711)?;
    let lock = lock::DataRootLock::take(&config.data_root)?;
    let pidfile = config.pidfile.as_deref().map(lock::PidFile::write).transpose()?;
    let mut listeners = listen::open(&config.hosts, &config.group, handed.sockets)?;
    listeners.extend(listen::open_policies(&config.kept.policies, &config.group)?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(1, usize::from).min(4))
        .thread_stack_size(STACK)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let served = runtime.block_on(serve::serve(&config, chosen, listeners, handed.notify));
    // Blocking work that nobody waits for any more (a load whose client is gone) does not hold the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    drop((pidfile, lock));
    served
}

fn directory(path: &Path, mode: u32) -> anyhow::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(path).with_context(|| format!("cannot make {}", path.display()))
}

fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let wanted = now.maximum.map_or(DESCRIPTORS, |most| most.min(DESCRIPTORS));
    if now.current.is_some_and(|current| current < wanted) {
        // Without it there is room for fewer clients; that is all.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: now.maximum });
    }
}
