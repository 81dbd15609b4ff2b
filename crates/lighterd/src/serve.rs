//! The daemon's life: start the parts in order, serve, and on a signal end them in the reverse order.
//!
//! Containers are not touched at the end: they run on, and the next daemon finds them.

use crate::config::Config;
use crate::engine::{self, Chosen, Opened};
use crate::listen::Listener;
use crate::notify;
use crate::quiet;
use anyhow::Context as _;
use lighter_api::{ApiConfig, Listening};
use lighter_core::{ContainerDefaults, CoreConfig, Daemon};
use lighter_domain::host_config::LogConfig;
use lighter_store::Store;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// For flushing what was recorded, once no request runs any more.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves until SIGTERM or SIGINT.
pub async fn serve(config: &Config, chosen: Chosen, listeners: Vec<Listener>, notify: Option<OsString>) -> anyhow::Result<()> {
    let mut signals = Signals::new().context("cannot listen for signals")?;
    let (daemon, engine) = tokio::select! {
        started = start(config, chosen) => started?,
        () = signals.end() => return Ok(()),
    };
    let mut sockets = Vec::new();
    let mut files = Vec::new();
    for listener in listeners {
        let socket = UnixListener::from_std(listener.socket).context("cannot serve a socket")?;
        sockets.push(Listening { socket, policy: listener.policy });
        files.extend(listener.file);
    }
    let shutdown = CancellationToken::new();
    let api = ApiConfig { record: config.record, grace: config.shutdown_timeout, activity: Arc::default() };
    tokio::spawn(quiet::watch(Arc::clone(&api.activity)));
    let mut serving = tokio::spawn(lighter_api::serve(daemon.clone(), api, sockets, shutdown.clone()));
    tell(notify.as_ref(), "READY=1");
    let addresses: Vec<String> = config.hosts.iter().map(ToString::to_string).collect();
    tracing::info!(
        addresses = addresses.join(" "),
        engine = %format!("{chosen:?}").to_lowercase(),
        version = env!("CARGO_PKG_VERSION"),
        pid = std::process::id(),
        "lighterd serves"
    );

    tokio::select! {
        () = signals.end() => tracing::info!("lighterd stops; containers go on"),
        ended = &mut serving => {
            daemon.shutdown().await;
            ended.context("the API failed")?;
            anyhow::bail!("the API ended by itself");
        }
    }
    tell(notify.as_ref(), "STOPPING=1");
    shutdown.cancel();
    drop(files);
    tokio::select! {
        ended = &mut serving => ended.context("the API failed")?,
        () = signals.end() => {
            tracing::warn!("a second signal: requests are cut off");
            serving.abort();
        }
    }
    if tokio::time::timeout(FLUSH_TIMEOUT, daemon.shutdown()).await.is_err() {
        anyhow::bail!("the database could not be closed within {} s", FLUSH_TIMEOUT.as_secs());
    }
    engine.tidy().await;
    tracing::info!("lighterd has stopped");
    Ok(())
}

async fn start(config: &Config, chosen: Chosen) -> anyhow::Result<(Daemon, Opened)> {
    let path = config.data_root.join("lighter.db");
    let store = Store::open(&path).await.with_context(|| format!("cannot open the database {}", path.display()))?;
    let opened = engine::open(chosen, config).await?;
    for warning in opened.engine.describe().warnings {
        tracing::warn!("{warning}");
    }
    let mut core = CoreConfig::new(config.data_root.clone());
    core.debug = config.log_level == crate::config::LogLevel::Debug;
    core.record = config.record;
    core.engine_timeout = config.engine_timeout;
    core.retention = config.kept.retention;
    core.pipelines = config.kept.pipelines;
    core.metrics_interval = config.kept.metrics_interval;
    core.gc = config.image_gc.clone();
    core.defaults = ContainerDefaults {
        log: LogConfig { driver: config.log_driver.clone(), options: config.log_opts.clone() },
        dns: config.network.dns.clone(),
        dns_options: config.network.dns_opts.clone(),
        dns_search: config.network.dns_search.clone(),
    };
    let daemon = Daemon::start(core, store, Arc::clone(&opened.engine)).await.context("cannot take up the containers")?;
    Ok((daemon, opened))
}

fn tell(address: Option<&OsString>, state: &str) {
    if let Some(Err(error)) = address.map(|a| notify::send(a, state)) {
        tracing::warn!(%error, "systemd cannot be told {state}");
    }
}

/// The signals that mean something.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Returns when the daemon shall end.
    async fn end(&mut self) {
        loop {
            tokio::select! {
                Some(()) = self.terminate.recv() => return,
                Some(()) = self.interrupt.recv() => return,
                Some(()) = self.hang_up.recv() => tracing::info!("SIGHUP: there is nothing to read anew yet"),
            }
        }
    }
}
