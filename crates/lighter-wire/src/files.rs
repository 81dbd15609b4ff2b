//! What `docker cp`, `diff` and their like exchange.

use crate::time::GoTime;
use base64::Engine as _;
use serde::Serialize;

/// The header that tells of a file: base64 of this as JSON.
pub const PATH_STAT: &str = "x-docker-container-path-stat";

/// Docker's `ContainerPathStat`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PathStat {
    pub name: String,
    pub size: u64,
    /// Go's bits, by [`go_mode`].
    pub mode: u32,
    pub mtime: GoTime,
    pub link_target: String,
}

impl PathStat {
    pub fn header(&self) -> String {
        base64::engine::general_purpose::STANDARD.encode(serde_json::to_vec(self).unwrap_or_default())
    }
}

/// Docker's `FilesystemChange`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Change {
    pub path: String,
    /// 0 changed, 1 added, 2 deleted.
    pub kind: u8,
}

/// The answer to a commit.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Committed {
    pub id: String,
}

/// Go's `FileMode` of an `st_mode`: the same permissions, its own bits for the rest.
pub fn go_mode(mode: u32) -> u32 {
    let kind = match mode & 0o170_000 {
        0o040_000 => 1 << 31,
        0o120_000 => 1 << 27,
        0o060_000 => 1 << 26,
        0o020_000 => 1 << 26 | 1 << 21,
        0o010_000 => 1 << 25,
        0o140_000 => 1 << 24,
        _ => 0,
    };
    let bits = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    let special: u32 = bits.iter().filter(|(unix, _)| mode & unix != 0).map(|(_, go)| go).sum();
    kind | special | (mode & 0o777)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_gos() {
        for (unix, go) in [
            (0o040_755, 2_147_484_141),
            (0o104_755, 8_389_101),
            (0o120_777, 134_218_239),
            (0o020_644, 69_206_436),
            (0o041_777, 2_148_532_735),
        ] {
            assert_eq!(go_mode(unix), go, "{unix:o}");
        }
    }
}
