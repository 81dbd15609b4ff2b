//! The operations on one container: each finds it, asks its actor or engine, and words what went wrong.

use crate::actor::{Command, Reply, grace, stop_signal};
use crate::attached;
use crate::daemon::Daemon;
use crate::detach::DetachKeys;
use crate::events::of_container;
use crate::registry::{Entry, Life};
use crate::requests::{
    AttachRequest, Attached, Inspected, Origin, RemoveOptions, Sizes, StopOptions, WaitCondition, Waited, Waiting,
};
use crate::wording;
use lighter_domain::state::{Decision, Request, decide};
use lighter_domain::{Container, ContainerId, Error, ErrorKind, Result, Signal, names};
use lighter_engine::{AttachOptions, LogQuery};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

impl Daemon {
    pub(crate) fn entry(&self, reference: &str) -> Result<Arc<Entry>> {
        self.shared().registry.find(reference)
    }

    pub(crate) async fn ask(&self, entry: &Entry, command: impl FnOnce(Reply) -> Command) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        let gone = || wording::no_such_container(entry.id.as_str());
        entry.commands.send(command(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    pub async fn start_container(&self, reference: &str) -> Result<()> {
        let entry = self.entry(reference)?;
        let receipt = self.receipt.clone();
        self.ask(&entry, |reply| Command::Start { receipt, reply }).await
    }

    pub async fn stop(&self, reference: &str, options: StopOptions) -> Result<()> {
        let entry = self.entry(reference)?;
        let (signal, grace) = stop_plan(&entry.snapshot(), &options)?;
        let result = self.ask(&entry, |reply| Command::Stop { signal, grace, reply }).await;
        result.map_err(|e| in_context(&format!("cannot stop container: {reference}"), e))
    }

    pub async fn restart(&self, reference: &str, options: StopOptions) -> Result<()> {
        let entry = self.entry(reference)?;
        let (signal, grace) = stop_plan(&entry.snapshot(), &options)?;
        let result = self.ask(&entry, |reply| Command::Restart { signal, grace, reply }).await;
        result.map_err(|e| in_context(&format!("Cannot restart container {reference}"), e))
    }

    pub async fn kill(&self, reference: &str, signal: Option<&str>) -> Result<()> {
        let signal = signal.filter(|s| !s.is_empty()).map_or(Ok(Signal::KILL), Signal::parse)?;
        let context = |e| in_context(&format!("cannot kill container: {reference}"), e);
        let entry = self.entry(reference).map_err(context)?;
        let result = self.ask(&entry, |reply| Command::Kill { signal, reply }).await;
        result.map_err(context)
    }

    pub async fn pause(&self, reference: &str) -> Result<()> {
        let entry = self.entry(reference)?;
        self.ask(&entry, Command::Pause).await
    }

    pub async fn unpause(&self, reference: &str) -> Result<()> {
        let entry = self.entry(reference)?;
        self.ask(&entry, Command::Unpause).await
    }

    pub async fn rename(&self, reference: &str, new_name: &str) -> Result<()> {
        let entry = self.entry(reference)?;
        if reference.is_empty() || new_name.is_empty() {
            return Err(Error::invalid("Neither old nor new names may be empty"));
        }
        let name = names::validate(new_name)?.to_owned();
        if entry.snapshot().name == name {
            return Err(Error::invalid("Renaming a container with the same name as its current name"));
        }
        self.ask(&entry, |reply| Command::Rename { name, reply }).await
    }

    pub async fn remove(&self, reference: &str, options: RemoveOptions) -> Result<()> {
        let entry = self.entry(reference)?;
        if options.link {
            return Err(self.shared().lacks("removing a link"));
        }
        let (reference, receipt) = (reference.to_owned(), self.receipt.clone());
        self.ask(&entry, |reply| Command::Remove { options, reference, receipt, reply }).await
    }

    /// Registers the wait before it returns, so that the caller can flush its headers and miss nothing.
    pub fn wait(&self, reference: &str, condition: WaitCondition) -> Result<Waiting> {
        let entry = self.entry(reference)?;
        let mut life = entry.life.subscribe();
        let seen = life.borrow_and_update().exits;
        let at_once = condition == WaitCondition::NotRunning && !life.borrow().live;
        let done = move |life: &Life| match condition {
            WaitCondition::NotRunning => at_once || life.exits > seen || !life.live || life.removed,
            WaitCondition::NextExit => life.exits > seen || life.removed,
            WaitCondition::Removed => life.removed,
        };
        let result = Box::pin(async move {
            let gone = || Error::internal("the daemon stops");
            let exit_code = life.wait_for(done).await.map_err(|_| gone())?.last.as_ref().map_or(0, |exit| exit.code);
            if !at_once {
                attached::passed_on(&entry).await;
            }
            Ok(Waited { exit_code, error: None })
        });
        Ok(Waiting { result })
    }

    pub async fn attach(&self, reference: &str, request: AttachRequest) -> Result<Attached> {
        let keys = DetachKeys::parse(&request.detach_keys)?;
        let entry = self.entry(reference)?;
        let container = entry.snapshot();
        if let Decision::Denied(reason) = decide(&container.state, Request::Attach) {
            return Err(wording::denied(&container, Request::Attach, reason));
        }
        let shared = self.shared();
        let logs = if request.logs {
            let query = LogQuery { stdout: request.stdout, stderr: request.stderr, ..LogQuery::default() };
            Some(self.logs(container.id.as_str(), query).await?)
        } else {
            None
        };
        let session = if request.stream {
            let attach = shared.engine.attach().ok_or_else(|| shared.lacks("attaching"))?;
            let stdin = request.stdin && container.config.open_stdin;
            let options = AttachOptions { stdin, stdout: request.stdout, stderr: request.stderr };
            Some(attached::counted(entry, shared.bounded("attaching", attach.attach(&container, options)).await?))
        } else {
            None
        };
        shared.emit(vec![of_container(&container, "attach", &[])]).await?;
        Ok(Attached { tty: container.config.tty, logs, session, detach_keys: keys, container: container.id.clone() })
    }

    /// The client detached by its keys.
    pub async fn detached(&self, id: &ContainerId) {
        if let Some(container) = self.resolve(id.as_str())
            && let Err(error) = self.shared().emit(vec![of_container(&container, "detach", &[])]).await
        {
            tracing::warn!(%id, %error, "a detach could not be told");
        }
    }

    pub async fn resize(&self, reference: &str, height: u16, width: u16) -> Result<()> {
        let container = self.entry(reference)?.snapshot();
        if let Decision::Denied(reason) = decide(&container.state, Request::Resize) {
            return Err(wording::denied(&container, Request::Resize, reason));
        }
        let shared = self.shared();
        let attach = shared.engine.attach().ok_or_else(|| shared.lacks("resizing a terminal"))?;
        shared.bounded("resizing", attach.resize(&container.id, height, width)).await?;
        let size = [("height", height.to_string()), ("width", width.to_string())];
        shared.emit(vec![of_container(&container, "resize", &size)]).await
    }

    pub async fn logs(&self, reference: &str, query: LogQuery) -> Result<Origin> {
        let container = self.entry(reference)?.snapshot();
        if !query.stdout && !query.stderr {
            return Err(Error::invalid("Bad parameters: you must choose at least one stream"));
        }
        let shared = self.shared();
        let logs = shared.engine.logs().ok_or_else(|| shared.lacks("reading logs"))?;
        let bytes = shared.bounded("reading logs", logs.logs(&container, query)).await?;
        Ok(Origin { tty: container.config.tty, bytes })
    }

    pub async fn inspect(&self, reference: &str, size: bool) -> Result<Inspected> {
        let container = self.entry(reference)?.snapshot();
        let shared = self.shared();
        let details = shared.engine.inspect(&container);
        let exec_ids = shared.execs.live_of(&container.id);
        let size = if size { Some(self.sizes(&container).await) } else { None };
        let links = shared.shown_links(&container);
        Ok(Inspected { container, details, exec_ids, links, size })
    }

    /// What a container's layers take; zero where the engine cannot say.
    pub(crate) async fn sizes(&self, container: &Container) -> Sizes {
        let engine = &self.shared().engine;
        let rw = engine.size_rw(&container.id).await.ok().flatten().unwrap_or(0);
        let image = match engine.images() {
            Some(images) => images.get(&container.image_id).await.map_or(0, |image| image.size),
            None => 0,
        };
        Sizes { rw, root_fs: rw + image }
    }
}

fn stop_plan(container: &Container, options: &StopOptions) -> Result<(Signal, Option<Duration>)> {
    let signal = match options.signal.as_deref().filter(|s| !s.is_empty()) {
        Some(signal) => Signal::parse(signal)?,
        None => stop_signal(container).unwrap_or(Signal::TERM),
    };
    Ok((signal, grace(container, options.timeout)))
}

/// Puts the operation before the error, as dockerd does; "not modified" has no words.
fn in_context(prefix: &str, error: Error) -> Error {
    if error.kind() == ErrorKind::NotModified { error } else { wording::prefixed(prefix, &error) }
}
