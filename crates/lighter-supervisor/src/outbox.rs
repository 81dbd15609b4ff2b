//! What a client has not taken yet. A slow client must never hold up its container, so: a bounded queue in memory, then an
//! unlinked file, then the client is given up.

use rustix::fs::{Mode, OFlags};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Bytes kept in memory for each client.
const MAX_MEMORY: usize = 1 << 20;
/// Bytes kept in its file.
const MAX_SPILL: u64 = 256 << 20;
/// Bytes moved back from the file at once.
const REFILL: usize = 256 << 10;

/// A queue of bytes towards one client.
#[derive(Default)]
pub struct Outbox {
    memory: Vec<u8>,
    /// Bytes of `memory` that were written already.
    taken: usize,
    spill: Option<Spill>,
}

struct Spill {
    file: OwnedFd,
    read: u64,
    written: u64,
}

impl Outbox {
    pub fn is_empty(&self) -> bool {
        self.taken == self.memory.len() && self.spill.is_none()
    }

    /// Adds bytes; an error means that the client is to be given up. Files are made in `dir`.
    pub fn push(&mut self, bytes: &[u8], dir: &Path) -> io::Result<()> {
        if self.spill.is_none() {
            if self.memory.len() - self.taken + bytes.len() <= MAX_MEMORY {
                self.memory.extend_from_slice(bytes);
                return Ok(());
            }
            self.spill = Some(Spill { file: unlinked_file(dir)?, read: 0, written: 0 });
        }
        let Some(spill) = &mut self.spill else { return Ok(()) };
        if spill.written - spill.read + bytes.len() as u64 > MAX_SPILL {
            return Err(io::Error::from_raw_os_error(libc::ENOBUFS));
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let n = rustix::io::pwrite(&spill.file, rest, spill.written)?;
            if n == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            spill.written += n as u64;
            rest = &rest[n..];
        }
        Ok(())
    }

    /// Writes what the client takes now; the number of bytes. An error means that it is gone.
    pub fn flush(&mut self, to: impl AsFd) -> io::Result<usize> {
        let mut total = 0;
        loop {
            while self.taken < self.memory.len() {
                match write_now(&to, &self.memory[self.taken..])? {
                    0 => return Ok(total),
                    n => {
                        self.taken += n;
                        total += n;
                    }
                }
            }
            self.memory.clear();
            self.taken = 0;
            if !self.refill()? {
                self.memory = Vec::new();
                return Ok(total);
            }
        }
    }

    fn refill(&mut self) -> io::Result<bool> {
        let Some(spill) = &mut self.spill else { return Ok(false) };
        let len = REFILL.min(usize::try_from(spill.written - spill.read).unwrap_or(REFILL));
        if len == 0 {
            self.spill = None;
            return Ok(false);
        }
        self.memory.resize(len, 0);
        let n = rustix::io::pread(&spill.file, &mut self.memory[..], spill.read)?;
        self.memory.truncate(n);
        spill.read += n as u64;
        Ok(n > 0)
    }
}

/// Writes without waiting; 0: it would have to wait.
pub fn write_now(to: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    use rustix::io::Errno;
    match rustix::io::write(to, bytes) {
        Ok(n) => Ok(n),
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

fn unlinked_file(dir: &Path) -> io::Result<OwnedFd> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let mode = Mode::from_bits_truncate(0o600);
    if let Ok(file) = rustix::fs::open(dir, flags | OFlags::TMPFILE, mode) {
        return Ok(file);
    }
    let name: PathBuf = dir.join(format!("spill-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)));
    let file = rustix::fs::open(&name, flags | OFlags::CREATE | OFlags::EXCL, mode)?;
    rustix::fs::unlink(&name)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    #[test]
    fn bytes_come_in_order_through_memory_and_file() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut outbox = Outbox::default();
        let sent: Vec<u8> = (0..5_000_000u32).map(|n| (n % 251) as u8).collect();
        for piece in sent.chunks(70_000) {
            outbox.push(piece, dir.path()).unwrap();
            outbox.flush(&ours).unwrap();
        }
        assert!(outbox.spill.is_some());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let reader = std::thread::spawn(move || {
            let mut got = Vec::new();
            theirs.read_to_end(&mut got).unwrap();
            got
        });
        while !outbox.is_empty() {
            outbox.flush(&ours).unwrap();
            std::thread::yield_now();
        }
        drop(ours);
        assert!(reader.join().unwrap() == sent);
    }

    #[test]
    fn there_is_a_bound() {
        let dir = tempfile::tempdir().unwrap();
        let mut outbox = Outbox::default();
        let piece = vec![0; 8 << 20];
        let pushed = (0..40).take_while(|_| outbox.push(&piece, dir.path()).is_ok()).count();
        assert_eq!(pushed, 32);
    }
}
