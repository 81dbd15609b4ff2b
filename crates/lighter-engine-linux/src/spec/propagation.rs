//! Whether a bind can propagate: only from a mount of the host's that itself does. Refused as dockerd does, instead of a
//! container that waits for mounts in vain.

use crate::fail::Context as _;
use lighter_domain::{Error, Result};
use std::path::Path;

/// Checks that the mount which `source` is on is shared, or at least a slave, as `propagation` needs it.
pub(super) fn check(source: &Path, propagation: &str) -> Result<()> {
    let (needed, words): (&[&str], _) = match propagation {
        "shared" | "rshared" => (&["shared:"], "a shared mount"),
        "slave" | "rslave" => (&["shared:", "master:"], "a shared or slave mount"),
        _ => return Ok(()),
    };
    let table = std::fs::read_to_string("/proc/self/mountinfo").context("cannot read the mount table")?;
    let real = source.canonicalize().at("cannot look at bind source", source)?;
    let Some((point, tags)) = mount_of(&table, &real) else { return Ok(()) };
    if tags.split(' ').any(|tag| needed.iter().any(|n| tag.starts_with(n))) {
        return Ok(());
    }
    Err(Error::internal(format!("path {} is mounted on {point} but it is not {words}", source.display())))
}

/// The mount that `path` is on, the last one if several are stacked: its mount point, and what the kernel says of its
/// propagation.
fn mount_of<'a>(table: &'a str, path: &Path) -> Option<(String, &'a str)> {
    let mounts = table.lines().filter_map(|line| {
        let (front, _) = line.split_once(" - ")?;
        let mut fields = front.splitn(7, ' ');
        let point = unescape(fields.nth(4)?);
        Some((point, fields.nth(1).unwrap_or_default()))
    });
    mounts.filter(|(point, _)| path.starts_with(point)).max_by_key(|(point, _)| Path::new(point).components().count())
}

/// `\\040` and its like, as the kernel writes blanks.
fn unescape(field: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .into_iter()
        .fold(field.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "1 0 8:0 / / rw,relatime - ext4 /dev/a rw\n2 1 0:5 / /srv rw shared:7 - tmpfs t rw\n\
                         3 2 0:6 / /srv/a\\040b rw,nosuid master:7 - tmpfs t rw\n";

    #[test]
    fn the_mount_of_a_path() {
        let of = |path: &str| mount_of(TABLE, Path::new(path)).unwrap();
        assert_eq!(of("/usr"), ("/".to_owned(), ""));
        assert_eq!(of("/srv/x"), ("/srv".to_owned(), "shared:7"));
        assert_eq!(of("/srv/a b/c"), ("/srv/a b".to_owned(), "master:7"));
        assert_eq!(of("/srvx").0, "/");
    }
}
