//! fsutil's own tables (filter_test.go, followlinks_test.go), as facts, and properties of the walk.

use std::collections::BTreeMap;
use std::convert::Infallible;

use proptest::prelude::*;

use super::*;
use crate::support::patterns::paths;

/// A tree by its names: `None` is a file, `Some("")` a directory, anything else a link.
struct Tree(BTreeMap<Vec<u8>, (Vec<u8>, Option<String>)>);

impl Tree {
    /// `a/` is a directory, `a -> b` a link; directories above are made.
    fn new(names: &[&str]) -> Self {
        let mut tree = Self(BTreeMap::new());
        for name in names {
            let (path, kind) = match name.split_once(" -> ") {
                Some((path, target)) => (path, Some(target.to_owned())),
                None if name.ends_with('/') => (name.trim_end_matches('/'), Some(String::new())),
                None => (*name, None),
            };
            for (at, _) in path.match_indices('/') {
                tree.put(&path[..at], Some(String::new()));
            }
            tree.put(path, kind);
        }
        tree
    }

    /// Keys in path order: `/` below every other byte.
    fn put(&mut self, path: &str, kind: Option<String>) {
        let key = path.bytes().map(|byte| if byte == b'/' { 0 } else { byte }).collect();
        let directory = kind.as_deref() == Some("");
        let entry = self.0.entry(key).or_insert_with(|| (path.as_bytes().to_vec(), kind.clone()));
        if directory {
            entry.1 = kind;
        }
    }

    fn entries(&self) -> impl Iterator<Item = (&[u8], bool)> {
        self.0.values().map(|(path, kind)| (path.as_slice(), kind.as_deref() == Some("")))
    }
}

impl Links for Tree {
    type Error = Infallible;

    fn read_link(&self, path: &[u8]) -> Result<Option<Vec<u8>>, Infallible> {
        let entry = self.0.values().find(|(name, _)| name == path);
        Ok(entry.and_then(|(_, kind)| kind.clone()).filter(|target| !target.is_empty()).map(String::into_bytes))
    }

    fn names(&self, directory: &[u8]) -> Result<Vec<Vec<u8>>, Infallible> {
        Ok(self.0.values().filter(|(path, _)| paths::dir(path) == directory).map(|(path, _)| paths::base(path).to_vec()).collect())
    }
}

fn bytes(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// The names announced, and how many entries were looked at.
fn announced(tree: &Tree, wanted: Wanted) -> (Vec<String>, usize) {
    let selection = Selection::new(wanted, tree).unwrap();
    let mut walk = selection.walk();
    let (mut out, mut offered) = (Vec::new(), 0);
    let mut skipped: Option<Vec<u8>> = None;
    for (path, is_directory) in tree.entries() {
        if skipped.as_ref().is_some_and(|above| path.starts_with(above)) {
            continue;
        }
        offered += 1;
        if walk.offer(path, is_directory, path.to_vec(), &mut out) == Below::Skip {
            skipped = Some([path, b"/"].concat());
        }
    }
    (out.into_iter().map(|path| String::from_utf8(path).unwrap()).collect(), offered)
}

fn include(tree: &Tree, patterns: &[&str]) -> Vec<String> {
    announced(tree, Wanted { include: bytes(patterns), ..Wanted::default() }).0
}

fn exclude(tree: &Tree, patterns: &[&str]) -> Vec<String> {
    announced(tree, Wanted { exclude: bytes(patterns), ..Wanted::default() }).0
}

fn follow(tree: &Tree, paths: &[&str]) -> Vec<String> {
    announced(tree, Wanted { follow: bytes(paths), ..Wanted::default() }).0
}

#[test]
fn without_patterns_all_is_announced() {
    let tree = Tree::new(&["bar/foo", "empty/", "foo2"]);
    assert_eq!(announced(&tree, Wanted::default()), (["bar", "bar/foo", "empty", "foo2"].map(str::to_owned).to_vec(), 4));
}

#[test]
fn include_patterns_as_fsutil() {
    let tree = Tree::new(&["bar/foo", "foo2"]);
    for patterns in ["bar", "bar/foo", "b*", "bar/f*", "b*/f*", "b*/foo", "b*/"] {
        assert_eq!(include(&tree, &[patterns]), ["bar", "bar/foo"], "{patterns}");
    }
    assert!(include(&tree, &["bar/g*"]).is_empty());
    assert_eq!(include(&tree, &["f*"]), ["foo2"]);
}

#[test]
fn include_patterns_with_double_stars_as_fsutil() {
    let tree = Tree::new(&["a/b/baz/", "a/b/bar/foo", "a/b/bar/fop", "bar/foo", "baz/", "foo2", "foo/bar/bee"]);
    let table = [
        ("**", "a a/b a/b/bar a/b/bar/foo a/b/bar/fop a/b/baz bar bar/foo baz foo foo/bar foo/bar/bee foo2"),
        ("**/bar", "a a/b a/b/bar a/b/bar/foo a/b/bar/fop bar bar/foo foo foo/bar foo/bar/bee"),
        ("**/bar/foo", "a a/b a/b/bar a/b/bar/foo bar bar/foo"),
        ("**/b*", "a a/b a/b/bar a/b/bar/foo a/b/bar/fop a/b/baz bar bar/foo baz foo foo/bar foo/bar/bee"),
        ("**/bar/f*", "a a/b a/b/bar a/b/bar/foo a/b/bar/fop bar bar/foo"),
        ("**/bar/g*", ""),
        ("**/f*", "a a/b a/b/bar a/b/bar/foo a/b/bar/fop bar bar/foo foo foo/bar foo/bar/bee foo2"),
        ("**/b*/f*", "a a/b a/b/bar a/b/bar/foo a/b/bar/fop bar bar/foo"),
        ("**/b*/foo", "a a/b a/b/bar a/b/bar/foo bar bar/foo"),
        ("**/foo/**", "foo foo/bar foo/bar/bee"),
        ("**/baz", "a a/b a/b/baz baz"),
    ];
    for (pattern, want) in table {
        assert_eq!(include(&tree, &[pattern]).join(" "), want, "{pattern}");
    }
}

#[test]
fn exclude_patterns_as_fsutil() {
    let tree = Tree::new(&["bar", "foo/bar2", "foo/other", "foo2"]);
    assert_eq!(exclude(&tree, &["foo*", "!foo/bar2"]), ["bar", "foo", "foo/bar2"]);
    assert_eq!(exclude(&tree, &["**", "!**/bar2"]), ["foo", "foo/bar2"]);
    let tree = Tree::new(&["foo/bar/baz/x", "foo/bar/baz/y"]);
    assert_eq!(exclude(&tree, &["foo", "!foo/bar", "foo/bar/baz", "!foo/bar/baz/x"]), ["foo", "foo/bar", "foo/bar/baz", "foo/bar/baz/x"]);
    let both = Wanted { include: bytes(&["foo", "!**/bar"]), ..Wanted::default() };
    assert_eq!(announced(&Tree::new(&["foo/bar/"]), both).0, ["foo"]);
    let both = Wanted { include: bytes(&["a"]), exclude: bytes(&["**/*.o"]), ..Wanted::default() };
    assert_eq!(announced(&Tree::new(&["a/x.o", "a/x.c", "b/x.c"]), both).0, ["a", "a/x.c"]);
}

#[test]
fn a_directory_that_cannot_hold_anything_wanted_is_not_entered() {
    let tree = Tree::new(&["a/1", "a/2", "b/1", "b/c/1", "b/c/2"]);
    let offered = |wanted| announced(&tree, wanted).1;
    assert_eq!(offered(Wanted { include: bytes(&["b/1"]), ..Wanted::default() }), 4, "a, b, b/1, b/c");
    assert_eq!(offered(Wanted { exclude: bytes(&["b", "a"]), ..Wanted::default() }), 2);
    assert_eq!(offered(Wanted { exclude: bytes(&["*", "!b/c/1"]), ..Wanted::default() }), 6);
}

#[test]
fn followed_paths_bring_what_their_links_point_to() {
    let tree = Tree::new(&["bar", "foo/l1 -> /baz/one", "foo/l2 -> /baz/two", "baz/one", "baz/two -> ../bax", "bax", "bay"]);
    assert_eq!(follow(&tree, &["foo/l*", "bar"]), ["bar", "bax", "baz", "baz/one", "baz/two", "foo", "foo/l1", "foo/l2"]);
    let tree = Tree::new(&["foo -> .", "bar", "bay/baz"]);
    assert_eq!(follow(&tree, &["foo"]), ["bar", "bay", "bay/baz", "foo"], "a link to the root asks for everything");
    let both = Wanted { follow: bytes(&["d", "l"]), exclude: bytes(&["d/secret"]), ..Wanted::default() };
    assert_eq!(announced(&Tree::new(&["d/secret", "d/x", "l -> d/secret"]), both).0, ["d", "d/x", "l"], "what is excluded stays out");
}

/// The three requests of one build with Docker 20.10 and 26.1.
#[test]
fn what_the_daemon_asks_for_in_one_build() {
    let tree = Tree::new(&[".dockerignore", "Dockerfile", "secret", "src/a"]);
    assert_eq!(follow(&tree, &["Dockerfile", "Dockerfile.dockerignore", "dockerfile"]), ["Dockerfile"]);
    assert_eq!(follow(&tree, &[".dockerignore"]), [".dockerignore"]);
    let context = Wanted { follow: bytes(&["src", "secret"]), exclude: bytes(&["secret"]), ..Wanted::default() };
    assert_eq!(announced(&tree, context).0, ["src", "src/a"]);
}

fn found(tree: &Tree, paths: &[&str]) -> Option<String> {
    follow_links(tree, &bytes(paths)).unwrap().map(|paths| String::from_utf8(paths.join(&b' ')).unwrap())
}

#[test]
fn links_are_followed_as_fsutil_follows_them() {
    let basic = ["dir/foo", "dir/l1 -> foo", "l2 -> dir/l1", "bar", "baz"];
    let wild =
        ["dir/l1 -> /foo/bar1", "dir/l2 -> /foo/bar2", "dir/anotherlink -> /foo/bar3", "foo/bar2 -> ../baz", "foo/bar1", "foo/bar3", "baz"];
    let table: &[(&[&str], &[&str], Option<&str>)] = &[
        (&basic, &["l2", "bar"], Some("bar dir/foo dir/l1 l2")),
        (&["l1 -> l1", "l3 -> l2", "l2 -> l3"], &["l1", "l3"], Some("l1 l2 l3")),
        (&["dir/l1 -> /foo/bar/baz", "foo/bar -> ../", "baz"], &["dir/l1"], Some("baz dir/l1 foo/bar")),
        (&["dir/l1 -> /foo/bar/baz", "foo/bar -> ../../../", "baz"], &["dir/l1"], Some("baz dir/l1 foo/bar")),
        (&[], &["foo/bar/baz", "bar/baz"], Some("bar/baz foo/bar/baz")),
        (&[], &["."], None),
        (&[], &[""], None),
        (&[], &["f*/foo/t*"], Some("f*/foo/t*")),
        (&[], &["foo/bar/baz", "foo/bar"], Some("foo/bar")),
        (&["dir/l1 -> /foo", "foo/bar"], &["dir/l1", "foo/bar"], Some("dir/l1 foo")),
        (&["dir/l2 -> /", "foo/bar"], &["dir/l2", "foo", "foo/bar"], None),
        (&wild, &["dir/l*"], Some("baz dir/l* foo/bar1 foo/bar2")),
        (&wild, &["dir"], Some("dir")),
        (&wild, &["dir", "dir/*link"], Some("dir foo/bar3")),
        // Not in fsutil's tests.
        (&["l -> d", "d/a", "d/b"], &["l/a", "l/b"], Some("d/a d/b l")),
        (&["a -> a/x"], &["a"], Some("a")),
        (&["a -> b/../../..", "x"], &["a"], None),
        (&["l -> /../../etc/passwd"], &["l"], Some("etc/passwd l")),
        (&["x"], &["../x"], Some("../x")),
        (&["d-e/x", "d/x"], &["d", "d-e", "d/x"], Some("d d-e d/x")),
    ];
    for (names, paths, want) in table {
        assert_eq!(found(&Tree::new(names), paths).as_deref(), *want, "{names:?} {paths:?}");
    }
}

#[test]
fn a_maze_of_links_ends() {
    let names: Vec<String> = (0..30).map(|n| format!("d/l{n} -> /d/*/l{}", (n * 7) % 30)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let tree = Tree::new(&names);
    assert!(matches!(follow_links(&tree, &bytes(&["d/*/*/*/*", "d/*"])), Err(BadSelection::TooManyLinks)));
    assert_eq!(found(&Tree::new(&["d/a -> /d/*", "d/b -> /d/*/b"]), &["d/a"]).as_deref(), Some("d/* d/a"));
}

#[test]
fn an_unreadable_request_says_which_part_of_it() {
    let tree = Tree::new(&[]);
    let error = |wanted| Selection::new(wanted, &tree).err().unwrap().to_string();
    assert!(error(Wanted { exclude: bytes(&["!"]), ..Wanted::default() }).contains("exclude patterns"));
    assert!(error(Wanted { follow: bytes(&["a["]), ..Wanted::default() }).contains("followed paths"));
}

fn name() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "ab", "c"]), 1..4).prop_map(|parts| parts.join("/"))
}

fn pattern() -> impl Strategy<Value = String> {
    (any::<bool>(), prop::collection::vec(prop::sample::select(vec!["a", "b", "*", "**", "a*", "c"]), 1..4))
        .prop_map(|(exception, parts)| format!("{}{}", if exception { "!" } else { "" }, parts.join("/")))
}

proptest! {
    /// Against the plain rule, with every entry asked and nothing skipped: an entry is announced if it is wanted, or is a
    /// directory above one that is; each once, in the tree's order.
    #[test]
    fn skipping_changes_nothing(
        names in prop::collection::vec(name(), 1..12),
        include in prop::collection::vec(pattern(), 0..3),
        exclude in prop::collection::vec(pattern(), 0..4),
    ) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let tree = Tree::new(&names);
        let wanted = Wanted {
            include: include.into_iter().map(String::into_bytes).collect(),
            exclude: exclude.into_iter().map(String::into_bytes).collect(),
            ..Wanted::default()
        };
        let include = (!wanted.include.is_empty()).then(|| Matcher::new(wanted.include.clone()).unwrap());
        let exclude = Matcher::new(wanted.exclude.clone()).unwrap();
        let matched = |matcher: &Matcher, path: &[u8]| {
            let mut trail = Trail::default();
            for (at, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
                trail = matcher.step(&path[..at], &trail);
            }
            matcher.step(path, &trail).matched()
        };
        let chosen: Vec<&[u8]> = tree.entries().map(|(path, _)| path)
            .filter(|path| include.as_ref().is_none_or(|matcher| matched(matcher, path)) && !matched(&exclude, path)).collect();
        let want: Vec<String> = tree.entries().map(|(path, _)| path)
            .filter(|path| chosen.iter().any(|one| one == path || one.starts_with(&[*path, b"/"].concat())))
            .map(|path| String::from_utf8(path.to_vec()).unwrap()).collect();
        prop_assert_eq!(announced(&tree, wanted).0, want);
    }
}
