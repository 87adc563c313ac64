//! Archives that are small outside and large inside: the bound is met before the memory or the disk is.

use std::cell::Cell;
use std::io;

use super::*;
use crate::support::limits::{self, RATIO_FROM};

/// Repeats one piece without end.
struct Endless<'a> {
    piece: &'a [u8],
    at: usize,
    given: &'a Cell<u64>,
}

impl Read for Endless<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = (&self.piece[self.at..]).read(buffer)?;
        self.at = (self.at + count) % self.piece.len();
        self.given.set(self.given.get() + count as u64);
        Ok(count)
    }
}

/// What the error was, and how many bytes of the endless stream it took.
fn feed(first: &[u8], piece: &[u8], limits: Limits) -> (ArchiveError, u64) {
    let given = Cell::new(0);
    let reader = first.chain(Endless { piece, at: 0, given: &given });
    let options = ArchiveOptions { limits, ..options() };
    let error = receive(reader, &options, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert_eq!(error.reason(), Reason::SourceRefused, "{error}");
    (error, given.get())
}

#[test]
fn a4_a_bomb_is_stopped_at_the_ratio_wherever_its_end_is() {
    let head = gzip(&Raw::new().header(b'0', b"zeros", b"", 3 << 30).0);
    let zeros = gzip(&vec![0; 8 << 20]);
    let (error, given) = feed(&head, &zeros, Limits::default());
    assert!(matches!(error, ArchiveError::Limit { limit: limits::COMPRESSION_RATIO, value: 200, .. }), "{error}");
    // 64 MiB of zeros and a little are all that was ever unpacked.
    assert!(given < (RATIO_FROM / (8 << 20) + 12) * zeros.len() as u64, "{given} bytes of members that hold {} each", 8 << 20);
}

#[test]
fn a4_bytes_are_bounded_on_both_sides_of_the_decompression() {
    let limits = Limits { source_bytes: 1 << 20, ..Limits::default() };
    let noise: Vec<u8> = (0u32..100_000).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let head = Raw::new().header(b'0', b"noise", b"", 3 << 30).0;
    let (error, given) = feed(&head, &noise, limits.clone());
    assert!(matches!(error, ArchiveError::Limit { limit: limits::SOURCE_BYTES, value: 1_048_576, .. }), "{error}");
    assert!(given < 3 << 20);
    let (error, _) = feed(&gzip(&head), &gzip(&noise), limits.clone());
    assert!(matches!(error, ArchiveError::Limit { limit: limits::SOURCE_BYTES, .. }), "{error}");
    // Members that hold nothing still count as what came.
    let (error, given) = feed(&gzip(&head), &gzip(b""), limits);
    assert!(matches!(error, ArchiveError::Limit { limit: limits::SOURCE_BYTES, .. }), "{error}");
    assert!(given < 3 << 20);
}

#[test]
fn a4_a_limit_names_the_largest_files() {
    let options = |limits| ArchiveOptions { limits, ..options() };
    let bytes = Limits { source_bytes: 3 << 20, ..Limits::default() };
    let noise = |size: usize| "0123456789abcdef".repeat(size / 16);
    let tar = Raw::new().file("small", "1").file("lib/large", &noise(1 << 20)).file("lib/huge", &noise(4 << 20)).end();
    for packed in [tar.clone(), gzip(&tar)] {
        let error = read_with(&packed, &options(bytes.clone())).unwrap_err().to_string();
        let named = "; the largest so far: \"lib/huge\" (4194304 bytes), \"lib/large\" (1048576 bytes), \"small\" (1 bytes)";
        assert!(error.contains("--limit-source-bytes") && error.ends_with(named), "{error}");
    }
    let entries = Limits { source_entries: 2, ..Limits::default() };
    let error = read_with(&tar, &options(entries)).unwrap_err().to_string();
    assert!(error.contains("--limit-source-entries") && error.contains("\"lib/large\" (1048576 bytes)"), "{error}");
}

#[test]
fn a4_entries_are_bounded_the_implied_ones_too() {
    let limits = Limits { source_entries: 100, ..Limits::default() };
    let options = ArchiveOptions { limits, ..options() };
    let files = |count: usize| (0..count).fold(Raw::new(), |raw, n| raw.file(&n.to_string(), "")).end();
    assert_eq!(entries(&read_with(&files(100), &options).unwrap()).len(), 100);
    let same = (0..101).fold(Raw::new(), |raw, _| raw.file("x", "")).end();
    let deep = Raw::new().file(&"d/".repeat(49), "").long(b'L', "e/".repeat(52).as_bytes()).dir("x").end();
    for bytes in [files(101), same, deep] {
        let error = read_with(&bytes, &options).unwrap_err();
        assert!(matches!(error, ArchiveError::Limit { limit: limits::SOURCE_ENTRIES, value: 100, .. }), "{error}");
    }
}

#[test]
fn a4_one_file_is_bounded_by_what_its_header_says() {
    let limits = Limits { object_bytes: 1000, ..Limits::default() };
    let options = ArchiveOptions { limits, ..options() };
    assert!(read_with(&Raw::new().file("x", &"1".repeat(1000)).end(), &options).is_ok());
    let huge = u64::MAX.to_string();
    for bytes in [
        Raw::new().file("big", &"1".repeat(1001)).end(),
        Raw::new().header(b'0', b"big", b"", 8 << 30).end(),
        Raw::new().pax(b'x', &[("size", huge.as_bytes())]).file("big", "").end(),
    ] {
        let error = read_with(&bytes, &options).unwrap_err().to_string();
        assert!(error.contains("--limit-object-bytes") && error.contains("\"big\""), "{error}");
    }
    // Without the bound, a size that no archive has is one that ends too early.
    let none = ArchiveOptions { limits: Limits { object_bytes: u64::MAX, ..Limits::default() }, ..options };
    let bytes = Raw::new().pax(b'x', &[("size", huge.as_bytes())]).file("big", "").end();
    assert_eq!(read_with(&bytes, &none).unwrap_err().reason(), Reason::SourceIntegrity);
}

#[test]
fn a4_extended_headers_and_names_are_bounded() {
    let record = |bytes: usize| vec![b'x'; bytes];
    assert!(read(&Raw::new().pax(b'x', &[("comment", &record(1_000_000))]).file("x", "").end()).is_ok());
    assert_refused(&Raw::new().pax(b'x', &[("comment", &record(1 << 20))]).file("x", "").end(), "more than 1048576 bytes");
    assert!(read(&Raw::new().pax(b'g', &[("comment", &record(65_000))]).file("x", "").end()).is_ok());
    assert_refused(&Raw::new().pax(b'g', &[("comment", &record(1 << 16))]).file("x", "").end(), "more than 65536 bytes");
    assert_refused(&Raw::new().header(b'L', b"x", b"", 1 << 40).end(), "more than 1048576 bytes");
    let targets = (0..18_000).fold(Raw::new(), |raw, n| raw.pax(b'x', &[("linkpath", &[b't'; 4000])]).symlink(&n.to_string(), "")).end();
    let error = read(&targets).unwrap_err();
    assert!(error.to_string().contains("names of the archive have more than 67108864 bytes"), "{error}");
}

#[test]
fn a4_a_hundred_thousand_entries_cost_some_megabytes() {
    let mut raw = Raw::new();
    for n in 0..100_000 {
        raw = raw.file(&format!("dir-{}/sub/some-module-name-{n}.rs", n % 1000), "");
    }
    let tree = read(&raw.end()).unwrap();
    assert_eq!(entries(&tree).len(), 102_000);
    assert!(tree.memory() < 10 << 20, "{} bytes", tree.memory());
}
