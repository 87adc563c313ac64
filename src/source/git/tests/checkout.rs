//! What comes out, byte by byte, against a clone by git itself.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use super::tree::{body, entries};
use crate::model::tree::{Entry, Kind, TreeError};
use crate::source::git::trial::{Repo, Trial, git, serve};
use crate::support::limits::Limits;

/// Commits the files as they are and then the attributes, so that nothing was converted on its way in.
fn commit(repo: &Repo, files: &[(String, Vec<u8>)], attributes: &str) {
    for (path, body) in files {
        repo.write(path, body);
    }
    repo.git(&["add", "-A"]);
    // Past git's index, which looks at the files whenever it can and stops at attributes that it cannot follow.
    let attributes = repo.git_in(&["hash-object", "-w", "--stdin"], attributes.as_bytes());
    let files = repo.git(&["ls-tree", &repo.git(&["write-tree"])]);
    let tree = repo.git_in(&["mktree"], format!("{files}\n100644 blob {attributes}\t.gitattributes\n").as_bytes());
    let commit = repo.git(&["commit-tree", "-m", "x", &tree]);
    repo.git(&["update-ref", "refs/heads/main", &commit]);
}

/// The files of a tree, each with its body or why it is refused; what is announced is what comes.
pub fn came_out(trial: &Trial) -> BTreeMap<String, Result<Vec<u8>, String>> {
    let tree = trial.run().unwrap();
    let found = entries(&tree).into_iter().filter(|entry| matches!(entry.kind, Kind::File { .. }));
    let read = |entry: &Entry| match body(&tree, entry) {
        Ok(bytes) => {
            assert_eq!(entry.size(), bytes.len() as u64, "{:?}", entry.path);
            Ok(bytes)
        }
        Err(TreeError::Refused { rule, .. }) => Err(rule),
        Err(other) => panic!("{other}"),
    };
    found.map(|entry| (entry.path.display(), read(&entry))).collect()
}

fn clone(url: &str) -> TempDir {
    let dir = TempDir::new().unwrap();
    assert!(git(dir.path()).args(["clone", "-q", url, "."]).status().unwrap().success());
    dir
}

fn show(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

const BODIES: [(&str, &[u8]); 26] = [
    ("lf", b"a\nb\n"),
    ("crlf", b"a\r\nb\r\n"),
    ("mixed", b"a\r\nb\n"),
    ("cr", b"a\rb\n"),
    ("crcrlf", b"a\r\r\nb\n\n"),
    ("crend", b"a\nb\r"),
    ("lfonly", b"\n"),
    ("nul", b"a\0b\n"),
    ("bin", b"\x01\x02\x03\x04\n"),
    ("eof", b"text of DOS\n\x1a"),
    ("eof2", b"\n\x1a\x1a"),
    ("none", b"no line end"),
    ("empty", b""),
    ("ident", b"x $Id$ y\n"),
    ("idents", b"$Id$$Id$\n$Id: 0123 $\n$Id:$\n"),
    ("foreign", b"$Id: main.c,v 1.5 2001/02/03 ada Exp $\n"),
    ("spaces", b"$Id:  $ $Id: a $ $Id:a $ $Id: a\t$ $Id:a b$\n"),
    ("open", b"$Id: no end\n$Id$\n$Id"),
    ("dollar", b"$Idx$ $id$ $$Id$ $\n"),
    ("near", b"$Idx$Id$ $Idx$Idy$Id: z$ $I$Id$\n"),
    ("identnul", b"$Id: a\0b c$ $Id\0$Id$\n"),
    ("identcr", b"$Id: \r $\n"),
    ("identcrlf", b"$Id$\r\n$Id$\n"),
    ("short", b"$Id"),
    ("shorter", b"$"),
    ("last", b"$Id$"),
];

const SETTINGS: [&str; 36] = [
    "",
    "text",
    "-text",
    "text=auto",
    "eol=lf",
    "eol=crlf",
    "text eol=crlf",
    "text eol=lf",
    "text=auto eol=crlf",
    "text=auto eol=lf",
    "-text eol=crlf",
    "crlf",
    "-crlf",
    "crlf=input",
    "crlf=auto",
    "crlf=auto eol=crlf",
    "crlf eol=crlf",
    "!eol",
    "ident",
    "-ident",
    "ident=x",
    "ident eol=crlf",
    "ident text=auto",
    "ident text=auto eol=crlf",
    "ident text=auto eol=lf",
    "ident -text",
    "binary",
    "binary eol=crlf",
    "working-tree-encoding=UTF-8",
    "working-tree-encoding= eol=crlf",
    "-filter -working-tree-encoding",
    "odd",
    "text=input eol=crlf",
    "text=other -crlf eol=crlf",
    "eol=other",
    "-crlf eol=crlf",
];

#[test]
fn every_body_under_every_attribute_is_what_git_clone_writes() {
    let repo = Repo::new();
    let mut attributes = "[attr]odd eol=crlf ident\n*/below/* eol=crlf\nx/exported export-ignore\nx/subst export-subst\n".to_owned();
    let mut files = Vec::new();
    for (n, setting) in SETTINGS.iter().enumerate() {
        writeln!(attributes, "/s{n}/* {setting}").unwrap();
        files.extend(BODIES.map(|(name, body)| (format!("s{n}/{name}"), body.to_vec())));
    }
    let more: [(&str, &[u8]); 8] = [
        ("x/below/lf", b"a\n"),
        ("x/below/not", b"a\n"),
        ("x/below/.gitattributes", b"not -text\n\"lf\" eol=crlf\n"),
        ("x/exported", b"shipped all the same\n"),
        ("x/subst", b"$Format:%H$\n"),
        ("x/Case", b"upper\n"),
        ("x/case", b"lower\n"),
        ("x/target", b"a\n"),
    ];
    files.extend(more.map(|(path, body)| (path.to_owned(), body.to_vec())));
    fs::create_dir(repo.path().join("s5")).unwrap();
    symlink("a\nb", repo.path().join("s5/link")).unwrap();
    commit(&repo, &files, &attributes);
    let server = serve(&repo);
    let cloned = clone(server.at("/repo.git").as_str());
    let trial = Trial::new(&server);
    let ours = came_out(&trial);
    let mut changed = 0;
    for (path, stored) in &files {
        let want = fs::read(cloned.path().join(path)).unwrap();
        changed += usize::from(want != *stored);
        assert_eq!(show(ours[path].as_ref().unwrap()), show(&want), "{path}, stored as {}", show(stored));
    }
    assert_eq!(ours.len(), files.len() + 1);
    assert!(changed > 150, "{changed}");
    let link = entries(&trial.run().unwrap()).into_iter().find(|entry| entry.path.as_bytes() == b"s5/link").unwrap();
    assert_eq!(link.kind, Kind::Symlink { target: b"a\nb".to_vec() });
}

#[test]
fn g10_attributes_that_are_a_link_are_the_links_own_text_and_it_is_not_followed() {
    let repo = Repo::new();
    repo.write("a/x", "1\n");
    repo.write("b/x", "1\n");
    repo.write("b/rules", "* eol=crlf\n");
    symlink("rules", repo.path().join("b/.gitattributes")).unwrap();
    // A link whose target reads like a rule.
    symlink("* eol=crlf", repo.path().join("a/.gitattributes")).unwrap();
    repo.commit("x");
    let server = serve(&repo);
    let (cloned, ours) = (clone(server.at("/repo.git").as_str()), came_out(&Trial::new(&server)));
    for (path, crlf) in [("a/x", true), ("b/x", false)] {
        let want = fs::read(cloned.path().join(path)).unwrap();
        assert_eq!((ours[path].as_ref().unwrap(), want.contains(&b'\r')), (&want, crlf), "{path}");
    }
}

/// What git does with these needs programs or tables that are not here.
#[test]
fn what_cannot_be_followed_is_refused_by_its_path_and_only_when_it_is_read() {
    let repo = Repo::new();
    let files = ["filtered", "encoded", "true", "empty", "plain"].map(|name| (name.to_owned(), b"x\n".to_vec()));
    let mut files = files.to_vec();
    files[3].1.clear();
    commit(
        &repo,
        &files,
        "filtered filter=other\nencoded working-tree-encoding=UTF-16\ntrue working-tree-encoding\nempty working-tree-encoding=UTF-16\n",
    );
    let ours = came_out(&Trial::new(&serve(&repo)));
    let refused = |path: &str, attribute: &str| assert!(ours[path].as_ref().unwrap_err().contains(attribute), "{:?}", ours[path]);
    refused("filtered", "filter=other");
    refused("encoded", "working-tree-encoding=UTF-16");
    refused("true", "working-tree-encoding");
    assert_eq!((ours["empty"].as_deref(), ours["plain"].as_deref()), (Ok(&b""[..]), Ok(&b"x\n"[..])));
}

#[test]
fn g11_a_file_that_grows_on_checkout_is_counted_as_it_comes_out() {
    let repo = Repo::new();
    commit(&repo, &[("lines".to_owned(), vec![b'\n'; 1000])], "* eol=crlf\n");
    let server = serve(&repo);
    let mut trial = Trial::new(&server);
    let refused = |limits: Limits, trial: &mut Trial| {
        trial.options.limits = limits;
        let tree = trial.run().unwrap();
        let mut seen = 0;
        let walked = crate::model::tree::SourceTree::walk(&tree, &mut |_| {
            seen += 1;
            Ok(crate::model::tree::Walk::Enter)
        });
        walked.err().map(|error| error.to_string())
    };
    let error = refused(Limits { object_bytes: 1999, ..Limits::default() }, &mut trial).unwrap();
    assert!(error.contains("--limit-object-bytes") && error.contains("lines"), "{error}");
    let error = refused(Limits { source_bytes: 1999, ..Limits::default() }, &mut trial).unwrap();
    assert!(error.contains("--limit-source-bytes"), "{error}");
    assert_eq!(refused(Limits { object_bytes: 2000, source_bytes: 2020, ..Limits::default() }, &mut trial), None);
}

#[test]
fn attributes_above_a_subdir_count_and_those_beside_it_do_not() {
    let repo = Repo::new();
    let paths = ["a/b/x", "a/b/c/x", "a/b/c/y", "other/x"];
    let mut files: Vec<_> = paths.map(|path| (path.to_owned(), b"1\n".to_vec())).to_vec();
    files.push(("a/.gitattributes".to_owned(), b"y -text\n".to_vec()));
    files.push(("other/.gitattributes".to_owned(), b"* -text\n".to_vec()));
    commit(&repo, &files, "/a/b/** eol=crlf\n");
    let server = serve(&repo);
    let cloned = clone(server.at("/repo.git").as_str());
    let ours = came_out(&Trial::new(&server).subdir("a/b"));
    let want = |path: &str| fs::read(cloned.path().join("a/b").join(Path::new(path))).unwrap();
    for path in ["x", "c/x", "c/y"] {
        assert_eq!(ours[path].as_ref().unwrap(), &want(path), "{path}");
    }
    assert_eq!((ours["x"].as_deref(), ours["c/y"].as_deref()), (Ok(&b"1\r\n"[..]), Ok(&b"1\n"[..])));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, max_shrink_iters: 24, ..ProptestConfig::default() })]
    #[test]
    fn any_body_under_any_attributes_is_what_git_clone_writes(
        bodies in prop::collection::vec(
            prop::collection::vec(
                prop::sample::select(vec!["$Id$", "$Id:", "$Id", "$", "Id", ": ", " ", "x", "\n", "\r\n", "\r", "\0", "\u{1}", "\u{1a}", "words of text, words of text, words of text, words of text, words of text, words of text, words of text, words of text, and words", "$Idx", "é"]),
                0..14,
            ),
            40,
        ),
        lines in prop::collection::vec(
            (
                prop::sample::select(vec!["*", "*1*", "*[2-5]", "/d/*", "d/**", "f?", "**/f1?", "d"]),
                prop::collection::vec(
                    prop::sample::select(vec!["text", "-text", "!text", "text=auto", "crlf", "-crlf", "crlf=input", "eol=crlf", "eol=lf", "!eol", "-eol", "ident", "-ident", "!ident", "binary", "mac", "-mac", "mac=x"]),
                    1..4,
                ),
            ),
            1..8,
        ),
        nested in prop::sample::select(vec!["", "* text=auto\n", "*3 eol=crlf\n", "f* -ident\n"]),
    ) {
        let repo = Repo::new();
        let mut files: Vec<_> = bodies.iter().enumerate().map(|(n, body)| {
            (format!("{}f{n}", if n % 3 == 0 { "d/" } else { "" }), body.concat().into_bytes())
        }).collect();
        files.push(("d/.gitattributes".to_owned(), nested.as_bytes().to_vec()));
        let lines: Vec<_> = lines.iter().map(|(pattern, words)| format!("{pattern} {}\n", words.join(" "))).collect();
        commit(&repo, &files, &format!("[attr]mac ident eol=crlf\n{}", lines.concat()));
        let server = serve(&repo);
        let cloned = clone(server.at("/repo.git").as_str());
        let ours = came_out(&Trial::new(&server));
        for (path, stored) in &files {
            let want = fs::read(cloned.path().join(path)).unwrap();
            prop_assert_eq!(show(ours[path].as_ref().unwrap()), show(&want), "{} of {} under {:?}", path, show(stored), lines);
        }
    }
}
