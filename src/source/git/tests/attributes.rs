//! Attributes against git's own reading of them.

use proptest::prelude::*;

use super::tree::{body, entries};
use crate::source::git::attributes::{Attributes, Budget, Rules, TooMany};
use crate::source::git::convert::Crlf;
use crate::source::git::pattern::Pattern;
use crate::source::git::trial::{Repo, Trial, serve};

#[test]
fn an_encoding_is_refused_by_its_name() {
    let rules = root(b"* working-tree-encoding=UTF-16LE\n").unwrap();
    let found = Attributes::of([(&rules, &b"a"[..])].into_iter(), Some(&rules));
    let refusal = found.treatment().refused.unwrap();
    assert_eq!((refusal.attribute.as_str(), refusal.of_empty), ("working-tree-encoding=UTF-16LE", false));
}

#[test]
fn macros_that_name_themselves_come_to_an_end() {
    let rules = root(b"[attr]a b\n[attr]b a eol=crlf\n* a\n").unwrap();
    let found = Attributes::of([(&rules, &b"a"[..])].into_iter(), Some(&rules));
    assert_eq!(found.treatment().conversion.crlf, Crlf::Always);
}

#[test]
fn g11_a_hostile_file_is_bounded() {
    assert!(root("* text\n".repeat(20_000).as_bytes()).is_err());
    let pattern = format!("{} text eol=crlf\n", "*a".repeat(100));
    let rules = root(pattern.as_bytes()).unwrap();
    let start = std::time::Instant::now();
    Attributes::of([(&rules, "a".repeat(4000).as_bytes())].into_iter(), Some(&rules));
    assert!(start.elapsed() < std::time::Duration::from_secs(2));
    assert!(root(format!("{} text\n", "*a".repeat(1000)).as_bytes()).is_err(), "one expression takes more than its share");
}

#[test]
fn g11_only_what_matters_is_compiled_and_a_commit_has_one_budget() {
    let mut budget = Budget::default();
    // None of these could be compiled within bounds.
    let hostile = format!("{} linguist-generated\n", "*a".repeat(1000)).repeat(500);
    assert!(Rules::parse(hostile.as_bytes(), None, &mut budget).unwrap().is_empty());
    // What a nested file says of macros matters where the root knows them.
    let macros = root(b"[attr]dos eol=crlf\n").unwrap();
    let nested = Rules::parse(b"*.bat dos\n*.sh unix\n", Some(&macros), &mut budget).unwrap();
    let crlf = |path: &[u8]| Attributes::of([(&nested, path)].into_iter(), Some(&macros)).treatment().conversion.crlf;
    assert_eq!((crlf(b"a.bat"), crlf(b"a.sh")), (Crlf::Always, Crlf::Never));
    let expressions = "*[ab]x text\n".repeat(200);
    let results: Vec<_> = (0..6).map(|_| Rules::parse(expressions.as_bytes(), Some(&macros), &mut budget).map(drop)).collect();
    assert_eq!(results, [Ok(()), Ok(()), Ok(()), Ok(()), Ok(()), Err(TooMany)]);
    assert!(budget.is_low());
}

#[test]
fn g11_the_attributes_of_many_directories_are_not_all_kept() {
    let repo = Repo::new();
    // The same directories over and over, each with a rule that counts: more together than may be held.
    repo.write("0/0/0/x", "x\n");
    repo.write("0/0/0/.gitattributes", "*[x] -text\n");
    repo.git(&["add", "-A"]);
    let mut tree = repo.git(&["rev-parse", &format!("{}:0/0/0", repo.git(&["write-tree"]))]);
    for _ in 0..3 {
        let lines = (0..17).map(|n| format!("040000 tree {tree}\td{n}")).collect::<Vec<_>>().join("\n");
        tree = repo.git_in(&["mktree"], lines.as_bytes());
    }
    repo.git(&["update-ref", "refs/heads/main", &repo.git(&["commit-tree", "-m", "x", &tree])]);
    let tree = Trial::new(&serve(&repo)).run().unwrap();
    let files: Vec<_> = entries(&tree).into_iter().filter(|entry| entry.path.name() == b"x").collect();
    assert_eq!(files.len(), 17 * 17 * 17);
    let mut most = 0;
    for entry in &files {
        assert_eq!(body(&tree, entry).unwrap(), b"x\n");
        most = most.max(tree.directories_kept());
    }
    assert!((500..1100).contains(&most), "{most}");
}

fn root(text: &[u8]) -> Result<Rules, TooMany> {
    Rules::parse(text, None, &mut Budget::default())
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
