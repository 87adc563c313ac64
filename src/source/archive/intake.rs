//! Taking an archive in: read once, hashed, counted, bounded, decompressed into the spool. The digest that was asked for is
//! compared before anybody looks at what the archive holds.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, Read};
use std::ops::ControlFlow;

use sha2::{Digest as _, Sha256, Sha512};

use super::error::ArchiveError;
use super::format::{self, Format};
use super::header::BLOCK;
use super::{ArchiveOptions, Expected, Progress, decode, index, spool};
use crate::model::Digest;
use crate::source::body::read_some;
use crate::support::limits::{COMPRESSION_RATIO, RATIO_FROM, SOURCE_BYTES};

/// Bytes read, and written, at once.
const CHUNK: usize = 128 << 10;

/// An archive in the spool, with nothing known of its entries yet.
pub struct Received {
    pub spool: File,
    /// Bytes of the spool.
    pub bytes: u64,
    /// Of what came, before decompression.
    pub digest: Digest,
    /// Bytes that came, before decompression.
    pub size: u64,
    /// What came; a zip is still as it was.
    pub format: Format,
}

/// Reads `reader` to its end. The error is the digest's rather than the format's where both are wrong: bytes that are not the
/// right ones need no other explanation.
pub fn take_in(reader: impl Read, options: &ArchiveOptions, progress: &mut Progress<'_>) -> Result<Received, ArchiveError> {
    let spool = spool::create(&options.workspace)?;
    let count = Cell::new(0);
    if options.size.is_some_and(|size| size > options.limits.source_bytes) {
        return Err(ArchiveError::limit(SOURCE_BYTES, options.limits.source_bytes, "bytes"));
    }
    let hash = Hash::new(options.digests.iter().any(|expected| expected.digest.as_str().starts_with(SHA512)));
    let mut input = Input::new(reader, hash, options.limits.source_bytes, &count, progress);
    let unpacked = match unpack(&mut input, &spool, options, &count) {
        Err(error) if !error.is_about_content() || options.digests.is_empty() => return Err(error),
        other => other,
    };
    input.drain()?;
    let (digest, longer) = input.hash.end();
    compare(options, &digest, longer.as_ref())?;
    let (format, bytes) = unpacked?;
    Ok(Received { spool, bytes, digest, size: count.get(), format })
}

fn compare(options: &ArchiveOptions, digest: &Digest, longer: Option<&Digest>) -> Result<(), ArchiveError> {
    for Expected { digest: expected, by } in &options.digests {
        let actual = longer.filter(|_| expected.as_str().starts_with(SHA512)).unwrap_or(digest);
        if actual != expected {
            return Err(ArchiveError::Digest { expected: expected.clone(), actual: actual.clone(), by: *by });
        }
    }
    Ok(())
}

/// What the digests of the longer algorithm begin with.
const SHA512: &str = "sha512:";

/// What comes, hashed: always by SHA-256, which names the archive, and by SHA-512 where somebody wants to know.
struct Hash {
    sha256: Sha256,
    sha512: Option<Sha512>,
}

impl Hash {
    fn new(longer: bool) -> Self {
        Self { sha256: Sha256::new(), sha512: longer.then(Sha512::new) }
    }

    fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(sha512) = &mut self.sha512 {
            sha512.update(bytes);
        }
    }

    fn end(self) -> (Digest, Option<Digest>) {
        (Digest::sha256(self.sha256.finalize()), self.sha512.map(|hash| Digest::sha512(hash.finalize())))
    }
}

/// What it is, and the bytes written to the spool.
fn unpack<R: Read>(
    input: &mut Input<'_, '_, R>,
    spool: &File,
    options: &ArchiveOptions,
    count: &Cell<u64>,
) -> Result<(Format, u64), ArchiveError> {
    let found = match options.format {
        Some(Format::File) => Format::File,
        named => {
            let found = format::sniff(input.first_block()?)?;
            format::expect(named, found)?;
            found
        }
    };
    let unpacked = match found {
        Format::Tar | Format::Zip | Format::File => copy(input, found, spool, options, count),
        Format::Compressed(codec) => copy(&mut decode::reader(codec, input)?, found, spool, options, count),
    };
    match unpacked {
        Ok(bytes) => Ok((found, bytes)),
        // What there is of the tar says what made it so large.
        Err(error @ ArchiveError::Limit { .. }) if !matches!(found, Format::Zip | Format::File) => {
            let bytes = spool.metadata().map_or(0, |metadata| metadata.len());
            Err(error.with(index::largest_of(spool, bytes, options)))
        }
        Err(error) => Err(error),
    }
}

fn copy(from: &mut impl Read, format: Format, spool: &File, options: &ArchiveOptions, count: &Cell<u64>) -> Result<u64, ArchiveError> {
    let mut buffer = vec![0; CHUNK];
    let mut total = 0;
    loop {
        let filled = fill(from, format, &mut buffer)?;
        if total == 0 && matches!(format, Format::Compressed(_)) {
            format::expect_tar(&buffer[..filled.min(BLOCK)])?;
        }
        total += filled as u64;
        bound(total, count.get(), options)?;
        spool::append(spool, &buffer[..filled], &options.workspace)?;
        if filled < buffer.len() {
            return Ok(total);
        }
    }
}

/// A full buffer, or less at the end.
fn fill(from: &mut impl Read, format: Format, buffer: &mut [u8]) -> Result<usize, ArchiveError> {
    let mut filled = 0;
    while filled < buffer.len() {
        match read_some(from, &mut buffer[filled..]).map_err(|error| ArchiveError::from_io(error, format))? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

/// Whether so many bytes may come of so many that came.
pub fn bound(total: u64, came: u64, options: &ArchiveOptions) -> Result<(), ArchiveError> {
    let limits = &options.limits;
    if total > limits.source_bytes {
        return Err(ArchiveError::limit(SOURCE_BYTES, limits.source_bytes, "bytes"));
    }
    if total > RATIO_FROM && total > came.saturating_mul(limits.compression_ratio) {
        return Err(ArchiveError::limit(COMPRESSION_RATIO, limits.compression_ratio, "bytes out of each compressed one"));
    }
    Ok(())
}

/// The reader that was handed in, watched: every byte is hashed, counted against the bound and reported as it comes.
struct Input<'a, 'p, R> {
    inner: R,
    hash: Hash,
    count: &'a Cell<u64>,
    most: u64,
    progress: &'a mut Progress<'p>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl<'a, 'p, R: Read> Input<'a, 'p, R> {
    fn new(inner: R, hash: Hash, most: u64, count: &'a Cell<u64>, progress: &'a mut Progress<'p>) -> Self {
        Self { inner, hash, count, most, progress, buffer: vec![0; CHUNK], start: 0, end: 0 }
    }

    /// The first bytes, left to be read: a block of them, or all there are.
    fn first_block(&mut self) -> Result<&[u8], ArchiveError> {
        while self.end < BLOCK && self.receive(self.end)? > 0 {}
        Ok(&self.buffer[..self.end.min(BLOCK)])
    }

    /// Reads on to the end, for the digest's sake.
    fn drain(&mut self) -> Result<(), ArchiveError> {
        while self.receive(0)? > 0 {}
        Ok(())
    }

    /// Reads into the buffer from `at` on.
    fn receive(&mut self, at: usize) -> Result<usize, ArchiveError> {
        let bytes = self.count.get();
        let read = read_some(&mut self.inner, &mut self.buffer[at..]).map_err(|cause| ArchiveError::Input { bytes, cause })?;
        self.hash.update(&self.buffer[at..at + read]);
        self.end = at + read;
        self.count.set(bytes + read as u64);
        if self.count.get() > self.most {
            return Err(ArchiveError::limit(SOURCE_BYTES, self.most, "bytes"));
        }
        match (self.progress)(self.count.get()) {
            ControlFlow::Continue(()) => Ok(read),
            ControlFlow::Break(()) => Err(ArchiveError::Cancelled),
        }
    }
}

impl<R: Read> BufRead for Input<'_, '_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            self.start = 0;
            self.receive(0).map_err(ArchiveError::into_io)?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, bytes: usize) {
        self.start += bytes;
    }
}

impl<R: Read> Read for Input<'_, '_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let ready = self.fill_buf()?;
        let count = ready.len().min(buffer.len());
        buffer[..count].copy_from_slice(&ready[..count]);
        self.consume(count);
        Ok(count)
    }
}
