//! A blob on its way: one side appends to its file, the other reads behind it, and what is there when the connection or the
//! daemon dies is where the next attempt goes on.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lighter_image::Digest;
use parking_lot::{Condvar, Mutex};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};

/// What both sides know.
pub(super) struct Gathering {
    state: Mutex<State>,
    more: Condvar,
}

#[derive(Default)]
struct State {
    written: u64,
    /// Whether the rest will come, has come and is right, or will not come.
    end: Option<bool>,
}

impl Gathering {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), more: Condvar::new() })
    }

    pub(super) fn advance(&self, written: u64) {
        self.state.lock().written = written;
        self.more.notify_all();
    }

    /// Everything is there and is right; or nothing more will come. The first word counts.
    pub(super) fn end(&self, good: bool) {
        self.state.lock().end.get_or_insert(good);
        self.more.notify_all();
    }
}

/// Ends the reading side when the writing side is dropped, for whatever reason.
pub(super) struct EndGuard(pub(super) Arc<Gathering>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.end(false);
    }
}

/// Reads behind the writer, and waits for it. At the end it says whether the whole was right.
pub(super) struct Follower {
    file: File,
    at: u64,
    gathering: Arc<Gathering>,
    /// Told how far it is.
    tell: Box<dyn FnMut(u64) + Send>,
}

impl Follower {
    /// Opens, and if need be makes, the file at `path`.
    pub(super) fn open(path: &Path, gathering: Arc<Gathering>, tell: Box<dyn FnMut(u64) + Send>) -> Result<Self> {
        let file = open(path)?;
        Ok(Self { file, at: 0, gathering, tell })
    }
}

impl Read for Follower {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let written = {
            let mut state = self.gathering.state.lock();
            loop {
                if state.end == Some(false) {
                    return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the download was broken off"));
                }
                if state.written > self.at {
                    break state.written;
                }
                if state.end == Some(true) {
                    return Ok(0);
                }
                self.gathering.more.wait(&mut state);
            }
        };
        let most = usize::try_from(written - self.at).map_or(out.len(), |left| left.min(out.len()));
        let n = self.file.read_at(&mut out[..most], self.at)?;
        self.at += n as u64;
        (self.tell)(self.at);
        Ok(n)
    }
}

/// The file, and the digest of what is in it so far.
pub(super) struct Writer {
    file: File,
    path: PathBuf,
    hasher: Sha256,
    pub(super) written: u64,
}

impl Writer {
    /// Opens the file of a blob of `size` bytes, waits until nobody else writes to it, and digests what is there.
    pub(super) fn open(path: &Path, size: u64) -> Result<Self> {
        let failed = || Error::file(format!("open {}", path.display()));
        let mut file = open(path)?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).map_err(io::Error::from).map_err(failed())?;
        let mut hasher = Sha256::new();
        let mut written = 0;
        let mut buffer = vec![0; 256 << 10];
        loop {
            match file.read(&mut buffer).map_err(failed())? {
                0 => break,
                n => {
                    hasher.update(&buffer[..n]);
                    written += n as u64;
                }
            }
        }
        let mut writer = Self { file, path: path.to_owned(), hasher, written };
        if written > size {
            writer.restart()?;
        }
        Ok(writer)
    }

    /// Begins anew.
    pub(super) fn restart(&mut self) -> Result<()> {
        let failed = || Error::file(format!("truncate {}", self.path.display()));
        self.file.set_len(0).map_err(failed())?;
        self.file.seek(SeekFrom::Start(0)).map_err(failed())?;
        self.hasher = Sha256::new();
        self.written = 0;
        Ok(())
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(Error::file(format!("write {}", self.path.display())))?;
        self.hasher.update(bytes);
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Whether all that was written is `digest`.
    pub(super) fn is(&self, digest: &Digest) -> bool {
        Digest::from_bytes(self.hasher.clone().finalize().into()) == *digest
    }
}

fn open(path: &Path) -> Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    options.open(path).map_err(Error::file(format!("open {}", path.display())))
}
