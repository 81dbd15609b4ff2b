//! Volumes: directories that outlive containers, and the rules of the one driver there is.

use crate::{Error, Result};
use std::collections::BTreeMap;
use time::OffsetDateTime;

/// The one driver.
pub const LOCAL: &str = "local";
/// The label of a volume that nobody named.
pub const ANONYMOUS: &str = "com.docker.volume.anonymous";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    pub name: String,
    /// Where its files are on the engine's machine.
    pub mountpoint: String,
    /// `None` is null, as `inspect` shows it.
    pub labels: Option<BTreeMap<String, String>>,
    /// Of the driver: `type`, `o`, `device`.
    pub options: BTreeMap<String, String>,
    pub created_at: OffsetDateTime,
}

/// What a client asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewVolume {
    pub name: String,
    pub labels: Option<BTreeMap<String, String>>,
    pub options: BTreeMap<String, String>,
}

impl Volume {
    pub fn is_anonymous(&self) -> bool {
        self.labels.as_ref().is_some_and(|l| l.contains_key(ANONYMOUS))
    }
}

/// Refuses names that no volume can have, in dockerd's words.
pub fn check_name(name: &str) -> Result<()> {
    let good = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if name.len() == 1 {
        let text = format!("create {name}: volume name is too short, names should be at least two alphanumeric characters");
        return Err(Error::invalid(text));
    }
    if name.len() > 255 {
        return Err(Error::invalid(format!("create {name}: volume name is too long")));
    }
    if !good {
        return Err(Error::invalid(format!(
            "create {name}: {name:?} includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are \
             allowed. If you intended to pass a host directory, use absolute path"
        )));
    }
    Ok(())
}

/// Refuses a driver that is not there.
pub fn check_driver(name: &str, driver: &str) -> Result<()> {
    match driver {
        "" | LOCAL => Ok(()),
        other => {
            let text = format!("create {name}: error looking up volume plugin {other}: plugin \"{other}\" not found");
            Err(Error::not_found(text))
        }
    }
}

/// Refuses options that the local driver does not know.
pub fn check_options(name: &str, options: &BTreeMap<String, String>) -> Result<()> {
    let refused = |why: String| Err(Error::invalid(format!("create {name}: {why}")));
    for key in options.keys() {
        match key.as_str() {
            "type" | "o" | "device" => {}
            "size" => return refused("quota size requested but no quota support".to_owned()),
            other => return refused(format!("invalid option: {other:?}")),
        }
    }
    if !options.is_empty() && options.get("device").is_none_or(String::is_empty) {
        return refused("missing required option: \"device\"".to_owned());
    }
    if options.get("type").is_none_or(String::is_empty) && !options.is_empty() {
        let binds = options.get("o").is_some_and(|o| o.split(',').any(|w| matches!(w, "bind" | "rbind")));
        if !binds {
            return refused("missing required option: \"type\"".to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_options() {
        assert!(check_name("data_1.x-y").is_ok());
        for bad in ["x", ".x", "a/b", "a b", "-x", "ä1"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        let of =
            |pairs: &[(&str, &str)]| check_options("v", &pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
        assert!(of(&[]).is_ok());
        assert!(of(&[("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m")]).is_ok());
        assert!(of(&[("o", "bind"), ("device", "/x")]).is_ok());
        assert_eq!(of(&[("size", "1g")]).unwrap_err().message(), "create v: quota size requested but no quota support");
        assert_eq!(of(&[("foo", "1")]).unwrap_err().message(), "create v: invalid option: \"foo\"");
        assert_eq!(of(&[("type", "tmpfs")]).unwrap_err().message(), "create v: missing required option: \"device\"");
    }
}
