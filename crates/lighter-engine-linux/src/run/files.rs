//! The files of a run directory, as the daemon writes and reads them.

use super::socket::lacks_descriptors;
use crate::fail::Context as _;
use lighter_domain::{Exit, Result};
use lighter_network::Attachment;
use lighter_supervisor_proto::{Exited, Launch, files};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;
use time::OffsetDateTime;

/// What a container holds of networks and ports, for a daemon that comes later.
pub(crate) const NETWORK: &str = "network.json";
/// No file of ours is larger.
const MAX: u64 = 16 << 20;
/// Between two tries while no descriptor is free.
const PAUSE: Duration = Duration::from_millis(10);

pub(crate) fn write<T: Serialize>(dir: &Path, name: &str, value: &T) -> Result<()> {
    let path = dir.join(name);
    let text = serde_json::to_vec(value).at("cannot encode", &path)?;
    std::fs::write(&path, text).at("cannot write", &path)
}

/// `None`: not there, or not readable as what it should be.
fn read<T: DeserializeOwned>(dir: &Path, name: &str) -> Option<T> {
    parse(File::open(dir.join(name)).ok()?)
}

fn parse<T: DeserializeOwned>(file: File) -> Option<T> {
    let mut text = Vec::new();
    file.take(MAX).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

pub(crate) fn launch(dir: &Path) -> Option<Launch> {
    read(dir, files::LAUNCH)
}

pub(crate) fn attachment(dir: &Path) -> Option<Attachment> {
    read(dir, NETWORK)
}

/// Replaces it while the container runs: whole or not at all.
pub(crate) fn replace_attachment(dir: &Path, attachment: &Attachment) -> Result<()> {
    let fresh = format!("{NETWORK}.new");
    write(dir, &fresh, attachment)?;
    std::fs::rename(dir.join(fresh), dir.join(NETWORK)).at("cannot write", &dir.join(NETWORK))
}

pub(crate) fn exit(dir: &Path) -> Option<Exit> {
    read::<Exited>(dir, files::EXIT).map(|e| to_exit(&e))
}

/// The same for who must not take a daemon without descriptors for a file that is not there. Blocking.
pub(crate) fn exit_for_certain(dir: &Path) -> Option<Exit> {
    loop {
        match File::open(dir.join(files::EXIT)) {
            Err(e) if lacks_descriptors(&e) => std::thread::sleep(PAUSE),
            opened => return parse::<Exited>(opened.ok()?).map(|e| to_exit(&e)),
        }
    }
}

pub(crate) fn ready(dir: &Path) -> Option<lighter_supervisor_proto::Ready> {
    read(dir, files::READY)
}

pub(crate) fn to_exit(exited: &Exited) -> Exit {
    Exit { code: exited.code, oom_killed: exited.oom_killed, finished_at: time_of(exited.finished_at) }
}

/// Nanoseconds since the epoch.
pub(crate) fn time_of(nanos: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(nanos)).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// Removes a directory and all in it; one that is not there is fine.
pub(crate) fn remove_tree(dir: &Path) -> Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e).at("cannot remove", dir),
        _ => Ok(()),
    }
}

/// Takes a directory out of the way, and deletes it behind the caller's back: on a disk each file costs a journal entry. One
/// that is not there is fine. Needs a tokio runtime.
pub(crate) fn discard(dir: &Path, trash: &Path) -> Result<()> {
    let target = trash.join(format!("{:016x}", rand::random::<u64>()));
    match std::fs::rename(dir, &target) {
        Ok(()) => {
            tokio::task::spawn_blocking(move || {
                if let Err(e) = remove_tree(&target) {
                    tracing::warn!(error = %e, "cannot delete what was discarded");
                }
            });
            Ok(())
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound && !dir.exists() => Ok(()),
        Err(_) => remove_tree(dir),
    }
}
