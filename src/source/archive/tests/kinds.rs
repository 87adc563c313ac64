//! Entries that share a name, and what the rules make of every pair and triple.

use super::*;

const KINDS: [u8; 4] = [b'5', b'0', b'2', b'1'];

fn add(raw: Raw, kind: u8, name: &str, turn: usize) -> Raw {
    match kind {
        b'5' => raw.dir(name).patch(|block| block[106] = b'0' + u8::try_from(turn).unwrap()),
        b'0' => raw.file(name, &format!("body {turn}")),
        b'2' => raw.symlink(name, &format!("target{turn}")),
        _ => raw.hardlink(name, &format!("t{turn}")),
    }
}

fn text(kind: u8, turn: usize) -> String {
    match kind {
        b'5' => format!("d75{turn}"),
        b'0' => format!("f644 body {turn}"),
        b'2' => format!("l target{turn}"),
        _ => format!("f644 leader {turn}"),
    }
}

/// {dir, file, symlink, hardlink}³ under one name: equal kinds give the last, a change of kind refuses everything.
#[test]
fn a2_of_one_name_the_last_counts_and_a_change_of_kind_is_refused() {
    let base = (1..=3).fold(Raw::new(), |raw, turn| raw.file(&format!("t{turn}"), &format!("leader {turn}")));
    for (one, two, three) in KINDS.iter().flat_map(|a| KINDS.iter().flat_map(move |b| KINDS.iter().map(move |c| (*a, *b, *c)))) {
        for name in ["n", "some/where/n"] {
            let pair = add(add(base.clone(), one, name, 1), two, name, 2);
            let triple = add(pair.clone(), three, name, 3);
            for (raw, kinds) in [(pair, &[one, two][..]), (triple, &[one, two, three][..])] {
                let got = read(&raw.end());
                if kinds.iter().all(|kind| *kind == one) {
                    assert_eq!(shown(&got.unwrap())[name], text(one, kinds.len()), "{kinds:?}");
                } else {
                    let error = got.expect_err("a change of kind");
                    assert_eq!(error.reason(), Reason::SourceRefused);
                    assert!(error.to_string().contains(" before"), "{error}");
                }
            }
        }
    }
}

#[test]
fn a_replaced_file_leaves_its_other_names_their_body() {
    let tar = Raw::new().file("a", "old").hardlink("b", "a").hardlink("c", "b").file("a", "new").hardlink("d", "a").end();
    let tree = read(&tar).unwrap();
    let files: Vec<(String, u64)> = entries(&tree)
        .iter()
        .map(|entry| match entry.kind {
            Kind::File { link, .. } => (shown(&tree)[&entry.path.display()].clone(), link),
            _ => panic!(),
        })
        .collect();
    assert_eq!(files.iter().map(|file| file.0.as_str()).collect::<Vec<_>>(), ["f644 new", "f644 old", "f644 old", "f644 new"]);
    assert_eq!((files[0].1, files[1].1), (files[3].1, files[2].1));
    assert!(files[0].1 != files[1].1 && files.iter().all(|file| file.1 != 0));
}

#[test]
fn every_name_of_a_group_has_one_size_key_mode_and_time() {
    let link = Raw::new().file("a", "body").hardlink("b", "./a").patch(|block| {
        block[100..108].copy_from_slice(b"0000777\0");
        block[136..148].copy_from_slice(b"00000000001\0");
    });
    let tree = read(&link.file("alone", "").end()).unwrap();
    let entries = entries(&tree);
    assert_eq!(entries[0], Entry { path: path("a"), ..entries[2].clone() });
    assert!(matches!(entries[0].kind, Kind::File { size: 4, link: 1.. }));
    assert!(matches!(entries[1].kind, Kind::File { size: 0, link: 0 }));
}

#[test]
fn missing_directories_are_implied_with_the_archives_time() {
    let newest = Raw::new().file("z", "").patch(|block| block[136..148].copy_from_slice(b"17000000000\0"));
    let tree = read(&newest.file("a/b/c", "").dir("a/b").end()).unwrap();
    let entries = entries(&tree);
    assert_eq!(entries.iter().map(|entry| entry.path.display()).collect::<Vec<_>>(), ["a", "a/b", "a/b/c", "z"]);
    assert_eq!((entries[0].mode, entries[0].modified.seconds), (0o755, 0o17_000_000_000));
    assert_eq!(entries[1].modified.seconds, 1_600_000_000);
    assert_eq!(tree.revision().date.as_deref(), Some("2033-10-18T16:32:00Z"));
    assert_eq!(entries.len(), 4);
}

#[test]
fn the_walk_is_in_the_order_of_paths_and_skips_what_it_is_told() {
    let tar = Raw::new().file("foo.txt", "").file("foo-a", "").file("foo/a", "").file("foo/b/c", "").end();
    let tree = read(&tar).unwrap();
    assert_eq!(shown(&tree).len(), 6);
    let mut seen = Vec::new();
    tree.walk(&mut |entry| {
        seen.push(entry.path.display());
        Ok(if entry.path == path("foo") { Walk::Skip } else { Walk::Enter })
    })
    .unwrap();
    assert_eq!(seen, ["foo", "foo-a", "foo.txt"]);
}

#[test]
fn subdir_is_the_root_and_has_to_be_a_directory() {
    let tar = Raw::new().file("top", "1").file("src/app/x", "2").hardlink("src/app/h", "top").symlink("src/l", "app").dir("empty").end();
    let at = |subdir: &str| read_with(&tar, &ArchiveOptions { subdir: path(subdir), ..options() });
    let tree = at("src/app").unwrap();
    assert_eq!(shown(&tree).into_iter().collect::<Vec<_>>(), [("h".into(), "f644 1".into()), ("x".into(), "f644 2".into())]);
    assert_eq!(tree.revision().subdir.as_deref(), Some("src/app"));
    assert!(shown(&at("empty").unwrap()).is_empty());
    for (subdir, reason) in [
        ("none", Reason::SourceNotFound),
        ("src/none", Reason::SourceNotFound),
        ("src-app", Reason::SourceNotFound),
        ("top", Reason::SourceRefused),
        ("top/x", Reason::SourceRefused),
        ("src/l", Reason::SourceRefused),
        ("src/l/app", Reason::SourceRefused),
    ] {
        assert_eq!(at(subdir).unwrap_err().reason(), reason, "{subdir}");
    }
}

#[test]
fn stripping_takes_components_off_names_and_hard_links_but_not_off_targets() {
    let tar = Raw::new().dir("p/").file("p/a", "1").symlink("p/l", "p/a").hardlink("p/d/h", "p/a").file("lone", "").end();
    let at = |strip: u32| read_with(&tar, &ArchiveOptions { strip_components: strip, ..options() }).unwrap();
    let want = [("a", "f644 1"), ("d", "d755"), ("d/h", "f644 1"), ("l", "l p/a")];
    assert_eq!(shown(&at(1)), want.map(|(name, text)| (name.into(), text.into())).into());
    let same = ArchiveOptions { strip_components: 1, subdir: path("d"), ..options() };
    assert_eq!(shown(&read_with(&tar, &same).unwrap()).len(), 1);
    // Stripped otherwise, equal stats may mean other files: another source.
    let identities = [at(0).identity(), at(1).identity(), read_with(&tar, &same).unwrap().identity()];
    assert!(identities[0] != identities[1] && identities[1] != identities[2]);
}
