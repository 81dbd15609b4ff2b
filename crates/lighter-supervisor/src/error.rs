//! The one error of this program: a step that failed, and why. It ends in a [`Failure`] for the daemon.

use lighter_supervisor_proto::{Failure, Stage};
use std::error::Error;
use std::io;

/// A step of making a container that failed.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("{what}")]
    Io {
        what: String,
        #[source]
        source: io::Error,
    },
    #[error("failed to initialize logging driver")]
    Log(#[source] io::Error),
    #[error("{what}")]
    Json {
        what: &'static str,
        #[source]
        source: serde_json::Error,
    },
    #[error("the runtime could not make the process")]
    Runtime(#[from] libcontainer::error::LibcontainerError),
    #[error("a limit could not be set")]
    Limit(#[from] libcontainer::syscall::SyscallError),
    #[error("the AppArmor profile could not be taken on")]
    AppArmor(#[from] libcontainer::apparmor::AppArmorError),
    #[error("the terminal could not be made")]
    Terminal(#[from] libcontainer::tty::TTYError),
    #[error("the specification has no usable {0}")]
    Spec(&'static str),
}

impl SetupError {
    /// For `map_err`: names the step.
    pub fn io<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source: source.into() }
    }

    /// What the daemon is told.
    pub fn failure(&self) -> Failure {
        let mut message = self.to_string();
        let mut cause: Option<&(dyn Error + 'static)> = self.source();
        let mut errno = None;
        while let Some(error) = cause {
            message.push_str(": ");
            message.push_str(&error.to_string());
            if let Some(io) = error.downcast_ref::<io::Error>() {
                errno = errno.or(io.raw_os_error());
            }
            cause = error.source();
        }
        let stage = if matches!(self, Self::Log(_)) { Stage::Log } else { Stage::Setup };
        Failure { stage, errno, message }
    }
}

/// A failure with its errno in plain words.
pub fn failure(stage: Stage, errno: Option<i32>, message: impl Into<String>) -> Failure {
    Failure { stage, errno, message: message.into() }
}

/// The kernel's text for an errno as Go programs print it (`no such file or directory`), which clients compare with.
pub fn errno_text(errno: i32) -> String {
    let text = nix::errno::Errno::from_raw(errno).desc();
    let mut chars = text.chars();
    match chars.next() {
        Some(first) if !text.starts_with("RPC") => first.to_lowercase().chain(chars).collect(),
        _ => text.to_owned(),
    }
}
