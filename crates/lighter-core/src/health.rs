//! Health checks: when the next probe is due, how one is run, and what the actor does with its result.
//!
//! The timer is one more thing that a container's actor waits for; a probe itself runs in a task of its own, so that no
//! command waits for it. A probe is an exec like any other, with the events of one.

use crate::actor::Actor;
use crate::daemon::Shared;
use crate::events::of_container;
use crate::exec::{Instance, take};
use crate::receipt::Receipt;
use crate::registry::Entry;
use crate::{actor, restart};
use lighter_domain::{Container, Error, ExecConfig, Health, HealthResult, HealthStatus, Result, Signal};
use lighter_engine::ByteStream;
use lighter_engine::stdcopy::Unframer;
use lighter_store::Change;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

/// What an end for bad health counts as for the restart policy.
pub(crate) const FAILED: i32 = 1;
/// The label that asks for it, of which dockerd knows nothing.
const RESTART_LABEL: &str = "lighter.restart-on-unhealthy";
/// Bytes of a probe's output that are kept, as with dockerd.
const MOST_OUTPUT: usize = 4096;
/// A probe that has not even begun after this is given up.
const MOST_START: Duration = Duration::from_secs(30);
/// How long the end of a killed probe is waited for: its children may hold its output open.
const MOST_DYING: Duration = Duration::from_secs(2);

/// The probes of one run of a container.
#[derive(Default)]
pub(crate) struct Monitor {
    due: Option<Instant>,
    running: Option<Probe>,
}

struct Probe {
    task: JoinHandle<HealthResult>,
    /// Ends the probe's process when the monitor goes.
    _stop: DropGuard,
}

impl Monitor {
    /// Goes on where a container is: after its last probe, or after its start. Nothing is due for one without a check.
    pub fn of(container: &Container) -> Self {
        let Some(health) = container.health.as_ref().filter(|_| container.state.is_running()) else { return Self::default() };
        let started = container.started_at.unwrap_or(container.updated_at);
        let last = health.log.last().map_or(started, |result| result.end.max(started));
        Self::due(container, last)
    }

    /// As dockerd, which begins to count anew.
    pub fn after_pause(container: &Container) -> Self {
        Self::due(container, OffsetDateTime::now_utc())
    }

    fn due(container: &Container, last: OffsetDateTime) -> Self {
        let (Some((check, _)), Some(health)) = (container.config.probe(), &container.health) else { return Self::default() };
        let now = OffsetDateTime::now_utc();
        let up = container.started_at.map_or(Duration::ZERO, |at| elapsed(at, now));
        let left = check.pause(health.status, up).saturating_sub(elapsed(last, now));
        // A pause beyond what a clock can count is for ever.
        Self { due: Instant::now().checked_add(left), running: None }
    }

    /// Starts a probe whenever one is due; its result. Never ends where there is nothing to probe. Dropping this loses nothing.
    pub async fn next(&mut self, shared: &Arc<Shared>, entry: &Entry) -> HealthResult {
        if self.running.is_none() {
            match self.due {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        }
        let probe = self.running.get_or_insert_with(|| {
            let stop = CancellationToken::new();
            let task = tokio::spawn(run(shared.clone(), entry.snapshot(), stop.clone()));
            Probe { task, _stop: stop.drop_guard() }
        });
        let result = (&mut probe.task).await;
        self.running = None;
        self.due = None;
        let now = OffsetDateTime::now_utc();
        result.unwrap_or_else(|error| HealthResult { start: now, end: now, exit_code: -1, output: error.to_string() })
    }
}

fn elapsed(from: OffsetDateTime, to: OffsetDateTime) -> Duration {
    (to - from).try_into().unwrap_or_default()
}

/// At the start of a run.
pub(crate) fn begin(container: &mut Container) {
    if container.config.probe().is_some() {
        container.health = Some(Health::starting(container.health.take()));
    }
}

/// As with dockerd, a container whose probes have stopped is unhealthy, and no event says so.
pub(crate) fn stopped(container: &mut Container) {
    if let Some(health) = &mut container.health {
        health.status = HealthStatus::Unhealthy;
    }
}

impl Actor {
    pub(crate) fn end_probes(&mut self, container: &mut Container) {
        self.health = Monitor::default();
        stopped(container);
    }

    pub(crate) async fn on_probe(&mut self, result: HealthResult) {
        let mut container = (*self.entry.snapshot()).clone();
        let started = container.started_at.unwrap_or(container.updated_at);
        let (Some(check), Some(health)) = (&container.config.healthcheck, &mut container.health) else { return };
        let changed = health.note(check, started, result);
        let change = Change::PutHealth { container: container.uuid, health: health.clone() };
        let status = health.status;
        let event = changed.then(|| of_container(&container, format!("health_status: {}", status.as_str()), &[]));
        self.health = Monitor::of(&container);
        let container = Arc::new(container);
        let stored = self.shared.persist(vec![change], event.into_iter().collect()).await;
        self.entry.publish(container.clone());
        match stored {
            Ok(events) => self.shared.bus.publish(events),
            Err(error) => tracing::error!(id = %container.id, %error, "a health check's result could not be stored"),
        }
        if status == HealthStatus::Unhealthy {
            self.restart_unhealthy(&container).await;
        }
    }

    /// Where the label asks for it and the restart policy allows it: the container is stopped as by `docker stop`, but not by
    /// a user, so that the policy starts it again.
    async fn restart_unhealthy(&mut self, container: &Container) {
        let asked = container.config.labels.get(RESTART_LABEL).is_some_and(|v| matches!(v.as_str(), "true" | "1"));
        if !asked || self.ending.is_under_way() || !restart::wanted(container, FAILED) {
            return;
        }
        let signal = actor::stop_signal(container).unwrap_or(Signal::TERM);
        let grace = actor::grace(container, None);
        self.ending.unhealthy = true;
        if let Err(error) = self.begin_stop(signal, grace, false).await {
            self.ending.unhealthy = false;
            tracing::warn!(id = %container.id, %error, "an unhealthy container could not be stopped");
        }
    }
}

/// Runs one probe from its exec to its result.
async fn run(shared: Arc<Shared>, container: Arc<Container>, stop: CancellationToken) -> HealthResult {
    let start = OffsetDateTime::now_utc();
    let (exit_code, output) = attempt(&shared, &container, &stop).await.unwrap_or_else(|error| (-1, error.to_string()));
    HealthResult { start, end: OffsetDateTime::now_utc(), exit_code, output }
}

async fn attempt(shared: &Arc<Shared>, container: &Arc<Container>, stop: &CancellationToken) -> Result<(i32, String)> {
    let Some((check, cmd)) = container.config.probe() else { return Err(Error::internal("there is no health check")) };
    let limit = check.probe_timeout();
    let config = ExecConfig { attach_stdout: true, attach_stderr: true, cmd, ..ExecConfig::default() };
    let instance = shared.make_exec(container, config.clone(), true, &Receipt::default()).await?;
    take(&instance)?;
    let begun = timeout(MOST_START, shared.launch_exec(&instance, container, &config)).await;
    let too_slow = || Error::unavailable(format!("timed out starting health check for container {}", container.id));
    let session = begun.map_err(|_| too_slow())??;
    let output = Mutex::new(Output::default());
    let done = async {
        if let Some(session) = session {
            read_into(&output, session.output).await;
        }
        instance.ended().await
    };
    tokio::select! {
        code = done => Ok((code, output.into_inner().text())),
        () = sleep(limit) => {
            end(shared, container, &instance).await;
            let said = output.lock().text();
            let (limit, colon) = (lighter_domain::health::go_duration(limit), if said.is_empty() { "" } else { ": " });
            Ok((-1, format!("Health check exceeded timeout ({limit}){colon}{said}")))
        }
        () = stop.cancelled() => {
            end(shared, container, &instance).await;
            Err(Error::unavailable("the health check was broken off"))
        }
    }
}

/// Kills a probe's process.
async fn end(shared: &Shared, container: &Container, instance: &Instance) {
    let Some(exec) = shared.engine.exec() else { return };
    if let Err(error) = exec.signal_exec(&container.id, &instance.id, Signal::KILL).await {
        tracing::debug!(id = %container.id, %error, "a health check had ended already");
    }
    if timeout(MOST_DYING, instance.ended()).await.is_err() {
        tracing::debug!(id = %container.id, "a killed health check's children go on");
    }
}

/// The beginning of what a probe prints, both streams as they come.
#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
    cut: bool,
}

impl Output {
    fn push(&mut self, piece: &[u8]) {
        let room = MOST_OUTPUT - self.bytes.len();
        self.cut |= piece.len() > room;
        self.bytes.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    fn text(&self) -> String {
        let mut text = String::from_utf8_lossy(&self.bytes).into_owned();
        if self.cut {
            text.push_str("...");
        }
        text
    }
}

/// Reads framed output to its end, whatever of it is kept: a probe must not block on a full pipe.
async fn read_into(output: &Mutex<Output>, frames: ByteStream) {
    let mut content = Unframer::new(frames);
    let mut piece = vec![0; MOST_OUTPUT];
    while let Ok(n @ 1..) = content.read(&mut piece).await {
        output.lock().push(&piece[..n]);
    }
}
