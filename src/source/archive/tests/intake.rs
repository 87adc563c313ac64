//! How an archive comes in: cut, damaged, wrong, cancelled, or not at all.

use std::cell::Cell;
use std::io;

use proptest::prelude::*;

use super::*;

fn sample() -> Vec<u8> {
    let long = "long/".repeat(30) + "name";
    Raw::new()
        .pax(b'g', &[("comment", b"abc")])
        .dir("d")
        .file("d/empty", "")
        .file("d/small", "small")
        .file("d/block", &"b".repeat(512))
        .long(b'L', long.as_bytes())
        .file("short", &"x".repeat(1300))
        .symlink("l", "d/small")
        .pax(b'x', &[("mtime", b"1.5")])
        .hardlink("h", "d/small")
        .end()
}

#[test]
fn a7_an_archive_cut_anywhere_is_incomplete() {
    let whole = sample();
    assert_eq!(entries(&read(&whole).unwrap()).len(), 37);
    let end = whole.len() - 1024;
    for boundary in (0..=whole.len()).step_by(512) {
        for cut in [boundary.saturating_sub(1), boundary, boundary + 1] {
            // A lone block of zeros ends an archive, as GNU tar has it.
            let complete = cut >= end + 512;
            let cut = &whole[..cut.min(whole.len())];
            for bytes in [cut.to_vec(), gzip(cut)] {
                match read(&bytes) {
                    Ok(tree) => assert!(complete && entries(&tree).len() == 37, "{}", cut.len()),
                    Err(error) => assert!(!complete && error.reason() == Reason::SourceIntegrity, "{}: {error}", cut.len()),
                }
            }
        }
    }
}

#[test]
fn a7_a_cut_gzip_is_incomplete_and_a_damaged_one_damaged() {
    let whole = gzip(&sample());
    for cut in 0..whole.len() {
        let error = read(&whole[..cut]).unwrap_err();
        assert!(matches!(error, ArchiveError::Truncated(_)), "{cut}: {error}");
        assert_eq!((error.reason(), error.reason().retryable()), (Reason::SourceIntegrity, false));
    }
    let mut bad = whole.clone();
    let sum = bad.len() - 6;
    bad[sum] ^= 1;
    assert!(matches!(read(&bad), Err(ArchiveError::Damaged(_))));
}

#[test]
fn a7_nothing_follows_the_end() {
    let whole = sample();
    assert!(read(&[&whole[..], &[0; 10_240]].concat()).is_ok());
    assert!(read(&[&whole[..], &[0; 7]].concat()).is_ok());
    // Concatenated archives, junk, a single bit far behind.
    for tail in [&whole[..], b"x", &[&vec![0u8; 70_000][..], b"\x01"].concat()] {
        assert_refused(&[&whole[..], tail].concat(), "follows its end mark");
    }
    let lone = [&whole[..whole.len() - 512], &whole[..]].concat();
    assert_refused(&lone, "follows its end mark");
    let error = read(&[&gzip(&whole)[..], b"junk"].concat()).unwrap_err();
    assert!(error.reason() == Reason::SourceRefused && error.to_string().contains("end of its gzip"), "{error}");
    // A second member is part of the archive.
    let (one, two) = whole.split_at(700);
    assert_eq!(entries(&read(&[gzip(one), gzip(two)].concat()).unwrap()).len(), 37);
}

#[test]
fn a8_the_digest_is_compared_before_anything_else() {
    let (tar, tgz) = (sample(), gzip(&sample()));
    let sha256 = |bytes: &[u8]| {
        use sha2::Digest as _;
        Digest::sha256(sha2::Sha256::digest(bytes))
    };
    let expect = |bytes: &[u8], sha256: Digest| read_with(bytes, &ArchiveOptions { digests: asked(sha256), ..options() });
    let tree = expect(&tgz, sha256(&tgz)).unwrap();
    assert_eq!(tree.revision().digest, Some(sha256(&tgz).to_string()));
    assert_eq!(tree.revision().size, Some(tgz.len() as u64));
    // The digest is that of what came, not of what was in it.
    assert!(matches!(expect(&tgz, sha256(&tar)), Err(ArchiveError::Digest { .. })));
    // Whatever else is wrong with the bytes, being the wrong bytes comes first.
    let hostile = Raw::new().file("../x", "").end();
    let [cut, junk] = [&tgz[..tgz.len() / 2], b"<html>nothing here</html>"];
    let trailing = [&tgz[..], b"junk"].concat();
    for wrong in [&hostile[..], cut, junk, &trailing, b"", &gzip(&gzip(&tar))] {
        let error = expect(wrong, sha256(&tgz)).unwrap_err();
        assert!(matches!(error, ArchiveError::Digest { .. }), "{error}");
        assert_eq!(error.reason(), Reason::SourceIntegrity);
        // And with the right digest, the bytes speak for themselves.
        assert!(!matches!(expect(wrong, sha256(wrong)), Err(ArchiveError::Digest { .. }) | Ok(_)));
    }
}

/// Gives its bytes in small pieces, then fails.
struct Breaking<'a>(&'a [u8], io::ErrorKind);

impl Read for Breaking<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.len() {
            0 => Err(self.1.into()),
            left => self.0.read(&mut buffer[..left.min(7)]),
        }
    }
}

#[test]
fn a_transport_that_breaks_off_is_no_damaged_archive() {
    for bytes in [sample(), gzip(&sample())] {
        for cut in [0, 1, 511, 600, bytes.len()] {
            for kind in [io::ErrorKind::ConnectionReset, io::ErrorKind::UnexpectedEof] {
                let bytes = &bytes[..cut.min(bytes.len())];
                let error = receive(Breaking(bytes, kind), &options(), &mut |_| ControlFlow::Continue(())).unwrap_err();
                assert_eq!(error.reason(), Reason::SourceUnavailable, "{error}");
                assert!(error.to_string().contains(&format!("after {} bytes", bytes.len())), "{error}");
            }
        }
    }
}

#[test]
fn progress_counts_up_to_the_size_and_can_cancel() {
    let tgz = gzip(&sample());
    let last = Cell::new(0);
    receive(&tgz[..], &options(), &mut |bytes| {
        assert!(bytes >= last.replace(bytes));
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(last.get(), tgz.len() as u64);
    let error = receive(&tgz[..], &options(), &mut |_| ControlFlow::Break(())).unwrap_err();
    assert!(matches!(error, ArchiveError::Cancelled));
    // Also while the entries are read.
    let many = (0..3000).fold(Raw::new(), |raw, n| raw.file(&n.to_string(), "")).end();
    let calls = Cell::new(0);
    let error = receive(&many[..], &options(), &mut |bytes| {
        calls.set(calls.get() + usize::from(bytes == many.len() as u64));
        if calls.get() > 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(error, Err(ArchiveError::Cancelled)));
}

#[test]
fn a_workspace_that_cannot_take_it_is_named() {
    let home = tempfile::tempdir().unwrap();
    let workspace = home.path().join("none");
    let error = read_with(&sample(), &ArchiveOptions { workspace: workspace.clone(), ..options() }).unwrap_err();
    assert_eq!(error.reason(), Reason::WorkspaceFull);
    assert!(error.to_string().contains(workspace.to_str().unwrap()));
}

#[test]
fn nothing_is_left_in_the_workspace_not_even_while_it_is_used() {
    let home = tempfile::tempdir().unwrap();
    let here = ArchiveOptions { workspace: home.path().to_owned(), ..options() };
    let tree = read_with(&sample(), &here).unwrap();
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
    drop(home);
    assert_eq!(tree.read(&path("d/small"), 9).unwrap().unwrap(), b"small");
    assert!(read_with(b"junk", &here).is_err());
}

#[test]
fn a_file_is_opened_or_named() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("src.tar"), sample()).unwrap();
    let file = open(&home.path().join("src.tar"), &Guard::default()).unwrap();
    assert_eq!(entries(&receive(file, &options(), &mut |_| ControlFlow::Continue(())).unwrap()).len(), 37);
    assert_eq!(open(&home.path().join("none"), &Guard::default()).unwrap_err().reason(), Reason::SourceNotFound);
    assert_eq!(open(home.path(), &Guard::default()).unwrap_err().reason(), Reason::SourceRefused);
    let pipe = home.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let error = open(&pipe, &Guard::default()).unwrap_err();
    assert_eq!(error.reason(), Reason::SourceRefused);
    // What the name leads to when it is opened counts, not when the request was read.
    std::os::unix::fs::symlink("/proc/version", home.path().join("link")).unwrap();
    assert_eq!(open(&home.path().join("link"), &Guard::default()).unwrap_err().reason(), Reason::NotPermitted);
}

#[test]
fn equal_times_of_different_archives_differ_below_the_second() {
    let times = |bytes: &[u8]| entries(&read(bytes).unwrap())[0].modified;
    let (one, two) = (times(&Raw::new().file("x", "1").end()), times(&Raw::new().file("x", "2").end()));
    assert_eq!(one.seconds, two.seconds);
    assert_ne!(one.nanos, two.nanos);
    assert!(one.nanos < 1_000_000_000 && two.nanos < 1_000_000_000);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// No bytes make it panic, loop or show a path that is none: flips, cuts and moved blocks of a good archive.
    #[test]
    fn mangled_archives_are_read_or_refused(
        flips in proptest::collection::vec((0usize..8000, any::<u8>()), 0..6),
        swap in (0usize..12, 0usize..12),
        cut in 4000usize..9000,
        mend in any::<bool>(),
    ) {
        let mut bytes = sample();
        let (a, b) = (swap.0 * 512, swap.1 * 512);
        for at in 0..512 {
            bytes.swap(a + at, b + at);
        }
        for (at, value) in flips {
            let at = at % bytes.len();
            bytes[at] = value;
            if mend {
                let block = at / 512 * 512;
                let mut header = tar::Header::new_old();
                header.as_mut_bytes().copy_from_slice(&bytes[block..block + 512]);
                header.set_cksum();
                bytes[block..block + 512].copy_from_slice(header.as_bytes());
            }
        }
        bytes.truncate(cut);
        if let Ok(tree) = read(&bytes) {
            shown(&tree);
        }
    }
}

#[test]
fn a_single_file_is_what_it_is_under_its_name() {
    let file = |name: &str| ArchiveOptions { format: Some(Format::File), name: path(name), ..options() };
    // A jar is a zip, and here it is a file all the same.
    for bytes in [&b"PK\x03\x04 a jar, more or less"[..], &sample(), &gzip(&sample()), b""] {
        let tree = read_with(bytes, &file("lib/app.jar")).unwrap();
        let shown = entries(&tree);
        assert_eq!((shown[0].path.display().as_str(), shown[0].mode, shown[0].modified.seconds), ("lib", 0o755, 0));
        assert_eq!((shown[1].path.display().as_str(), shown[1].mode, shown.len()), ("lib/app.jar", 0o644, 2));
        assert_eq!(tree.read(&path("lib/app.jar"), u64::MAX).unwrap().unwrap(), bytes);
        assert_eq!((tree.revision().size, tree.revision().date.as_ref()), (Some(bytes.len() as u64), None));
    }
    let limits = Limits { object_bytes: 10, ..Limits::default() };
    let error = read_with(&sample(), &ArchiveOptions { limits, ..file("x") }).unwrap_err().to_string();
    assert!(error.contains("--limit-object-bytes"), "{error}");
    assert_ne!(read_with(&sample(), &file("x")).unwrap().identity(), read(&sample()).unwrap().identity());
}

#[test]
fn a8_every_digest_counts_whoever_gave_it() {
    use sha2::Digest as _;
    let tar = sample();
    let (short, long) = (Digest::sha256(sha2::Sha256::digest(&tar)), Digest::sha512(sha2::Sha512::digest(&tar)));
    let (other, longer) = (Digest::sha256(sha2::Sha256::digest(b"x")), Digest::sha512(sha2::Sha512::digest(b"x")));
    let with = |digests: &[(&Digest, Asker)]| {
        let digests = digests.iter().map(|(digest, by)| Expected { digest: (*digest).clone(), by: *by }).collect();
        read_with(&tar, &ArchiveOptions { digests, ..options() })
    };
    let tree = with(&[(&short, Asker::Request), (&long, Asker::Request), (&long, Asker::Server)]).unwrap();
    assert_eq!(tree.revision().digest, Some(short.to_string()));
    for (wrong, by) in [(&longer, Asker::Request), (&other, Asker::Server), (&longer, Asker::Server)] {
        let error = with(&[(&short, Asker::Request), (wrong, by)]).unwrap_err();
        assert_eq!(error.reason(), Reason::SourceIntegrity);
        assert!(error.to_string().contains(if by == Asker::Server { "the server says" } else { "asked for" }), "{error}");
    }
}

#[test]
fn a4_a_size_over_the_limit_is_refused_before_a_byte_is_read() {
    let untouched = Breaking(b"", io::ErrorKind::ConnectionReset);
    let options = ArchiveOptions { size: Some(Limits::default().source_bytes + 1), ..options() };
    let error = receive(untouched, &options, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(error, ArchiveError::Limit { limit: crate::support::limits::SOURCE_BYTES, .. }), "{error}");
}
