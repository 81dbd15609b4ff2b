//! Starting a container: prepare and connect side by side, write the run directory, start the supervisor, hear from it.
//!
//! The whole runs in a task of its own, so that a caller who goes away leaves a started container or none, never half.

use super::network::Attached;
use super::prepare::Prepared;
use super::{Held, RunState, Slot, failure, files, socket, spawn};
use crate::cgroup::Cgroups;
use crate::cgroup::limits::LEAST_PIDS;
use crate::engine::Inner;
use crate::fail::Context as _;
use crate::spec::modes::Modes;
use lighter_domain::{Container, ContainerConfig, Error, Result};
use lighter_engine::{StartFailure, Started};
use lighter_supervisor_proto::{NETNS_FD, Ready};
use rustix::pipe::{PipeFlags, pipe_with};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;

/// A supervisor that says nothing for so long is given up.
const PATIENCE: Duration = Duration::from_secs(120);
/// The line that it says is shorter.
const MAX_LINE: u64 = 64 << 10;

/// A supervisor that was started and has not spoken.
struct Launched {
    pid: u32,
    ready: OwnedFd,
}

impl Inner {
    /// Starts a container that does not run.
    pub(crate) async fn start(self: &Arc<Self>, container: &Container) -> Result<Started, StartFailure> {
        let slot = self.runs.slot(&container.id);
        let mut held = slot.hold().await;
        if matches!(slot.state(), RunState::Running { .. }) && self.is_alive(&container.id).await {
            return Err(Error::conflict(format!("container {} is running", container.id)).into());
        }
        let (this, container) = (Arc::clone(self), container.clone());
        let task = tokio::spawn(async move {
            if held.dirty {
                this.tidy(&container.id, &mut held).await?;
            }
            let outcome = this.start_clean(&slot, &mut held, &container).await;
            if outcome.is_err() {
                slot.set_state(RunState::Idle);
                if let Err(e) = this.tidy(&container.id, &mut held).await {
                    tracing::warn!(container = %container.id, error = %e, "cannot clean up after a failed start");
                }
            }
            outcome
        });
        task.await.unwrap_or_else(|e| Err(Error::internal(format!("the start was broken off: {e}")).into()))
    }

    async fn start_clean(self: &Arc<Self>, slot: &Slot, held: &mut Held, container: &Container) -> Result<Started, StartFailure> {
        let modes = Modes::of(container, self.cgroups.is_v2())?;
        let with_name;
        let container = match self.name_of_peer(container, &modes)? {
            Some(name) => {
                with_name =
                    Container { config: ContainerConfig { hostname: name, ..container.config.clone() }, ..container.clone() };
                &with_name
            }
            None => container,
        };
        held.dirty = true;
        let prepare = {
            let (this, container) = (Arc::clone(self), container.clone());
            tokio::task::spawn_blocking(move || this.prepare(&container, modes))
        };
        let connected = self.connect(container, &modes).await;
        let prepared = prepare.await.context("preparing was broken off")?;
        if let Ok(prepared) = &prepared {
            held.groups = Some(prepared.groups().clone());
        }
        let (attached, prepared) = (connected?, prepared?);
        let attachment = attached.attachment.clone();
        let launched = self.launch(held, container, attached, prepared).await?;
        match self.hear(container, launched).await? {
            Ready::Started { pid, started_at } => {
                slot.set_state(RunState::Running { pid });
                let limit = container.host_config.pids_limit.filter(|p| self.cgroups.is_v2() && (1..LEAST_PIDS).contains(p));
                if let (Some(limit), Some(groups)) = (limit, &held.groups) {
                    Cgroups::lower_pids(groups, limit)?;
                }
                let placement = self.placement(Some(modes.network), &attachment);
                Ok(Started { pid, started_at: files::time_of(started_at), placement })
            }
            Ready::Failed(why) => Err(failure::of_start(&why)),
        }
    }

    /// Writes the run directory and starts the supervisor with the socket, the pipe and the namespace. Our copies of them are
    /// closed when it has its own.
    async fn launch(
        self: &Arc<Self>,
        held: &mut Held,
        container: &Container,
        attached: Attached,
        prepared: Prepared,
    ) -> Result<Launched> {
        let listener = held.listener.take();
        let (this, container) = (Arc::clone(self), container.clone());
        let work = move || -> Result<Launched> {
            let run_dir = this.layout.run_dir(&container.id);
            make_private_dir(&run_dir)?;
            let launch = this.write_run(&container, &prepared, &attached.attachment)?;
            let listener = match listener {
                Some(listener) => listener,
                None => socket::bind(&run_dir).at("cannot bind the socket of", &run_dir)?,
            };
            let (ready, writer) = pipe_with(PipeFlags::CLOEXEC).context("cannot make a pipe")?;
            let joined = this.join(&container, &prepared.modes)?;
            let netns = attached.netns.as_ref().map(|fd| (fd.as_fd(), NETNS_FD));
            let namespaces: Vec<_> = netns.into_iter().chain(joined.iter().map(|(fd, number)| (fd.as_fd(), *number))).collect();
            let pid = this.program.start(&launch, listener.as_fd(), writer.as_fd(), &namespaces)?;
            Ok(Launched { pid, ready })
        };
        tokio::task::spawn_blocking(work).await.context("starting was broken off")?
    }

    async fn hear(&self, container: &Container, launched: Launched) -> Result<Ready> {
        let mut reaper = tokio::spawn(spawn::reap(launched.pid));
        rustix::io::ioctl_fionbio(&launched.ready, true).context("cannot prepare a pipe")?;
        let mut pipe = tokio::net::unix::pipe::Receiver::from_owned_fd(launched.ready).context("cannot read from a pipe")?;
        let mut line = Vec::new();
        let told = async {
            // The line ends before the pipe does when a helper still has a copy of it; and so does the supervisor.
            while !line.ends_with(b"\n") && (line.len() as u64) < MAX_LINE {
                tokio::select! {
                    biased;
                    read = pipe.read_buf(&mut line) => if read? == 0 { break },
                    _ = &mut reaper => {
                        while pipe.try_read_buf(&mut line).is_ok_and(|read| read > 0) {}
                        break;
                    }
                }
            }
            Ok::<_, std::io::Error>(())
        };
        let answer = match tokio::time::timeout(PATIENCE, told).await {
            Ok(read) => read.context("cannot read from the supervisor").map(|()| serde_json::from_slice::<Ready>(&line).ok()),
            Err(_) => Ok(None),
        };
        match answer? {
            Some(started @ Ready::Started { .. }) => Ok(started),
            Some(failed) => {
                if !reaper.is_finished() {
                    let _ = tokio::time::timeout(Duration::from_secs(5), reaper).await;
                }
                Ok(failed)
            }
            None => {
                if let Some(pid) = i32::try_from(launched.pid).ok().and_then(rustix::process::Pid::from_raw)
                    && !reaper.is_finished()
                {
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                }
                let log = self.layout.run_dir(&container.id).join(lighter_supervisor_proto::files::LOG);
                let notes = std::fs::read_to_string(log).unwrap_or_default();
                let last = notes.lines().next_back().unwrap_or("it left no message");
                Err(Error::internal(format!("failed to create task for container: the supervisor ended early: {last}")))
            }
        }
    }
}

/// 0700, for the sockets in it obey whoever can reach them.
pub(crate) fn make_private_dir(dir: &std::path::Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).at("cannot make", dir)
}
