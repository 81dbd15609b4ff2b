//! Paths below a directory, resolved by the kernel: the only way in which names from archives are followed.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use crate::error::ArchiveError;

/// Deeper trees are refused: nothing real is, and removal keeps a descriptor for each level.
pub(crate) const MAX_DEPTH: usize = 256;
const MAX_PATH: usize = 4096;
/// openat2 gives EAGAIN while something is renamed anywhere on the machine.
const RETRIES: usize = 128;

/// Opens `path` with `root` as the root directory: `..` and absolute links stay inside.
pub fn open_below(root: impl AsFd, path: &[u8], flags: OFlags, more: ResolveFlags) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | more;
    let mut tries = 0;
    loop {
        match openat2(&root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) if tries < RETRIES => tries += 1,
            result => return result,
        }
    }
}

/// The parts of an archive's name: absolute ones are below the root, `.` is dropped, `..` may not leave the root.
pub(crate) fn components(name: &[u8]) -> Result<Vec<&[u8]>, ArchiveError> {
    let bad = || ArchiveError::BadName(String::from_utf8_lossy(&name[..name.len().min(256)]).into_owned());
    if name.len() > MAX_PATH || name.contains(&0) {
        return Err(bad());
    }
    let mut parts = Vec::new();
    for part in name.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop().ok_or_else(bad)?;
            }
            part => parts.push(part),
        }
    }
    if parts.len() > MAX_DEPTH {
        return Err(bad());
    }
    Ok(parts)
}
