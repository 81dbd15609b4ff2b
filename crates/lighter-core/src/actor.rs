//! One container's actor: the only place where its state changes. It takes requests from the API and ends of runs from the
//! engine, one after the other; what takes long (a stop's grace period, a restart's pause) is remembered, not waited for.

mod network;
mod removal;
mod starting;
mod update;

use crate::events::of_container;
use crate::health::{self, Monitor};
use crate::receipt::Receipt;
use crate::registry::Entry;
use crate::requests::RemoveOptions;
use crate::restart::{self, Backoff};
use crate::{daemon::Shared, wording};
use lighter_domain::state::{Decision, Request, decide};
use lighter_domain::{Container, ContainerState, EndpointConfig, Error, Event, Exit, HostConfig, Network, Result, Signal};
use lighter_engine::{StartFailure, Started};
use lighter_store::Change;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

/// dockerd's grace period in seconds where neither client nor container name one.
const DEFAULT_GRACE: i64 = 10;

pub(crate) type Reply = oneshot::Sender<Result<()>>;

/// What the API asks of one container.
pub(crate) enum Command {
    Start {
        receipt: Receipt,
        reply: Reply,
    },
    Stop {
        signal: Signal,
        grace: Option<Duration>,
        reply: Reply,
    },
    Restart {
        signal: Signal,
        grace: Option<Duration>,
        reply: Reply,
    },
    Kill {
        signal: Signal,
        reply: Reply,
    },
    Pause(Reply),
    Unpause(Reply),
    Rename {
        name: String,
        reply: Reply,
    },
    Update {
        asked: Box<HostConfig>,
        reply: Reply,
    },
    Connect {
        name: String,
        network: Option<Arc<Network>>,
        asked: Box<EndpointConfig>,
        reply: Reply,
    },
    /// `name`: how the client named the network, which may be gone.
    Disconnect {
        name: String,
        network: Option<Arc<Network>>,
        reply: Reply,
    },
    /// `reference`: how the client named the container, for the words of a denial.
    Remove {
        options: RemoveOptions,
        reference: String,
        receipt: Receipt,
        reply: Reply,
    },
}

/// Who waits for the present run to end, and what happens then.
#[derive(Default)]
pub(crate) struct Ending {
    /// A stop is under way: SIGKILL at this time.
    kill_at: Option<Instant>,
    stopped: Vec<Reply>,
    killed: Vec<Reply>,
    restart: Vec<Reply>,
    remove: Vec<Reply>,
    /// It is ended for its health checks fail, and its restart policy starts it again.
    pub unhealthy: bool,
}

impl Ending {
    /// Somebody ends the run already.
    pub fn is_under_way(&self) -> bool {
        self.unhealthy || self.is_stop() || !self.killed.is_empty() || !self.remove.is_empty()
    }

    fn is_stop(&self) -> bool {
        !self.stopped.is_empty() || !self.restart.is_empty()
    }
}

/// A task of its own: it looks for the end while the start is still being stored.
type Run = AbortOnDropHandle<Result<Exit>>;

/// A start that the engine has not answered in time. It may yet succeed, and what runs is shown as running.
type LateStart = Pin<Box<dyn Future<Output = Result<Started, StartFailure>> + Send>>;

pub(crate) struct Actor {
    pub(crate) shared: Arc<Shared>,
    pub(crate) entry: Arc<Entry>,
    /// Resolves when the present run ends.
    run: Option<Run>,
    late_start: Option<LateStart>,
    pub(crate) ending: Ending,
    backoff: Backoff,
    restart_at: Option<Instant>,
    pub(crate) health: Monitor,
    gone: bool,
    /// Its removal was asked for together with that of its anonymous volumes.
    take_volumes: bool,
}

/// Starts the actor of a container that the registry holds. With `live` the engine is asked for the end of its run.
pub(crate) fn spawn(shared: Arc<Shared>, entry: Arc<Entry>, commands: mpsc::Receiver<Command>) {
    let live = entry.snapshot().state.is_running();
    let restarting = entry.snapshot().state == ContainerState::Restarting;
    let mut actor = Actor {
        run: None,
        late_start: None,
        ending: Ending::default(),
        backoff: Backoff::default(),
        restart_at: restarting.then(Instant::now),
        health: Monitor::of(&entry.snapshot()),
        gone: false,
        take_volumes: false,
        shared,
        entry,
    };
    if live {
        actor.watch_run();
    }
    tokio::spawn(actor.serve(commands));
}

impl Actor {
    async fn serve(mut self, mut commands: mpsc::Receiver<Command>) {
        while !self.gone {
            let deadline = self.ending.kill_at.into_iter().chain(self.restart_at).min();
            tokio::select! {
                biased;
                exit = wait(&mut self.run) => self.on_exit(exit).await,
                outcome = late(&mut self.late_start) => self.on_late_start(outcome).await,
                () = wait_until(deadline) => self.on_deadline().await,
                result = self.health.next(&self.shared, &self.entry) => self.on_probe(result).await,
                command = commands.recv() => match command {
                    Some(command) => self.on_command(command).await,
                    None => return,
                },
            }
        }
    }

    fn container(&self) -> Arc<Container> {
        self.entry.snapshot()
    }

    fn watch_run(&mut self) {
        let (engine, id) = (self.shared.engine.clone(), self.entry.id.clone());
        self.run = Some(AbortOnDropHandle::new(tokio::spawn(async move { engine.wait(&id).await })));
    }

    /// Persists, then shows: the one way in which a container changes.
    async fn commit(&mut self, container: Container, events: Vec<Event>) -> Result<()> {
        self.commit_for(&Receipt::default(), container, events).await
    }

    /// As [`Actor::commit`], together with the record of the request.
    async fn commit_for(&mut self, receipt: &Receipt, mut container: Container, events: Vec<Event>) -> Result<()> {
        container.updated_at = OffsetDateTime::now_utc();
        let container = Arc::new(container);
        let changes = vec![Change::PutContainer(container.clone())];
        let stored = self.shared.persist_for(receipt, None, changes, events).await;
        // What the engine did is true even where the disk is full: memory follows it, and the caller learns of the failure.
        let live = container.state.is_running();
        self.entry.publish(container);
        if live {
            // That it is not live any more is said with its exit, in one step.
            self.entry.life.send_if_modified(|life| !std::mem::replace(&mut life.live, true));
        }
        self.shared.bus.publish(stored?);
        Ok(())
    }

    async fn on_command(&mut self, command: Command) {
        match command {
            Command::Start { receipt, reply } => answer(reply, self.start_on_request(&receipt).await),
            Command::Stop { signal, grace, reply } => self.stop(signal, grace, reply).await,
            Command::Restart { signal, grace, reply } => self.restart(signal, grace, reply).await,
            Command::Kill { signal, reply } => self.kill(signal, reply).await,
            Command::Pause(reply) => answer(reply, self.pause(true).await),
            Command::Unpause(reply) => answer(reply, self.pause(false).await),
            Command::Rename { name, reply } => answer(reply, self.rename(name).await),
            Command::Update { asked, reply } => answer(reply, self.update(&asked).await),
            Command::Connect { name, network, asked, reply } => {
                answer(reply, self.connect(network.as_ref(), &name, *asked).await);
            }
            Command::Disconnect { name, network, reply } => answer(reply, self.disconnect(network.as_ref(), &name).await),
            Command::Remove { options, reference, receipt, reply } => {
                self.remove_on_request(options, &reference, &receipt, reply).await;
            }
        }
    }

    /// `Ok(true)`: go on; `Ok(false)`: nothing to do; else the denial in dockerd's words.
    fn allowed(&self, request: Request) -> Result<bool> {
        let container = self.container();
        match decide(&container.state, request) {
            Decision::Proceed => Ok(true),
            Decision::AlreadyDone => Ok(false),
            Decision::Denied(reason) => Err(wording::denied(&container, request, reason)),
        }
    }

    async fn stop(&mut self, signal: Signal, grace: Option<Duration>, reply: Reply) {
        match self.allowed(Request::Stop) {
            Err(error) => return answer(reply, Err(error)),
            Ok(false) => return answer(reply, Err(Error::not_modified(""))),
            Ok(true) => {}
        }
        if self.restart_at.take().is_some() {
            let mut container = (*self.container()).clone();
            container.state = ContainerState::Exited;
            container.manually_stopped = true;
            let event = of_container(&container, "stop", &[]);
            self.entry.life.send_modify(|life| life.live = false);
            return answer(reply, self.commit(container, vec![event]).await);
        }
        match self.begin_stop(signal, grace, true).await {
            Ok(()) => self.ending.stopped.push(reply),
            Err(error) => answer(reply, Err(error)),
        }
    }

    /// Sends the stop signal and sets the time of SIGKILL; the end of the run does the rest.
    pub(crate) async fn begin_stop(&mut self, signal: Signal, grace: Option<Duration>, by_user: bool) -> Result<()> {
        self.signal(signal, by_user).await?;
        let deadline = grace.and_then(|grace| Instant::now().checked_add(grace));
        self.ending.kill_at = match (self.ending.kill_at, deadline) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Ok(())
    }

    async fn restart(&mut self, signal: Signal, grace: Option<Duration>, reply: Reply) {
        if let Err(error) = self.allowed(Request::Restart) {
            return answer(reply, Err(error));
        }
        if self.run.is_some() {
            return match self.begin_stop(signal, grace, true).await {
                Ok(()) => self.ending.restart.push(reply),
                Err(error) => answer(reply, Err(error)),
            };
        }
        let result = self.restart_now().await;
        answer(reply, result);
    }

    async fn restart_now(&mut self) -> Result<()> {
        self.restart_at = None;
        let mut container = (*self.container()).clone();
        container.manually_stopped = false;
        container.restart_count = 0;
        self.start(container, &Receipt::default()).await?;
        let event = of_container(&self.container(), "restart", &[]);
        self.shared.emit(vec![event]).await
    }

    async fn kill(&mut self, signal: Signal, reply: Reply) {
        if let Err(error) = self.allowed(Request::Kill) {
            return answer(reply, Err(error));
        }
        if self.restart_at.take().is_some() {
            let mut container = (*self.container()).clone();
            container.state = ContainerState::Exited;
            container.manually_stopped = true;
            self.entry.life.send_modify(|life| life.live = false);
            return answer(reply, self.commit(container, Vec::new()).await);
        }
        let ends = signal == Signal::KILL || Some(signal) == stop_signal(&self.container()).ok();
        match self.signal(signal, ends).await {
            // As in dockerd, SIGKILL is answered when the container is dead.
            Ok(()) if signal == Signal::KILL => self.ending.killed.push(reply),
            result => answer(reply, result),
        }
    }

    /// Sends a signal and tells of it. `by_user`: the restart policy shall not undo it.
    async fn signal(&mut self, signal: Signal, by_user: bool) -> Result<()> {
        let mut container = (*self.container()).clone();
        let engine = &self.shared.engine;
        self.shared.bounded("signalling a container", engine.signal(&self.entry.id, signal)).await?;
        if matches!(container.state, ContainerState::Paused { .. }) && signal == Signal::KILL {
            self.thaw(&mut container).await?;
        }
        container.manually_stopped |= by_user;
        let event = of_container(&container, "kill", &[("signal", signal.to_string())]);
        // The signal is sent: a disk that is too full to say so must not keep anyone from ending or removing a container.
        if let Err(error) = self.commit(container, vec![event]).await {
            tracing::error!(id = %self.entry.id, %error, "a signal could not be recorded");
        }
        Ok(())
    }

    /// A frozen process does not die: dockerd thaws it, too.
    async fn thaw(&mut self, container: &mut Container) -> Result<()> {
        if let (ContainerState::Paused { pid }, Some(pause)) = (container.state.clone(), self.shared.engine.pause()) {
            self.shared.bounded("unpausing a container", pause.unpause(&self.entry.id)).await?;
            container.state = ContainerState::Running { pid };
        }
        Ok(())
    }

    async fn pause(&mut self, freeze: bool) -> Result<()> {
        self.allowed(if freeze { Request::Pause } else { Request::Unpause })?;
        let engine = self.shared.engine.clone();
        let pause = engine.pause().ok_or_else(|| wording::lacks(engine.describe().name, "pausing a container"))?;
        let mut container = (*self.container()).clone();
        let Some(pid) = container.state.pid() else { return Err(Error::internal("a live container without a process")) };
        let action = if freeze {
            self.shared.bounded("pausing a container", pause.pause(&self.entry.id)).await?;
            container.state = ContainerState::Paused { pid };
            self.end_probes(&mut container);
            "pause"
        } else {
            self.shared.bounded("unpausing a container", pause.unpause(&self.entry.id)).await?;
            container.state = ContainerState::Running { pid };
            self.health = Monitor::after_pause(&container);
            "unpause"
        };
        let event = of_container(&container, action, &[]);
        self.commit(container, vec![event]).await
    }

    async fn rename(&mut self, name: String) -> Result<()> {
        self.allowed(Request::Rename)?;
        let mut container = (*self.container()).clone();
        let old = std::mem::replace(&mut container.name, name.clone());
        if let Err(error) = self.shared.registry.reserve(&name, &self.entry.id) {
            return Err(wording::prefixed("Error when allocating new name", &error));
        }
        let event = of_container(&container, "rename", &[("oldName", format!("/{old}"))]);
        match self.commit(container, vec![event]).await {
            Ok(()) => {
                self.shared.registry.release(&old, &self.entry.id);
                self.renamed().await?;
                Ok(())
            }
            Err(error) => {
                let mut back = (*self.container()).clone();
                back.name = old;
                self.entry.publish(Arc::new(back));
                self.shared.registry.release(&name, &self.entry.id);
                Err(error)
            }
        }
    }

    async fn on_exit(&mut self, exit: Result<Exit>) {
        self.run = None;
        let exit = exit.unwrap_or_else(|error| {
            tracing::error!(id = %self.entry.id, %error, "the engine lost a container's end");
            Exit { code: 137, oom_killed: false, finished_at: OffsetDateTime::now_utc() }
        });
        let ending = std::mem::take(&mut self.ending);
        let mut container = (*self.container()).clone();
        let ran = container.started_at.map_or(Duration::ZERO, |from| (exit.finished_at - from).try_into().unwrap_or_default());
        let code = if ending.unhealthy { health::FAILED } else { exit.code };
        let again = ending.restart.is_empty() && ending.remove.is_empty() && restart::wanted(&container, code);
        container.state = if again { ContainerState::Restarting } else { ContainerState::Exited };
        container.exit = Some(exit.clone());
        self.end_probes(&mut container);
        crate::networks::unplace(&mut container);
        let cleanup = self.shared.engine.cleanup(&self.entry.id);
        if let Err(error) = self.shared.bounded("cleaning up", cleanup).await {
            tracing::warn!(id = %self.entry.id, %error, "clean-up after a run failed");
        }
        let mut events = Vec::new();
        if exit.oom_killed {
            events.push(of_container(&container, "oom", &[]));
        }
        events.extend(self.shared.leave_networks(&container));
        if ending.is_stop() {
            events.push(of_container(&container, "stop", &[]));
        }
        let seconds = ran.as_secs().to_string();
        events.extend(crate::volumes::unmounted(&container));
        events.push(of_container(&container, "die", &[("exitCode", exit.code.to_string()), ("execDuration", seconds)]));
        let committed = self.commit(container, events).await;
        if let Err(error) = &committed {
            tracing::error!(id = %self.entry.id, %error, "the end of a run could not be stored");
        }
        self.shared.end_execs(&self.entry.id);
        self.entry.life.send_modify(|life| {
            life.exits += 1;
            // As in dockerd, a container that the policy starts again counts as running in between.
            life.live = again;
            life.last = Some(exit);
        });
        self.after_exit(ending, again.then_some(ran)).await;
    }

    /// Answers those who waited for the end, and does what was to come after it.
    async fn after_exit(&mut self, ending: Ending, restart_after: Option<Duration>) {
        for reply in ending.stopped.into_iter().chain(ending.killed) {
            answer(reply, Ok(()));
        }
        if !ending.remove.is_empty() || (self.container().host_config.auto_remove && ending.restart.is_empty()) {
            let result = self.remove(&Receipt::default()).await;
            if let (Err(error), true) = (&result, ending.remove.is_empty()) {
                tracing::warn!(id = %self.entry.id, %error, "automatic removal failed");
            }
            answer_all(ending.remove, &result);
        } else if !ending.restart.is_empty() {
            let result = self.restart_now().await;
            answer_all(ending.restart, &result);
        } else if let Some(ran) = restart_after {
            self.restart_at = Some(Instant::now() + self.backoff.next(ran));
        }
    }

    async fn on_deadline(&mut self) {
        let now = Instant::now();
        if self.ending.kill_at.is_some_and(|at| at <= now) {
            self.ending.kill_at = None;
            let by_user = self.ending.is_stop();
            if let Err(error) = self.signal(Signal::KILL, by_user).await {
                tracing::warn!(id = %self.entry.id, %error, "SIGKILL after the grace period failed");
            }
        }
        if self.restart_at.is_some_and(|at| at <= now) {
            self.restart_at = None;
            let mut container = (*self.container()).clone();
            container.restart_count += 1;
            if let Err(error) = self.start(container, &Receipt::default()).await {
                tracing::warn!(id = %self.entry.id, %error, "a restart by policy failed");
                self.retry_restart().await;
            }
        }
    }

    /// A start by policy failed: dockerd tries again, too, as long as the policy says so.
    async fn retry_restart(&mut self) {
        let mut container = (*self.container()).clone();
        let code = container.exit.as_ref().map_or(128, |e| e.code);
        if !self.gone && restart::wanted(&container, code) {
            container.state = ContainerState::Restarting;
            if self.commit(container, Vec::new()).await.is_ok() {
                self.restart_at = Some(Instant::now() + self.backoff.next(Duration::ZERO));
            }
        }
    }
}

/// The time between a stop signal and SIGKILL: as asked for, else the container's own; `None`: for ever.
pub(crate) fn grace(container: &Container, asked: Option<i64>) -> Option<Duration> {
    let seconds = asked.or(container.config.stop_timeout).unwrap_or(DEFAULT_GRACE);
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

/// The signal that asks this container to stop.
pub(crate) fn stop_signal(container: &Container) -> Result<Signal> {
    container.config.stop_signal.as_deref().filter(|s| !s.is_empty()).map_or(Ok(Signal::TERM), Signal::parse)
}

/// A caller that is gone needs no answer.
fn answer(reply: Reply, result: Result<()>) {
    let _ = reply.send(result);
}

fn answer_all(replies: Vec<Reply>, result: &Result<()>) {
    for reply in replies {
        let copy = match result {
            Ok(()) => Ok(()),
            Err(error) => Err(Error::new(error.kind(), error.message())),
        };
        answer(reply, copy);
    }
}

async fn wait(run: &mut Option<Run>) -> Result<Exit> {
    match run {
        Some(run) => run.await.unwrap_or_else(|e| Err(Error::internal("waiting for the end was broken off").with_source(e))),
        None => std::future::pending().await,
    }
}

async fn late(start: &mut Option<LateStart>) -> Result<Started, StartFailure> {
    match start {
        Some(call) => call.await,
        None => std::future::pending().await,
    }
}

async fn wait_until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
