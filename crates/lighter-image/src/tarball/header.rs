//! One tar header block: parsing of what old tar, ustar and GNU tar write.

use super::BLOCK;
use super::pax::PaxRecords;
use crate::error::ArchiveError;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryKind {
    File,
    HardLink,
    Symlink,
    CharDevice,
    BlockDevice,
    Directory,
    Fifo,
    /// Something that tells nothing about the file system.
    Other,
}

/// An entry with its extensions applied.
#[derive(Debug, Clone)]
pub(crate) struct EntryHeader {
    pub kind: EntryKind,
    /// As in the archive.
    pub path: Vec<u8>,
    /// Target of links.
    pub link: Vec<u8>,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds and nanoseconds.
    pub mtime: (i64, u32),
    pub device: (u32, u32),
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Bytes of payload in the archive.
    pub stored: u64,
    /// Bytes of the file; differs from `stored` for sparse files.
    pub size: u64,
    /// Where the payload goes: (offset, length).
    pub sparse: Option<Vec<(u64, u64)>>,
}

/// The fixed-place fields of one block.
pub(super) struct RawHeader {
    pub(super) type_flag: u8,
    pub(super) size: u64,
    pub(super) block: [u8; BLOCK],
}

/// Whether a block can be the first of a tar: a header with a right checksum, or zeros.
pub(crate) fn looks_like_header(block: &[u8]) -> bool {
    let Some(block) = block.first_chunk::<BLOCK>() else { return false };
    block.iter().all(|b| *b == 0) || checksum_fits(block)
}

fn checksum_fits(block: &[u8; BLOCK]) -> bool {
    let Ok(written) = number(&block[148..156]) else { return false };
    let (mut unsigned, mut signed) = (0_i64, 0_i64);
    for (index, &byte) in block.iter().enumerate() {
        let byte = if (148..156).contains(&index) { b' ' } else { byte };
        unsigned += i64::from(byte);
        signed += i64::from(byte.cast_signed());
    }
    written == unsigned || written == signed
}

impl RawHeader {
    pub(super) fn parse(block: [u8; BLOCK]) -> Result<Self, ArchiveError> {
        if !checksum_fits(&block) {
            return Err(ArchiveError::BadHeader);
        }
        let size = u64::try_from(number(&block[124..136])?).map_err(|_| ArchiveError::BadHeader)?;
        Ok(Self { type_flag: block[156], size, block })
    }

    fn field(&self, range: std::ops::Range<usize>) -> &[u8] {
        until_nul(&self.block[range])
    }

    fn path(&self) -> Vec<u8> {
        let name = self.field(0..100);
        if &self.block[257..263] == b"ustar\0" && self.block[345] != 0 {
            return [self.field(345..500), b"/", name].concat();
        }
        name.to_vec()
    }

    /// Puts the block and the extensions that preceded it together.
    pub(super) fn into_entry(
        self,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
        pax: PaxRecords,
    ) -> Result<EntryHeader, ArchiveError> {
        let path = pax.path.or(long_name).unwrap_or_else(|| self.path());
        let link = pax.link.or(long_link).unwrap_or_else(|| self.field(157..257).to_vec());
        let kind = match self.type_flag {
            b'0' | 0 | b'7' | b'S' if path.ends_with(b"/") => EntryKind::Directory,
            b'0' | 0 | b'7' | b'S' => EntryKind::File,
            b'1' => EntryKind::HardLink,
            b'2' => EntryKind::Symlink,
            b'3' => EntryKind::CharDevice,
            b'4' => EntryKind::BlockDevice,
            b'5' => EntryKind::Directory,
            b'6' => EntryKind::Fifo,
            _ => EntryKind::Other,
        };
        let device = matches!(kind, EntryKind::CharDevice | EntryKind::BlockDevice);
        let id = |pax: Option<u64>, field: &[u8]| match pax {
            Some(id) => u32::try_from(id).map_err(|_| ArchiveError::BadHeader),
            None => narrow(number(field)?),
        };
        let stored = pax.size.unwrap_or(self.size);
        Ok(EntryHeader {
            kind,
            path,
            link,
            mode: narrow(number(&self.block[100..108])? & 0o7777)?,
            uid: id(pax.uid, &self.block[108..116])?,
            gid: id(pax.gid, &self.block[116..124])?,
            mtime: match pax.mtime {
                Some(mtime) => mtime,
                None => (number(&self.block[136..148])?, 0),
            },
            device: match device {
                true => (narrow(number(&self.block[329..337])?)?, narrow(number(&self.block[337..345])?)?),
                false => (0, 0),
            },
            xattrs: pax.xattrs,
            stored: if kind == EntryKind::File || kind == EntryKind::Other { stored } else { 0 },
            size: stored,
            sparse: None,
        })
    }
}

pub(super) fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|b| *b == 0).next().unwrap_or_default()
}

fn narrow(value: i64) -> Result<u32, ArchiveError> {
    u32::try_from(value).map_err(|_| ArchiveError::BadHeader)
}

/// Octal text, or GNU's base 256 when the first bit is set. Empty is 0.
pub(super) fn number(field: &[u8]) -> Result<i64, ArchiveError> {
    match field.first() {
        Some(first) if first & 0x80 != 0 => {
            // Two's complement, big endian, with the marker bit taken as a copy of the sign (bit 6).
            let mut value = if first & 0x40 != 0 { -1_i64 } else { 0 };
            for (index, &byte) in field.iter().enumerate() {
                let byte = if index == 0 && value == 0 { byte & 0x7f } else { byte };
                value = value.checked_mul(256).ok_or(ArchiveError::BadHeader)? | i64::from(byte);
            }
            Ok(value)
        }
        _ => {
            let text = until_nul(field).trim_ascii();
            // Some writers pad with NULs in front.
            let text = if text.is_empty() { field.trim_ascii_start_nul() } else { text };
            text.iter().try_fold(0_i64, |value, &byte| match byte {
                b'0'..=b'7' => value.checked_mul(8).map(|v| v + i64::from(byte - b'0')).ok_or(ArchiveError::BadHeader),
                _ => Err(ArchiveError::BadHeader),
            })
        }
    }
}

trait TrimNul {
    fn trim_ascii_start_nul(&self) -> &[u8];
}

impl TrimNul for [u8] {
    fn trim_ascii_start_nul(&self) -> &[u8] {
        let start = self.iter().position(|b| *b != 0).unwrap_or(self.len());
        until_nul(&self[start..]).trim_ascii()
    }
}
