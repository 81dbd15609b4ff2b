//! Turns failed system calls into the domain's error with the words of what was tried.

use lighter_domain::{Error, Result};
use std::fmt::Display;
use std::path::Path;

/// Adds to a failure what was being done. Clients see both, as with dockerd.
pub(crate) trait Context<T> {
    fn context(self, what: impl Display) -> Result<T>;
    fn at(self, what: &str, path: &Path) -> Result<T>;
}

impl<T, E: Display> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl Display) -> Result<T> {
        self.map_err(|e| Error::internal(format!("{what}: {e}")))
    }

    fn at(self, what: &str, path: &Path) -> Result<T> {
        self.map_err(|e| Error::internal(format!("{what} {}: {e}", path.display())))
    }
}

/// The kernel's text for an errno as Go programs print it (`no such file or directory`): clients make exit codes of it.
pub(crate) fn in_gos_words(errno: rustix::io::Errno) -> String {
    let text = nix::errno::Errno::from_raw(errno.raw_os_error()).desc();
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}
