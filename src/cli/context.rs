//! The positional CONTEXT, by a few plain rules. What could be two things is neither: the flags say which was meant.
//!
//! | written | is |
//! |---|---|
//! | `-` | an archive on standard input |
//! | `https://….git`, with `#ref:subdir` or `?ref=…&subdir=…` or without | a repository |
//! | `https://….tar`, `.tar.gz`, `.tgz`, `.tar.zst`, `.tar.xz`, `.tar.bz2`, `.zip` | an archive |
//! | `oci://registry/repository@sha256:…` | an artifact |
//! | another URL, or `github.com/…` | an error that names `--git` and `--archive` |
//! | a path that ends so | an archive |
//! | another path | a directory |

use super::UsageError;
use crate::config::Layer;

/// What a CONTEXT is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Context {
    /// With what is behind the place in it.
    Git(String),
    ArchiveUrl(String),
    ArchivePath(String),
    Stdin,
    Artifact(String),
    Directory(String),
}

impl Context {
    /// Into the fields that it stands for.
    pub fn fill(self, layer: &mut Layer) {
        match self {
            Self::Git(url) => layer.set("source.git.url", url),
            Self::ArchiveUrl(url) => layer.set("source.archive.url", url),
            Self::ArchivePath(path) => layer.set("source.archive.path", path),
            Self::Artifact(name) => layer.set("source.artifact.ref", name),
            Self::Stdin => layer.set("source.archive.stdin", true),
            Self::Directory(path) => layer.set("source.directory.path", path),
        }
    }
}

/// What `--archive` names.
pub fn archive(text: &str) -> Context {
    match text {
        "-" => Context::Stdin,
        text if text.contains("://") => Context::ArchiveUrl(text.to_owned()),
        path => Context::ArchivePath(path.to_owned()),
    }
}

/// Applies the rules. No error shows the text: a URL may hold a password.
pub fn resolve(text: &str) -> Result<Context, UsageError> {
    if text.is_empty() {
        return Err(UsageError::new("CONTEXT is empty", "write . for the working directory"));
    }
    if text == "-" {
        return Ok(Context::Stdin);
    }
    let (before_fragment, fragment) = text.split_once('#').map_or((text, None), |(url, fragment)| (url, Some(fragment)));
    if before_fragment.contains("://") || is_scp_like(before_fragment) {
        return url(text, before_fragment, fragment);
    }
    // What docker takes for a repository, and what may as well be a directory.
    if text.starts_with("github.com/") {
        let fix = "write --git https://github.com/…, or --directory ./github.com/…";
        return Err(UsageError::new("CONTEXT could be a repository or a directory", fix));
    }
    Ok(if is_archive(text) { Context::ArchivePath(text.to_owned()) } else { Context::Directory(text.to_owned()) })
}

fn url(text: &str, before_fragment: &str, fragment: Option<&str>) -> Result<Context, UsageError> {
    let lower = before_fragment.to_ascii_lowercase();
    let path = lower.split('?').next().unwrap_or_default().trim_end_matches('/');
    if lower.starts_with("oci://") {
        return Ok(Context::Artifact(text.to_owned()));
    }
    let git = path.strip_suffix(".git").is_some() || !lower.starts_with("http");
    if git {
        return Ok(Context::Git(text.to_owned()));
    }
    if is_archive(path) && fragment.is_none() {
        return Ok(Context::ArchiveUrl(text.to_owned()));
    }
    Err(UsageError::new("CONTEXT is a URL that could be a repository or an archive", "say which with --git URL or --archive URL"))
}

/// git's `host:path`, with a user or without: a colon before any slash (git-clone(1), "GIT URLS").
fn is_scp_like(text: &str) -> bool {
    !text.starts_with('.') && text.split('/').next().is_some_and(|host| host.contains(':'))
}

fn is_archive(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    [".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2", ".zip"].iter().any(|end| lower.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_has_its_row() {
        let git = |url: &str| Context::Git(url.into());
        let table = [
            ("-", Context::Stdin),
            (".", Context::Directory(".".into())),
            ("/src", Context::Directory("/src".into())),
            ("a#b", Context::Directory("a#b".into())),
            ("src.tar", Context::ArchivePath("src.tar".into())),
            ("/in/src.tar.zst", Context::ArchivePath("/in/src.tar.zst".into())),
            ("/in/SRC.TGZ", Context::ArchivePath("/in/SRC.TGZ".into())),
            ("https://a.b/c.git", git("https://a.b/c.git")),
            ("https://a.b/c.git#main:web", git("https://a.b/c.git#main:web")),
            ("https://a.b/c.git?ref=main", git("https://a.b/c.git?ref=main")),
            ("ssh://git@a.b/c#main", git("ssh://git@a.b/c#main")),
            ("git@a.b:c", git("git@a.b:c")),
            ("oci://a.b/c@sha256:12", Context::Artifact("oci://a.b/c@sha256:12".into())),
            ("https://a.b/c.tar.gz?sig=1", Context::ArchiveUrl("https://a.b/c.tar.gz?sig=1".into())),
        ];
        for (text, want) in table {
            assert_eq!(resolve(text).unwrap(), want, "{text}");
        }
        for text in ["", "https://a.b/hush", "https://me:hush@a.b/c", "github.com/a/hush", "https://a.b/c.tar#hush"] {
            let error = resolve(text).unwrap_err().to_string();
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
