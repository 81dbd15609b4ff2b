//! The one thing that is remembered on disk: which network this daemon has. A restarted daemon must come
//! back with the same subnet and id, for its containers still have addresses in it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::addr::Ipv4Net;
use crate::error::NetworkError;

const FILE: &str = "network.json";

/// The default network as it was chosen once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Remembered {
    /// 64 hexadecimal digits.
    pub(crate) network_id: String,
    /// The chosen subnet; its first usable address is the gateway.
    pub(crate) subnet: Ipv4Net,
}

fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

/// What was remembered in `dir`; `None` if nothing was.
pub(crate) fn load(dir: &Path) -> Result<Option<Remembered>, NetworkError> {
    let path = path(dir);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(NetworkError::file("read", path, error)),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|source| NetworkError::State { path, source })
}

/// Replaces what is remembered in `dir`, whole or not at all.
pub(crate) fn save(dir: &Path, network: &Remembered) -> Result<(), NetworkError> {
    let target = path(dir);
    let fresh = dir.join(format!("{FILE}.new"));
    let write = || -> io::Result<()> {
        fs::create_dir_all(dir)?;
        let mut file = File::create(&fresh)?;
        file.write_all(&serde_json::to_vec_pretty(network)?)?;
        file.sync_all()?;
        fs::rename(&fresh, &target)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(|source| NetworkError::file("write", &target, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("deep/er");
        assert_eq!(load(&dir).unwrap(), None);
        let network = Remembered { network_id: "ab".repeat(32), subnet: "172.18.0.0/16".parse().unwrap() };
        save(&dir, &network).unwrap();
        save(&dir, &network).unwrap();
        assert_eq!(load(&dir).unwrap(), Some(network));
        fs::write(path(&dir), b"{\"network_id\":").unwrap();
        assert!(matches!(load(&dir), Err(NetworkError::State { .. })));
    }
}
