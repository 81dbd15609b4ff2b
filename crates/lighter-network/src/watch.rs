//! Noticing that somebody changed nftables rules: ours may have been among them, and then they are put back at once.
//!
//! The kernel tells of every change, also of our own; comparing one number tells those apart (`Firewall::ensure`).

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::mpsc::Sender;
use std::time::Duration;

use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_NETFILTER;
use tokio::io::unix::AsyncFd;
use tokio::task::AbortHandle;

use crate::worker::{Host, Job};

/// The kernel's group for changes of nftables (`NFNLGRP_NFTABLES`).
const CHANGES: u32 = 7;
/// A flush and what follows it are many messages.
const LULL: Duration = Duration::from_millis(50);

struct Messages(Socket);

impl AsRawFd for Messages {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Ends with its last clone.
pub(crate) struct Watch(AbortHandle);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts it, in the network namespace of the calling thread.
pub(crate) fn start(jobs: Sender<Job>) -> io::Result<Watch> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.set_non_blocking(true)?;
    socket.add_membership(CHANGES)?;
    #[allow(deprecated, reason = "the other way is unsafe, for descriptors that may be closed under it: ours is not")]
    let messages = AsyncFd::new(Messages(socket))?;
    Ok(Watch(tokio::spawn(run(messages, jobs)).abort_handle()))
}

async fn run(messages: AsyncFd<Messages>, jobs: Sender<Job>) {
    let mut buffer = Vec::with_capacity(16 << 10);
    loop {
        let Ok(mut ready) = messages.readable().await else { return };
        // What they say does not matter, nor that some were lost.
        loop {
            buffer.clear();
            match ready.get_inner().0.recv(&mut buffer, 0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                _ => {}
            }
        }
        ready.clear_ready();
        tokio::time::sleep(LULL).await;
        if jobs.send(Box::new(Host::mend_rules)).is_err() {
            return;
        }
    }
}
