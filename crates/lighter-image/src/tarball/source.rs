//! Buffered input that can look ahead, so that the kind of a stream is known before anything takes it.

use std::io::{self, BufRead, Read};

const CAPACITY: usize = 256 * 1024;

/// Input that can show its next bytes without using them up.
pub(crate) trait Source: BufRead {
    /// The next bytes: at least `n` of them (`n` at most 64 KiB), fewer only at the end.
    fn peek(&mut self, n: usize) -> io::Result<&[u8]>;
}

/// A 256 KiB buffer over any reader.
pub(crate) struct Buffered<R> {
    inner: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl<R: Read> Buffered<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, buffer: vec![0; CAPACITY], start: 0, end: 0 }
    }

    fn read_more(&mut self) -> io::Result<usize> {
        loop {
            match self.inner.read(&mut self.buffer[self.end..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(n) => {
                    self.end += n;
                    return Ok(n);
                }
            }
        }
    }
}

impl<R: Read> Read for Buffered<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let n = available.len().min(out.len());
        out[..n].copy_from_slice(&available[..n]);
        self.consume(n);
        Ok(n)
    }
}

impl<R: Read> BufRead for Buffered<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
            self.read_more()?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, n: usize) {
        self.start = (self.start + n).min(self.end);
    }
}

impl<R: Read> Source for Buffered<R> {
    fn peek(&mut self, n: usize) -> io::Result<&[u8]> {
        while self.end - self.start < n {
            if self.buffer.len() - self.start < n {
                self.buffer.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            }
            if self.read_more()? == 0 {
                break;
            }
        }
        Ok(&self.buffer[self.start..self.end])
    }
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn peek(&mut self, n: usize) -> io::Result<&[u8]> {
        (**self).peek(n)
    }
}

impl<S: Source + ?Sized> Source for &mut S {
    fn peek(&mut self, n: usize) -> io::Result<&[u8]> {
        (**self).peek(n)
    }
}
