//! What a request may call a repository, a ref and a commit: checked before any of it reaches libgit2 or a host.

use percent_encoding::percent_decode_str;
use url::Url;

use super::GitError;
use crate::net::{Origin, RedactedUrl, redact_url};

/// Bytes of a URL or a ref.
const LONGEST: usize = 4096;

/// An http or https URL of a repository, without user, query, fragment or trailing slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitUrl(RedactedUrl);

impl GitUrl {
    /// Refuses every other scheme and what could be taken for something else on its way (G1, G2, G3).
    pub fn parse(text: &str) -> Result<Self, GitError> {
        let bad = |problem: &str| Err(GitError::Request { field: "url", problem: problem.to_owned() });
        if text.len() > LONGEST {
            return bad("it is longer than 4096 bytes");
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) || percent_decode_str(text).any(|b| b < 0x20 || b == 0x7f) {
            return bad("it holds a space, a line end or another control character");
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return bad("it has no https:// in front; ssh, scp-like addresses and local paths are not built yet or never served");
        };
        if !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") {
            return bad("only https (and http where the operator allows it) is built");
        }
        if rest.starts_with('/') || text.contains('\\') {
            return bad("it names no host, or has a backslash");
        }
        if rest.starts_with('-') || rest.contains("@-") {
            return bad("a host or user name that begins with a dash is refused");
        }
        let Ok(mut url) = Url::parse(text) else { return bad("it is no URL") };
        if url.password().is_some() {
            return bad("it holds a password: put the credential into a directory and name that as source.git.secret");
        }
        if url.host_str().is_none_or(|host| host.is_empty() || host.starts_with('-')) {
            return bad("it names no host");
        }
        if url.fragment().is_some() {
            return bad("it has a #fragment: give ref and subdir in their own fields");
        }
        if url.query().is_some() {
            return bad("it has a ?query, which a repository's URL never has");
        }
        // A user name alone is in many hosts' copy-and-paste URLs; who we are is the secret's business.
        let _ = url.set_username("");
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        Ok(Self(RedactedUrl::new(url)))
    }

    pub fn url(&self) -> &Url {
        self.0.expose()
    }

    pub fn redacted(&self) -> RedactedUrl {
        self.0.clone()
    }

    /// Where credentials for this repository may go.
    pub fn origin(&self) -> Option<Origin> {
        Origin::of(self.url())
    }

    /// As libgit2, events and labels are told it.
    pub fn text(&self) -> String {
        redact_url(self.url()).trim_end_matches('/').to_owned()
    }
}

/// A branch, a tag, `HEAD` or a full name, by git's own rules (git-check-ref-format).
pub(super) fn check_ref(name: &str) -> Result<(), GitError> {
    let full = if name.starts_with("refs/") { name.to_owned() } else { format!("refs/heads/{name}") };
    if name.starts_with('-') || name.len() > LONGEST || name.contains("refs/podwright") || !git2::Reference::is_valid_name(&full) {
        return Err(GitError::Request { field: "ref", problem: format!("{:?} is no name git would take for a ref", short(name)) });
    }
    Ok(())
}

/// A whole object id. Shortened ids are refused: what they mean changes with the repository.
pub(super) fn check_commit(text: &str) -> Result<git2::Oid, GitError> {
    let hex = text.bytes().all(|b| b.is_ascii_hexdigit());
    match (hex, text.len()) {
        (true, 40) => git2::Oid::from_str(text).map_err(|error| GitError::Library(error.message().to_owned())),
        (true, 64) => Err(GitError::Request { field: "commit", problem: "SHA-256 repositories cannot be read by this agent".to_owned() }),
        _ => Err(GitError::Request { field: "commit", problem: format!("{:?} is no whole commit id (40 hex digits)", short(text)) }),
    }
}

fn short(text: &str) -> String {
    text.chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g1_g2_g3_only_plain_https_urls_get_through() {
        for text in [
            "",
            "-oProxyCommand=x",
            "--upload-pack=touch x",
            "https://-host/x",
            "https://-u@host/x",
            "https://u:p@host/x",
            "https://host/x%0ahost=evil",
            "https://host/x%0D",
            "https://host/x%00",
            "https://ho st/x",
            "https://host/x\n",
            "https://host\u{7f}/x",
            "https:///x",
            "https://host\\@evil/x",
            "https://",
            "https://host/x?service=y",
            "https://host/x#main:sub",
            "file:///etc",
            "FILE:///etc",
            "file:rel",
            "/abs",
            "./rel",
            "git://host/x",
            "ssh://host/x",
            "git@host:x",
            "ext::sh -c x",
            "https::https://host/x",
            "ftp://host/x",
        ] {
            assert!(matches!(GitUrl::parse(text), Err(GitError::Request { field: "url", .. })), "{text}");
        }
        for (text, want) in [
            ("https://Host.Example:443/team/web.git/", "https://host.example/team/web.git"),
            ("HTTPS://me@host/x", "https://host/x"),
            ("http://[::1]:8080/x%20y", "http://[::1]:8080/x%20y"),
        ] {
            assert_eq!(GitUrl::parse(text).unwrap().text(), want);
        }
    }

    #[test]
    fn g1_refs_and_commits_are_what_git_takes() {
        for name in ["main", "feature/x", "refs/pull/7/head", "v1.0", "HEAD", "refs/tags/x", "ünï"] {
            assert!(check_ref(name).is_ok(), "{name}");
        }
        for name in ["", "-x", "--foo bar", "a b", "a..b", "a~1", "a^{}", "a:b", "a\\b", "x.lock", "/x", "x/", "a\nb", "@{u}", "*"] {
            assert!(check_ref(name).is_err(), "{name}");
        }
        assert!(check_commit(&"a".repeat(40)).is_ok());
        for text in ["abc", "", &"a".repeat(41), &"a".repeat(64), &"g".repeat(40), "--upload-pack"] {
            assert!(check_commit(text).is_err(), "{text}");
        }
    }
}
