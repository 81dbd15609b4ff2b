//! The two halves of a conversation with a container's (or exec's) standard streams.

use std::pin::Pin;
use tokio::io::{AsyncRead, AsyncWrite};

pub type ByteStream = Pin<Box<dyn AsyncRead + Send>>;
pub type ByteSink = Pin<Box<dyn AsyncWrite + Send>>;

/// An open attachment. Dropping it detaches; the process goes on.
pub struct Session {
    /// What the process prints, ready for a Docker client: raw with a terminal, else in [`crate::stdcopy`] frames. Ends
    /// when the process has ended and everything was read.
    pub output: ByteStream,
    /// What it reads; `None` when standard input was not asked for. Shutting it down is the end of input.
    pub input: Option<ByteSink>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("input", &self.input.is_some()).finish_non_exhaustive()
    }
}
