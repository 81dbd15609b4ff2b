//! Volumes with a device: what `mount` would do, on the volume's `_data`, while somebody uses it.
//!
//! These are the only mounts that the engine makes in the host's own namespace, for containers share them. Those that
//! nobody uses any more are taken away at the end of their last run, and at start-up.

use super::{VolumeStore, of};
use crate::fail::{Context as _, in_gos_words};
use lighter_domain::volume::Volume;
use lighter_domain::{Container, Error, Result};
use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::ffi::CString;
use std::net::ToSocketAddrs as _;
use std::path::Path;
use std::sync::Arc;

/// Keeps volumes mounted.
pub(crate) struct InUse {
    store: Arc<VolumeStore>,
    user: String,
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.store.released(&self.user);
    }
}

impl VolumeStore {
    /// Mounts the volumes of a container that have a device, for `user`, who gives them back by [`VolumeStore::released`].
    /// Blocking.
    pub(crate) fn acquire(&self, container: &Container, user: &str) -> Result<()> {
        for point in of(container) {
            let Some(volume) = self.get(&point.name).filter(|v| !v.options.is_empty()) else { continue };
            let mut users = self.users.lock();
            let all = users.entry(volume.name.clone()).or_default();
            if all.is_empty() && !is_mounted(Path::new(&volume.mountpoint)) {
                mount_device(&volume)?;
            }
            all.insert(user.to_owned());
        }
        Ok(())
    }

    /// As [`VolumeStore::acquire`], for as long as the guard lives.
    pub(crate) fn borrow(self: &Arc<Self>, container: &Container) -> Result<InUse> {
        let guard = InUse { store: Arc::clone(self), user: format!("copy-{:016x}", rand::random::<u64>()) };
        self.acquire(container, &guard.user)?;
        Ok(guard)
    }

    /// What `user` had mounted, nobody else uses: it goes. Blocking.
    pub(crate) fn released(&self, user: &str) {
        let mut users = self.users.lock();
        users.retain(|name, all| {
            if all.remove(user) && all.is_empty() {
                take_down(&self.data(name));
            }
            !all.is_empty()
        });
    }

    /// After a restart: who runs, and what is mounted for nobody. Blocking.
    pub(crate) fn settle(&self, running: &[Arc<Container>]) {
        let with_device: Vec<_> = self.all.read().values().filter(|v| !v.options.is_empty()).cloned().collect();
        let mut users = self.users.lock();
        for volume in with_device {
            let using = running.iter().filter(|c| of(c).any(|m| m.name == volume.name));
            let ids: std::collections::HashSet<_> = using.map(|c| c.id.as_str().to_owned()).collect();
            if ids.is_empty() {
                take_down(Path::new(&volume.mountpoint));
            } else {
                users.insert(volume.name.clone(), ids);
            }
        }
    }

    pub(super) fn unmount(&self, name: &str) -> Result<()> {
        let data = self.data(name);
        if is_mounted(&data) {
            unmount(&data, UnmountFlags::DETACH).at("cannot unmount", &data)?;
        }
        Ok(())
    }
}

fn take_down(data: &Path) {
    if is_mounted(data)
        && let Err(e) = unmount(data, UnmountFlags::DETACH)
    {
        tracing::warn!(path = %data.display(), error = %e, "cannot unmount a volume");
    }
}

fn is_mounted(path: &Path) -> bool {
    let found = statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty());
    found.is_ok_and(|s| s.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

fn mount_device(volume: &Volume) -> Result<()> {
    let option = |name: &str| volume.options.get(name).map_or("", String::as_str);
    let (kind, device, target) = (option("type"), option("device"), &volume.mountpoint);
    let (flags, data) = flags_of(&addressed(kind, option("o"))?);
    let failed = |why: String| {
        let flags = if flags.is_empty() { String::new() } else { format!(", flags: 0x{:x}", flags.bits()) };
        let data = if data.is_empty() { String::new() } else { format!(", data: {data}") };
        Error::internal(format!(
            "error while mounting volume '{target}': failed to mount local volume: mount {device}:{target}{flags}{data}: {why}"
        ))
    };
    let text = CString::new(data.as_str()).map_err(|e| failed(e.to_string()))?;
    mount(device, target.as_str(), kind, flags, Some(text.as_c_str())).map_err(|e| failed(in_gos_words(e)))?;
    // A bind takes this only in a second step.
    if flags.contains(MountFlags::BIND) && flags.contains(MountFlags::RDONLY) {
        rustix::mount::mount_remount(target.as_str(), MountFlags::BIND | MountFlags::RDONLY, c"").map_err(|e| {
            take_down(Path::new(target));
            failed(in_gos_words(e))
        })?;
    }
    Ok(())
}

/// `addr=` of a network file system as the kernel wants it: an address, not a name.
fn addressed(kind: &str, options: &str) -> Result<String> {
    if !matches!(kind, "nfs" | "nfs4" | "cifs") {
        return Ok(options.to_owned());
    }
    let one = |word: &str| match word.strip_prefix("addr=") {
        Some(host) if host.parse::<std::net::IpAddr>().is_err() => {
            let mut found = (host, 0).to_socket_addrs().with_host(host)?;
            let address = found
                .next()
                .ok_or_else(|| Error::invalid(format!("error resolving passed in network volume address: {host}")))?;
            Ok(format!("addr={}", address.ip()))
        }
        _ => Ok(word.to_owned()),
    };
    Ok(options.split(',').map(one).collect::<Result<Vec<_>>>()?.join(","))
}

trait WithHost<T> {
    fn with_host(self, host: &str) -> Result<T>;
}

impl<T> WithHost<T> for std::io::Result<T> {
    fn with_host(self, host: &str) -> Result<T> {
        self.map_err(|e| Error::invalid(format!("error resolving passed in network volume address: {host}: {e}")))
    }
}

/// What `mount -o` takes, split into the kernel's flags and the file system's own text.
fn flags_of(options: &str) -> (MountFlags, String) {
    let mut flags = MountFlags::empty();
    let mut rest = Vec::new();
    for word in options.split(',').filter(|w| !w.is_empty()) {
        match word {
            "defaults" | "rw" => {}
            "ro" => flags |= MountFlags::RDONLY,
            "bind" => flags |= MountFlags::BIND,
            "rbind" => flags |= MountFlags::BIND | MountFlags::REC,
            "nosuid" => flags |= MountFlags::NOSUID,
            "nodev" => flags |= MountFlags::NODEV,
            "noexec" => flags |= MountFlags::NOEXEC,
            "sync" => flags |= MountFlags::SYNCHRONOUS,
            "dirsync" => flags |= MountFlags::DIRSYNC,
            "noatime" => flags |= MountFlags::NOATIME,
            "nodiratime" => flags |= MountFlags::NODIRATIME,
            "relatime" => flags |= MountFlags::RELATIME,
            "strictatime" => flags |= MountFlags::STRICTATIME,
            other => rest.push(other),
        }
    }
    (flags, rest.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_split() {
        let (flags, data) = flags_of("ro,size=1m,nosuid,uid=1000");
        assert_eq!((flags, data.as_str()), (MountFlags::RDONLY | MountFlags::NOSUID, "size=1m,uid=1000"));
        assert_eq!(flags_of("rbind,rw"), (MountFlags::BIND | MountFlags::REC, String::new()));
        assert_eq!(addressed("nfs", "addr=localhost,rw").unwrap().split(',').next_back(), Some("rw"));
        assert!(addressed("nfs", "addr=localhost").unwrap() != "addr=localhost");
        assert_eq!(addressed("tmpfs", "addr=localhost").unwrap(), "addr=localhost");
    }
}
