//! xz (the .xz file format, version 1.2.1): streams, one after the other, and the padding between them. Of LZMA2's dictionary
//! each block states the size; one over the limit is refused before it is allocated.

use std::io::{self, BufRead, Read};

use lzma_rust2::XzReader;

use crate::source::archive::error::ArchiveError;
use crate::source::archive::format::Codec;
use crate::support::limits::WINDOW_BYTES;

/// What the decoder needs besides its dictionary.
const OVERHEAD_BYTES: u64 = 1 << 20;

pub struct Streams<R: Read>(XzReader<R>);

pub fn reader<R: BufRead>(input: R) -> Streams<R> {
    let most = u32::try_from((WINDOW_BYTES + OVERHEAD_BYTES) >> 10).unwrap_or(u32::MAX - 1);
    Streams(XzReader::new_mem_limit(input, true, most))
}

impl<R: BufRead> Read for Streams<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(sort)
    }
}

/// What follows the last stream has words of its own; a test holds them against the library.
fn sort(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::OutOfMemory {
        return ArchiveError::window().into_io();
    }
    match error.get_ref().map(ToString::to_string).as_deref() {
        Some("invalid data after stream" | "invalid data after stream padding") => ArchiveError::trailing(Codec::Xz).into_io(),
        Some("incomplete XZ magic bytes") => io::ErrorKind::UnexpectedEof.into(),
        _ => error,
    }
}
