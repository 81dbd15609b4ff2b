//! Tar, read as a stream and written in one way only.
//!
//! An own reader, because what reads hostile archives must bound every header it keeps in memory, must know sparse
//! files in all four notations, and must let the caller see the bytes between file contents (see [`crate::split`]).

mod header;
mod pax;
mod reader;
mod source;
mod writer;

pub(crate) use header::{EntryHeader, EntryKind, looks_like_header};
pub(crate) use reader::{TarReader, from_io, into_io};
pub(crate) use source::{Buffered, Source};
pub(crate) use writer::{Meta, TarWriter};

/// Size of everything in a tar.
pub(crate) const BLOCK: usize = 512;

#[cfg(test)]
mod tests;
