//! The end of a run: waiting for it, signals that bring it about, and what is cleaned up afterwards.

use super::{Held, RunState, client, files, socket};
use crate::cgroup::Cgroups;
use crate::engine::Inner;
use crate::fail::Context as _;
use lighter_domain::{ContainerId, Error, Exit, Result, Signal};
use lighter_supervisor_proto::{Launch, Reply, Request, files as names};
use nix::libc::{EINVAL, ESRCH};
use std::path::Path;
use std::sync::Arc;
use time::OffsetDateTime;

/// What is said of a container whose supervisor died: it was killed.
const KILLED: i32 = 137;

impl Inner {
    /// Resolves when the present run has ended.
    pub(crate) async fn wait(&self, id: &ContainerId) -> Result<Exit> {
        let unknown = || Error::not_found(format!("No such container: {id}"));
        let slot = self.runs.known(id).ok_or_else(unknown)?;
        if let RunState::Ended(exit) = slot.state() {
            return Ok(exit);
        }
        let dir = self.layout.run_dir(id);
        if !dir.join(names::LAUNCH).exists() {
            return match slot.state() {
                RunState::Ended(exit) => Ok(exit),
                _ => Err(unknown()),
            };
        }
        let exit = match client::ask(&dir, &Request::Wait).await {
            Ok(Reply::Exited(exited)) => files::to_exit(&exited),
            Ok(Reply::Failed(failure)) => return Err(Error::internal(failure.message)),
            Ok(other) => return Err(Error::internal(format!("the supervisor answered a wait with {other:?}"))),
            Err(e) if socket::is_gone(&e) => match slot.state() {
                // Somebody else has seen it, and has cleaned up since.
                RunState::Ended(exit) => exit,
                _ => self.autopsy(id).await?,
            },
            Err(e) => return Err(Error::internal(format!("cannot wait for container {id}: {e}"))),
        };
        if slot.ended(&exit) {
            // The next container may want them before this one is cleaned up.
            self.networks.release_ports(id.as_str());
            self.dns.forget(id.as_str());
        }
        Ok(exit)
    }

    /// How a run ended whose supervisor is gone. Nothing of it goes on without one.
    pub(crate) async fn autopsy(&self, id: &ContainerId) -> Result<Exit> {
        let dir = self.layout.run_dir(id);
        let work = move || {
            files::exit_for_certain(&dir).unwrap_or_else(|| {
                tracing::warn!(run_dir = %dir.display(), "a supervisor died without leaving an exit status");
                if let Some(launch) = files::launch(&dir) {
                    Cgroups::kill_all(&launch.cgroups);
                }
                Exit { code: KILLED, oom_killed: false, finished_at: now() }
            })
        };
        tokio::task::spawn_blocking(work).await.context("looking for an exit status was broken off")
    }

    /// Whether the present run goes on. A supervisor that has written the exit status answers for a moment still.
    pub(crate) async fn is_alive(&self, id: &ContainerId) -> bool {
        let dir = self.layout.run_dir(id);
        matches!(client::ask(&dir, &Request::Status).await, Ok(Reply::Status { .. })) && files::exit(&dir).is_none()
    }

    pub(crate) async fn signal(&self, id: &ContainerId, signal: Signal) -> Result<()> {
        let not_running = || Error::conflict(format!("container {id} is not running"));
        let dir = self.running_dir(id)?;
        match client::ask(&dir, &Request::Signal { number: signal.number() }).await {
            Ok(Reply::Ok) => {}
            Ok(Reply::Error { errno: Some(EINVAL), message }) => return Err(Error::invalid(message)),
            Ok(Reply::Error { errno: Some(ESRCH) | None, .. }) => return Err(not_running()),
            Ok(Reply::Error { message, .. }) => return Err(Error::internal(format!("Cannot kill container {id}: {message}"))),
            Ok(_) => return Err(not_running()),
            Err(e) if socket::is_gone(&e) => return Err(not_running()),
            Err(e) => return Err(Error::internal(format!("Cannot kill container {id}: {e}"))),
        }
        if signal == Signal::KILL {
            self.thaw(id).await;
        }
        Ok(())
    }

    /// A frozen process dies only when it is let go.
    async fn thaw(&self, id: &ContainerId) {
        let dir = self.layout.run_dir(id);
        let work = move || {
            let Some(launch) = files::launch(&dir) else { return };
            if Cgroups::is_frozen(&launch.cgroups)
                && let Err(e) = Cgroups::freeze(&launch.cgroups, false)
            {
                tracing::warn!(error = %e, "cannot thaw a container that was killed");
            }
        };
        let _ = tokio::task::spawn_blocking(work).await;
    }

    /// The run directory of a container that was not seen to have ended.
    pub(crate) fn running_dir(&self, id: &ContainerId) -> Result<std::path::PathBuf> {
        let slot = self.runs.known(id).ok_or_else(|| Error::not_found(format!("No such container: {id}")))?;
        match slot.state() {
            RunState::Running { .. } => Ok(self.layout.run_dir(id)),
            _ => Err(Error::conflict(format!("container {id} is not running"))),
        }
    }

    /// Frees what a run held; goes on in the background. The next start and the removal wait for it.
    pub(crate) async fn cleanup(self: &Arc<Self>, id: &ContainerId) -> Result<()> {
        let Some(slot) = self.runs.known(id) else { return Ok(()) };
        let mut held = slot.hold().await;
        if !held.dirty {
            return Ok(());
        }
        if matches!(slot.state(), RunState::Running { .. }) {
            if self.is_alive(id).await {
                return Err(Error::conflict(format!("container {id} is running")));
            }
            let exit = self.autopsy(id).await?;
            slot.ended(&exit);
        }
        // Not behind the caller's back: whoever comes next may want its addresses.
        self.dns.forget(id.as_str());
        self.networks.detach(id.as_str());
        let (this, id) = (Arc::clone(self), id.clone());
        tokio::spawn(async move {
            if let Err(e) = this.tidy(&id, &mut held).await {
                tracing::warn!(container = %id, error = %e, "cannot clean up after a container");
            }
        });
        Ok(())
    }

    /// Removes control groups, endpoint and run directory of a run that has ended. A socket that waits for the next run stays.
    pub(crate) async fn tidy(&self, id: &ContainerId, held: &mut Held) -> Result<()> {
        let dir = self.layout.run_dir(id);
        let groups = held.groups.take();
        let keep_socket = held.listener.is_some();
        let trash = self.layout.run_trash();
        let (volumes, user) = (Arc::clone(&self.volumes), id.as_str().to_owned());
        let work = move || {
            volumes.released(&user);
            let groups = groups.or_else(|| files::launch(&dir).map(|l: Launch| l.cgroups));
            let destroyed = groups.as_ref().map_or(Ok(()), Cgroups::destroy);
            if keep_socket { clear_dir(&dir) } else { files::discard(&dir, &trash) }.and(destroyed)
        };
        let done = tokio::task::spawn_blocking(work).await.context("cleaning up was broken off")?;
        self.dns.forget(id.as_str());
        self.networks.detach(id.as_str());
        held.dirty = done.is_err();
        done
    }
}

/// Removes everything but the socket.
fn clear_dir(dir: &Path) -> Result<()> {
    for entry in std::fs::read_dir(dir).at("cannot read", dir)?.flatten() {
        if entry.file_name() == names::SOCKET {
            continue;
        }
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            files::remove_tree(&entry.path())?;
        } else {
            std::fs::remove_file(entry.path()).at("cannot remove", &entry.path())?;
        }
    }
    Ok(())
}

/// An end that nobody saw has no other time.
fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}
