//! What may stand for a git revision, and for a directory of a source.

use super::error::ConfigError;
use crate::model::TreePath;
use crate::model::path::BadPath;

/// A ref's name: `HEAD`, a branch or tag, or a full name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitRef(String);

impl GitRef {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// By the rules of git-check-ref-format(1), and never an option or a commit's id.
    pub fn parse(field: &str, text: &str) -> Result<Self, ConfigError> {
        let invalid = |what: &str| Err(ConfigError::invalid(field, what, "write a branch, a tag, or a full name such as refs/pull/7/head"));
        if let Some(what) = broken_rule(text) {
            return invalid(what);
        }
        if is_hex(text, 40) || is_hex(text, 64) {
            let commit = field.rsplit_once('.').map_or_else(|| "commit".to_owned(), |(above, _)| format!("{above}.commit"));
            return Err(ConfigError::invalid(field, "is a commit's id, not a ref", format!("write it as {commit}")));
        }
        Ok(Self(text.to_owned()))
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

impl CommitId {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn parse(field: &str, text: &str) -> Result<Self, ConfigError> {
        let invalid = |what: String, fix: &str| Err(ConfigError::invalid(field, what, fix));
        if is_hex(text, 40) {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        if is_hex(text, 64) {
            return invalid("is the id of a SHA-256 repository, which are not supported".into(), "use a SHA-1 repository");
        }
        if !text.is_empty() && text.len() < 40 && is_hex(text, text.len()) {
            return invalid(format!("has {} digits; only a whole id means exactly one commit", text.len()), "write all 40 digits");
        }
        invalid(format!("is not 40 hexadecimal digits (it has {} characters)", text.chars().count()), "write a whole commit id, or use ref")
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Control characters, as they are or percent-encoded: a reader further on may decode them.
pub fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control) || percent_encoding::percent_decode_str(text).any(|b| b < 0x20 || b == 0x7f)
}

/// A directory or file below a source's root.
pub fn tree_path(field: &str, text: &str) -> Result<TreePath, ConfigError> {
    let fix = "write a path below the source's root, such as services/web";
    if text.starts_with('-') {
        return Err(ConfigError::invalid(field, "begins with a hyphen", "write ./ before it"));
    }
    if text.chars().any(char::is_control) {
        return Err(ConfigError::invalid(field, "holds a control character", fix));
    }
    TreePath::parse(text.as_bytes()).map_err(|why: BadPath| ConfigError::invalid(field, format!("is refused: {why}"), fix))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refs_are_those_that_git_takes() {
        for good in ["main", "HEAD", "refs/pull/7/head", "refs/changes/34/1234/5", "v1.0", "feature/a-b_c", "a@b", "ünï", "deadbeef"] {
            assert_eq!(GitRef::parse("f", good).unwrap().as_str(), good);
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
            assert!(GitRef::parse("source.git.ref", text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_commit_id_as_a_ref_is_pointed_to_its_field() {
        let error = GitRef::parse("source.git.ref", &"a".repeat(40)).unwrap_err();
        assert_eq!(crate::model::Classified::hint(&error).unwrap(), "write it as source.git.commit");
    }

    #[test]
    fn only_a_whole_sha1_is_a_commit() {
        assert_eq!(CommitId::parse("f", &"AB".repeat(20)).unwrap().as_str(), "ab".repeat(20));
        for (text, what) in
            [("a".repeat(64), "SHA-256"), ("abc1234".into(), "has 7 digits"), (String::new(), "not 40"), ("z".repeat(40), "not 40")]
        {
            assert!(CommitId::parse("f", &text).unwrap_err().to_string().contains(what), "{text}");
        }
    }

    #[test]
    fn a_subdir_stays_inside() {
        for good in [".", "a/b", "./a", "..a", "link/x"] {
            assert!(tree_path("f", good).is_ok(), "{good}");
        }
        for bad in ["", "/abs", "..", "a/../../x", "../x", "-x", "a\nb", "a\0"] {
            assert!(tree_path("f", bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_control_character_leaves_the_parser(text in "[\\x00-\\x7f]{0,20}") {
            if let Ok(name) = GitRef::parse("f", &text) {
                prop_assert!(name.as_str().bytes().all(|b| b > 0x20 && b != 0x7f));
                prop_assert!(!name.as_str().starts_with('-'));
            }
        }
    }
}
