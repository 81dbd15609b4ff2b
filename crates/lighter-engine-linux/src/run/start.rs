//! Starting a container: load the supervisor, prepare and connect side by side, write the run directory, tell the supervisor
//! to go on, hear from it.
//!
//! The whole runs in a task of its own, so that a caller who goes away leaves a started container or none, never half.

use super::network::Attached;
use super::{Held, RunState, Slot, failure, files, socket, spawn};
use crate::cgroup::Cgroups;
use crate::cgroup::limits::LEAST_PIDS;
use crate::engine::Inner;
use crate::fail::Context as _;
use crate::spec::modes::Modes;
use lighter_domain::{Container, ContainerConfig, Error, Result};
use lighter_engine::{StartFailure, Started};
use lighter_network::Attachment;
use lighter_supervisor_proto::{self as proto, Ready, files as names, joined};
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A supervisor that says nothing for so long is given up.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long one that is not needed, or that failed, may take to end.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// The line that it says is shorter.
const MAX_LINE: usize = 64 << 10;

/// A supervisor that was started and has not spoken.
struct Summoned {
    pid: u32,
    /// Our end of the pair. When all copies are dropped without a word, it ends the supervisor.
    pair: UnixStream,
    /// Ends with the supervisor.
    reaper: JoinHandle<()>,
}

impl Summoned {
    /// Lets it go, and waits until it has.
    async fn dismiss(self) {
        drop(self.pair);
        let _ = tokio::time::timeout(LAST_WORDS, self.reaper).await;
    }
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
        make_private_dir(&self.layout.run_dir(&container.id))?;
        let (pair, theirs) = UnixStream::pair().context("cannot make a pair of sockets")?;
        let (hand_over, rest) = oneshot::channel();
        let made = {
            let (this, container) = (Arc::clone(self), container.clone());
            let pair = pair.try_clone().context("cannot copy a socket")?;
            tokio::task::spawn_blocking(move || this.make(&container, modes, &pair, rest))
        };
        let attached_before = held.listener.is_some();
        let summoned = self.summon(held, container, pair, &theirs);
        drop(theirs);
        let connected = self.connect(container, &modes).await;
        let mut attachment = Attachment::default();
        let joined = match (&summoned, connected) {
            (Ok(_), Ok(attached)) => {
                attachment = attached.attachment.clone();
                // Who is to take it has failed, if it is not there any more, and says so.
                let _ = hand_over.send(attached);
                Ok(())
            }
            (_, connected) => {
                drop(hand_over);
                connected.map(drop)
            }
        };
        let (groups, made) = made.await.context("preparing was broken off")?;
        if groups.is_some() {
            held.groups = groups;
        }
        let summoned = match (summoned, joined.and(made)) {
            (Ok(summoned), Ok(())) => summoned,
            (summoned, made) => {
                // Who attached before this start waits for the next one.
                held.listener.take_if(|_| !attached_before);
                let error = match summoned {
                    Ok(summoned) => {
                        summoned.dismiss().await;
                        None
                    }
                    Err(error) => Some(error),
                };
                let error = made.err().or(error);
                return Err(error.unwrap_or_else(|| Error::internal("the start failed")).into());
            }
        };
        // The supervisor has its own.
        drop(held.listener.take());
        match self.hear(container, summoned).await? {
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

    /// Starts the supervisor, whose program is loaded while everything else is made.
    ///
    /// A tenth of a millisecond, and not worth another thread: the kernel would put that behind the one that prepares, on the
    /// same core, and nothing would overlap.
    fn summon(&self, held: &mut Held, container: &Container, pair: UnixStream, theirs: &UnixStream) -> Result<Summoned> {
        let run_dir = self.layout.run_dir(&container.id);
        let listener = match held.listener.take() {
            Some(listener) => listener,
            None => socket::bind(&run_dir).at("cannot bind the socket of", &run_dir)?,
        };
        let listener = held.listener.insert(listener);
        let pid = self.program.start(&run_dir.join(names::LAUNCH), listener.as_fd(), theirs.as_fd())?;
        Ok(Summoned { pid, pair, reaper: tokio::spawn(spawn::reap(pid)) })
    }

    /// Everything that blocks, on one thread from end to end: what needs no network first, then, with what the rest of the
    /// start has made meanwhile, the word to the supervisor to go on. Nothing is said if that does not come. The control groups
    /// are there whatever became of the rest. Our copies of the namespaces are closed when the supervisor has its own.
    ///
    /// Connecting must not need a thread for blocking work: of a thousand starts at once, those that wait here have all of them.
    fn make(
        &self,
        container: &Container,
        modes: Modes,
        supervisor: &UnixStream,
        rest: oneshot::Receiver<Attached>,
    ) -> (Option<proto::Cgroups>, Result<()>) {
        let prepared = match self.prepare(container, modes, supervisor) {
            Ok(prepared) => prepared,
            Err(error) => return (None, Err(error)),
        };
        let done = self.write_launch(container, &prepared).and_then(|()| {
            let Ok(attached) = rest.blocking_recv() else { return Ok(()) };
            self.write_attachment(container, &prepared.modes, &attached.attachment)?;
            let joined = self.join(container, &prepared.modes)?;
            let netns = attached.netns.as_ref().map(|fd| (fd.as_fd(), joined::NETWORK));
            let namespaces: Vec<_> = netns.into_iter().chain(joined.iter().map(|(fd, kind)| (fd.as_fd(), *kind))).collect();
            go_on(supervisor, &namespaces)
        });
        (Some(prepared.groups), done)
    }

    async fn hear(&self, container: &Container, summoned: Summoned) -> Result<Ready> {
        let Summoned { pid, pair, mut reaper } = summoned;
        pair.set_nonblocking(true).context("cannot prepare a socket")?;
        let mut pair = tokio::net::UnixStream::from_std(pair).context("cannot read from a socket")?;
        let mut line = Vec::new();
        let told = async {
            // The line ends before the stream does when a helper still has a copy of it; and so does the supervisor.
            while !line.ends_with(b"\n") && line.len() < MAX_LINE {
                tokio::select! {
                    biased;
                    read = pair.read_buf(&mut line) => if read? == 0 { break },
                    _ = &mut reaper => {
                        // Asked of the kernel: the runtime may not have noticed yet that there is something.
                        line.reserve(MAX_LINE);
                        while rustix::io::read(&pair, spare_capacity(&mut line)).is_ok_and(|read| read > 0) {}
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
                    let _ = tokio::time::timeout(LAST_WORDS, reaper).await;
                }
                Ok(failed)
            }
            None => {
                if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw)
                    && !reaper.is_finished()
                {
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                }
                let log = self.layout.run_dir(&container.id).join(names::LOG);
                let notes = std::fs::read_to_string(log).unwrap_or_default();
                let last = notes.lines().next_back().unwrap_or("it left no message");
                Err(Error::internal(format!("failed to create task for container: the supervisor ended early: {last}")))
            }
        }
    }
}

/// Tells a supervisor that its launch file is there, and gives it the namespaces to be joined.
fn go_on(pair: &UnixStream, namespaces: &[(BorrowedFd<'_>, u8)]) -> Result<()> {
    let fds: Vec<BorrowedFd<'_>> = namespaces.iter().map(|(fd, _)| *fd).collect();
    let line: Vec<u8> = namespaces.iter().map(|(_, kind)| *kind).chain(*b"\n").collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(joined::MOST))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(Error::internal("more namespaces than a supervisor takes"));
    }
    match sendmsg(pair, &[IoSlice::new(&line)], &mut control, SendFlags::NOSIGNAL) {
        // It has ended, and has said why.
        Ok(_) | Err(Errno::PIPE) => Ok(()),
        Err(e) => Err(e).context("cannot tell the supervisor"),
    }
}

/// 0700, for the sockets in it obey whoever can reach them.
pub(crate) fn make_private_dir(dir: &std::path::Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).at("cannot make", dir)
}
