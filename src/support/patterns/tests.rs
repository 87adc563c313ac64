//! The tables of `moby/patternmatcher` (patternmatcher_test.go), as facts, and what it does not test.

use super::compile::{Shape, shape};
use super::*;

pub fn matcher(patterns: &[&str]) -> Matcher {
    Matcher::new(patterns.iter().map(|p| p.as_bytes().to_vec())).unwrap()
}

/// The answer of a walk from the root, as `docker build` walks.
pub fn walked(matcher: &Matcher, path: &[u8]) -> bool {
    let mut trail = Trail::default();
    for end in path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at) {
        trail = matcher.step(&path[..end], &trail);
    }
    matcher.step(path, &trail).matched()
}

/// Pattern, path, whether it or a directory above it matches. Moby's `TestMatches`.
const SINGLE: &[(&str, &str, bool)] = &[
    ("**", "file", true),
    ("**", "file/", true),
    ("**/", "file", true),
    ("**/", "file/", true),
    ("**", "/", true),
    ("**/", "/", true),
    ("**", "dir/file", true),
    ("**/", "dir/file", true),
    ("**", "dir/file/", true),
    ("**/", "dir/file/", true),
    ("**/**", "dir/file", true),
    ("**/**", "dir/file/", true),
    ("dir/**", "dir/file", true),
    ("dir/**", "dir/file/", true),
    ("dir/**", "dir/dir2/file", true),
    ("dir/**", "dir/dir2/file/", true),
    ("**/dir", "dir", true),
    ("**/dir", "dir/file", true),
    ("**/dir2/*", "dir/dir2/file", true),
    ("**/dir2/*", "dir/dir2/file/", true),
    ("**/dir2/**", "dir/dir2/dir3/file", true),
    ("**/dir2/**", "dir/dir2/dir3/file/", true),
    ("**file", "file", true),
    ("**file", "dir/file", true),
    ("**/file", "dir/file", true),
    ("**file", "dir/dir/file", true),
    ("**/file", "dir/dir/file", true),
    ("**/file*", "dir/dir/file", true),
    ("**/file*", "dir/dir/file.txt", true),
    ("**/file*txt", "dir/dir/file.txt", true),
    ("**/file*.txt", "dir/dir/file.txt", true),
    ("**/file*.txt*", "dir/dir/file.txt", true),
    ("**/**/*.txt", "dir/dir/file.txt", true),
    ("**/**/*.txt2", "dir/dir/file.txt", false),
    ("**/*.txt", "file.txt", true),
    ("**/**/*.txt", "file.txt", true),
    ("a**/*.txt", "a/file.txt", true),
    ("a**/*.txt", "a/dir/file.txt", true),
    ("a**/*.txt", "a/dir/dir/file.txt", true),
    ("a/*.txt", "a/dir/file.txt", false),
    ("a/*.txt", "a/file.txt", true),
    ("a/*.txt**", "a/file.txt", true),
    ("a[b-d]e", "ae", false),
    ("a[b-d]e", "ace", true),
    ("a[b-d]e", "aae", false),
    ("a[^b-d]e", "aze", true),
    (".*", ".foo", true),
    (".*", "foo", false),
    ("abc.def", "abcdef", false),
    ("abc.def", "abc.def", true),
    ("abc.def", "abcZdef", false),
    ("abc?def", "abcZdef", true),
    ("abc?def", "abcdef", false),
    ("a\\\\", "a\\", true),
    ("a\\*b", "a*b", true),
    ("**/foo/bar", "foo/bar", true),
    ("**/foo/bar", "dir/foo/bar", true),
    ("**/foo/bar", "dir/dir2/foo/bar", true),
    ("abc/**", "abc", false),
    ("abc/**", "abc/def", true),
    ("abc/**", "abc/def/ghi", true),
    ("**/.foo", ".foo", true),
    ("**/.foo", "bar.foo", false),
    ("a(b)c/def", "a(b)c/def", true),
    ("a(b)c/def", "a(b)c/xyz", false),
    ("a.|)$(}+{bc", "a.|)$(}+{bc", true),
    ("dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl", "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl", true),
    ("dist/*.whl", "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl", true),
];

#[test]
fn mobys_table_of_single_patterns() {
    for (pattern, path, want) in SINGLE {
        let matcher = matcher(&[pattern]);
        assert_eq!(matcher.matches_or_parent_matches(path.as_bytes()), *want, "{pattern} {path}");
        assert_eq!(matcher.step(path.as_bytes(), &Trail::default()).matched(), *want, "{pattern} {path}, without a walk");
        if !path.ends_with('/') {
            assert_eq!(walked(&matcher, path.as_bytes()), *want, "{pattern} {path}, walked");
        }
    }
}

#[test]
fn mobys_table_of_lists_and_what_everyday_lists_mean() {
    let table: &[(&[&str], &str, bool)] = &[
        (&["**", "!util/docker/web"], "util/docker/web/foo", false),
        (&["**", "!util/docker/web", "util/docker/web/foo"], "util/docker/web/foo", true),
        (
            &["**", "!dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl"],
            "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl",
            false,
        ),
        (&["**", "!dist/*.whl"], "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl", false),
        (&["!fileutils.go", "*.go"], "fileutils.go", true),
        (&["*.go", "!fileutils.go"], "fileutils.go", false),
        (&["docs", "!docs/README.md"], "docs/README.md", false),
        (&["docs/", "!docs/README.md"], "docs/README.md", false),
        (&["docs/*", "!docs/README.md"], "docs/README.md", false),
        (&["docs", "  !docs/README.md  "], "docs/README.md", false),
        (&[], "any/path", false),
        (&["", "  "], "any/path", false),
        // Where Docker differs from git's ignore files.
        (&["node_modules"], "node_modules/a", true),
        (&["node_modules"], "web/node_modules/a", false),
        (&["*.log"], "a/b.log", false),
        (&["foo/"], "foo", true),
        (&["*", "!src"], "src/a/b", false),
        (&["*", "!src"], "lib/a", true),
        (&["./b"], "b", true),
        (&["a/../b"], "b", true),
        (&["[!a]"], "b", false),
        (&["[!a]"], "!", true),
        (&["{a,b}"], "a", false),
        (&["{a,b}"], "{a,b}", true),
        (&["**/*.o", "!keep"], "a/b.o", true),
        (&["."], "a", false),
        (&["/a"], "a", false),
        (&["../a"], "a", false),
        (&["**", "!**/*.md"], "docs/deep/a.md", false),
        (&["a^b"], "a^b", true),
        (&["a^b*"], "a^bc", false),
    ];
    for (patterns, path, want) in table {
        let matcher = matcher(patterns);
        assert_eq!(matcher.matches_or_parent_matches(path.as_bytes()), *want, "{patterns:?} {path}");
        assert_eq!(walked(&matcher, path.as_bytes()), *want, "{patterns:?} {path}, walked");
    }
}

/// Where moby's two answers differ, both are given as moby gives them; a build's is the walk's.
#[test]
fn a_walk_forgets_an_exception_for_a_directory_that_nothing_matched() {
    let matcher = matcher(&["**/f", "!d"]);
    assert!(!matcher.matches_or_parent_matches(b"d/f"));
    assert!(walked(&matcher, b"d/f"));
}

/// Moby's `TestMatch`; `None` is an error.
#[test]
fn mobys_table_of_gos_own_patterns() {
    let table: &[(&str, &str, Option<bool>)] = &[
        ("abc", "abc", Some(true)),
        ("*", "abc", Some(true)),
        ("*c", "abc", Some(true)),
        ("a*", "a", Some(true)),
        ("a*", "abc", Some(true)),
        ("a*", "ab/c", Some(true)),
        ("a*/b", "abc/b", Some(true)),
        ("a*/b", "a/c/b", Some(false)),
        ("a*b*c*d*e*/f", "axbxcxdxe/f", Some(true)),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/f", Some(true)),
        ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", Some(false)),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", Some(false)),
        ("a*b?c*x", "abxbbxdbxebxczzx", Some(true)),
        ("a*b?c*x", "abxbbxdbxebxczzy", Some(false)),
        ("ab[c]", "abc", Some(true)),
        ("ab[b-d]", "abc", Some(true)),
        ("ab[e-g]", "abc", Some(false)),
        ("ab[^c]", "abc", Some(false)),
        ("ab[^b-d]", "abc", Some(false)),
        ("ab[^e-g]", "abc", Some(true)),
        ("a\\*b", "a*b", Some(true)),
        ("a\\*b", "ab", Some(false)),
        ("a?b", "a☺b", Some(true)),
        ("a[^a]b", "a☺b", Some(true)),
        ("a???b", "a☺b", Some(false)),
        ("a[^a][^a][^a]b", "a☺b", Some(false)),
        ("[a-ζ]*", "α", Some(true)),
        ("*[a-ζ]", "A", Some(false)),
        ("a?b", "a/b", Some(false)),
        ("a*b", "a/b", Some(false)),
        ("[\\]a]", "]", Some(true)),
        ("[\\-]", "-", Some(true)),
        ("[x\\-]", "x", Some(true)),
        ("[x\\-]", "-", Some(true)),
        ("[x\\-]", "z", Some(false)),
        ("[\\-x]", "x", Some(true)),
        ("[\\-x]", "-", Some(true)),
        ("[\\-x]", "a", Some(false)),
        ("[]a]", "]", None),
        ("[-]", "-", None),
        ("[x-]", "x", None),
        ("[-x]", "x", None),
        ("\\", "a", None),
        ("[a-b-c]", "a", None),
        ("[", "a", None),
        ("[^", "a", None),
        ("[^bc", "a", None),
        ("a[", "ab", None),
        ("*x", "xxx", Some(true)),
        ("!", "a", None),
        // Moby accepts these and fails when it first matches them (moby issue 52203).
        ("[Local-Only]/", "x", None),
        ("a\\e*", "x", None),
        // What only shows that a Go expression stands behind it.
        ("[[:digit:]]*", "1a", Some(true)),
        ("[[:digit:]]*", "da", Some(false)),
        ("bin\\Debug", "bin\\Debug", Some(false)),
        ("bin\\Debug", "bin_ebug", Some(true)),
        ("a\\x41", "aA", Some(true)),
        ("a\\101", "aA", Some(true)),
        ("src\\build", "src\\build", Some(false)),
        ("[*]", "*", Some(false)),
        ("[*]", "^^]", Some(true)),
        ("a[^a]b", "a/b", Some(true)),
        ("[a&&b]", "&", Some(true)),
        ("[a[b]", "[", Some(true)),
        ("[+~~x]", "~", Some(true)),
        ("x[\\d_]", "x7", Some(true)),
        ("a\\<b\\>*", "a<b>c", Some(true)),
    ];
    for (pattern, path, want) in table {
        let got = Matcher::new([pattern.as_bytes().to_vec()]).ok().map(|matcher| matcher.matches_or_parent_matches(path.as_bytes()));
        assert_eq!(got, *want, "{pattern} {path}");
    }
}

/// Moby's `TestCompile`.
#[test]
fn patterns_become_what_moby_makes_of_them() {
    let table = [
        ("*", Shape::Wild, "^[^/]*$"),
        ("file*", Shape::Wild, "^file[^/]*$"),
        ("*file", Shape::Wild, "^[^/]*file$"),
        ("a*/b", Shape::Wild, "^a[^/]*/b$"),
        ("**", Shape::Suffix, ""),
        ("**/**", Shape::Wild, "^(.*/)?.*$"),
        ("dir/**", Shape::Prefix, ""),
        ("**/dir", Shape::Suffix, ""),
        ("**/dir2/*", Shape::Wild, "^(.*/)?dir2/[^/]*$"),
        ("**/dir2/**", Shape::Wild, "^(.*/)?dir2/.*$"),
        ("**file", Shape::Suffix, ""),
        ("**/file*txt", Shape::Wild, "^(.*/)?file[^/]*txt$"),
        ("**/**/*.txt", Shape::Wild, r"^(.*/)?(.*/)?[^/]*\.txt$"),
        ("a[b-d]e", Shape::Wild, "^a[b-d]e$"),
        (".*", Shape::Wild, r"^\.[^/]*$"),
        ("abc.def", Shape::Exact, ""),
        ("abc?def", Shape::Wild, "^abc[^/]def$"),
        ("**/foo/bar", Shape::Suffix, ""),
        ("a(b)c/def", Shape::Exact, ""),
        ("a.|)$(}+{bc", Shape::Exact, ""),
    ];
    for (pattern, want, expression) in table {
        let (got, made) = shape(pattern);
        assert_eq!(got, want, "{pattern}");
        if want == Shape::Wild {
            assert_eq!(made, expression, "{pattern}");
        }
    }
}

#[test]
fn names_that_are_no_text_are_matched_byte_for_byte() {
    let table: &[(&[u8], &[u8], bool)] = &[
        (b"caf\xe9", b"caf\xe9", true),
        (b"caf\xe9", b"caf\xe8", false),
        (b"caf\xe9*", b"caf\xe9.txt", true),
        (b"caf\xe9*", b"caf\xe8.txt", false),
        (b"caf?", b"caf\xe9", true),
        (b"caf??", b"caf\xe9", false),
        (b"caf?", b"caf\xc3\xa9", true),
        (b"a?b?", b"a\xffb\xe2\x98\xba", true),
        (b"**/\xff", b"a/\xff", true),
        (b"\xff/**", b"\xff/a", true),
        (b"[^a]", b"\xff", true),
        (b"*", b"\xff\xfe", true),
    ];
    for (pattern, path, want) in table {
        let matcher = Matcher::new([pattern.to_vec()]).unwrap();
        assert_eq!(matcher.matches_or_parent_matches(path), *want, "{} {}", pattern.escape_ascii(), path.escape_ascii());
    }
    assert!(Matcher::new([b"[\xff]".to_vec()]).is_err(), "as in Go");
}

#[test]
fn an_error_names_the_pattern_and_the_line() {
    let error = |file: &[u8]| Matcher::from_ignore_file(file).err().map(|error| error.to_string()).unwrap_or_default();
    assert_eq!(
        error(b"# c\n\na\n[x-]\n"),
        "line 4: the pattern \"[x-]\" is malformed: a `-` or `]` in `[…]` is written `\\-`, `\\]`, and `[…]` is not empty"
    );
    assert_eq!(error(b"a\n!\n"), "line 2: the pattern \"!\" is malformed: nothing follows the `!`");
    assert!(error(&[b'a'; 5000]).starts_with("line 1: the pattern \"aaaa"));
    assert_eq!(error("a\n".repeat(MAX_PATTERNS + 1).as_bytes()), "more than 10000 patterns");
    let long = format!("{}a\n", "**/".repeat(1_300));
    assert!(error(long.repeat(6).as_bytes()).starts_with("the wildcards of the list would take more than 32 MiB"));
    assert!(error("**/a/*\n".repeat(200).as_bytes()).is_empty());
    assert_eq!(error("a\n".repeat(MAX_PATTERNS).as_bytes()), "");
    assert_eq!(Matcher::new([b"[".to_vec()]).err().unwrap().to_string(), "the pattern \"[\" is malformed: a `[` is not closed");
}

#[test]
fn the_longest_pattern_of_wildcards_still_compiles_and_matches_fast() {
    let matcher =
        matcher(&[&"?*".repeat(MAX_PATTERN / 2), &format!("{}x", "**/".repeat(MAX_PATTERN / 3 - 1)), &"*a".repeat(MAX_PATTERN / 2)]);
    let began = std::time::Instant::now();
    assert!(!matcher.matches_or_parent_matches(&[b'a'; 255]));
    assert!(began.elapsed().as_secs() < 5);
}

#[test]
fn a_directory_is_skipped_only_where_nothing_below_can_come_back() {
    let table: &[(&[&str], &str, bool)] = &[
        (&["foo"], "foo", false),
        (&["foo*", "!foo/bar2"], "foo", true),
        (&["foo*", "!foo/bar2"], "food", false),
        (&["*", "!src/lib"], "src", true),
        (&["*", "!src/lib"], "s", false),
        (&["*", "!src/*.rs"], "src", true),
        (&["*", "!src/*.rs"], "docs", false),
        (&["*", "!src/**"], "src/a", true),
        (&["*", "!**/keep"], "docs", true),
        (&["*", "!*/keep"], "docs", true),
        (&["p", "!p/*/**"], "p/y", true),
        (&["p", "!p/x\\*"], "p", true),
    ];
    for (patterns, directory, want) in table {
        assert_eq!(matcher(patterns).may_take_back_below(directory.as_bytes()), *want, "{patterns:?} {directory}");
    }
}

#[test]
fn single_names_match_as_in_gos_filepath() {
    let table = [
        ("l*", "link", true),
        ("*link", "anotherlink", true),
        ("*a*a*", "banana", true),
        ("*a*c", "banana", false),
        ("?", "☺", true),
        ("[a-c]x", "bx", true),
        ("[^a-c]x", "bx", false),
        ("a\\*", "a*", true),
        ("a\\*", "ab", false),
        ("", "", true),
        ("*", "", true),
        ("[", "[", false),
        ("*", "a/b", false),
        ("*/b", "a/b", true),
    ];
    for (pattern, name, want) in table {
        assert_eq!(gomatch::matches(pattern.as_bytes(), name.as_bytes()), want, "{pattern} {name}");
    }
    for (name, want) in [("a", false), ("a*", true), ("a\\*", false), ("a\\\\*", true), ("[", true), ("a?", true), ("\\", false)] {
        assert_eq!(gomatch::has_wildcards(name.as_bytes()), want, "{name}");
    }
}
