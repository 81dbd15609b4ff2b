//! An archive put over files that are there, and that somebody may be changing meanwhile: `docker cp` into a container.

use std::io::Read;
use std::os::fd::OwnedFd;

use crate::codec::{CallerInput, Compression};
use crate::error::{ArchiveError, Result};
use crate::store::Limits;
use crate::tarball::{BLOCK, Buffered, Source, TarReader, from_io, looks_like_header};
use crate::unpack::{Budget, unpack_over};

/// How to put it there.
#[derive(Debug, Clone, Default)]
pub struct Extract {
    /// What errors call the directory.
    pub place: String,
    /// A directory stays one, and what is none does not become one.
    pub keep_kinds: bool,
    /// Owner and group of everything, in place of the archive's.
    pub owner: Option<(u32, u32)>,
}

/// Unpacks a tar (plain, gzip or zstd; told by content, decoded in this process) below the directory `root`. Names and links
/// are resolved with `root` as root directory; what was unpacked before an error stays. Reads the archive to its end.
///
/// # Errors
/// A damaged archive, or one that leaves the directory; a failing reader; what the file system refuses.
pub fn extract(reader: impl Read, root: OwnedFd, how: Extract) -> Result<()> {
    let mut source = Buffered::new(CallerInput(reader));
    let start = source.peek(8).map_err(from_io)?;
    if start.is_empty() {
        return Ok(());
    }
    match Compression::detect(start)? {
        Compression::None => unpack_stream(source, root, how),
        packed => unpack_stream(Buffered::new(packed.decoder(source)?), root, how),
    }
}

fn unpack_stream(mut source: impl Source, root: OwnedFd, how: Extract) -> Result<()> {
    let start = source.peek(BLOCK).map_err(from_io)?;
    if !start.is_empty() && !looks_like_header(start) {
        let short = start.len() < BLOCK;
        return Err(if short { ArchiveError::Truncated } else { ArchiveError::BadHeader }.into());
    }
    let limits = Limits::default();
    let mut tar = TarReader::new(source);
    unpack_over(&mut tar, root, how, &mut Budget::new(u64::MAX, limits.entries))?;
    tar.drain()
}
