//! Sparse files (the threat A6), by GNU tar in all four of its ways, and by hand where it would not write them.

use std::os::unix::fs::{FileExt, MetadataExt};

use super::oracle::by_gnu;
use super::*;
use crate::support::limits;

const WAYS: [(&str, &str); 4] = [("gnu", "1.0"), ("posix", "0.0"), ("posix", "0.1"), ("posix", "1.0")];

fn by_tar(root: &Path, way: (&str, &str)) -> Vec<u8> {
    by_gnu(root, &["--sparse", &format!("--format={}", way.0), &format!("--sparse-version={}", way.1)])
}

/// A file with a hole of a mebibyte before each of so many pieces, and one behind the last.
fn holes(path: &Path, pieces: u64) -> Vec<u8> {
    let file = File::create(path).unwrap();
    for piece in 0..pieces {
        file.write_all_at(&vec![b'a' + u8::try_from(piece % 26).unwrap(); 4096], (piece + 1) << 20).unwrap();
    }
    file.set_len((pieces + 2) << 20).unwrap();
    std::fs::read(path).unwrap()
}

#[test]
fn a6_sparse_files_come_out_as_tar_expands_them() {
    let home = tempfile::tempdir().unwrap();
    let long = "l".repeat(120);
    for (name, pieces) in [("none", 0), ("one", 1), ("four", 4), ("five", 5), (&long, 60)] {
        let whole = holes(&home.path().join(name), pieces);
        for way in WAYS {
            let bytes = by_tar(home.path(), way);
            assert!(bytes.len() < 1 << 20, "{way:?} is not sparse");
            let tree = read(&bytes).unwrap();
            assert!(tree.read(&path(name), u64::MAX).unwrap().unwrap() == whole, "{way:?} {name}");
            assert_eq!(entries(&tree).len(), 1, "{way:?} {name}");
        }
        std::fs::remove_file(home.path().join(name)).unwrap();
    }
    // Among others, with a second name, and in a stream.
    holes(&home.path().join("b"), 3);
    std::fs::write(home.path().join("a"), "small").unwrap();
    std::fs::write(home.path().join("z"), "last").unwrap();
    std::fs::hard_link(home.path().join("b"), home.path().join("c")).unwrap();
    for way in WAYS {
        let tree = read(&gzip(&by_tar(home.path(), way))).unwrap();
        let [b, c] = ["b", "c"].map(|name| tree.read(&path(name), u64::MAX).unwrap().unwrap());
        assert!(b == c && b == std::fs::read(home.path().join("b")).unwrap());
        assert_eq!((shown(&tree)["a"].as_str(), shown(&tree)["z"].as_str()), ("f644 small", "f644 last"));
    }
}

#[test]
fn a6_a_sparse_terabyte_meets_the_limits() {
    let home = tempfile::tempdir().unwrap();
    File::create(home.path().join("huge")).unwrap().set_len(1 << 40).unwrap();
    for way in WAYS {
        let bytes = by_tar(home.path(), way);
        let error = read(&bytes).unwrap_err();
        assert!(error.reason() == Reason::SourceRefused && error.to_string().contains("--limit-object-bytes"), "{error}");
        let limits = Limits { object_bytes: u64::MAX, ..Limits::default() };
        let error = read_with(&bytes, &ArchiveOptions { limits, ..options() }).unwrap_err();
        assert!(matches!(error, ArchiveError::Limit { limit: limits::SOURCE_BYTES, .. }), "{error}");
        let limits = Limits { object_bytes: u64::MAX, source_bytes: u64::MAX, ..Limits::default() };
        let error = read_with(&bytes, &ArchiveOptions { limits, ..options() }).unwrap_err();
        assert!(matches!(error, ArchiveError::Limit { limit: limits::COMPRESSION_RATIO, .. }), "{error}");
    }
    // Many small ones are one large one.
    std::fs::remove_file(home.path().join("huge")).unwrap();
    for name in 0..8 {
        File::create(home.path().join(name.to_string())).unwrap().set_len(10 << 20).unwrap();
    }
    let error = read(&by_tar(home.path(), WAYS[0])).unwrap_err();
    assert!(matches!(error, ArchiveError::Limit { limit: limits::COMPRESSION_RATIO, .. }), "{error}");
}

#[test]
fn holes_take_no_room_in_the_workspace() {
    let home = tempfile::tempdir().unwrap();
    holes(&home.path().join("x"), 40);
    let tree = read(&by_tar(home.path(), WAYS[0])).unwrap();
    let spool = tree.spool().metadata().unwrap();
    assert!(spool.len() > 40 << 20 && spool.blocks() * 512 < 2 << 20, "{} bytes in {} blocks", spool.len(), spool.blocks());
}

/// Old GNU's block with these pieces, and a body.
fn old(pieces: &[(u64, u64)], size: u64, body: &[u8]) -> Raw {
    let raw = Raw::new().header(b'S', b"x", b"", body.len() as u64);
    let raw = raw.patch(|block| {
        block[257..265].copy_from_slice(b"ustar  \0");
        for (index, (at, bytes)) in pieces.iter().enumerate() {
            block[386 + index * 24..][..24].copy_from_slice(format!("{at:011o}\0{bytes:011o}\0").as_bytes());
        }
        block[483..495].copy_from_slice(format!("{size:011o}\0").as_bytes());
    });
    raw.body(body)
}

#[test]
fn a6_a_map_is_right_or_refused() {
    assert_eq!(shown(&read(&old(&[(2, 3)], 6, b"abc").end()).unwrap())["x"], "f644 \0\0abc\0");
    assert_eq!(shown(&read(&old(&[(0, 1), (3, 2)], 5, b"abc").end()).unwrap())["x"], "f644 a\0\0bc");
    assert_refused(&old(&[(0, 2), (1, 1)], 5, b"abc").end(), "overlap");
    assert_refused(&old(&[(3, 2), (0, 1)], 5, b"abc").end(), "out of order");
    assert_refused(&old(&[(3, 3)], 5, b"abc").end(), "behind its end");
    assert_refused(&old(&[(0o7_777_777_777, 3)], 5, b"abc").end(), "behind its end");
    assert_refused(&old(&[(0, 2)], 5, b"abc").end(), "not what is stored");
    assert_refused(&old(&[(0, 4)], 5, b"abc").end(), "not what is stored");
    assert_refused(&old(&[], 5, b"abc").end(), "not what is stored");
    let posix = Raw::new().header(b'S', b"x", b"", 0).patch(|block| block[483..495].copy_from_slice(b"00000000000\0"));
    assert_refused(&posix.end(), "GNU's own format");

    let pax = |records: &[(&str, &str)], body: &str| {
        let records: Vec<(&str, &[u8])> = records.iter().map(|(key, value)| (*key, value.as_bytes())).collect();
        Raw::new().pax(b'x', &records).file("x", body).end()
    };
    let [size, name] = [("GNU.sparse.size", "6"), ("GNU.sparse.name", "y")];
    let good = pax(&[size, name, ("GNU.sparse.numblocks", "1"), ("GNU.sparse.map", "2,3")], "abc");
    assert_eq!(shown(&read(&good).unwrap())["y"], "f644 \0\0abc\0");
    for (records, rule) in [
        (&[size, ("GNU.sparse.numblocks", "2"), ("GNU.sparse.map", "2,3")][..], "malformed"),
        (&[size, ("GNU.sparse.numblocks", "1"), ("GNU.sparse.map", "2,3,4")], "malformed"),
        (&[size, ("GNU.sparse.map", "2,3")], "malformed"),
        (&[size, ("GNU.sparse.numblocks", "1"), ("GNU.sparse.offset", "2"), ("GNU.sparse.offset", "3")], "malformed"),
        (&[("GNU.sparse.numblocks", "1"), ("GNU.sparse.map", "2,3")], "no size"),
        (&[size, size, ("GNU.sparse.numblocks", "1"), ("GNU.sparse.map", "2,3")], "twice"),
        (&[size, ("GNU.sparse.major", "2"), ("GNU.sparse.minor", "0")], "version"),
        (&[size, ("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0")], "malformed"),
        (&[size, ("GNU.sparse.name", "../y"), ("GNU.sparse.numblocks", "1"), ("GNU.sparse.map", "2,3")], "`..`"),
    ] {
        assert_refused(&pax(records, "abc"), rule);
    }
    let head = |map: &str, body: &str| {
        let padded = format!("{map}{}{body}", "\0".repeat(512 - map.len()));
        pax(&[("GNU.sparse.realsize", "6"), name, ("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0")], &padded)
    };
    assert_eq!(shown(&read(&head("1\n2\n3\n", "abc")).unwrap())["y"], "f644 \0\0abc\0");
    for map in ["1\n2\n3", "1\n2\n3\nx", "\n2\n3\n", "1\n\n3\n", "1\n-2\n3\n", "99999999999999999999\n", "2\n2\n3\n"] {
        assert_refused(&head(map, "abc"), "malformed");
    }
    assert_refused(&head("70000\n0\n1\n", "abc"), "65536 pieces");
    // A directory, a link: not sparse, whatever the records say.
    let sparse: &[(&str, &[u8])] = &[("GNU.sparse.size", b"0"), ("GNU.sparse.numblocks", b"0"), ("GNU.sparse.map", b"")];
    assert_refused(&Raw::new().pax(b'x', sparse).symlink("x", "y").end(), "no file");
    assert_refused(&Raw::new().pax(b'x', sparse).file("x/", "").end(), "malformed");
}

#[test]
fn a7_a_sparse_file_that_is_cut_is_incomplete() {
    let home = tempfile::tempdir().unwrap();
    holes(&home.path().join("x"), 30);
    for way in WAYS {
        let bytes = by_tar(home.path(), way);
        for cut in (512..bytes.len() - 10_240).step_by(4096) {
            let error = read(&bytes[..cut]).unwrap_err();
            assert_eq!(error.reason(), Reason::SourceIntegrity, "{way:?} {cut}: {error}");
        }
    }
}
