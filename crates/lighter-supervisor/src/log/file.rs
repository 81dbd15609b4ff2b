//! The log's file: appended to, and rotated as dockerd does (`path`, `path.1`, ... `path.<n-1>`). A disk that is full loses
//! records, never half of one, and never stops the container.

use rustix::fs::{Mode, OFlags};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

pub struct LogFile {
    path: PathBuf,
    /// Bytes; 0: without bound.
    max_size: u64,
    max_file: u32,
    file: OwnedFd,
    size: u64,
    /// Bytes that could not be written since the last success.
    lost: u64,
    news: Option<String>,
}

impl LogFile {
    pub fn open(path: &Path, max_size: u64, max_file: u32) -> io::Result<Self> {
        let file = open(path, OFlags::empty())?;
        let size = u64::try_from(rustix::fs::fstat(&file)?.st_size).unwrap_or(0);
        Ok(Self { path: path.to_owned(), max_size, max_file: max_file.max(1), file, size, lost: 0, news: None })
    }

    /// Whether the next record belongs to the next file, `buffered` bytes not being written yet.
    #[inline]
    pub fn is_full(&self, buffered: usize) -> bool {
        self.max_size != 0 && self.size + buffered as u64 >= self.max_size
    }

    /// Writes whole records.
    pub fn write(&mut self, records: &[u8]) {
        let mut written = 0;
        while written < records.len() {
            match rustix::io::write(&self.file, &records[written..]) {
                Ok(0) => return self.lose(records.len() - written, written, "nothing was written"),
                Ok(n) => written += n,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return self.lose(records.len() - written, written, &error.to_string()),
            }
        }
        self.size += written as u64;
        if self.lost > 0 {
            self.news = Some(format!("the log can be written again; {} bytes of records are lost", self.lost));
            self.lost = 0;
        }
    }

    /// Takes back a part of a record that fitted, so that the file stays readable.
    fn lose(&mut self, bytes: usize, written: usize, why: &str) {
        if self.lost == 0 {
            self.news = Some(format!("cannot write {}: {why}", self.path.display()));
        }
        self.lost += (bytes + written) as u64;
        let _ = rustix::fs::ftruncate(&self.file, self.size);
    }

    /// Moves the files along and starts a new one. If that fails the old one goes on growing: better than losing lines.
    pub fn rotate(&mut self) {
        let done = self.shift().and_then(|()| open(&self.path, OFlags::TRUNC));
        match done {
            Ok(file) => {
                self.file = file;
                self.size = 0;
            }
            Err(error) => {
                self.news = Some(format!("cannot rotate {}: {error}", self.path.display()));
                // Tried again after as much has been written once more.
                self.size = 0;
            }
        }
    }

    fn shift(&self) -> io::Result<()> {
        if self.max_file < 2 {
            return Ok(());
        }
        for number in (2..self.max_file).rev() {
            match fs::rename(self.numbered(number - 1), self.numbered(number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        match fs::rename(&self.path, self.numbered(1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }

    pub fn trouble(&mut self) -> Option<String> {
        self.news.take()
    }
}

fn open(path: &Path, extra: OFlags) -> io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC | extra;
    Ok(rustix::fs::open(path, flags, Mode::from_bits_truncate(0o640))?)
}
