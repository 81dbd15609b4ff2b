//! Who the client says it is, for one registry. Never logged, never stored.

use std::fmt;

/// How to prove it.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Not at all.
    #[default]
    Anonymous,
    /// A name and a password.
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// A refresh token that the registry's authorisation server gave at a login.
    Identity(String),
    /// A token for the registry itself.
    Registry(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "anonymous",
            Self::Basic { .. } => "user and password",
            Self::Identity(_) => "identity token",
            Self::Registry(_) => "registry token",
        })
    }
}
