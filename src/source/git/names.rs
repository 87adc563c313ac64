//! Names that no tree may hold, whatever file system they were made for (G9).
//!
//! The rules are those of git's own check of what it writes: `is_hfs_dotgit` in utf8.c and `is_ntfs_dotgit` in path.c.
//! We write nothing, but a `COPY` in the daemon hands the names on.

use crate::model::path::BadPath;

/// Why a name in a tree object is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadName {
    #[error(transparent)]
    Path(BadPath),
    #[error("the name is a spelling of .git")]
    DotGit,
}

/// Checks one name; `/` is refused, for a tree object nests by other means.
pub(super) fn check(name: &[u8]) -> Result<(), BadName> {
    match name {
        b"" | b"." => Err(BadName::Path(BadPath::Empty)),
        b".." => Err(BadName::Path(BadPath::Parent)),
        _ if name.contains(&b'/') => Err(BadName::Path(BadPath::Absolute)),
        _ if name.contains(&0) => Err(BadName::Path(BadPath::Nul)),
        _ if is_ntfs_dot_git(name) || is_hfs_dot_git(name) => Err(BadName::DotGit),
        _ => Ok(()),
    }
}

/// `.git` and `git~1` in any case, with the trailing dots and spaces that NTFS drops, or a stream's name after a colon.
fn is_ntfs_dot_git(name: &[u8]) -> bool {
    let end = name.iter().position(|b| matches!(b, b':' | b'\\')).unwrap_or(name.len());
    let mut stem = &name[..end];
    while let [rest @ .., b'.' | b' '] = stem {
        stem = rest;
    }
    stem.eq_ignore_ascii_case(b".git") || stem.eq_ignore_ascii_case(b"git~1")
}

/// `.git` in any case, between code points that HFS+ does not see.
fn is_hfs_dot_git(name: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(name) else { return false };
    let ignored = |c: &char| matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}');
    text.chars().filter(|c| !ignored(c)).map(|c| c.to_ascii_lowercase()).eq(".git".chars())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g9_every_spelling_of_git_is_refused() {
        for name in [
            ".git",
            ".GIT",
            ".Git",
            "git~1",
            "GIT~1",
            ".git.",
            ".git ",
            ".git . .",
            ".git::$INDEX_ALLOCATION",
            ".git\\config",
            ".g\u{200c}it",
            "\u{feff}.git",
            ".gi\u{206a}T",
            ".git:x",
        ] {
            assert_eq!(check(name.as_bytes()), Err(BadName::DotGit), "{name:?}");
        }
        for name in [".gitignore", ".gitattributes", "git", "git~2", ".gitx", "x.git", "a\\b", "...", ".g it", "\u{200c}git"] {
            assert_eq!(check(name.as_bytes()), Ok(()), "{name:?}");
        }
        for name in ["", ".", "..", "a/b", "/", "a\0b"] {
            assert!(matches!(check(name.as_bytes()), Err(BadName::Path(_))), "{name:?}");
        }
        assert_eq!(check(b"\xff\xfe"), Ok(()));
    }
}
