//! What may stand for a git revision.

use super::address::has_control;

/// A ref's name: `HEAD`, a branch or tag, or a full name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitRef(String);

/// Why a text is no ref.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRef {
    /// It breaks this rule.
    Rule(&'static str),
    /// It is the id of a commit.
    Id,
}

impl GitRef {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// By the rules of git-check-ref-format(1), and never an option or a commit's id.
    pub fn parse(text: &str) -> Result<Self, BadRef> {
        match broken_rule(text) {
            Some(rule) => Err(BadRef::Rule(rule)),
            None if is_hex(text, 40) || is_hex(text, 64) => Err(BadRef::Id),
            None => Ok(Self(text.to_owned())),
        }
    }
}

fn broken_rule(text: &str) -> Option<&'static str> {
    let component = |part: &str| part.is_empty() || part.starts_with('.') || part.to_ascii_lowercase().ends_with(".lock");
    match text {
        "" => Some("is empty"),
        "@" => Some("is `@` alone"),
        text if text.len() > 1024 => Some("is longer than 1024 characters"),
        text if text.starts_with('-') => Some("begins with a hyphen"),
        text if has_control(text) => Some("holds a control character"),
        text if text.contains([' ', '~', '^', ':', '?', '*', '[', '\\']) => Some("holds one of the characters ` ~^:?*[\\`"),
        text if text.contains("..") => Some("holds `..`"),
        text if text.contains("@{") => Some("holds `@{`"),
        text if text.ends_with('.') => Some("ends in a dot"),
        text if text.split('/').any(component) => Some("has a part that is empty, begins with a dot or ends in .lock"),
        _ => None,
    }
}

/// A whole commit id, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitId(String);

/// Why a text is no commit id, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadCommit {
    pub what: String,
    pub fix: &'static str,
}

impl CommitId {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn parse(text: &str) -> Result<Self, BadCommit> {
        let bad = |what: String, fix| Err(BadCommit { what, fix });
        if is_hex(text, 40) {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        if is_hex(text, 64) {
            return bad("is the id of a SHA-256 repository, which are not supported".into(), "use a SHA-1 repository");
        }
        if !text.is_empty() && text.len() < 40 && is_hex(text, text.len()) {
            return bad(format!("has {} digits; only a whole id means exactly one commit", text.len()), "write all 40 digits");
        }
        bad(format!("is not 40 hexadecimal digits (it has {} characters)", text.chars().count()), "write a whole commit id, or use ref")
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn g1_refs_are_those_that_git_takes() {
        for good in ["main", "HEAD", "refs/pull/7/head", "refs/changes/34/1234/5", "v1.0", "feature/a-b_c", "a@b", "ünï", "deadbeef"] {
            assert_eq!(GitRef::parse(good).unwrap().as_str(), good);
        }
        let bad = [
            "",
            "@",
            "-b",
            "--upload-pack=x",
            "a b",
            "a~1",
            "a^",
            "a:b",
            "a?",
            "a*",
            "a[",
            "a\\b",
            "a..b",
            "a@{1}",
            "a.",
            "/a",
            "a/",
            "a//b",
            ".a",
            "a/.b",
            "a.lock",
            "a.lock/b",
            "a\nb",
            "a\u{7f}",
            "a%0ab",
            "a%7F",
        ];
        for text in bad {
            assert!(GitRef::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_commit_id_is_no_ref() {
        assert_eq!(GitRef::parse(&"a".repeat(40)), Err(BadRef::Id));
    }

    #[test]
    fn only_a_whole_sha1_is_a_commit() {
        assert_eq!(CommitId::parse(&"AB".repeat(20)).unwrap().as_str(), "ab".repeat(20));
        for (text, what) in
            [("a".repeat(64), "SHA-256"), ("abc1234".into(), "has 7 digits"), (String::new(), "not 40"), ("z".repeat(40), "not 40")]
        {
            assert!(CommitId::parse(&text).unwrap_err().what.contains(what), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_control_character_leaves_the_parser(text in "[\\x00-\\x7f]{0,20}") {
            if let Ok(name) = GitRef::parse(&text) {
                prop_assert!(name.as_str().bytes().all(|b| b > 0x20 && b != 0x7f));
                prop_assert!(!name.as_str().starts_with('-'));
            }
        }
    }
}
