//! gzip (RFC 1952, section 2.2) and bzip2 (the format as `bzip2` itself writes it), whose readers end with one stream.
//!
//! flate2 and libbz2-rs check each stream's length and sums. This adds the strictness between streams: what is no further one is
//! refused, where other readers ignore it or call it the header's fault.

use std::io::{self, BufRead, Read};

use ::bzip2::bufread::BzDecoder;
use flate2::bufread::GzDecoder;

use crate::source::archive::error::ArchiveError;
use crate::source::archive::format::Codec;

/// A reader of one stream.
pub trait Single<R>: Read {
    const CODEC: Codec;

    fn begin(input: R) -> Self;

    /// The input, right behind the stream.
    fn end(self) -> R;
}

/// The bytes of all streams, one after the other.
pub struct Streams<S, R> {
    /// `None` once the last stream has ended.
    current: Option<S>,
    input: std::marker::PhantomData<R>,
}

pub fn gzip<R: BufRead>(input: R) -> Streams<GzDecoder<R>, R> {
    Streams::new(input)
}

pub fn bzip2<R: BufRead>(input: R) -> Streams<BzDecoder<R>, R> {
    Streams::new(input)
}

impl<S: Single<R>, R: BufRead> Streams<S, R> {
    fn new(input: R) -> Self {
        Self { current: Some(S::begin(input)), input: std::marker::PhantomData }
    }
}

impl<S: Single<R>, R: BufRead> Read for Streams<S, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(stream) = &mut self.current {
            let count = stream.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            self.current = self.current.take().map(next).transpose()?.flatten();
        }
        Ok(0)
    }
}

fn next<S: Single<R>, R: BufRead>(ended: S) -> io::Result<Option<S>> {
    let mut input = ended.end();
    match input.fill_buf()?.first() {
        None => Ok(None),
        // The bytes behind the first may not be here yet; the decoder looks at them.
        Some(first) if *first == S::CODEC.magic()[0] => Ok(Some(S::begin(input))),
        Some(_) => Err(ArchiveError::trailing(S::CODEC).into_io()),
    }
}

impl<R: BufRead> Single<R> for GzDecoder<R> {
    const CODEC: Codec = Codec::Gzip;

    fn begin(input: R) -> Self {
        Self::new(input)
    }

    fn end(self) -> R {
        self.into_inner()
    }
}

impl<R: BufRead> Single<R> for BzDecoder<R> {
    const CODEC: Codec = Codec::Bzip2;

    fn begin(input: R) -> Self {
        Self::new(input)
    }

    fn end(self) -> R {
        self.into_inner()
    }
}
