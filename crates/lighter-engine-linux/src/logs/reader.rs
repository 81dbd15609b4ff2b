//! Reading the files of a log in their order, a bounded piece at a time. Blocking.

use super::format::{Format, Outcome};
use super::record;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// Bytes read at once. A line that is longer than this is no record of ours, and is skipped.
const PIECE: usize = 1 << 20;
/// Bytes looked at at once when searching backwards.
const BACKWARDS: usize = 128 << 10;
/// More rotated files than anybody has.
const MAX_FILES: usize = 10_000;

/// Where a reader is. Holds its file open: rotation takes the name, not the content.
pub(super) struct Reader {
    path: PathBuf,
    format: Format,
    /// Oldest first; the first is being read.
    files: Vec<Open>,
    offset: u64,
    input: Vec<u8>,
    /// Bytes at the start of `input` that belong to a line whose end was not read yet.
    pending: usize,
    skipping: bool,
}

struct Open {
    file: File,
    inode: u64,
}

/// How a [`Reader::step`] ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// There is more at once.
    More,
    /// All that is written so far was read.
    CaughtUp,
    /// What follows is later than what was asked for.
    Over,
}

impl Reader {
    /// Opens the log at its last `tail` lines, or at its beginning. A log that does not exist is empty.
    pub(super) fn open(path: &Path, format: Format, tail: Option<u64>) -> io::Result<Self> {
        let mut files = open_all(path)?;
        let offset = match tail {
            Some(lines) => seek_tail(&mut files, lines)?,
            None => 0,
        };
        Ok(Self { path: path.to_owned(), format, files, offset, input: Vec::new(), pending: 0, skipping: false })
    }

    /// Reads a piece and appends what it comes to.
    pub(super) fn step(&mut self, out: &mut Vec<u8>) -> io::Result<Step> {
        let Some(current) = self.files.first() else {
            return self.next_file();
        };
        let unread = current.file.metadata()?.len().saturating_sub(self.offset);
        if unread == 0 {
            return self.next_file();
        }
        // Room for what is there: most logs are short, and each is looked at when its container goes.
        let room = usize::try_from(unread).map_or(PIECE, |unread| PIECE.min(self.pending.saturating_add(unread)));
        if self.input.len() < room {
            self.input.resize(room, 0);
        }
        let n = current.file.read_at(&mut self.input[self.pending..], self.offset)?;
        if n == 0 {
            return self.next_file();
        }
        self.offset += n as u64;
        let filled = self.pending + n;
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', &self.input[..filled]) {
            let line = &self.input[start..end];
            start = end + 1;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            let Some(record) = record::parse(line) else { continue };
            if self.format.append(&record, out) == Outcome::TooLate {
                return Ok(Step::Over);
            }
        }
        self.pending = filled - start;
        self.input.copy_within(start..filled, 0);
        if self.pending == PIECE {
            self.pending = 0;
            self.skipping = true;
        }
        Ok(Step::More)
    }

    /// Gives back the buffer while there is nothing to read.
    pub(super) fn rest(&mut self) {
        if self.pending == 0 {
            self.input = Vec::new();
        }
    }

    /// The end of a file was reached: on with the next one, if there is one by now.
    fn next_file(&mut self) -> io::Result<Step> {
        if self.files.len() > 1 {
            self.files.remove(0);
        } else {
            let newest = inode_of(&self.path)?;
            let ours = self.files.first().map(|f| f.inode);
            if newest.is_none() || newest == ours {
                return Ok(Step::CaughtUp);
            }
            let all = open_all(&self.path)?;
            // What was written to our file before it was rotated away comes first.
            if let Some(current) = self.files.first()
                && current.file.metadata()?.len() > self.offset
            {
                return Ok(Step::More);
            }
            let at = all.iter().position(|f| Some(f.inode) == ours).map_or(0, |n| n + 1);
            self.files = all.into_iter().skip(at).collect();
            if self.files.is_empty() {
                return Ok(Step::CaughtUp);
            }
        }
        self.offset = 0;
        self.pending = 0;
        self.skipping = false;
        Ok(Step::More)
    }
}

fn inode_of(path: &Path) -> io::Result<Option<u64>> {
    match std::fs::metadata(path) {
        Ok(m) => Ok(Some(m.ino())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// The files, oldest first. Opened newest first, so that a rotation meanwhile shows one twice instead of leaving one out.
fn open_all(path: &Path) -> io::Result<Vec<Open>> {
    let mut found: Vec<Open> = Vec::new();
    for number in 0..MAX_FILES {
        let name = if number == 0 {
            path.to_owned()
        } else {
            let mut name = path.as_os_str().to_owned();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        match File::open(&name) {
            Ok(file) => {
                let inode = file.metadata()?.ino();
                if !found.iter().any(|f| f.inode == inode) {
                    found.push(Open { file, inode });
                }
            }
            // Between two renames there is no newest file for a moment.
            Err(e) if e.kind() == io::ErrorKind::NotFound && number == 0 => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => break,
            Err(e) => return Err(e),
        }
    }
    found.reverse();
    Ok(found)
}

/// Drops files and finds the offset from which the last `lines` whole lines are left.
fn seek_tail(files: &mut Vec<Open>, lines: u64) -> io::Result<u64> {
    let mut left = lines;
    for index in (0..files.len()).rev() {
        let file = &files[index].file;
        let len = file.metadata()?.len();
        if lines == 0 {
            files.drain(..index);
            return end_of_lines(&files[0].file, len);
        }
        if let Some(offset) = find_back(file, len, &mut left)? {
            files.drain(..index);
            return Ok(offset);
        }
    }
    Ok(0)
}

/// After the last line end: a line that is being written is yet to come.
fn end_of_lines(file: &File, len: u64) -> io::Result<u64> {
    let mut end = None;
    backwards(file, len, |at| {
        end = Some(at + 1);
        false
    })?;
    Ok(end.unwrap_or(0))
}

/// Counts line ends backwards; the start of the `left`th last line, or `None` with what is still to be found before.
fn find_back(file: &File, len: u64, left: &mut u64) -> io::Result<Option<u64>> {
    let mut start = None;
    // Each line end but the last one is the start of a line that was counted.
    let mut seen_last = false;
    backwards(file, len, |at| {
        if std::mem::replace(&mut seen_last, true) {
            *left -= 1;
            start = (*left == 0).then_some(at + 1);
        }
        start.is_none()
    })?;
    if start.is_none() && seen_last {
        // The first line has no predecessor in this file.
        *left -= 1;
        start = (*left == 0).then_some(0);
    }
    Ok(start)
}

/// Calls `found` with the places of the line ends, last first, until it says false.
fn backwards(file: &File, len: u64, mut found: impl FnMut(u64) -> bool) -> io::Result<()> {
    let mut at = len;
    let mut block = vec![0; BACKWARDS];
    while at > 0 {
        let from = at.saturating_sub(BACKWARDS as u64);
        let size = usize::try_from(at - from).unwrap_or(BACKWARDS);
        let piece = &mut block[..size];
        file.read_exact_at(piece, from)?;
        for end in memchr::memrchr_iter(b'\n', piece) {
            if !found(from + end as u64) {
                return Ok(());
            }
        }
        at = from;
    }
    Ok(())
}
