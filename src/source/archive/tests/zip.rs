//! Zips made byte by byte, so that they can be as wrong as they like.

use flate2::Crc;
use flate2::bufread::DeflateEncoder;

use super::*;
use crate::support::limits;

/// An entry as both its headers have it, and what one of them says otherwise.
#[derive(Clone)]
pub struct One {
    name: Vec<u8>,
    local_name: Option<Vec<u8>>,
    flags: u16,
    method: u16,
    local_method: Option<u16>,
    crc: u32,
    stored: Vec<u8>,
    size: u32,
    local_size: Option<u32>,
    made_by: u16,
    attributes: u32,
    extra: Vec<u8>,
    local_extra: Vec<u8>,
    /// Behind the body.
    behind: Vec<u8>,
    /// Added to the place the directory gives.
    shift: u32,
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    DeflateEncoder::new(bytes, Compression::best()).read_to_end(&mut out).unwrap();
    out
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// A deflated file, made on Unix.
pub fn one(name: &str, body: &str) -> One {
    One {
        name: name.into(),
        local_name: None,
        flags: 0,
        method: 8,
        local_method: None,
        crc: crc(body.as_bytes()),
        stored: deflated(body.as_bytes()),
        size: u32::try_from(body.len()).unwrap(),
        local_size: None,
        made_by: 0x031e,
        attributes: if name.ends_with('/') { 0o040_755 << 16 } else { 0o100_644 << 16 },
        extra: Vec::new(),
        local_extra: Vec::new(),
        behind: Vec::new(),
        shift: 0,
    }
}

pub fn stored(name: &str, body: &str) -> One {
    One { method: 0, stored: body.into(), ..one(name, body) }
}

fn link(name: &str, target: &str) -> One {
    One { attributes: 0o120_777 << 16, ..stored(name, target) }
}

fn put(out: &mut Vec<u8>, fields: &[(usize, u64)]) {
    for (bytes, value) in fields {
        out.extend_from_slice(&value.to_le_bytes()[..*bytes]);
    }
}

/// The local headers and bodies, and the directory.
fn halves(entries: &[One]) -> (Vec<u8>, Vec<u8>) {
    let (mut front, mut directory) = (Vec::new(), Vec::new());
    for one in entries {
        let offset = front.len() as u64 + u64::from(one.shift);
        let local = one.local_name.as_ref().unwrap_or(&one.name);
        let length = one.stored.len() as u64;
        let known = [(4, one.crc.into()), (4, length), (4, one.local_size.unwrap_or(one.size).into())];
        let late = one.flags & 8 != 0 && one.local_size.is_none();
        front.extend_from_slice(b"PK\x03\x04");
        put(&mut front, &[(2, 20), (2, one.flags.into()), (2, one.local_method.unwrap_or(one.method).into()), (4, 0x5a21_0000)]);
        put(&mut front, &if late { [(4, 0); 3] } else { known });
        put(&mut front, &[(2, local.len() as u64), (2, one.local_extra.len() as u64)]);
        front.extend_from_slice(&[&local[..], &one.local_extra, &one.stored, &one.behind].concat());
        directory.extend_from_slice(b"PK\x01\x02");
        put(&mut directory, &[(2, one.made_by.into()), (2, 20), (2, one.flags.into()), (2, one.method.into()), (4, 0x5a21_0000)]);
        put(&mut directory, &[(4, one.crc.into()), (4, length), (4, one.size.into()), (2, one.name.len() as u64)]);
        put(&mut directory, &[(2, one.extra.len() as u64), (2, 0), (2, 0), (2, 0), (4, one.attributes.into()), (4, offset)]);
        directory.extend_from_slice(&[&one.name[..], &one.extra].concat());
    }
    (front, directory)
}

fn end(entries: u64, bytes: u64, at: u64, comment: &[u8]) -> Vec<u8> {
    let mut out = b"PK\x05\x06".to_vec();
    put(&mut out, &[(4, 0), (2, entries), (2, entries), (4, bytes), (4, at), (2, comment.len() as u64)]);
    [&out[..], comment].concat()
}

pub fn zip(entries: &[One]) -> Vec<u8> {
    let (front, directory) = halves(entries);
    let end = end(entries.len() as u64, directory.len() as u64, front.len() as u64, b"");
    [front, directory, end].concat()
}

#[track_caller]
fn refused(bytes: &[u8], rule: &str) {
    let error = read(bytes).expect_err(rule);
    assert_eq!(error.reason(), Reason::SourceRefused, "{error}");
    assert!(error.to_string().contains(rule), "{error}, not {rule}");
}

#[test]
fn a_zip_with_a_comment_and_one_with_nothing_are_zips() {
    let (front, directory) = halves(&[stored("x", "1")]);
    let commented = [&front[..], &directory, &end(1, directory.len() as u64, front.len() as u64, b"6f1e6f1e")].concat();
    assert_eq!(shown(&read(&commented).unwrap())["x"], "f644 1");
    assert!(shown(&read(&end(0, 0, 0, b"")).unwrap()).is_empty());
    let entries = [one("d/", ""), one("d/x", "text"), stored("y", "more"), link("l", "../up"), one("e/z", "")];
    let tree = read(&zip(&entries)).unwrap();
    let want = [("d", "d755"), ("d/x", "f644 text"), ("e", "d755"), ("e/z", "f644 "), ("l", "l ../up"), ("y", "f644 more")];
    assert_eq!(shown(&tree), want.map(|(name, text)| (name.into(), text.into())).into());
    assert_eq!(tree.lookup(&path("y")).unwrap().unwrap().modified.seconds, 1_736_467_200 - 9 * 86_400, "2025-01-01 in DOS's words");
    assert_eq!(shown(&read_with(&zip(&entries), &ArchiveOptions { strip_components: 1, ..options() }).unwrap())["z"], "f644 ");
}

#[test]
fn bodies_are_read_many_times_and_at_once() {
    let tree = read(&zip(&[one("a", &"a".repeat(300_000)), stored("b", "b")])).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..4 {
                    assert!(tree.read(&path("a"), u64::MAX).unwrap().unwrap() == "a".repeat(300_000).as_bytes());
                    assert_eq!(tree.read(&path("b"), 9).unwrap().unwrap(), b"b");
                }
            });
        }
    });
}

#[test]
fn a1_names_that_point_out_refuse_the_whole_zip() {
    for (name, rule) in [
        ("../outside.txt", "`..`"),
        ("a/../../b", "`..`"),
        ("..", "`..`"),
        ("/etc/passwd", "absolute"),
        ("", "empty"),
        ("..\\outside.txt", "backslash"),
        ("a\\b", "backslash"),
        ("a\0b", "NUL"),
    ] {
        refused(&zip(&[stored("good", "x"), stored(name, "x")]), rule);
        if !name.ends_with('/') {
            refused(&zip(&[stored("good", "x"), link(name, "x")]), rule);
        }
    }
    refused(&zip(&[stored(&"a/".repeat(257), "")]), "deeper than");
    refused(&zip(&[stored(&"a".repeat(256), "")]), "longer than");
}

#[test]
fn a2_links_lead_nowhere_and_names_are_there_once() {
    refused(&zip(&[link("l", "/tmp"), stored("l/x", "evil")]), "below \"l\", a symbolic link");
    refused(&zip(&[stored("d/x", "1"), link("d", "/tmp")]), "was a directory before");
    refused(&zip(&[stored("x", "1"), stored("x", "2")]), "another entry has its name");
    refused(&zip(&[stored("x", "1"), stored("./x", "2")]), "another entry has its name");
    refused(&zip(&[link("x", "1"), link("x", "2")]), "another entry has its name");
    refused(&zip(&[stored("x", "1"), link("x", "2")]), "another entry has its name");
    refused(&zip(&[stored("x", "1"), one("x/", "")]), "was a file before");
    refused(&zip(&[link("x", "")]), "links to nothing");
    refused(&zip(&[link("x", &"t".repeat(4096))]), "4095");
    refused(&zip(&[link("x", "a\0b")]), "NUL");
    assert!(read(&zip(&[one("d/", ""), stored("d/x", "1"), one("d/", "")])).is_ok());
    // Only Unix's attributes make a link; to others it may be one all the same.
    refused(&zip(&[One { made_by: 0x0014, ..link("x", "/etc") }]), "to some readers");
}

/// Both headers of an entry, which readers differ in believing.
#[test]
fn a3_the_two_headers_of_an_entry_agree() {
    let [good, other] = [one("good", "good"), one("other", "other")];
    let bad = |one: One| zip(&[good.clone(), one, other.clone()]);
    refused(&bad(One { local_name: Some(b"smuggled".into()), ..stored("x", "1") }), "name it differently");
    refused(&bad(One { local_method: Some(8), ..stored("x", "1") }), "how it is stored");
    refused(&bad(One { local_size: Some(9), ..stored("x", "1") }), "size or sum");
    refused(&bad(One { extra: [&b"up\x07\0\x01\0\0\0\0"[..], b"yy"].concat(), ..stored("x", "1") }), "two names");
    refused(&bad(One { extra: b"\x55\x54\x50\0".to_vec(), ..stored("x", "1") }), "malformed");
    refused(&bad(One { extra: b"\x01\0\x04\0\0\0\0\0".to_vec(), ..stored("x", "1") }), "zip64");
    refused(&bad(One { size: u32::MAX, local_size: Some(1), ..stored("x", "1") }), "disagree");
    refused(&bad(One { flags: 1, ..stored("x", "1") }), "encrypted");
    refused(&bad(One { flags: 1 << 6, ..stored("x", "1") }), "encrypted");
    refused(&bad(One { flags: 1 << 5, ..stored("x", "1") }), "flags");
    for (method, name) in [(9, "deflate64"), (12, "bzip2"), (14, "LZMA"), (93, "zstd"), (95, "xz"), (99, "encryption"), (1, "method 1")] {
        refused(&bad(One { method, ..stored("x", "1") }), name);
    }
    let raw = |name: &[u8], flags, made_by| bad(One { name: name.into(), flags, made_by, ..stored("x", "1") });
    assert_eq!(entries(&read(&raw(b"\xfc", 0, 0x031e)).unwrap()).last().unwrap().path, TreePath::parse(b"\xfc").unwrap());
    refused(&raw(b"\xfc", 1 << 11, 0x031e), "not");
    refused(&raw(b"\xfc", 0, 0x0014), "unknown charset");
    assert!(read(&raw("ü".as_bytes(), 1 << 11, 0x0014)).is_ok());
}

#[test]
fn a3_nothing_stands_before_between_or_behind() {
    let entries = [stored("a", "1"), one("b", "2"), stored("c", "3")];
    let whole = zip(&entries);
    refused(&[&b"#!/bin/sh\n".repeat(60)[..], &whole].concat(), "none that is read");
    // With something before it whose magic is right, all places shifted or not.
    refused(&[b"PK\x03\x04junk", &whole[..]].concat(), "directory does not end");
    let (front, directory) = halves(&[One { behind: b"junk".into(), ..stored("a", "1") }, stored("b", "2")]);
    let ends = |directory: &[u8], at: usize| [&front[..], directory, &end(2, directory.len() as u64, at as u64, b"")].concat();
    refused(&ends(&directory, front.len()), "something stands between");
    refused(&zip(&[One { behind: vec![0; 512], ..stored("a", "1") }]), "something stands between");
    for tail in [&b"x"[..], b"junk", &[0; 30], &whole] {
        let error = read(&[&whole[..], tail].concat()).unwrap_err();
        assert_eq!(error.reason(), Reason::SourceRefused, "{error}");
    }
    let (front, directory) = halves(&entries);
    let number = entries.len() as u64;
    let made = |count: u64, bytes: usize, at: usize| [&front[..], &directory, &end(count, bytes as u64, at as u64, b"")].concat();
    assert!(read(&made(number, directory.len(), front.len())).is_ok());
    refused(&made(number + 1, directory.len(), front.len()), "directory ends within an entry");
    refused(&made(number - 1, directory.len(), front.len()), "more than its entries");
    refused(&made(number, directory.len() - 1, front.len()), "does not end where");
    refused(&made(number, directory.len() + 1, front.len() - 1), "no entry");
    refused(&made(0, 0, 0), "does not end where");
    // A record that hides in the comment of another, each of them right by itself.
    let inner = end(0, 0, 0, b"");
    let hidden = [&front[..], &directory, &end(number, directory.len() as u64, front.len() as u64, &inner)].concat();
    refused(&hidden, "two end records");
}

#[test]
fn a4_bodies_that_overlap_are_refused() {
    // One body for two entries, as the overlapping bombs have it.
    let (front, directory) = halves(&[stored("a", "1")]);
    let twice = [&directory[..], &directory].concat();
    refused(&[&front[..], &twice, &end(2, twice.len() as u64, front.len() as u64, b"")].concat(), "share one body");
    // A quoted header: the second entry lies within the first one's body.
    let (inner, mut inside) = halves(&[stored("inner", "bomb")]);
    let quoting = One { stored: inner.clone(), size: u32::try_from(inner.len()).unwrap(), crc: crc(&inner), ..stored("outer", "") };
    let (front, directory) = halves(&[quoting]);
    let shift = u32::try_from(front.len() - inner.len()).unwrap();
    let at = inside.len() - b"inner".len() - 4;
    inside[at..at + 4].copy_from_slice(&shift.to_le_bytes());
    let both = [&directory[..], &inside].concat();
    refused(&[&front[..], &both, &end(2, both.len() as u64, front.len() as u64, b"")].concat(), "overlaps");
    refused(&zip(&[stored("a", "1"), One { shift: 1, ..stored("b", "2") }, stored("c", "3")]), "");
    refused(&zip(&[stored("a", "1"), One { shift: 1 << 20, ..stored("b", "2") }]), "");
}

#[test]
fn a4_the_sizes_are_bounds_and_bounded() {
    let zeros = "\0".repeat(4 << 20);
    let lie = One { size: 10, local_size: Some(10), ..one("x", &zeros) };
    refused(&zip(&[lie]), "more bytes than its headers say");
    let limits = Limits { object_bytes: 1000, ..Limits::default() };
    let error = read_with(&zip(&[one("x", &zeros)]), &ArchiveOptions { limits, ..options() }).unwrap_err().to_string();
    assert!(error.contains("--limit-object-bytes") && error.contains("\"x\""), "{error}");
    let limits = Limits { source_bytes: 6 << 20, ..Limits::default() };
    let many = [one("x", &zeros), one("y", &zeros)];
    let error = read_with(&zip(&many), &ArchiveOptions { limits, ..options() }).unwrap_err();
    assert!(matches!(error, ArchiveError::Limit { limit: limits::SOURCE_BYTES, .. }), "{error}");
    let many: Vec<One> = (0..18).map(|n| one(&n.to_string(), &zeros)).collect();
    let error = read(&zip(&many)).unwrap_err();
    assert!(matches!(error, ArchiveError::Limit { limit: limits::COMPRESSION_RATIO, .. }), "{error}");
    let limits = Limits { source_entries: 10, ..Limits::default() };
    let many: Vec<One> = (0..11).map(|n| stored(&n.to_string(), "")).collect();
    for entries in [many, vec![stored(&"d/".repeat(11), "")]] {
        let error = read_with(&zip(&entries), &ArchiveOptions { limits: limits.clone(), ..options() }).unwrap_err();
        assert!(matches!(error, ArchiveError::Limit { limit: limits::SOURCE_ENTRIES, .. }), "{error}");
    }
}

#[test]
fn a6_what_no_context_holds_is_refused() {
    for (kind, rule) in [(0o020_000, "a device"), (0o060_000, "a device"), (0o010_000, "a named pipe"), (0o140_000, "a socket")] {
        refused(&zip(&[One { attributes: (kind | 0o644) << 16, ..stored("x", "") }]), rule);
    }
    refused(&zip(&[One { attributes: 0o040_755 << 16, ..stored("x", "") }]), "disagree about what it is");
    refused(&zip(&[One { attributes: 0o100_644 << 16, ..stored("x/", "") }]), "disagree about what it is");
    refused(&zip(&[One { attributes: 0x10, made_by: 0x0014, ..stored("x", "") }]), "disagree about what it is");
    refused(&zip(&[stored("x/", "body")]), "directory and has a body");
    let tree =
        read(&zip(&[One { attributes: 0o104_711 << 16, ..stored("su", "") }, One { made_by: 20, attributes: 32, ..stored("dos", "") }]))
            .unwrap();
    assert_eq!((shown(&tree)["su"].as_str(), shown(&tree)["dos"].as_str()), ("f4711 ", "f644 "));
}

#[test]
fn a7_every_cut_is_incomplete_and_every_flipped_bit_seen() {
    let whole = zip(&[one("d/", ""), one("d/x", "text text text text"), stored("y", "more"), link("l", "d/x")]);
    let want = shown(&read(&whole).unwrap());
    for cut in 0..whole.len() {
        let error = read(&whole[..cut]).unwrap_err();
        assert!(matches!(error.reason(), Reason::SourceIntegrity | Reason::SourceRefused), "{cut}: {error}");
        assert!(cut < 4 || error.reason() == Reason::SourceIntegrity, "{cut}: {error}");
    }
    for at in 0..whole.len() {
        for bit in [1, 0x80] {
            let mut bad = whole.clone();
            bad[at] ^= bit;
            // A time, a mode or a version may change; no body and no name may.
            if let Ok(tree) = read(&bad) {
                let bodies = |shown: &BTreeMap<String, String>| {
                    shown.iter().map(|(n, t)| (n.clone(), t.split_once(' ').map(|x| x.1.to_owned()))).collect::<Vec<_>>()
                };
                assert_eq!(bodies(&shown(&tree)), bodies(&want), "{at} {bit}");
            }
        }
    }
}

#[test]
fn a7_sums_and_descriptors_are_compared() {
    assert!(matches!(read(&zip(&[One { crc: 1, ..stored("x", "1") }])), Err(ArchiveError::Damaged(_))));
    assert!(matches!(read(&zip(&[One { crc: 1, ..one("d/", "") }])), Err(ArchiveError::Damaged(_))));
    let junk = One { stored: vec![0xff; 9], ..one("x", "1") };
    assert!(matches!(read(&zip(&[junk])), Err(ArchiveError::Damaged(_))));
    let longer = One { stored: [deflated(b"1"), b"junk".into()].concat(), ..one("x", "1") };
    refused(&zip(&[longer]), "follows its deflate stream");
    refused(&zip(&[One { size: 2, ..one("x", "1") }]), "fewer bytes");
    let with = |behind: Vec<u8>| zip(&[One { flags: 8, behind, ..one("x", "1") }, stored("y", "2")]);
    let (sum, length) = (crc(b"1"), deflated(b"1").len() as u64);
    for signature in [&b""[..], b"PK\x07\x08"] {
        for wide in [4, 8] {
            let mut behind = signature.to_vec();
            put(&mut behind, &[(4, sum.into()), (wide, length), (wide, 1)]);
            assert_eq!(shown(&read(&with(behind.clone())).unwrap())["x"], "f644 1");
            *behind.last_mut().unwrap() ^= 1;
            refused(&with(behind), "descriptor");
        }
    }
    refused(&with(Vec::new()), "descriptor");
    refused(&with(b"PK\x07\x08".to_vec()), "descriptor");
}

#[test]
fn zip64_says_the_same_or_is_refused() {
    let wide = |values: &[u64]| {
        let mut extra = vec![1, 0, u8::try_from(values.len() * 8).unwrap(), 0];
        extra.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        extra
    };
    let x = || One { size: u32::MAX, extra: wide(&[1]), local_size: Some(1), ..stored("x", "1") };
    assert_eq!(shown(&read(&zip(&[x()])).unwrap())["x"], "f644 1");
    let both = One { local_size: Some(u32::MAX), local_extra: wide(&[1, 1]), ..x() };
    // The stored size stays narrow in the hand-made local header.
    assert_eq!(shown(&read(&zip(std::slice::from_ref(&both))).unwrap())["x"], "f644 1");
    refused(&zip(&[One { local_extra: wide(&[2, 1]), ..both }]), "size or sum");
    // As Go writes it: a place that would not have needed it.
    assert!(read(&zip(&[One { extra: wide(&[1, 0]), ..x() }])).is_ok());
    refused(&zip(&[One { extra: wide(&[1, 7]), ..x() }]), "zip64");
    refused(&zip(&[One { extra: wide(&[]), ..x() }]), "zip64");
    refused(&zip(&[One { extra: [wide(&[1]), wide(&[1])].concat(), ..x() }]), "twice");

    let (front, directory) = halves(&[stored("x", "1")]);
    let (at, bytes) = (front.len() as u64, directory.len() as u64);
    let ended = |entries: u64, bytes: u64, at: u64, narrow: Vec<u8>| {
        let mut tail = b"PK\x06\x06".to_vec();
        put(&mut tail, &[(8, 44), (2, 45), (2, 45), (4, 0), (4, 0), (8, entries), (8, entries), (8, bytes), (8, at)]);
        tail.extend_from_slice(b"PK\x06\x07");
        put(&mut tail, &[(4, 0), (8, (front.len() + directory.len()) as u64), (4, 1)]);
        [&front[..], &directory, &tail, &narrow].concat()
    };
    for narrow in [end(1, bytes, at, b""), end(0xffff, 0xffff_ffff, 0xffff_ffff, b"")] {
        assert_eq!(shown(&read(&ended(1, bytes, at, narrow)).unwrap())["x"], "f644 1");
    }
    refused(&ended(1, bytes, at, end(0, 0, 0, b"")), "two end records disagree");
    refused(&ended(2, bytes, at, end(0xffff, 0xffff_ffff, 0xffff_ffff, b"")), "within an entry");
    refused(&ended(1, bytes, u64::MAX, end(0xffff, 0xffff_ffff, 0xffff_ffff, b"")), "disagree");
    refused(&ended(u64::MAX, bytes, at, end(0xffff, 0xffff_ffff, 0xffff_ffff, b"")), "limits.sourceEntries");
}

#[test]
fn a8_the_digest_is_that_of_the_zip() {
    use sha2::Digest as _;
    let bytes = zip(&[one("x", "1")]);
    let digest = Digest::sha256(sha2::Sha256::digest(&bytes));
    let tree = read_with(&bytes, &ArchiveOptions { digests: asked(digest.clone()), ..options() }).unwrap();
    assert_eq!(tree.revision().digest, Some(digest.to_string()));
    let error = read_with(b"PK\x03\x04 and nothing", &ArchiveOptions { digests: asked(digest), ..options() }).unwrap_err();
    assert!(matches!(error, ArchiveError::Digest { .. }), "{error}");
}
