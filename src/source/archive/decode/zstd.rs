//! zstd (RFC 8878): frames and skippable frames, one after the other, by the reference decoder, which compares the checksum and
//! the size that a frame states.

use std::io::{self, BufRead, Read};

use ::zstd::stream::read::Decoder;

use crate::source::archive::error::ArchiveError;
use crate::source::archive::format::Codec;
use crate::support::limits::WINDOW_LOG;

pub struct Frames<R: BufRead>(Decoder<'static, R>);

/// Frames with a larger window than the limit are refused before any memory is taken for it.
pub fn reader<R: BufRead>(input: R) -> Result<Frames<R>, ArchiveError> {
    let set_up = |cause| ArchiveError::Damaged(format!("zstd: the decoder could not be set up: {cause}"));
    let mut decoder = Decoder::with_buffer(input).map_err(set_up)?;
    decoder.window_log_max(WINDOW_LOG).map_err(set_up)?;
    Ok(Frames(decoder))
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(sort)
    }
}

/// The library has words for its errors and no numbers; a test holds them against it. The first frame's magic was seen before
/// anything was decoded, so that an unknown one comes after a frame.
fn sort(error: io::Error) -> io::Error {
    match error.get_ref().map(ToString::to_string).as_deref() {
        Some("Frame requires too much memory for decoding") => ArchiveError::window().into_io(),
        Some("Unknown frame descriptor") => ArchiveError::trailing(Codec::Zstd).into_io(),
        _ => error,
    }
}
