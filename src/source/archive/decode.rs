//! The codecs an archive may be compressed with: each a reader of what one compressed stream holds, to its very end.
//!
//! One set of rules for all: streams may follow each other, as the codec's own tool has it, and nothing else may follow them; a
//! stream that ends early is found, its sums are checked, and its window is bounded before it is allocated. No external program
//! is run.
//!
//! Errors of ours travel inside an `io::Error` (`ArchiveError::into_io`); all others are the codec's, about its stream.

mod streams;
mod xz;
mod zstd;

use std::io::{BufRead, Read};

use super::error::ArchiveError;
use super::format::Codec;

/// What `input` holds, decompressed.
pub fn reader<'a>(codec: Codec, input: impl BufRead + 'a) -> Result<Box<dyn Read + 'a>, ArchiveError> {
    Ok(match codec {
        Codec::Gzip => Box::new(streams::gzip(input)),
        Codec::Bzip2 => Box::new(streams::bzip2(input)),
        Codec::Zstd => Box::new(zstd::reader(input)?),
        Codec::Xz => Box::new(xz::reader(input)),
    })
}

#[cfg(test)]
mod tests;
