//! Harness of the compatibility tests: one daemon per test program, the real
//! clients pointed at it, and the check that a test leaves nothing behind.
//!
//! The daemon is the `lighterd` built beside the test program (or the one that
//! `LIGHTERD` names), on temporary roots. With
//! `LIGHTER_COMPAT_HOST=unix:///path` the same tests drive whatever listens
//! there instead: `make compat-dockerd` does so with a real dockerd, which is
//! how an expectation of these tests earns its place. The tests need root.
//!
//! Run them with `cargo test -p docker-compat-tests`: the tests of one program
//! run in one process and share its daemon. `cargo nextest` works as well, at
//! the cost of one daemon per test.

pub mod cli;
pub mod compose;
pub mod daemon;
pub mod estate;
pub mod http;
pub mod leaks;
pub mod lighter;
pub mod proxy;
pub mod recipe;
pub mod registry;
pub mod scope;

pub use cli::{Output, Running};
pub use compose::Project;
pub use daemon::{Daemon, Kind};
pub use scope::Scope;

use std::time::{Duration, Instant};

/// How long any single condition may take on a loaded two-core machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Polls `condition` until it gives a value; panics with `what` after
/// [`PATIENCE`].
#[track_caller]
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The build directory shared with the scripts: `CARGO_TARGET_DIR` or
/// `<repository>/target`.
pub fn target_dir() -> std::path::PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), Into::into)
}

/// Root of the repository.
pub fn repository() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository").to_path_buf()
}

/// An address of this machine other than loopback, if it has one. Nothing is sent.
pub fn own_address() -> Option<std::net::IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    // A reserved address: connecting a datagram socket only chooses the route.
    socket.connect("192.0.2.255:9").ok()?;
    socket.local_addr().ok().map(|a| a.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

/// Hex digits of a digest.
pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(bytes))
}
