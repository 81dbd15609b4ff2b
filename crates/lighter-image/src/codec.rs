//! Compression of archives and layers: told by content, never by name. No program is ever run for it.

use std::io::{self, Read};

use serde::{Deserialize, Serialize};

use crate::error::{ArchiveError, Error, Result};
use crate::tarball::{Source, into_io};

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// Tells from the first bytes of a stream.
    pub(crate) fn detect(start: &[u8]) -> Result<Self, ArchiveError> {
        if start.starts_with(&[0x1f, 0x8b]) {
            Ok(Self::Gzip)
        } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) || is_skippable_frame(start) {
            Ok(Self::Zstd)
        } else if start.starts_with(b"BZh") {
            Err(ArchiveError::Compression("bzip2"))
        } else if start.starts_with(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
            Err(ArchiveError::Compression("xz"))
        } else {
            Ok(Self::None)
        }
    }

    /// The OCI media type of a layer so compressed.
    pub(crate) fn layer_media_type(self) -> &'static str {
        match self {
            Self::None => "application/vnd.oci.image.layer.v1.tar",
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }

    /// A reader of the plain data. Errors of the data itself come out as [`ArchiveError::Corrupt`], those of `source`
    /// as they are.
    pub(crate) fn decoder<'a>(self, source: impl Source + 'a) -> Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::None => Box::new(source),
            Self::Gzip => Box::new(Decoder { inner: flate2::bufread::MultiGzDecoder::new(source), format: "gzip" }),
            Self::Zstd => {
                let inner = zstd::stream::read::Decoder::with_buffer(source).map_err(Error::Input)?;
                Box::new(Decoder { inner, format: "zstd" })
            }
        })
    }
}

/// `zstd:chunked` and pzstd archives can begin with one.
fn is_skippable_frame(start: &[u8]) -> bool {
    matches!(start, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

struct Decoder<R> {
    inner: R,
    format: &'static str,
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.inner.read(out).map_err(|error| {
            let ours = error.get_ref().is_some_and(|inner| inner.is::<Error>());
            if ours || error.kind() == io::ErrorKind::Interrupted {
                return error;
            }
            let archive = match error.kind() {
                io::ErrorKind::UnexpectedEof => ArchiveError::Truncated,
                _ => ArchiveError::Corrupt { format: self.format, reason: error.to_string() },
            };
            into_io(archive.into())
        })
    }
}

/// Marks errors of the caller's stream, so that they are not taken for errors of the data.
pub(crate) struct CallerInput<R>(pub(crate) R);

impl<R: Read> Read for CallerInput<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read(out).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            _ => into_io(Error::Input(error)),
        })
    }
}
