//! PAX extended headers: `length key=value\n` records, of which we use what describes files.

use crate::error::ArchiveError;

/// More extents than this in one sparse file is a bomb.
pub(super) const MAX_EXTENTS: usize = 1 << 20;

/// What the records before an entry said.
#[derive(Debug, Default, Clone)]
pub(super) struct PaxRecords {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<(i64, u32)>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: PaxSparse,
}

/// GNU's sparse notations 0.0, 0.1 and 1.0.
#[derive(Debug, Default, Clone)]
pub(super) struct PaxSparse {
    /// The map stands in front of the payload (1.0).
    pub(super) map_in_payload: bool,
    pub(super) real_size: Option<u64>,
    pub(super) map: Option<Vec<(u64, u64)>>,
    pending_offset: Option<u64>,
}

impl PaxSparse {
    pub(super) fn is_sparse(&self) -> bool {
        self.map_in_payload || self.map.is_some()
    }
}

impl PaxRecords {
    /// Adds the records in `data`; later ones win.
    pub(super) fn parse(&mut self, mut data: &[u8]) -> Result<(), ArchiveError> {
        while !data.is_empty() && data[0] != 0 {
            let space = data.iter().take(20).position(|b| *b == b' ').ok_or(ArchiveError::BadHeader)?;
            let length = usize::try_from(decimal(&data[..space])?).map_err(|_| ArchiveError::BadHeader)?;
            if length <= space + 1 || length > data.len() || data[length - 1] != b'\n' {
                return Err(ArchiveError::BadHeader);
            }
            let record = &data[space + 1..length - 1];
            let equals = record.iter().position(|b| *b == b'=').ok_or(ArchiveError::BadHeader)?;
            self.set(&record[..equals], &record[equals + 1..])?;
            data = &data[length..];
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), ArchiveError> {
        let text = || Some(value.to_vec()).filter(|value| !value.is_empty());
        if matches!(key, b"path" | b"linkpath" | b"GNU.sparse.name") && value.contains(&0) {
            return Err(ArchiveError::BadHeader);
        }
        match key {
            b"path" if self.sparse.real_size.is_some() && self.path.is_some() => {}
            b"path" | b"GNU.sparse.name" => self.path = text(),
            b"linkpath" => self.link = text(),
            b"size" => self.size = Some(decimal(value)?),
            b"uid" => self.uid = Some(decimal(value)?),
            b"gid" => self.gid = Some(decimal(value)?),
            b"mtime" => self.mtime = Some(time(value)?),
            b"GNU.sparse.major" => self.sparse.map_in_payload = value == b"1",
            b"GNU.sparse.realsize" | b"GNU.sparse.size" => self.sparse.real_size = Some(decimal(value)?),
            b"GNU.sparse.offset" => self.sparse.pending_offset = Some(decimal(value)?),
            b"GNU.sparse.numbytes" => {
                let offset = self.sparse.pending_offset.take().ok_or(ArchiveError::BadHeader)?;
                let length = decimal(value)?;
                self.sparse.map.get_or_insert_default().push((offset, length));
            }
            b"GNU.sparse.map" => self.sparse.map = Some(map(value)?),
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.retain(|(known, _)| known != name);
                    self.xattrs.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        Ok(())
    }
}

pub(super) fn decimal(text: &[u8]) -> Result<u64, ArchiveError> {
    if text.is_empty() {
        return Err(ArchiveError::BadHeader);
    }
    text.iter().try_fold(0_u64, |value, byte| match byte {
        b'0'..=b'9' => value.checked_mul(10).and_then(|v| v.checked_add(u64::from(byte - b'0'))).ok_or(ArchiveError::BadHeader),
        _ => Err(ArchiveError::BadHeader),
    })
}

/// `[-]seconds[.fraction]`.
fn time(text: &[u8]) -> Result<(i64, u32), ArchiveError> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut parts = text.splitn(2, |b| *b == b'.');
    let seconds = i64::try_from(decimal(parts.next().unwrap_or_default())?).map_err(|_| ArchiveError::BadHeader)?;
    let fraction = parts.next().unwrap_or_default();
    let mut nanos = 0_u32;
    for index in 0..9 {
        let digit = fraction.get(index).copied().unwrap_or(b'0');
        if !digit.is_ascii_digit() {
            return Err(ArchiveError::BadHeader);
        }
        nanos = nanos * 10 + u32::from(digit - b'0');
    }
    Ok(match (negative, nanos) {
        (false, _) => (seconds, nanos),
        (true, 0) => (-seconds, 0),
        (true, _) => (-seconds - 1, 1_000_000_000 - nanos),
    })
}

fn map(text: &[u8]) -> Result<Vec<(u64, u64)>, ArchiveError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let numbers = text.split(|b| *b == b',').map(decimal).collect::<Result<Vec<_>, _>>()?;
    let (pairs, rest) = numbers.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(ArchiveError::BadHeader);
    }
    Ok(pairs.iter().map(|[offset, length]| (*offset, *length)).collect())
}
