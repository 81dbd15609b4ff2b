//! Hashing beside the main work: what passes through a [`HashTap`] is digested, and if wanted written to a file, on a
//! thread of its own, so that unpacking and hashing use two cores.

use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use sha2::{Digest as _, Sha256};

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::tarball::{Source, into_io};

const CHUNK: usize = 256 * 1024;
/// Chunks on the way; bounds memory to a megabyte or so for each tap.
const QUEUE: usize = 4;

/// Passes `inner` on and digests what is consumed.
pub(crate) struct HashTap<S> {
    inner: S,
    chunk: Vec<u8>,
    count: u64,
    worker: Option<Worker>,
}

struct Worker {
    full: SyncSender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
    thread: JoinHandle<Result<Digest>>,
}

impl<S: Source> HashTap<S> {
    /// Digests; also writes everything to a new file at `copy`.
    pub(crate) fn new(inner: S, copy: Option<&Path>) -> Result<Self> {
        let copy = match copy {
            Some(path) => Some((File::create_new(path).map_err(Error::io("create", path))?, path.to_owned())),
            None => None,
        };
        let (full, work) = sync_channel::<Vec<u8>>(QUEUE);
        let (give_back, empty) = sync_channel(QUEUE + 1);
        let thread = std::thread::Builder::new()
            .name("image-hash".to_owned())
            .spawn(move || digest_all(&work, &give_back, copy))
            .map_err(Error::io("start a thread for", Path::new("hashing")))?;
        let worker = Some(Worker { full, empty, thread });
        Ok(Self { inner, chunk: Vec::with_capacity(CHUNK), count: 0, worker })
    }

    /// The digest and number of all bytes consumed.
    pub(crate) fn finish(mut self) -> Result<(Digest, u64)> {
        let chunk = std::mem::take(&mut self.chunk);
        self.hand_over(chunk);
        Ok((self.join()?, self.count))
    }

    /// Reads `inner` to its end, digesting the rest.
    pub(crate) fn drain(&mut self) -> io::Result<()> {
        loop {
            let n = self.fill_buf()?.len();
            if n == 0 {
                return Ok(());
            }
            self.consume(n);
        }
    }
}

impl<S> HashTap<S> {
    fn hand_over(&mut self, chunk: Vec<u8>) {
        if let Some(worker) = &self.worker {
            // A worker that is gone has failed; `join` tells why.
            let _ = worker.full.send(chunk);
        }
    }

    fn join(&mut self) -> Result<Digest> {
        let Some(worker) = self.worker.take() else { return Ok(Digest::of(&[])) };
        drop(worker.full);
        match worker.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl<S> Drop for HashTap<S> {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.take() {
            drop(worker.full);
            let _ = worker.thread.join();
        }
    }
}

fn digest_all(work: &Receiver<Vec<u8>>, give_back: &SyncSender<Vec<u8>>, mut copy: Option<(File, PathBuf)>) -> Result<Digest> {
    let mut hasher = Sha256::new();
    while let Ok(mut chunk) = work.recv() {
        hasher.update(&chunk);
        if let Some((file, path)) = &mut copy {
            file.write_all(&chunk).map_err(Error::io("write", path))?;
        }
        chunk.clear();
        // Nobody waits for it when the tap is done.
        let _ = give_back.try_send(chunk);
    }
    Ok(Digest::from_hasher(hasher))
}

impl<S: Source> Read for HashTap<S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let n = available.len().min(out.len());
        out[..n].copy_from_slice(&available[..n]);
        self.consume(n);
        Ok(n)
    }
}

impl<S: Source> BufRead for HashTap<S> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        // A full disk shows here, not only at the end of a long stream.
        if self.worker.as_ref().is_some_and(|worker| worker.thread.is_finished()) {
            return match self.join() {
                Err(error) => Err(into_io(error)),
                Ok(_) => Err(io::Error::other("hash worker ended early")),
            };
        }
        self.inner.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        // Cannot fail: these bytes are in the buffer.
        if let Ok(available) = self.inner.fill_buf() {
            let mut taken = &available[..n.min(available.len())];
            self.count += taken.len() as u64;
            while !taken.is_empty() {
                let fits = taken.len().min(CHUNK - self.chunk.len());
                self.chunk.extend_from_slice(&taken[..fits]);
                taken = &taken[fits..];
                if self.chunk.len() == CHUNK
                    && let Some(worker) = &self.worker
                {
                    let next = worker.empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(CHUNK));
                    let _ = worker.full.send(std::mem::replace(&mut self.chunk, next));
                }
            }
        }
        self.inner.consume(n);
    }
}

impl<S: Source> Source for HashTap<S> {
    fn peek(&mut self, n: usize) -> io::Result<&[u8]> {
        self.inner.peek(n)
    }
}
