//! Options of `--tmpfs` and `--mount type=tmpfs`.

use lighter_domain::host_config::Mount;
use lighter_domain::{Error, Result};

/// A flag and what undoes it; the later one of a pair wins.
const FLAGS: [(&str, &str); 11] = [
    ("noexec", "exec"),
    ("nosuid", "suid"),
    ("nodev", "dev"),
    ("ro", "rw"),
    ("sync", "async"),
    ("dirsync", ""),
    ("mand", "nomand"),
    ("noatime", "atime"),
    ("nodiratime", "diratime"),
    ("relatime", "norelatime"),
    ("strictatime", "nostrictatime"),
];
const KEYS: [&str; 7] = ["mode", "size", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"];
const PROPAGATION: [&str; 8] = ["bind", "rbind", "unbindable", "runbindable", "private", "rprivate", "shared", "rshared"];

/// `--tmpfs path:options`.
pub(crate) fn of_flag(options: &str) -> Result<Vec<String>> {
    let mut out = base();
    for option in options.split(',').filter(|o| !o.is_empty()) {
        add(&mut out, option)?;
    }
    Ok(out)
}

/// `--mount type=tmpfs,...`; what the client may write there was checked when it was created.
pub(crate) fn of_mount(mount: &Mount) -> Vec<String> {
    let mut out = base();
    if mount.read_only {
        out.push("ro".into());
    }
    if let Some(tmpfs) = &mount.tmpfs {
        if tmpfs.mode != 0 {
            out.push(format!("mode={:o}", tmpfs.mode));
        }
        if tmpfs.size_bytes != 0 {
            out.push(format!("size={}", tmpfs.size_bytes));
        }
        for option in &tmpfs.options {
            // Unknown ones were refused by `check_mount`.
            let _ = add(&mut out, &option.join("="));
        }
    }
    out
}

/// The errors of both forms, for `review`.
pub(crate) fn check_mount(mount: &Mount) -> Result<()> {
    let mut out = base();
    mount.tmpfs.iter().flat_map(|t| &t.options).try_for_each(|o| add(&mut out, &o.join("=")))
}

fn base() -> Vec<String> {
    super::mounts::words(&["noexec", "nosuid", "nodev", "rprivate"])
}

fn add(out: &mut Vec<String>, option: &str) -> Result<()> {
    if let Some((key, _)) = option.split_once('=') {
        if !KEYS.contains(&key) {
            return Err(invalid(option));
        }
        out.retain(|o| o.split_once('=').is_none_or(|(k, _)| k != key));
        out.push(option.to_owned());
        return Ok(());
    }
    if PROPAGATION.contains(&option) || matches!(option, "slave" | "rslave" | "defaults") {
        return Ok(()); // of no meaning for a file system that nobody else sees
    }
    let Some((on, off)) = FLAGS.iter().find(|(on, off)| *on == option || *off == option) else { return Err(invalid(option)) };
    out.retain(|o| o != on && o != off);
    out.push(option.to_owned());
    Ok(())
}

fn invalid(option: &str) -> Error {
    Error::invalid(format!("invalid tmpfs option [\"{option}\"]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_a_pair_wins() {
        assert_eq!(of_flag("").unwrap(), ["noexec", "nosuid", "nodev", "rprivate"]);
        assert_eq!(
            of_flag("exec,size=64m,mode=755,size=1g").unwrap(),
            ["nosuid", "nodev", "rprivate", "exec", "mode=755", "size=1g"]
        );
        assert_eq!(of_flag("bogus").unwrap_err().message(), "invalid tmpfs option [\"bogus\"]");
        assert!(of_flag("lowerdir=/etc").is_err());
    }
}
