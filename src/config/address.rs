//! The URLs of sources, and what a request may put in the place of a ref, a commit or a directory: `model`'s rules, with the field
//! in the error and the operator's permission before the network.

use url::Url;

use super::error::ConfigError;
use super::policy::Policy;
use crate::model::TreePath;
use crate::model::address::{Address, BadAddress, Scheme, UrlCredential, place};
use crate::model::path::BadPath;
use crate::model::revision::{BadRef, CommitId, GitRef};

type Located = (Address, Option<UrlCredential>);

/// An archive's URL.
pub fn web(field: &str, text: &str, policy: &Policy) -> Result<Located, ConfigError> {
    permitted(field, Address::of_web(text), policy)
}

/// A repository's URL.
pub fn git(field: &str, text: &str, policy: &Policy) -> Result<Located, ConfigError> {
    permitted(field, Address::of_git(text), policy)
}

/// The beginning of URLs that a secret is for: a scheme, a host, a port, and a path or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(Url);

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Place {
    pub fn parse(field: &str, text: &str) -> Result<Self, ConfigError> {
        let fix = "write https://host, https://host/path or ssh://host";
        let invalid = |what: &str| ConfigError::invalid(field, what, fix);
        let url = Url::parse(text).map_err(|_| invalid("has a key that is no URL"))?;
        let named = url.host_str().is_some_and(|host| !host.is_empty());
        if !named || !matches!(url.scheme(), "https" | "ssh") {
            return Err(invalid("has a key that is neither https:// nor ssh://"));
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(invalid("has a key with more than a host and a path"));
        }
        Ok(Self(url))
    }

    /// How much of the address this is the beginning of; `None` where it is not.
    pub fn covers(&self, address: &Address) -> Option<usize> {
        let (own, other) = (&self.0, address.url());
        let path = own.path().trim_end_matches('/');
        let below = other.path().strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        (place(own) == place(other) && below).then_some(path.len())
    }
}

/// Why the operator's word is needed for an address, and which: `None` where it is there, or not needed.
pub fn needs(address: &Address, policy: &Policy) -> Option<(&'static str, &'static str)> {
    match address.scheme() {
        Scheme::Http if !policy.plain_http => Some(("http:// can be read and changed on the way", "plain-http")),
        Scheme::Git if !policy.git_protocol => Some(("git:// can be read and changed on the way", "git-protocol")),
        _ => None,
    }
}

fn permitted(field: &str, parsed: Result<Located, BadAddress>, policy: &Policy) -> Result<Located, ConfigError> {
    let (address, credential) = parsed.map_err(|bad| ConfigError::invalid(field, bad.what, bad.fix))?;
    match needs(&address, policy) {
        Some((what, permission)) => Err(ConfigError::not_permitted(field, what, permission)),
        None => Ok((address, credential)),
    }
}

pub fn git_ref(field: &str, text: &str) -> Result<GitRef, ConfigError> {
    GitRef::parse(text).map_err(|bad| match bad {
        BadRef::Rule(rule) => ConfigError::invalid(field, rule, "write a branch, a tag, or a full name such as refs/pull/7/head"),
        BadRef::Id => {
            let commit = field.rsplit_once('.').map_or_else(|| "commit".to_owned(), |(above, _)| format!("{above}.commit"));
            ConfigError::invalid(field, "is a commit's id, not a ref", format!("write it as {commit}"))
        }
    })
}

pub fn commit(field: &str, text: &str) -> Result<CommitId, ConfigError> {
    CommitId::parse(text).map_err(|bad| ConfigError::invalid(field, bad.what, bad.fix))
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
    use super::*;
    use crate::model::{Classified, Reason};

    #[test]
    fn an_error_names_the_field_and_never_the_url() {
        for (text, reason, what) in [
            ("http://127.0.0.1/hush.git", Reason::NotPermitted, "\"plain-http\""),
            ("git://a.b/hush.git", Reason::NotPermitted, "\"git-protocol\""),
            ("/hush", Reason::RequestInvalid, "a path"),
        ] {
            let error = git("source.git.url", text, &Policy::default()).unwrap_err();
            let shown = format!("{error} {}", error.hint().unwrap_or_default());
            assert_eq!(error.reason(), reason, "{text}: {error}");
            assert!(shown.contains(what) && shown.contains("source.git.url") && !shown.contains("hush"), "{text}: {shown}");
        }
        let mut policy = Policy::default();
        policy.allow("--allow", "plain-http").unwrap();
        policy.allow("--allow", "git-protocol").unwrap();
        for text in ["http://a.b/c.git", "git://a.b/c.git", "ssh://a.b/c.git", "a.b:c.git"] {
            assert!(git("f", text, &policy).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_commit_id_as_a_ref_is_pointed_to_its_field() {
        let error = git_ref("source.git.ref", &"a".repeat(40)).unwrap_err();
        assert_eq!(error.hint().unwrap(), "write it as source.git.commit");
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
}
