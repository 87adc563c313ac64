//! Names and headers that mean harm.

use super::*;

#[test]
fn a1_names_that_point_out_refuse_the_whole_archive() {
    let table: &[(&[u8], &str)] = &[
        (b"../outside.txt", "`..`"),
        (b"..", "`..`"),
        (b"a/../../b", "`..`"),
        (b"a/../b", "`..`"),
        (b"./../b", "`..`"),
        (b"a/..", "`..`"),
        (b"/etc/passwd", "absolute"),
        (b"//etc/passwd", "absolute"),
        (b"/", "absolute"),
        (b"", "empty"),
    ];
    for (name, rule) in table {
        let good = Raw::new().file("good", "x");
        // Whatever kind bears the name, and however the name is carried.
        for kind in [b'0', b'5', b'1', b'2'] {
            assert_refused(&good.clone().header(kind, name, b"good", 0).end(), rule);
            assert_refused(&good.clone().long(b'L', name).header(kind, b"fine", b"good", 0).end(), rule);
            if !name.is_empty() {
                assert_refused(&good.clone().pax(b'x', &[("path", name)]).header(kind, b"fine", b"good", 0).end(), rule);
            }
        }
        assert_refused(&good.clone().header(b'1', b"link", name, 0).end(), rule);
    }
    assert_refused(&Raw::new().pax(b'x', &[("path", b"a\0b")]).file("fine", "").end(), "NUL");
    assert_refused(&Raw::new().with(b'L', b"././@LongLink", b"a\0b\0").file("fine", "").end(), "NUL");
    assert_refused(&Raw::new().with(b'0', b"./", b"x").end(), "directory and has a body");
    assert_refused(&Raw::new().with(b'0', b".", b"").end(), "no name");
    assert_refused(&Raw::new().symlink("./", "x").end(), "no name");
    // What is stripped off must be harmless, too.
    let strip = ArchiveOptions { strip_components: 1, ..options() };
    for name in ["../a/b", "/a/b", "a/../../b"] {
        assert_eq!(read_with(&Raw::new().file(name, "").end(), &strip).unwrap_err().reason(), Reason::SourceRefused);
    }
}

#[test]
fn a1_harmless_spellings_are_cleaned() {
    let tar = Raw::new().dir("./").dir("./d/").file("./d//x", "1").file("d/./y", "2").file("back\\..\\slash", "3").file("C:x", "4").end();
    let want = [("C:x", "f644 4"), ("back\\..\\slash", "f644 3"), ("d", "d755"), ("d/x", "f644 1"), ("d/y", "f644 2")];
    let want: BTreeMap<String, String> = want.map(|(name, text)| (name.into(), text.into())).into();
    assert_eq!(shown(&read(&tar).unwrap()), want);
}

#[test]
fn a1_names_too_long_or_too_deep_are_refused() {
    for (name, rule) in [
        (vec![b'a'; 256], "longer than"),
        ("abcdefgh/".repeat(500).into_bytes(), "longer than"),
        ("a/".repeat(257).into_bytes(), "deeper than"),
        (vec![b'a'; 65_535], "longer than"),
    ] {
        assert_refused(&Raw::new().long(b'L', &name).file("x", "").end(), rule);
        assert_refused(&Raw::new().pax(b'x', &[("path", &name)]).file("x", "").end(), rule);
    }
    for length in [99, 100, 101, 255] {
        let name = "n".repeat(length);
        for tar in [
            Raw::new().long(b'L', name.as_bytes()).file("x", "1").end(),
            Raw::new().pax(b'x', &[("path", name.as_bytes())]).file("x", "1").end(),
            Raw::new().long(b'L', name.as_bytes()).pax(b'x', &[("path", name.as_bytes())]).file("x", "1").end(),
        ] {
            assert_eq!(shown(&read(&tar).unwrap()).keys().collect::<Vec<_>>(), [&name]);
        }
    }
}

#[test]
fn a2_targets_are_kept_as_they_stand_and_never_followed() {
    let tar = Raw::new().symlink("abs", "/etc/passwd").symlink("up", "../../x").symlink("loop", "loop").file("f", "1").end();
    let tree = read(&tar).unwrap();
    assert_eq!(shown(&tree)["abs"], "l /etc/passwd");
    assert_eq!(shown(&tree)["up"], "l ../../x");
    for below in ["abs/x", "up/x", "loop/loop", "f/x"] {
        assert_eq!(tree.lookup(&path(below)).unwrap(), None);
    }
    assert!(tree.read(&path("abs"), 9).is_err());
    assert_refused(&Raw::new().symlink("l", "").end(), "links to nothing");
    assert_refused(&Raw::new().long(b'K', &[b'x'; 4096]).symlink("l", "").end(), "4095");
    let longest = "x/".repeat(2047) + "x";
    let tree = read(&Raw::new().long(b'K', longest.as_bytes()).symlink("l", "").end()).unwrap();
    assert_eq!(shown(&tree)["l"], format!("l {longest}"));
}

#[test]
fn a2_nothing_lies_below_a_link_or_a_file() {
    for kind in [b'0', b'5', b'1', b'2'] {
        let below = |raw: Raw, name: &[u8]| raw.header(kind, name, b"f", 0).end();
        let base = Raw::new().file("f", "1").symlink("l", "/tmp").hardlink("h", "f");
        assert_refused(&below(base.clone(), b"l/x"), "below \"l\", a symbolic link");
        assert_refused(&below(base.clone(), b"l/x/y/z"), "below \"l\", a symbolic link");
        assert_refused(&below(base.clone(), b"f/x"), "below \"f\", a file");
        assert_refused(&below(base, b"h/x"), "below \"h\", a file");
    }
    // The other way round: what already holds something cannot become a link.
    assert_refused(&Raw::new().file("d/x", "1").symlink("d", "/tmp").end(), "was a directory before");
    assert_refused(&Raw::new().file("d/x", "1").file("d", "").end(), "was a directory before");
}

#[test]
fn a2_a_hard_link_names_an_earlier_file_inside() {
    let rule = "not a file before it";
    assert_refused(&Raw::new().hardlink("h", "later").file("later", "1").end(), rule);
    assert_refused(&Raw::new().hardlink("h", "h").end(), rule);
    assert_refused(&Raw::new().file("f", "1").hardlink("h", "f").hardlink("h", "h").end(), rule);
    assert_refused(&Raw::new().dir("d").hardlink("h", "d").end(), rule);
    assert_refused(&Raw::new().file("d/x", "1").hardlink("h", "d").end(), rule);
    assert_refused(&Raw::new().symlink("s", "x").hardlink("h", "s").end(), rule);
    assert_refused(&Raw::new().symlink("s", ".").file("f", "").hardlink("h", "s/f").end(), rule);
    assert_refused(&Raw::new().file("f", "").hardlink("h", "f/x").end(), rule);
    assert_refused(&Raw::new().file("f", "").hardlink("h", "./").end(), rule);
    assert_refused(&Raw::new().file("f", "").hardlink("h", "../f").end(), "`..`");
    assert_refused(&Raw::new().file("f", "").hardlink("h", "/f").end(), "absolute");
    // A target that was stripped away is not there either.
    let strip = ArchiveOptions { strip_components: 1, ..options() };
    assert!(read_with(&Raw::new().file("f", "").hardlink("d/h", "f").end(), &strip).unwrap_err().to_string().contains(rule));
}

#[test]
fn a3_one_size_counts_the_extended_header_s() {
    // The header says nothing follows; a reader that believes it would find the inner header.
    let inner = Raw::new().file("smuggled", "evil").0;
    let tar = Raw::new().pax(b'x', &[("size", inner.len().to_string().as_bytes())]).header(b'0', b"outer", b"", 0).body(&inner);
    let tree = read(&tar.file("after", "1").end()).unwrap();
    assert_eq!(entries(&tree).iter().map(|entry| entry.path.display()).collect::<Vec<_>>(), ["after", "outer"]);
    assert_eq!(tree.read(&path("outer"), 4096).unwrap().unwrap(), inner);
    // The other way: the header hides a file behind a size the extended header takes back.
    let tar = Raw::new().pax(b'x', &[("size", b"0")]).header(b'0', b"outer", b"", 1024).file("seen", "1").end();
    assert_eq!(shown(&read(&tar).unwrap()).keys().collect::<Vec<_>>(), ["outer", "seen"]);
}

#[test]
fn a3_what_readers_disagree_about_is_refused() {
    let size = |size: &'static [u8]| Raw::new().pax(b'x', &[("size", size)]);
    assert_refused(&size(b"512").long(b'L', b"name").file("x", "").end(), "measures another extension");
    assert_refused(&size(b"0").pax(b'x', &[("path", b"y")]).file("x", "").end(), "same extension twice");
    assert_refused(&size(b"0").pax(b'g', &[("comment", b"y")]).file("x", "").end(), "global extended header stands between");
    assert_refused(&Raw::new().long(b'L', b"a").long(b'L', b"b").file("x", "").end(), "same extension twice");
    assert_refused(&Raw::new().long(b'L', b"a").pax(b'x', &[("path", b"b")]).file("x", "").end(), "two names");
    assert_refused(&Raw::new().long(b'K', b"a").pax(b'x', &[("linkpath", b"b")]).symlink("x", "").end(), "two names");
    assert_refused(&Raw::new().pax(b'x', &[("path", b"a")]).end(), "has no entry");
    assert_refused(&Raw::new().long(b'L', b"a").end(), "has no entry");
    assert_refused(&Raw::new().with(b'x', b"x", b"malformed").file("x", "").end(), "malformed");
    assert_refused(&Raw::new().with(b'x', b"x", b"10 path=a\n10 path=b\n").file("x", "").end(), "twice");
    for (key, value) in [("path", "everything"), ("linkpath", "x"), ("size", "5")] {
        assert_refused(&Raw::new().pax(b'g', &[(key, value.as_bytes())]).file("x", "").end(), "global extended header");
    }
    for kind in [b'1', b'2', b'5'] {
        let body = Raw::new().file("f", "").header(kind, b"x", b"f", 512).body(&[1; 512]);
        assert_refused(&body.end(), "no file");
        assert_refused(
            &Raw::new().file("f", "").pax(b'x', &[("size", b"512")]).header(kind, b"x", b"f", 0).body(&[1; 512]).end(),
            "no file",
        );
    }
    assert_refused(&Raw::new().file("x", "1").patch(|_| {}).file("y/", "body").end(), "directory and has a body");
}

#[test]
fn a3_a_header_is_right_or_refused() {
    let tar = |change: fn(&mut [u8])| Raw::new().file("first", "").file("x", "").patch(change).end();
    assert!(read(&tar(|_| {})).is_ok());
    assert_refused(&tar(|block| block[124..136].copy_from_slice(b"-0000000001\0")), "number");
    assert_refused(&tar(|block| block[124..136].copy_from_slice(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")), "negative");
    assert_refused(&tar(|block| block[124..136].copy_from_slice(b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")), "too large");
    assert_refused(&tar(|block| block[136..148].copy_from_slice(b"99999999999\0")), "number");
    assert_refused(&tar(|block| block[257..265].copy_from_slice(b"strange!")), "format is unknown");
    let mut wrong = Raw::new().file("first", "").file("x", "").end();
    wrong[512] ^= 1;
    assert_refused(&wrong, "checksum");
    assert_refused(&[b'x'; 1024], "none that is read");
    assert_refused(b"<html><body>404 not found</body></html>".repeat(20).as_slice(), "none that is read");
}

#[test]
fn a3_old_and_strange_forms_that_mean_one_thing_are_read() {
    // v7: no mark, no type, and a directory is a name with a slash.
    let v7 = |raw: Raw| raw.patch(|block| block[257..265].fill(0)).patch(|block| block[156] = 0);
    let tar = v7(v7(Raw::new().header(b'0', b"d/", b"", 0)).header(b'0', b"d/x", b"", 1)).body(b"1").end();
    assert_eq!(shown(&read(&tar).unwrap())["d/x"], "f644 1");
    // GNU's mark means that there is no prefix, and base-256 where octal digits do not suffice.
    let gnu = Raw::new()
        .header(b'0', b"x", b"", 0)
        .patch(|block| block[257..265].copy_from_slice(b"ustar  \0"))
        .patch(|block| block[345..350].copy_from_slice(b"12345"))
        .patch(|block| block[136..148].copy_from_slice(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe"));
    let tree = read(&gnu.end()).unwrap();
    assert_eq!((entries(&tree)[0].path.display().as_str(), entries(&tree)[0].modified.seconds), ("x", -2));
    // ustar's prefix, and star's shorter one before its times.
    let prefix = Raw::new().file("x", "").patch(|block| block[345..348].copy_from_slice(b"a/b"));
    assert!(shown(&read(&prefix.end()).unwrap()).contains_key("a/b/x"));
    let star = Raw::new().file("x", "").patch(|block| {
        block[345..476].fill(b'p');
        block[476..500].fill(b'7');
        block[508..512].copy_from_slice(b"tar\0");
    });
    assert!(shown(&read(&star.end()).unwrap()).contains_key(&format!("{}/x", "p".repeat(131))));
    // Contiguous files are files; git's global comment says nothing; a global time does.
    let tar = Raw::new().pax(b'g', &[("comment", b"6f1e"), ("mtime", b"77.5")]).with(b'7', b"x", b"1").end();
    let tree = read(&tar).unwrap();
    assert_eq!((shown(&tree)["x"].as_str(), entries(&tree)[0].modified.seconds), ("f644 1", 77));
    // Times that no layer can hold are brought back to the last that one can.
    let tar = Raw::new().pax(b'x', &[("mtime", b"99999999999999999")]).file("x", "").end();
    assert_eq!(entries(&read(&tar).unwrap())[0].modified.seconds, 0o77_777_777_777);
}

#[test]
fn a6_what_no_context_holds_is_refused_by_name() {
    for (kind, rule) in [
        (b'3', "a device"),
        (b'4', "a device"),
        (b'6', "a named pipe"),
        (b'M', "'M'"),
        (b'V', "'V'"),
        (b'D', "'D'"),
        (b'N', "'N'"),
        (b'X', "'X'"),
        (b's', "'s'"),
        (b'Z', "'Z'"),
    ] {
        assert_refused(&Raw::new().file("fine", "1").header(kind, b"dev/evil", b"", 0).end(), rule);
        assert_refused(&Raw::new().file("fine", "1").header(kind, b"dev/evil", b"", 0).end(), "\"dev/evil\"");
        // Stripped away or not.
        let strip = ArchiveOptions { strip_components: 5, ..options() };
        assert!(read_with(&Raw::new().header(kind, b"dev/evil", b"", 0).end(), &strip).is_err());
    }
}

#[test]
fn a6_set_id_bits_are_kept_and_owners_and_attributes_dropped() {
    let tar = Raw::new()
        .pax(b'x', &[("uid", b"77"), ("SCHILY.xattr.security.capability", b"\x01\0\0\x02\0"), ("uname", b"eve")])
        .file("x", "1")
        .patch(|_| {})
        .header(b'0', b"su", b"", 0)
        .patch(|block| block[100..108].copy_from_slice(b"0106755\0"))
        .end();
    let tree = read(&tar).unwrap();
    assert_eq!(shown(&tree)["su"], "f6755 ");
    assert_eq!(shown(&tree)["x"], "f644 1");
}
