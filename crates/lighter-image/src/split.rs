//! A tar without the contents of its files: enough to give back the very same tar from the unpacked layer.
//!
//! Docker archives hold plain layers. Keeping both the tar and the unpacked files would cost every load a second full
//! write and the disk twice the space; so the unpacked file is the only copy of its content, and this records what was
//! around it. Layers that arrive compressed are kept as received instead, for their digest cannot be made again.
//!
//! Format: a zstd stream of records. `0, u32 length, bytes` are bytes of the tar; `1, u32 ordinal, u16 length, path, u64
//! offset, u64 length` is a piece of an unpacked file. A file that a later entry of the same tar replaced is kept in
//! the side directory under its ordinal.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::error::{Error, Result};
use crate::resolve::open_below;

const RAW: u8 = 0;
const FILE: u8 = 1;
const RAW_LIMIT: usize = 64 * 1024;

/// Records a tar while it is unpacked.
pub(crate) struct SplitWriter {
    out: zstd::stream::write::Encoder<'static, File>,
    path: PathBuf,
    raw: Vec<u8>,
}

impl SplitWriter {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let file = File::create_new(path).map_err(Error::io("create", path))?;
        let out = zstd::stream::write::Encoder::new(file, 1).map_err(Error::io("compress to", path))?;
        Ok(Self { out, path: path.to_owned(), raw: Vec::with_capacity(RAW_LIMIT) })
    }

    /// Bytes of the tar that are not file content.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(RAW_LIMIT) {
            if self.raw.len() + piece.len() > RAW_LIMIT {
                self.flush_raw()?;
            }
            self.raw.extend_from_slice(piece);
        }
        Ok(())
    }

    /// The next `length` bytes of the tar are those of the file at `path` from `offset`.
    pub(crate) fn file(&mut self, ordinal: u32, path: &[u8], offset: u64, length: u64) -> Result<()> {
        self.flush_raw()?;
        let mut record = vec![FILE];
        record.extend_from_slice(&ordinal.to_le_bytes());
        let path_length = u16::try_from(path.len()).unwrap_or(u16::MAX);
        record.extend_from_slice(&path_length.to_le_bytes());
        record.extend_from_slice(path);
        record.extend_from_slice(&offset.to_le_bytes());
        record.extend_from_slice(&length.to_le_bytes());
        self.out.write_all(&record).map_err(Error::io("write", &self.path))
    }

    pub(crate) fn finish(mut self) -> Result<()> {
        self.flush_raw()?;
        self.out.finish().map_err(Error::io("write", &self.path))?;
        Ok(())
    }

    fn flush_raw(&mut self) -> Result<()> {
        if self.raw.is_empty() {
            return Ok(());
        }
        let length = u32::try_from(self.raw.len()).unwrap_or(u32::MAX);
        let header = [&[RAW][..], &length.to_le_bytes()].concat();
        self.out.write_all(&header).map_err(Error::io("write", &self.path))?;
        self.out.write_all(&self.raw).map_err(Error::io("write", &self.path))?;
        self.raw.clear();
        Ok(())
    }
}

/// Writes the tar that was split into `split`, `root` and `side` to `out`. The caller checks the digest.
pub(crate) fn join(split: &Path, root: &Path, side: &Path, out: &mut dyn Write) -> Result<()> {
    let failed = |source| Error::io("read", split)(source);
    let file = File::open(split).map_err(failed)?;
    let decoder = zstd::stream::read::Decoder::new(file).map_err(failed)?;
    let mut joiner = Joiner {
        records: BufReader::with_capacity(RAW_LIMIT * 2, decoder),
        root: rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(Error::io("open", root))?,
        replaced: replaced(side)?,
        paths: (split, root, side),
        buffer: vec![0; 256 * 1024],
    };
    while joiner.record(out)? {}
    Ok(())
}

fn replaced(side: &Path) -> Result<HashSet<u32>> {
    match std::fs::read_dir(side) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(HashSet::new()),
        Err(error) => Err(Error::io("read", side)(error)),
        Ok(entries) => Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()),
    }
}

struct Joiner<'a, R> {
    records: R,
    root: OwnedFd,
    replaced: HashSet<u32>,
    paths: (&'a Path, &'a Path, &'a Path),
    buffer: Vec<u8>,
}

impl<R: Read> Joiner<'_, R> {
    /// Writes what the next record stands for; false at the end.
    fn record(&mut self, out: &mut dyn Write) -> Result<bool> {
        let mut tag = [0];
        let path = self.paths.0;
        if self.records.read(&mut tag).map_err(Error::io("read", path))? == 0 {
            return Ok(false);
        }
        if tag[0] == RAW {
            let length = u64::from(u32::from_le_bytes(self.bytes()?));
            copy(&mut (&mut self.records).take(length), length, &mut self.buffer, path, out)?;
            return Ok(true);
        }
        let ordinal = u32::from_le_bytes(self.bytes()?);
        let mut name = vec![0; usize::from(u16::from_le_bytes(self.bytes()?))];
        self.records.read_exact(&mut name).map_err(Error::io("read", path))?;
        let offset = u64::from_le_bytes(self.bytes()?);
        let length = u64::from_le_bytes(self.bytes()?);
        let mut file = self.open(ordinal, &name)?;
        if offset > 0 {
            file.seek(SeekFrom::Start(offset)).map_err(Error::io("seek in", self.paths.1))?;
        }
        copy(&mut file, length, &mut self.buffer, self.paths.1, out)?;
        Ok(true)
    }

    fn open(&self, ordinal: u32, name: &[u8]) -> Result<File> {
        if self.replaced.contains(&ordinal) {
            let path = self.paths.2.join(ordinal.to_string());
            return File::open(&path).map_err(Error::io("open", &path));
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd =
            open_below(&self.root, name, flags, ResolveFlags::NO_SYMLINKS).map_err(Error::io("open a file in", self.paths.1))?;
        Ok(File::from(fd))
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.records.read_exact(&mut bytes).map_err(Error::io("read", self.paths.0))?;
        Ok(bytes)
    }
}

/// Copies exactly `left` bytes.
pub(crate) fn copy(from: &mut dyn Read, mut left: u64, buffer: &mut [u8], path: &Path, out: &mut dyn Write) -> Result<()> {
    while left > 0 {
        let want = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        from.read_exact(&mut buffer[..want]).map_err(Error::io("read", path))?;
        out.write_all(&buffer[..want]).map_err(Error::Output)?;
        left -= want as u64;
    }
    Ok(())
}
