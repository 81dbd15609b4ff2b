//! Modes that name another container (`container:<name or id>`): from creation on they hold its id, so that renaming it changes
//! nothing. Called when a container is made.

use crate::registry::Registry;
use lighter_domain::{Error, HostConfig, Result};

/// Puts ids in the place of names in the modes of process, IPC and network namespaces.
pub(crate) fn resolve(registry: &Registry, host: &mut HostConfig) -> Result<()> {
    for (kind, mode) in [("PID", &mut host.pid_mode), ("IPC", &mut host.ipc_mode)] {
        let Some(reference) = mode.strip_prefix("container:") else { continue };
        if reference.is_empty() {
            return Err(Error::invalid(format!("invalid {kind} mode: {mode}")));
        }
        // Not a 404, which clients take for a missing image.
        let peer = registry.find(reference).map_err(|e| Error::invalid(e.message()))?;
        *mode = format!("container:{}", peer.id);
    }
    // Unlike the others, the network's peer may be made later, as with dockerd.
    let mode = &mut host.network_mode;
    if let Some(peer) = mode.strip_prefix("container:").and_then(|reference| registry.find(reference).ok()) {
        *mode = format!("container:{}", peer.id);
    }
    Ok(())
}
