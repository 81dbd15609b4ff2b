//! Seccomp filters: which profile a container has, compiled once per profile and set of capabilities, kept as a file that
//! supervisors load.

mod arch;
mod compile;
mod default;
mod profile;
#[cfg(test)]
mod tests;

use crate::fail::Context as _;
use crate::spec::caps::CapSet;
use lighter_domain::{Container, Result};
use parking_lot::Mutex;
use profile::Profile;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::path::PathBuf;

/// Changes when the compiler does, so that an upgraded daemon does not use old programs.
const VERSION: u8 = 2;
/// Custom profiles are short-lived; more of them are compiled again.
const MAX_REMEMBERED: usize = 256;

/// The compiled programs.
pub(crate) struct Seccomp {
    dir: PathBuf,
    made: Mutex<HashMap<(Choice, CapSet), PathBuf>>,
}

/// Which profile a container asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Choice {
    Default,
    Unconfined,
    /// A profile's JSON text.
    Custom(String),
}

impl Seccomp {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir, made: Mutex::default() }
    }

    /// The file with the container's program; `None`: no filter. Blocking.
    pub(crate) fn program(&self, container: &Container, caps: CapSet) -> Result<Option<PathBuf>> {
        let choice = choose(container);
        if choice == Choice::Unconfined {
            return Ok(None);
        }
        let key = (choice, caps);
        if let Some(path) = self.made.lock().get(&key).filter(|p| p.exists()) {
            return Ok(Some(path.clone()));
        }
        let program = compile_choice(&key.0, caps)?;
        let mut hash = Sha256::new();
        hash.update([VERSION]);
        hash.update(&program);
        let path = self.dir.join(format!("{}.bpf", hex::encode(hash.finalize())));
        if std::fs::metadata(&path).is_ok_and(|m| m.len() == program.len() as u64) {
            // Made by an earlier daemon.
        } else {
            let fresh = path.with_extension(format!("{:016x}", rand::random::<u64>()));
            std::fs::create_dir_all(&self.dir).at("cannot make", &self.dir)?;
            std::fs::write(&fresh, program).at("cannot write", &fresh)?;
            std::fs::rename(&fresh, &path).at("cannot write", &path)?;
        }
        let mut made = self.made.lock();
        if made.len() >= MAX_REMEMBERED {
            made.clear();
        }
        made.insert(key, path.clone());
        Ok(Some(path))
    }
}

/// Refuses a custom profile that cannot be compiled.
pub(crate) fn check(container: &Container, caps: CapSet) -> Result<()> {
    match choose(container) {
        Choice::Default | Choice::Unconfined => Ok(()),
        custom @ Choice::Custom(_) => compile_choice(&custom, caps).map(drop),
    }
}

fn choose(container: &Container) -> Choice {
    let host = &container.host_config;
    let asked = host.security_opt.iter().rev().find_map(|o| match o.split_once(['=', ':']) {
        Some(("seccomp", profile)) => Some(profile),
        _ => None,
    });
    match asked {
        _ if host.privileged => Choice::Unconfined,
        Some("unconfined") => Choice::Unconfined,
        None | Some("builtin" | "") => Choice::Default,
        Some(json) => Choice::Custom(json.to_owned()),
    }
}

fn compile_choice(choice: &Choice, caps: CapSet) -> Result<Vec<u8>> {
    let profile = match choice {
        Choice::Custom(json) => Profile::parse(json)?,
        Choice::Default | Choice::Unconfined => default::profile(),
    };
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    compile::compile(&profile.resolve(caps, profile::version(&release).unwrap_or((0, 0)))?)
}
