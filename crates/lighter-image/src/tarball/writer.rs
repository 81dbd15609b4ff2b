//! Writes archives: those of `save`, in ustar headers with nothing in them that depends on when or where, and those of
//! real files, with PAX records for what does not fit into the old fields.

use std::io::{self, Read, Write};

use super::BLOCK;
use crate::error::{Error, Result};

/// Bytes of the old header's name.
const NAME: usize = 100;

/// What an archive says of a file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meta {
    pub path: Vec<u8>,
    /// The type flag.
    pub kind: u8,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds.
    pub mtime: i64,
    pub size: u64,
    pub link: Vec<u8>,
    /// Major and minor.
    pub device: (u32, u32),
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// [`TarWriter::directory`] and [`TarWriter::file`] write times and owners as 0.
pub(crate) struct TarWriter<W> {
    out: W,
}

impl<W: Write> TarWriter<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out }
    }

    pub(crate) fn directory(&mut self, path: &str) -> Result<()> {
        self.header(path, b'5', 0o755, 0).map_err(Error::Output)
    }

    /// A header; [`TarWriter::content`] must follow where it says that there is some.
    pub(crate) fn entry(&mut self, meta: &Meta) -> Result<()> {
        let records = records(meta);
        let written = if records.is_empty() {
            Ok(())
        } else {
            let pax = Meta { path: b"PaxHeaders.0/x".to_vec(), kind: b'x', mode: 0o644, ..Meta::default() };
            self.block(&Meta { size: records.len() as u64, ..pax }).and_then(|()| {
                self.out.write_all(&records)?;
                self.out.write_all(&[0; BLOCK][..padding(records.len() as u64)])
            })
        };
        written.and_then(|()| self.block(meta)).map_err(Error::Output)
    }

    /// The content of the entry just written: `size` bytes of `from`; what is missing is zeros, what is too much is left.
    pub(crate) fn content(&mut self, from: impl Read, size: u64) -> Result<()> {
        let copied = io::copy(&mut from.take(size), &mut self.out).map_err(Error::Output)?;
        let mut missing = size - copied + padding(size) as u64;
        while missing > 0 {
            let n = missing.min(BLOCK as u64);
            self.out.write_all(&[0; BLOCK][..usize::try_from(n).unwrap_or_default()]).map_err(Error::Output)?;
            missing -= n;
        }
        Ok(())
    }

    /// A file of exactly `size` bytes that `fill` writes.
    pub(crate) fn file(&mut self, path: &str, size: u64, fill: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
        self.header(path, b'0', 0o644, size).map_err(Error::Output)?;
        let mut counted = Exactly { out: &mut self.out, left: size };
        fill(&mut counted)?;
        if counted.left != 0 {
            let short = io::Error::new(io::ErrorKind::UnexpectedEof, format!("{path} is shorter than recorded"));
            return Err(Error::Output(short));
        }
        self.out.write_all(&[0; BLOCK][..padding(size)]).map_err(Error::Output)
    }

    pub(crate) fn finish(mut self) -> Result<()> {
        self.out.write_all(&[0; BLOCK * 2]).map_err(Error::Output)?;
        self.out.flush().map_err(Error::Output)
    }

    fn header(&mut self, path: &str, kind: u8, mode: u32, size: u64) -> io::Result<()> {
        if path.len() > NAME {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "name too long"));
        }
        self.block(&Meta { path: path.as_bytes().to_vec(), kind, mode, size, ..Meta::default() })
    }

    /// The old header; what does not fit is cut or 0, and is in PAX records then.
    fn block(&mut self, meta: &Meta) -> io::Result<()> {
        let mut block = [0_u8; BLOCK];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        let octal = |n: u64, digits: u32| if n < 1 << (3 * digits) { n } else { 0 };
        put(0, &meta.path[..meta.path.len().min(NAME)]);
        put(100, format!("{:07o}", meta.mode & 0o7777).as_bytes());
        put(108, format!("{:07o}", octal(meta.uid.into(), 7)).as_bytes());
        put(116, format!("{:07o}", octal(meta.gid.into(), 7)).as_bytes());
        // 11 octal digits reach 8 GiB; beyond that GNU's base 256.
        if meta.size < 1 << 33 {
            put(124, format!("{:011o}", meta.size).as_bytes());
        } else {
            put(124, &[0x80, 0, 0, 0]);
            put(128, &meta.size.to_be_bytes());
        }
        put(136, format!("{:011o}", u64::try_from(meta.mtime).map_or(0, |t| octal(t, 11))).as_bytes());
        put(148, b"        ");
        put(156, &[meta.kind]);
        put(157, &meta.link[..meta.link.len().min(NAME)]);
        put(257, b"ustar\x0000");
        put(329, format!("{:07o}", octal(meta.device.0.into(), 7)).as_bytes());
        put(337, format!("{:07o}", octal(meta.device.1.into(), 7)).as_bytes());
        let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.out.write_all(&block)
    }
}

/// Bytes up to the next block.
fn padding(size: u64) -> usize {
    usize::try_from(size.wrapping_neg() % BLOCK as u64).unwrap_or_default()
}

/// What the old header has no room for.
fn records(meta: &Meta) -> Vec<u8> {
    let mut out = Vec::new();
    let mut add = |key: &[u8], value: &[u8]| {
        let rest = key.len() + value.len() + 3;
        let mut length = rest;
        // The length counts its own digits.
        while length != rest + length.to_string().len() {
            length = rest + length.to_string().len();
        }
        out.extend_from_slice(length.to_string().as_bytes());
        out.extend_from_slice(&[b" ", key, b"=", value, b"\n"].concat());
    };
    if meta.path.len() > NAME || !meta.path.is_ascii() {
        add(b"path", &meta.path);
    }
    if meta.link.len() > NAME || !meta.link.is_ascii() {
        add(b"linkpath", &meta.link);
    }
    for (key, id) in [(b"uid", meta.uid), (b"gid", meta.gid)] {
        if id >= 1 << 21 {
            add(key, id.to_string().as_bytes());
        }
    }
    if !(0..1 << 33).contains(&meta.mtime) {
        add(b"mtime", meta.mtime.to_string().as_bytes());
    }
    for (name, value) in &meta.xattrs {
        add(&[b"SCHILY.xattr.", &name[..]].concat(), value);
    }
    out
}

struct Exactly<'a, W> {
    out: &'a mut W,
    left: u64,
}

impl<W: Write> Write for Exactly<'_, W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if data.len() as u64 > self.left {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "more bytes than recorded"));
        }
        let n = self.out.write(data)?;
        self.left -= n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
