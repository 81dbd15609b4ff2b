//! `docker exec`: instances are records of the daemon's life time, as in dockerd; their processes live on without it.

use crate::daemon::{Daemon, Shared};
use crate::detach::DetachKeys;
use crate::events::of_container;
use crate::receipt::Receipt;
use crate::requests::{ExecInspected, ExecStart, ExecStarted, ExecState};
use crate::wording;
use lighter_domain::id::random_hex64;
use lighter_domain::state::{Decision, Request, decide};
use lighter_domain::{Container, ContainerId, Error, ExecConfig, Result, Signal};
use lighter_engine::stdcopy::{self, Stream};
use lighter_engine::{ExecSession, Session, StartFailure};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::Instant;

/// Finished and never started instances that one container keeps; older ones are forgotten first.
const KEPT_PER_CONTAINER: usize = 256;

pub(crate) struct Instance {
    pub id: String,
    container: ContainerId,
    config: Mutex<ExecConfig>,
    state: watch::Sender<ExecState>,
    made: Instant,
    /// A health check's: nobody asks for it once it has ended.
    probe: bool,
}

/// All exec instances.
#[derive(Default)]
pub(crate) struct Execs(Mutex<HashMap<String, Arc<Instance>>>);

impl Execs {
    fn get(&self, id: &str) -> Result<Arc<Instance>> {
        self.0.lock().get(id).cloned().ok_or_else(|| wording::no_such_exec(id))
    }

    fn insert(&self, instance: Arc<Instance>) {
        let mut all = self.0.lock();
        let mut idle: Vec<(Instant, String)> = all
            .values()
            .filter(|i| i.container == instance.container && !matches!(*i.state.borrow(), ExecState::Running { .. }))
            .map(|i| (i.made, i.id.clone()))
            .collect();
        if idle.len() >= KEPT_PER_CONTAINER {
            idle.sort();
            for (_, id) in idle.drain(..=idle.len() - KEPT_PER_CONTAINER) {
                all.remove(&id);
            }
        }
        all.insert(instance.id.clone(), instance);
    }

    pub fn live_of(&self, container: &ContainerId) -> Vec<String> {
        let unfinished = |i: &&Arc<Instance>| i.container == *container && !matches!(*i.state.borrow(), ExecState::Exited { .. });
        self.0.lock().values().filter(unfinished).map(|i| i.id.clone()).collect()
    }

    pub fn remove_of(&self, container: &ContainerId) {
        self.0.lock().retain(|_, i| i.container != *container);
    }
}

impl Shared {
    /// A container's end is the end of all its execs that were never started.
    pub fn end_execs(&self, container: &ContainerId) {
        self.execs.0.lock().retain(|_, i| i.container != *container || !matches!(*i.state.borrow(), ExecState::Created));
    }

    /// Makes an instance and tells of it.
    pub async fn make_exec(
        &self,
        container: &Container,
        config: ExecConfig,
        probe: bool,
        receipt: &Receipt,
    ) -> Result<Arc<Instance>> {
        if self.engine.exec().is_none() {
            return Err(self.lacks("exec"));
        }
        let id = random_hex64();
        let event = of_container(container, format!("exec_create: {}", config.cmd.join(" ")), &[("execID", id.clone())]);
        let instance = Arc::new(Instance {
            id,
            container: container.id.clone(),
            config: Mutex::new(config),
            state: watch::Sender::new(ExecState::Created),
            made: Instant::now(),
            probe,
        });
        self.execs.insert(instance.clone());
        self.emit_for(receipt, vec![event]).await?;
        Ok(instance)
    }

    /// Runs an instance that the caller has taken. An error is one of its start; the instance has ended then.
    pub async fn launch_exec(
        self: &Arc<Self>,
        instance: &Arc<Instance>,
        container: &Arc<Container>,
        config: &ExecConfig,
    ) -> Result<Option<Session>> {
        match self.try_exec(instance, container, config).await {
            Ok(running) => {
                let pid = running.pid;
                instance.state.send_replace(ExecState::Running { pid });
                let watched = (self.clone(), instance.clone(), container.clone());
                tokio::spawn(async move {
                    let (shared, instance, container) = watched;
                    let code = running.exit.await.unwrap_or_else(|error| {
                        tracing::warn!(exec = instance.id, %error, "an exec's end was lost");
                        137
                    });
                    finish(&shared, &instance, &container, pid, code).await;
                });
                Ok(running.session)
            }
            // As in dockerd, what did not begin has no end to tell of.
            Err(StartFailure { exit_code, error }) => {
                self.end_exec(instance, 0, exit_code);
                Err(error)
            }
        }
    }

    async fn try_exec(
        &self,
        instance: &Instance,
        container: &Container,
        config: &ExecConfig,
    ) -> Result<ExecSession, StartFailure> {
        let exec = self.engine.exec().ok_or_else(|| self.lacks("exec"))?;
        let mut container = container.clone();
        self.follow_links(&mut container)?;
        let container = &container;
        let command = format!("exec_start: {}", config.cmd.join(" "));
        let told = self.emit(vec![of_container(container, command, &[("execID", instance.id.clone())])]);
        let started = self.bounded("starting an exec", exec.exec(container, &instance.id, config));
        match tokio::join!(told, started) {
            (Ok(()), started) => started,
            (Err(error), Err(_)) => Err(error.into()),
            (Err(error), Ok(_)) => {
                // Nobody would know of it.
                let killed = exec.signal_exec(&container.id, &instance.id, Signal::KILL);
                if let Err(error) = self.bounded("ending an exec", killed).await {
                    tracing::warn!(exec = instance.id, %error, "an exec whose start could not be recorded goes on");
                }
                Err(error.into())
            }
        }
    }

    fn end_exec(&self, instance: &Instance, pid: u32, code: i32) {
        instance.state.send_replace(ExecState::Exited { pid, code });
        if instance.probe {
            self.execs.0.lock().remove(&instance.id);
        }
    }
}

impl Instance {
    /// Waits for the end; the exit code.
    pub async fn ended(&self) -> i32 {
        let mut state = self.state.subscribe();
        match state.wait_for(|s| matches!(s, ExecState::Exited { .. })).await.as_deref() {
            Ok(ExecState::Exited { code, .. }) => *code,
            // The sender is this instance's own.
            _ => 137,
        }
    }
}

impl Daemon {
    pub async fn exec_create(&self, reference: &str, config: ExecConfig) -> Result<String> {
        let container = self.entry(reference)?.snapshot();
        allowed(&container)?;
        if config.cmd.is_empty() || config.cmd[0].is_empty() {
            return Err(Error::invalid("No exec command specified"));
        }
        if DetachKeys::parse(&config.detach_keys).is_err() {
            return Err(Error::invalid(format!("Invalid escape keys ({}) provided", config.detach_keys)));
        }
        let instance = self.shared().make_exec(&container, config, false, &self.receipt).await?;
        Ok(instance.id.clone())
    }

    /// Whether the instance can be started now, and if so, whether it has a terminal. For callers that answer before they start.
    pub fn exec_ready(&self, exec_id: &str) -> Result<bool> {
        let instance = self.shared().execs.get(exec_id)?;
        allowed(&self.entry(instance.container.as_str())?.snapshot())?;
        let state = *instance.state.borrow();
        if state == ExecState::Created { Ok(instance.config.lock().tty) } else { Err(not_fresh(&instance.id, state)) }
    }

    /// Starts an instance. A program that cannot be run is, for an attached client, an exec that says so and ends with 126
    /// or 127; for a detached one, an error.
    pub async fn exec_start(&self, exec_id: &str, start: ExecStart) -> Result<ExecStarted> {
        let shared = self.shared().clone();
        let instance = shared.execs.get(exec_id)?;
        let container = shared.registry.find(instance.container.as_str())?.snapshot();
        allowed(&container)?;
        let mut config = instance.config.lock().clone();
        let keys = DetachKeys::parse(&config.detach_keys)?;
        config.console_size = start.console_size.or(config.console_size);
        if start.detach {
            (config.attach_stdin, config.attach_stdout, config.attach_stderr) = (false, false, false);
        }
        take(&instance)?;
        let session = match shared.launch_exec(&instance, &container, &config).await {
            Ok(session) => session,
            Err(error) if start.detach => return Err(error),
            Err(error) => Some(Session { output: said(&error, config.tty), input: None }),
        };
        let finished = Box::pin(async move {
            instance.ended().await;
        });
        Ok(ExecStarted { tty: config.tty, session, detach_keys: keys, finished })
    }

    pub async fn exec_resize(&self, exec_id: &str, height: u16, width: u16) -> Result<()> {
        let shared = self.shared();
        let instance = shared.execs.get(exec_id)?;
        if !matches!(*instance.state.borrow(), ExecState::Running { .. }) {
            return Err(Error::conflict(format!("cannot resize exec {exec_id}: it is not running")));
        }
        let exec = shared.engine.exec().ok_or_else(|| shared.lacks("exec"))?;
        shared.bounded("resizing an exec", exec.resize_exec(&instance.container, exec_id, height, width)).await
    }

    pub fn exec_inspect(&self, exec_id: &str) -> Result<ExecInspected> {
        let instance = self.shared().execs.get(exec_id)?;
        let (config, state) = (instance.config.lock().clone(), *instance.state.borrow());
        Ok(ExecInspected { id: instance.id.clone(), container_id: instance.container.clone(), config, state })
    }
}

fn allowed(container: &Container) -> Result<()> {
    match decide(&container.state, Request::Exec) {
        Decision::Proceed | Decision::AlreadyDone => Ok(()),
        Decision::Denied(reason) => Err(wording::denied(container, Request::Exec, reason)),
    }
}

/// An instance runs once.
pub(crate) fn take(instance: &Instance) -> Result<()> {
    let taken = instance.state.send_if_modified(|state| {
        let fresh = *state == ExecState::Created;
        if fresh {
            *state = ExecState::Running { pid: 0 };
        }
        fresh
    });
    let state = *instance.state.borrow();
    if taken { Ok(()) } else { Err(not_fresh(&instance.id, state)) }
}

fn not_fresh(id: &str, state: ExecState) -> Error {
    Error::conflict(match state {
        ExecState::Exited { .. } => format!("Error: Exec command {id} has already run"),
        ExecState::Created | ExecState::Running { .. } => format!("Error: Exec command {id} is already running"),
    })
}

async fn finish(shared: &Shared, instance: &Instance, container: &Container, pid: u32, code: i32) {
    let attributes = [("execID", instance.id.clone()), ("exitCode", code.to_string())];
    shared.end_exec(instance, pid, code);
    if let Err(error) = shared.emit(vec![of_container(container, "exec_die", &attributes)]).await {
        tracing::warn!(exec = instance.id, %error, "the end of an exec could not be told");
    }
}

/// The words of a failed start, as an attached client reads them.
fn said(error: &Error, tty: bool) -> lighter_engine::ByteStream {
    let bytes = stdcopy::text(Stream::Stdout, &format!("{error}\r\n"), tty);
    Box::pin(std::io::Cursor::new(bytes))
}
