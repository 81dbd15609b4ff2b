//! Joining what is another container's: its IPC namespace with the `/dev/shm` that goes with it, its process namespace.
//! Called by the start path. (The network namespace is `network`'s affair.)

use super::{RunState, files};
use crate::engine::Inner;
use crate::fail::Context as _;
use crate::spec::modes::{Ipc, Modes, Pids, peer};
use crate::spec::mounts::shm_size;
use lighter_domain::{Container, ContainerId, Error, Result};
use lighter_supervisor_proto::{Shm, files as names, joined};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

impl Inner {
    /// The namespaces to be entered, each with its kind. The errors are dockerd's. Blocking.
    pub(super) fn join(&self, container: &Container, modes: &Modes) -> Result<Vec<(OwnedFd, u8)>> {
        let host = &container.host_config;
        let mut found = Vec::new();
        if let (Ipc::Joined, Some(other)) = (modes.ipc, peer(&host.ipc_mode)) {
            let pid = self.running_peer("IPC", &other)?;
            let shares = files::launch(&self.layout.run_dir(&other)).is_some_and(|l| matches!(l.shm, Some(Shm::Own { .. })));
            if !shares {
                return Err(Error::invalid(format!(
                    "failed to join IPC namespace: container {other}: non-shareable IPC (hint: use IpcMode:shareable for the \
                     donor container)"
                )));
            }
            found.push((namespace(pid, "ipc")?, joined::IPC));
            found.push((namespace(parent(pid)?, "mnt")?, joined::MOUNTS));
        }
        if let (Pids::Joined, Some(other)) = (modes.pid, peer(&host.pid_mode)) {
            found.push((namespace(self.running_peer("PID", &other)?, "pid")?, joined::PROCESSES));
        }
        Ok(found)
    }

    /// The `/dev/shm` that the supervisor is to provide.
    pub(super) fn shm(&self, container: &Container, modes: &Modes) -> Option<Shm> {
        match modes.ipc {
            Ipc::Shareable => Some(Shm::Own { size: shm_size(container) }),
            Ipc::Joined => {
                let other = peer(&container.host_config.ipc_mode)?;
                Some(Shm::Of { path: self.layout.run_dir(&other).join(names::SHM) })
            }
            Ipc::Private | Ipc::None | Ipc::Host => None,
        }
    }

    pub(super) fn running_peer(&self, kind: &str, id: &ContainerId) -> Result<u32> {
        match self.runs.known(id).map(|slot| slot.state()) {
            Some(RunState::Running { pid }) => Ok(pid),
            _ => Err(Error::conflict(format!("failed to join {kind} namespace: container {id} is not running"))),
        }
    }
}

pub(crate) fn namespace(pid: u32, kind: &str) -> Result<OwnedFd> {
    let path = format!("/proc/{pid}/ns/{kind}");
    File::open(&path).map(OwnedFd::from).at("cannot join", Path::new(&path))
}

/// A container's first process is its supervisor's child.
fn parent(pid: u32) -> Result<u32> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).at("cannot read", Path::new(&path))?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok());
    parent.ok_or_else(|| Error::internal(format!("process {pid} has no parent")))
}
