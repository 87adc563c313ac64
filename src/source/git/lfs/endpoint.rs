//! Where a repository's LFS server is (git-lfs, docs/api/server-discovery.md), and whether it may be asked.

use std::time::Instant;

use url::Url;

use super::LfsError;
use crate::model::Address;
use crate::model::address::Scheme;
use crate::net::Origin;
use crate::net::header::HeaderMap;

/// The batch API of one repository.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub batch: Url,
    /// The user named another host than this one: it gets no credential, and its address is checked.
    pub foreign: bool,
    /// Headers for its own origin.
    pub bound: HeaderMap,
    /// It has to be asked for anew after this.
    pub until: Option<Instant>,
}

/// Who knows the endpoint.
#[derive(Clone, Debug)]
pub(super) enum Server {
    Known(Endpoint),
    /// The host of ssh that has the repository at this address.
    Ssh(Address),
}

/// What the repository names in `.lfsconfig`, or else what its own URL leads to. `http` is for where the operator allows it.
pub(super) fn find(git: &Address, named: Option<&str>, plain_http: bool) -> Result<Server, LfsError> {
    let batch = match named.map(|text| text.trim_end_matches('/')) {
        Some(text) => match ssh_beside(text, git) {
            Some(address) => return Ok(Server::Ssh(address)),
            None => named_url(text, plain_http)?,
        },
        None if git.scheme() == Scheme::Ssh => return Ok(Server::Ssh(git.clone())),
        None => derived(git).ok_or_else(|| LfsError::Config("its URL leads to no LFS server".to_owned()))?,
    };
    let foreign = Origin::of(&batch) != Origin::of(git.url());
    Ok(Server::Known(Endpoint { batch, foreign, bound: HeaderMap::new(), until: None }))
}

/// Another repository on the host of this one, whose keys are shown there anyway.
fn ssh_beside(text: &str, git: &Address) -> Option<Address> {
    let (address, _) = Address::of_git(text).ok()?;
    (address.scheme() == Scheme::Ssh && address.is_beside(git)).then_some(address)
}

fn named_url(text: &str, plain_http: bool) -> Result<Url, LfsError> {
    if text.contains('?') {
        return Err(LfsError::Config("its lfs.url has a query".to_owned()));
    }
    // What stood before the host is dropped: a credential that everybody can read is none of ours to send.
    let (address, _) = Address::of_web(&format!("{text}/objects/batch")).map_err(|bad| match text.split_once("://") {
        Some((scheme, _)) if scheme.contains("ssh") => LfsError::SshElsewhere,
        _ => LfsError::Config(format!("its lfs.url {}", bad.what)),
    })?;
    match address.scheme() {
        Scheme::Http if !plain_http => Err(LfsError::PlainHttp),
        _ => Ok(address.url().clone()),
    }
}

/// `.git/info/lfs` behind the remote's URL; https for one that is not http.
pub(super) fn derived(git: &Address) -> Option<Url> {
    let mut url = git.url().clone();
    if !matches!(git.scheme(), Scheme::Http | Scheme::Https) {
        url = Url::parse(&format!("https://{}{}", git.url().host_str()?, git.url().path())).ok()?;
    }
    let path = url.path().trim_end_matches('/');
    let path = format!("{}.git/info/lfs/objects/batch", path.strip_suffix(".git").unwrap_or(path));
    url.set_path(&path);
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Classified, Reason};

    fn found(git: &str, named: Option<&str>, plain_http: bool) -> Result<(String, bool), LfsError> {
        Ok(match find(&Address::of_git(git).unwrap().0, named, plain_http)? {
            Server::Known(endpoint) => (endpoint.batch.to_string(), endpoint.foreign),
            Server::Ssh(address) => (address.to_string(), true),
        })
    }

    #[test]
    fn the_server_is_where_git_lfs_looks_for_it() {
        for (git, named, want, foreign) in [
            ("https://a.example/foo/bar", None, "https://a.example/foo/bar.git/info/lfs/objects/batch", false),
            ("https://a.example/foo/bar.git/", None, "https://a.example/foo/bar.git/info/lfs/objects/batch", false),
            ("http://a.example:81/g/web/.git", None, "http://a.example:81/g/web/.git/info/lfs/objects/batch", false),
            ("git://a.example:2222/foo/bar.git", None, "https://a.example/foo/bar.git/info/lfs/objects/batch", true),
            ("ssh://git@a.example:2222/foo/bar.git", None, "ssh://a.example:2222/foo/bar.git", true),
            ("git@a.example:foo/bar", None, "ssh://a.example/foo/bar", true),
            ("git@a.example:foo/bar", Some("ssh://me@a.example/other/"), "ssh://a.example/other", true),
            ("git@a.example:foo/bar", Some("git@a.example:other"), "ssh://a.example/other", true),
            ("https://a.example/x", Some("https://a.example/lfs/"), "https://a.example/lfs/objects/batch", false),
            ("https://a.example/x", Some("https://b.example"), "https://b.example/objects/batch", true),
            ("https://a.example/x", Some("https://a.example:444/y"), "https://a.example:444/y/objects/batch", true),
            ("https://a.example/x", Some("https://me:hush@b.example/y"), "https://b.example/y/objects/batch", true),
            ("git@a.example:x", Some("https://b.example/y"), "https://b.example/y/objects/batch", true),
        ] {
            assert_eq!(found(git, named, false).unwrap(), (want.to_owned(), foreign), "{git} {named:?}");
        }
        let plain = found("https://a.example/x", Some("http://b.example/y"), true).unwrap();
        assert_eq!(plain.0, "http://b.example/y/objects/batch");
    }

    #[test]
    fn g3_a_repository_cannot_name_what_is_no_server() {
        for (named, reason) in [
            ("http://a.example/x", Reason::NotPermitted),
            ("file:///etc", Reason::SourceRefused),
            ("/srv/lfs", Reason::SourceRefused),
            ("-oProxyCommand=x", Reason::SourceRefused),
            ("ext::sh -c x", Reason::SourceRefused),
            ("git://a.example/x", Reason::SourceRefused),
            ("https://a.example/x%0ay", Reason::SourceRefused),
            ("https://a.example/x?y", Reason::SourceRefused),
            ("ssh://git@a.example/x", Reason::Unsupported),
            ("git@a.example:x", Reason::SourceRefused),
        ] {
            let error = found("https://a.example/x", Some(named), false).unwrap_err();
            assert_eq!(error.reason(), reason, "{named}: {error}");
        }
    }
}
