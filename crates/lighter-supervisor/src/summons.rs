//! What the daemon says at start-up: which file systems make the root, and then its word that the container is prepared, with
//! the namespaces to be joined. What is done before that overlaps with the daemon's own work.

use crate::error::SetupError;
use lighter_supervisor_proto::{self as proto, Rootfs, joined};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

/// What came along.
pub struct Given(Vec<(u8, OwnedFd)>);

impl Given {
    /// The namespace of this kind, if `there` says that it must be one.
    pub fn take(&mut self, kind: u8, there: bool) -> Result<Option<OwnedFd>, SetupError> {
        if !there {
            return Ok(None);
        }
        let index = self.0.iter().position(|(k, _)| *k == kind).ok_or(SetupError::Spec("namespace"))?;
        Ok(Some(self.0.swap_remove(index).1))
    }
}

/// Waits for the root. `None`: it will not come.
pub fn rootfs(daemon: &OwnedFd) -> Result<Option<Rootfs>, SetupError> {
    let received = daemon.try_clone().and_then(|copy| proto::receive(File::from(copy)));
    match received {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        received => received.map(Some).map_err(SetupError::io("hear from the daemon")),
    }
}

/// Waits for the word. `None`: it will not come.
pub fn wait(daemon: &OwnedFd) -> Result<Option<Given>, SetupError> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(joined::MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut line = [0; joined::MOST + 1];
    let received = loop {
        match recvmsg(daemon, &mut [IoSliceMut::new(&mut line)], &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            received => break received.map_err(SetupError::io("hear from the daemon"))?,
        }
    };
    if received.bytes == 0 {
        return Ok(None);
    }
    let sent = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(all) => Some(all),
        _ => None,
    });
    let sent: Vec<OwnedFd> = sent.flatten().collect();
    match line[..received.bytes].strip_suffix(b"\n") {
        Some(kinds) if kinds.len() == sent.len() => Ok(Some(Given(kinds.iter().copied().zip(sent).collect()))),
        _ => Err(SetupError::Spec("line of the daemon's")),
    }
}
