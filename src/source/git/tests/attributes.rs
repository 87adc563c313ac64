//! Attributes against git's own reading of them.

use std::fmt::Write;

use proptest::prelude::*;

use super::tree::{body, entries};
use crate::model::tree::{Kind, TreeError};
use crate::source::git::attributes::{Attributes, Rules};
use crate::source::git::pattern::Pattern;
use crate::source::git::trial::{Repo, Trial, git, serve};

/// What a clone writes differs from what is in the repository exactly where the tree refuses to open.
#[test]
fn a_file_is_refused_exactly_where_a_checkout_would_change_it() {
    let repo = Repo::new();
    let bodies: [(&str, &[u8]); 10] = [
        ("lf", b"a\nb\n"),
        ("crlf", b"a\r\nb\r\n"),
        ("mixed", b"a\r\nb\n"),
        ("cr", b"a\rb\n"),
        ("nul", b"a\0b\n"),
        ("bin", b"\x01\x02\x03\x04\n"),
        ("none", b"no line end"),
        ("empty", b""),
        ("ident", b"x $Id$ y\n"),
        ("dollar", b"$Idx$ $id$\n"),
    ];
    let settings = [
        "",
        "text",
        "-text",
        "text=auto",
        "eol=lf",
        "eol=crlf",
        "text eol=crlf",
        "text=auto eol=crlf",
        "-text eol=crlf",
        "crlf",
        "-crlf",
        "crlf=input",
        "crlf eol=crlf",
        "!eol",
        "ident",
        "-ident",
        "ident=x",
        "binary",
        "binary eol=crlf",
        "working-tree-encoding=UTF-8",
        "filter=undefined",
        "-filter",
        "odd",
        "text=input eol=crlf",
        "eol=other",
        "-crlf eol=crlf",
    ];
    let mut attributes = "[attr]odd eol=crlf ident\n*/below/* eol=crlf\n".to_owned();
    for (n, setting) in settings.iter().enumerate() {
        writeln!(attributes, "/s{n}/* {setting}").unwrap();
        for (name, body) in bodies {
            repo.write(format!("s{n}/{name}"), body);
        }
    }
    repo.write("x/below/lf", "a\n");
    repo.write("x/below/not", "a\n");
    repo.write("x/below/.gitattributes", "not -text\n\"lf\" eol=crlf\n");
    // Added without attributes, so that the repository holds the very bytes.
    repo.git(&["add", "-A"]);
    repo.write(".gitattributes", &attributes);
    repo.git(&["add", "--", ".gitattributes"]);
    repo.git(&["commit", "-q", "-m", "x"]);
    let server = serve(&repo);
    let clone = tempfile::TempDir::new().unwrap();
    assert!(git(clone.path()).args(["clone", "-q", server.at("/repo.git").as_str(), "clone"]).status().unwrap().success());
    let tree = Trial::new(&server).run().unwrap();
    let mut refused = 0;
    for entry in entries(&tree).iter().filter(|entry| matches!(entry.kind, Kind::File { .. })) {
        let path = entry.path.display();
        let blob = repo.git(&["rev-parse", &format!("HEAD:{path}")]);
        let object = std::process::Command::new("git").current_dir(repo.path()).args(["cat-file", "blob", &blob]).output().unwrap().stdout;
        let same = std::fs::read(clone.path().join("clone").join(&path)).unwrap() == object;
        let filtered = settings.iter().position(|setting| *setting == "filter=undefined").unwrap();
        let want = same && !path.starts_with(&format!("s{filtered}/"));
        match body(&tree, entry) {
            Ok(bytes) => assert!(want && bytes == object, "{path} was opened"),
            Err(TreeError::Refused { rule, .. }) => {
                refused += 1;
                assert!(!want, "{path} was refused: {rule}");
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(refused > 30, "{refused}");
}

#[test]
fn an_encoding_is_refused_by_its_name() {
    let rules = Rules::parse(b"* working-tree-encoding=UTF-16LE\n", true).unwrap();
    let found = Attributes::of([(&rules, &b"a"[..])].into_iter(), Some(&rules));
    assert_eq!(found.changes(b"x").as_deref(), Some("working-tree-encoding=UTF-16LE"));
    assert_eq!(found.changes(b""), None);
}

#[test]
fn macros_that_name_themselves_come_to_an_end() {
    let rules = Rules::parse(b"[attr]a b\n[attr]b a eol=crlf\n* a\n", true).unwrap();
    let found = Attributes::of([(&rules, &b"a"[..])].into_iter(), Some(&rules));
    assert_eq!(found.changes(b"x\n").as_deref(), Some("eol=crlf"));
}

#[test]
fn g11_a_hostile_file_is_bounded() {
    let many = "* text\n".repeat(5000);
    assert!(Rules::parse(many.as_bytes(), true).is_err());
    let pattern = format!("{} text eol=crlf\n", "*a".repeat(500));
    let rules = Rules::parse(pattern.as_bytes(), true).unwrap();
    let start = std::time::Instant::now();
    Attributes::of([(&rules, "a".repeat(4000).as_bytes())].into_iter(), Some(&rules));
    assert!(start.elapsed() < std::time::Duration::from_secs(2));
}

fn git_says(repo: &Repo, patterns: &[String], names: &[String]) -> Vec<Vec<bool>> {
    patterns
        .iter()
        .map(|pattern| {
            repo.write(".gitattributes", format!("{pattern} matched\n"));
            let input = names.join("\0") + "\0";
            let out = repo.git_in(&["check-attr", "--stdin", "-z", "matched"], input.as_bytes());
            out.split('\0').collect::<Vec<_>>().chunks(3).filter(|chunk| chunk.len() == 3).map(|chunk| chunk[2] == "set").collect()
        })
        .collect()
}

fn compare(patterns: &[String], paths: &[String]) {
    let repo = Repo::new();
    for (pattern, want) in patterns.iter().zip(git_says(&repo, patterns, paths)) {
        assert_eq!(want.len(), paths.len(), "{pattern}");
        let ours = Pattern::parse(pattern.as_bytes()).unwrap();
        for (path, want) in paths.iter().zip(want) {
            assert_eq!(ours.matches(path.as_bytes()), want, "pattern {pattern:?}, path {path:?}");
        }
    }
}

#[test]
fn patterns_match_what_git_says() {
    let patterns = [
        "*",
        "**",
        "a",
        "/a",
        "a/",
        "a/b",
        "/a/b",
        "*/b",
        "**/b",
        "a/**",
        "a/**/b",
        "a**b",
        "a**/*",
        "ab**/b",
        "a/**\\/b",
        "*a**/b",
        "a/**b",
        "**a/b",
        "*.c",
        "*.[ch]",
        "[!a]*",
        "[^a]",
        "[a-c]x",
        "[]a]",
        "[]-a]x",
        "[a-]",
        "a\\*b",
        "\\a",
        "?",
        "a?c",
        "?/b",
        "[[:digit:]]*",
        "[[:nope:]]",
        "[",
        "[a",
        "a\\",
        "[\\]]",
        "a/*/c",
        "***",
        "**/",
        "/**",
        "/**/b",
        "**/**/b",
        "a/**/**/b",
        "[a/]b",
        "a[/]b",
        "a[!x]b",
        "*a*b*c",
        "[z-a]",
        "[[:upper:]-]x",
        ".*",
        "*.tar.gz",
        "b/*",
        "**/c/d",
        "a//b",
        "{a,b}",
        "a+",
        "(a)",
        "a.c",
        "^a",
        "a$",
        "[a\\-c]x",
    ];
    let paths = [
        "a", "b", "ab", "axb", "a/b", "a/x/b", "a/x/y/b", "b/a", "x/a/b", "a/b/c", "x.c", "d/x.h", "a.c", "abc", "a*b", "1x", "]", "]x",
        "-x", "ax", "bx", "a-", "[", "[a", "x/b", "c/d", "q/c/d", ".hidden", "a.tar.gz", "{a,b}", "a+", "(a)", "^a", "a$", "b/b", "Ax",
        "a/xb", "aaa/b", "xa/b", "a\\b", "-",
    ];
    compare(&patterns.map(str::to_owned), &paths.map(str::to_owned));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, max_shrink_iters: 64, ..ProptestConfig::default() })]
    #[test]
    fn any_pattern_matches_what_git_says(
        patterns in prop::collection::vec(r"[ab/*?\[\]!\-\\]{1,8}", 30),
        paths in prop::collection::vec(r"[ab]{1,3}(/[ab\-]{1,2}){0,3}", 40),
    ) {
        let usable = |pattern: &String| !pattern.starts_with('!') && !pattern.starts_with('-');
        let patterns: Vec<String> = patterns.into_iter().filter(usable).collect();
        compare(&patterns, &paths);
    }
}
