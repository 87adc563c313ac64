//! Where a repository's LFS server is (git-lfs, docs/api/server-discovery.md), and whether it may be asked.

use url::Url;

use super::LfsError;
use crate::model::Address;
use crate::model::address::Scheme;
use crate::net::Origin;

/// The batch API of one repository.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub batch: Url,
    /// The user named another host than this one: it gets no credential, and its address is checked.
    pub foreign: bool,
    /// Guessed from a remote that is not reached over http, whose credential is of no use here.
    pub guessed: bool,
}

/// What the repository names in `.lfsconfig`, or else what its own URL leads to. `http` is for where the operator allows it.
pub(super) fn find(git: &Address, named: Option<&str>, plain_http: bool) -> Result<Endpoint, LfsError> {
    let batch = match named {
        Some(text) => named_url(text, plain_http)?,
        None => derived(git).ok_or_else(|| LfsError::Config("its URL leads to no LFS server".to_owned()))?,
    };
    let foreign = Origin::of(&batch) != Origin::of(git.url());
    let guessed = named.is_none() && matches!(git.scheme(), Scheme::Ssh | Scheme::Git);
    Ok(Endpoint { batch, foreign, guessed })
}

fn named_url(text: &str, plain_http: bool) -> Result<Url, LfsError> {
    let text = text.trim_end_matches('/');
    if text.contains('?') {
        return Err(LfsError::Config("its lfs.url has a query".to_owned()));
    }
    // What stood before the host is dropped: a credential that everybody can read is none of ours to send.
    let (address, _) = Address::of_web(&format!("{text}/objects/batch")).map_err(|bad| match text.split_once("://") {
        Some((scheme, _)) if scheme.contains("ssh") => LfsError::Ssh,
        _ => LfsError::Config(format!("its lfs.url {}", bad.what)),
    })?;
    match address.scheme() {
        Scheme::Http if !plain_http => Err(LfsError::PlainHttp),
        _ => Ok(address.url().clone()),
    }
}

/// `.git/info/lfs` behind the remote's URL; https for one that is not http.
fn derived(git: &Address) -> Option<Url> {
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

    fn found(git: &str, named: Option<&str>, plain_http: bool) -> Result<(String, bool, bool), LfsError> {
        let endpoint = find(&Address::of_git(git).unwrap().0, named, plain_http)?;
        Ok((endpoint.batch.to_string(), endpoint.foreign, endpoint.guessed))
    }

    #[test]
    fn the_server_is_where_git_lfs_looks_for_it() {
        for (git, named, want, foreign, guessed) in [
            ("https://a.example/foo/bar", None, "https://a.example/foo/bar.git/info/lfs/objects/batch", false, false),
            ("https://a.example/foo/bar.git/", None, "https://a.example/foo/bar.git/info/lfs/objects/batch", false, false),
            ("http://a.example:81/g/web/.git", None, "http://a.example:81/g/web/.git/info/lfs/objects/batch", false, false),
            ("ssh://git@a.example:2222/foo/bar.git", None, "https://a.example/foo/bar.git/info/lfs/objects/batch", true, true),
            ("git@a.example:foo/bar", None, "https://a.example/foo/bar.git/info/lfs/objects/batch", true, true),
            ("https://a.example/x", Some("https://a.example/lfs/"), "https://a.example/lfs/objects/batch", false, false),
            ("https://a.example/x", Some("https://b.example"), "https://b.example/objects/batch", true, false),
            ("https://a.example/x", Some("https://a.example:444/y"), "https://a.example:444/y/objects/batch", true, false),
            ("https://a.example/x", Some("https://me:hush@b.example/y"), "https://b.example/y/objects/batch", true, false),
            ("git@a.example:x", Some("https://b.example/y"), "https://b.example/y/objects/batch", true, false),
        ] {
            assert_eq!(found(git, named, false).unwrap(), (want.to_owned(), foreign, guessed), "{git} {named:?}");
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
        ] {
            let error = found("https://a.example/x", Some(named), false).unwrap_err();
            assert_eq!(error.reason(), reason, "{named}: {error}");
        }
    }
}
