//! The streaming reader. It yields entries with their extensions applied and hands payload out in place.
//!
//! Every byte that is not handed out as file content goes to the optional [`SplitWriter`], so that the tar can be put
//! together again from the unpacked files.

use std::io::{self, BufRead, Read};

use super::header::{EntryHeader, EntryKind, RawHeader, number, until_nul};
use super::pax::{MAX_EXTENTS, PaxRecords, PaxSparse, decimal};
use super::{BLOCK, Source};
use crate::error::{ArchiveError, Error, Result};
use crate::split::SplitWriter;

/// Long names and PAX records above this are refused.
const MAX_EXTENSION: u64 = 1 << 20;

/// Reads a tar from `source`.
pub(crate) struct TarReader<S> {
    source: S,
    /// Payload of the current entry that is still to come, and the padding after it.
    remaining: u64,
    padding: u64,
    ended: bool,
    global: PaxRecords,
    pub(crate) split: Option<SplitWriter>,
}

impl<S: Source> TarReader<S> {
    pub(crate) fn new(source: S) -> Self {
        Self { source, remaining: 0, padding: 0, ended: false, global: PaxRecords::default(), split: None }
    }

    /// The next entry, `None` at the end of the archive. Skips what is left of the one before.
    pub(crate) fn next(&mut self) -> Result<Option<EntryHeader>> {
        self.skip_rest()?;
        if self.ended {
            return Ok(None);
        }
        let mut pax = self.global.clone();
        let (mut long_name, mut long_link) = (None, None);
        loop {
            let Some(block) = self.read_block()? else { return Ok(None) };
            let header = RawHeader::parse(block)?;
            match header.type_flag {
                b'x' => pax.parse(&self.read_extension(header.size)?)?,
                b'g' => {
                    let data = self.read_extension(header.size)?;
                    self.global.parse(&data)?;
                    pax.parse(&data)?;
                }
                b'L' => long_name = Some(until_nul(&self.read_extension(header.size)?).to_vec()),
                b'K' => long_link = Some(until_nul(&self.read_extension(header.size)?).to_vec()),
                _ => return self.finish_header(header, long_name, long_link, pax).map(Some),
            }
        }
    }

    fn finish_header(
        &mut self,
        header: RawHeader,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
        mut pax: PaxRecords,
    ) -> Result<EntryHeader> {
        let sparse = std::mem::take(&mut pax.sparse);
        let gnu_sparse = header.type_flag == b'S';
        let block = header.block;
        let mut entry = header.into_entry(long_name, long_link, pax)?;
        self.remaining = entry.stored;
        self.padding = entry.stored.wrapping_neg() % BLOCK as u64;
        if entry.kind == EntryKind::File && gnu_sparse {
            let size = u64::try_from(number(&block[483..495])?).map_err(|_| ArchiveError::BadHeader)?;
            let map = self.read_gnu_map(&block)?;
            set_sparse(&mut entry, size, map)?;
        } else if entry.kind == EntryKind::File && sparse.is_sparse() {
            self.apply_pax_sparse(&mut entry, sparse)?;
        }
        Ok(entry)
    }

    fn apply_pax_sparse(&mut self, entry: &mut EntryHeader, sparse: PaxSparse) -> Result<()> {
        let size = sparse.real_size.ok_or(ArchiveError::BadHeader)?;
        let map = if sparse.map_in_payload { self.read_payload_map()? } else { sparse.map.unwrap_or_default() };
        entry.stored = self.remaining;
        set_sparse(entry, size, map)
    }

    /// The extents in an old GNU header and the blocks that continue it.
    fn read_gnu_map(&mut self, block: &[u8; BLOCK]) -> Result<Vec<(u64, u64)>> {
        let mut map = Vec::new();
        add_extents(&block[386..482], &mut map)?;
        let mut more = block[482] != 0;
        while more {
            let next = self.read_raw_block()?.ok_or(ArchiveError::Truncated)?;
            add_extents(&next[..504], &mut map)?;
            more = next[504] != 0;
            if map.len() > MAX_EXTENTS {
                return Err(ArchiveError::TooLarge { what: "sparse extents", limit: MAX_EXTENTS as u64 }.into());
            }
        }
        Ok(map)
    }

    /// The extents in front of the payload: decimal lines, padded to a block.
    fn read_payload_map(&mut self) -> Result<Vec<(u64, u64)>> {
        let mut text = Vec::new();
        let mut numbers = Vec::new();
        let mut wanted = None;
        while wanted.is_none_or(|wanted| numbers.len() < wanted) {
            if self.remaining < BLOCK as u64 {
                return Err(ArchiveError::BadHeader.into());
            }
            text.extend_from_slice(&self.read_raw_block()?.ok_or(ArchiveError::Truncated)?);
            self.remaining -= BLOCK as u64;
            let mut used = 0;
            while let Some(end) = text[used..].iter().position(|b| *b == b'\n') {
                let value = decimal(&text[used..used + end])?;
                used += end + 1;
                match wanted {
                    None => wanted = Some(extent_numbers(value)?),
                    Some(wanted) if numbers.len() < wanted => numbers.push(value),
                    Some(_) => break,
                }
                if wanted == Some(numbers.len()) {
                    break;
                }
            }
            text.drain(..used);
        }
        Ok(numbers.as_chunks::<2>().0.iter().map(|[offset, length]| (*offset, *length)).collect())
    }

    /// The source and the split, when all is read.
    pub(crate) fn into_parts(self) -> (S, Option<SplitWriter>) {
        (self.source, self.split)
    }

    /// The next piece of payload, empty when there is no more.
    pub(crate) fn payload(&mut self) -> Result<&[u8]> {
        if self.remaining == 0 {
            return Ok(&[]);
        }
        let available = self.source.fill_buf().map_err(from_io)?;
        if available.is_empty() {
            return Err(ArchiveError::Truncated.into());
        }
        let n = usize::try_from(self.remaining).map_or(available.len(), |left| left.min(available.len()));
        Ok(&available[..n])
    }

    /// Marks `n` bytes of payload as used; they are kept elsewhere, the split does not get them.
    pub(crate) fn consume(&mut self, n: usize) {
        self.source.consume(n);
        self.remaining -= n as u64;
    }

    /// The payload as a stream of its own.
    pub(crate) fn payload_reader(&mut self) -> PayloadReader<'_, S> {
        PayloadReader(self)
    }

    /// Reads the input to its end, past the archive's own end.
    pub(crate) fn drain(&mut self) -> Result<()> {
        loop {
            let available = self.source.fill_buf().map_err(from_io)?;
            let n = available.len();
            if n == 0 {
                return Ok(());
            }
            if let Some(split) = &mut self.split {
                split.raw(available)?;
            }
            self.source.consume(n);
        }
    }

    fn skip_rest(&mut self) -> Result<()> {
        let mut left = self.remaining.checked_add(self.padding).ok_or(ArchiveError::BadHeader)?;
        while left > 0 {
            let available = self.source.fill_buf().map_err(from_io)?;
            if available.is_empty() {
                return Err(ArchiveError::Truncated.into());
            }
            let n = usize::try_from(left).map_or(available.len(), |left| left.min(available.len()));
            if let Some(split) = &mut self.split {
                split.raw(&available[..n])?;
            }
            self.source.consume(n);
            left -= n as u64;
        }
        (self.remaining, self.padding) = (0, 0);
        Ok(())
    }

    /// A header block; `None` at the end, marked by zeros or by the end of the input.
    fn read_block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let block = self.read_raw_block()?.filter(|block| block.iter().any(|b| *b != 0));
        self.ended = block.is_none();
        Ok(block)
    }

    fn read_raw_block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let available = self.source.peek(BLOCK).map_err(from_io)?;
        if available.is_empty() {
            return Ok(None);
        }
        let block = *available.first_chunk::<BLOCK>().ok_or(ArchiveError::Truncated)?;
        self.source.consume(BLOCK);
        if let Some(split) = &mut self.split {
            split.raw(&block)?;
        }
        Ok(Some(block))
    }

    fn read_extension(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > MAX_EXTENSION {
            return Err(ArchiveError::TooLarge { what: "bytes of extended header", limit: MAX_EXTENSION }.into());
        }
        let mut data = Vec::new();
        for _ in 0..size.div_ceil(BLOCK as u64) {
            data.extend_from_slice(&self.read_raw_block()?.ok_or(ArchiveError::Truncated)?);
        }
        data.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        Ok(data)
    }
}

fn extent_numbers(extents: u64) -> Result<usize> {
    match usize::try_from(extents) {
        Ok(extents) if extents <= MAX_EXTENTS => Ok(extents * 2),
        _ => Err(ArchiveError::TooLarge { what: "sparse extents", limit: MAX_EXTENTS as u64 }.into()),
    }
}

fn add_extents(field: &[u8], map: &mut Vec<(u64, u64)>) -> Result<()> {
    for pair in field.chunks_exact(24) {
        if pair[0] == 0 || pair[12] == 0 {
            break;
        }
        let value = |field| number(field).and_then(|n| u64::try_from(n).map_err(|_| ArchiveError::BadHeader));
        map.push((value(&pair[..12])?, value(&pair[12..])?));
    }
    Ok(())
}

/// Extents must be in order, inside the file, and as long together as the payload.
fn set_sparse(entry: &mut EntryHeader, size: u64, map: Vec<(u64, u64)>) -> Result<()> {
    let (mut end, mut total) = (0_u64, 0_u64);
    for (offset, length) in &map {
        if *offset < end {
            return Err(ArchiveError::BadHeader.into());
        }
        end = offset.checked_add(*length).ok_or(ArchiveError::BadHeader)?;
        total += length;
    }
    if end > size || total != entry.stored || i64::try_from(size).is_err() {
        return Err(ArchiveError::BadHeader.into());
    }
    entry.size = size;
    entry.sparse = Some(map);
    Ok(())
}

/// The payload of one entry; failing, not ending, where the archive is cut.
pub(crate) struct PayloadReader<'a, S>(&'a mut TarReader<S>);

impl<S: Source> Read for PayloadReader<'_, S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let n = available.len().min(out.len());
        out[..n].copy_from_slice(&available[..n]);
        self.consume(n);
        Ok(n)
    }
}

impl<S: Source> BufRead for PayloadReader<'_, S> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.0.payload().map_err(into_io)
    }

    fn consume(&mut self, n: usize) {
        self.0.consume(n);
    }
}

impl<S: Source> Source for PayloadReader<'_, S> {
    fn peek(&mut self, n: usize) -> io::Result<&[u8]> {
        let left = usize::try_from(self.0.remaining).unwrap_or(usize::MAX);
        let available = self.0.source.peek(n.min(left))?;
        Ok(&available[..available.len().min(left)])
    }
}

/// Carries our error through code that knows `io::Error` only; [`from_io`] takes it out again.
pub(crate) fn into_io(error: Error) -> io::Error {
    io::Error::other(error)
}

/// An error of a source: one of ours inside, or the input's own.
pub(crate) fn from_io(error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(ours) => ours,
        Err(foreign) => Error::Input(foreign),
    }
}
