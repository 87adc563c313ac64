//! URLs of sources: which schemes, which characters, and where the credentials in them go.
//!
//! The URL library forgives much (tabs, backslashes, missing slashes). What it would forgive is refused here before it is
//! asked. No message shows a URL, since any part of one may hold a secret.

use std::fmt;

use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::error::{ConfigError, shown};
use super::git::has_control;
use super::policy::Policy;
use crate::net::redact_url;
use crate::support::redact;

/// Characters of a URL; longer ones are an attack on somebody's buffer.
const MOST: usize = 4096;

/// What a URL is for: git's may have no query, since paths are appended to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Git,
    Archive,
}

/// Where a source is, without the user and password that were written in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    url: Url,
}

impl Address {
    /// Without user and password. A query may still hold a secret: show [`Address::shown`], not this.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// For people and documents: the values of a query are masked, since pre-signed URLs keep their key there.
    pub fn shown(&self) -> String {
        redact_url(&self.url)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

/// What stood before the host. A token that stood alone is the username, and the password is empty: either may be the secret.
#[derive(Clone, Debug)]
pub struct UrlCredential {
    /// `scheme://host[:port]`, the only place it may ever be sent to.
    pub origin: String,
    pub username: SecretString,
    pub password: SecretString,
}

impl UrlCredential {
    /// A name without a password: a token, or only who to be, as in the URLs that Azure DevOps gives out. A secret directory
    /// decides: where there is one, the name is no credential.
    pub fn is_name_alone(&self) -> bool {
        self.password.expose_secret().is_empty()
    }

    /// The part that must be masked everywhere, where it is used.
    pub fn secret(&self) -> &SecretString {
        if redact::is_beside_a_token(self.password.expose_secret()) { &self.username } else { &self.password }
    }
}

/// Takes a URL apart, or says why not.
pub fn parse(field: &str, text: &str, purpose: Purpose, policy: &Policy) -> Result<(Address, Option<UrlCredential>), ConfigError> {
    let fix = "write https://host/path";
    let invalid = |what: &str| ConfigError::invalid(field, what, fix);
    check_text(text).map_err(invalid)?;
    let rest = check_scheme(field, text, policy)?;
    if rest.is_empty() || rest.starts_with(['/', '?', '#', ':']) {
        return Err(invalid("has no host"));
    }
    let mut url = Url::parse(text).map_err(|why| invalid(&format!("is not a URL: {why}")))?;
    if url.host_str().is_none_or(|host| host.is_empty() || host.starts_with('-')) {
        return Err(invalid("has no host, or one that begins with a hyphen"));
    }
    if url.fragment().is_some() {
        return Err(ConfigError::invalid(field, "has a fragment (#…)", "write the ref and the directory in fields of their own"));
    }
    if purpose == Purpose::Git && url.query().is_some() {
        return Err(ConfigError::invalid(field, "has a query (?…)", "write the URL that `git clone` takes"));
    }
    if url.path() == "/" {
        return Err(invalid("has a host, but no path"));
    }
    let credential = credential(field, &url)?;
    // Both can only fail where there is no host.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Ok((Address { url }, credential))
}

fn check_text(text: &str) -> Result<(), &'static str> {
    match text {
        "" => Err("is empty"),
        text if text.len() > MOST => Err("is longer than 4096 characters"),
        text if text.starts_with('-') => Err("begins with a hyphen"),
        text if has_control(text) => Err("holds a control character, as it is or percent-encoded"),
        text if text.contains([' ', '\\', '"', '<', '>', '`', '{', '}', '|', '^']) => {
            Err("holds a character that must be percent-encoded in a URL")
        }
        _ => Ok(()),
    }
}

/// Lets `https` through, and `http` where it is allowed; the rest is named for what it is. Returns what follows `://`.
fn check_scheme<'a>(field: &str, text: &'a str, policy: &Policy) -> Result<&'a str, ConfigError> {
    let https = "use https://, with a secret directory where it needs credentials";
    let Some((scheme, rest)) = text.split_once("://") else { return Err(without_scheme(field, text)) };
    match &*scheme.to_ascii_lowercase() {
        "https" => Ok(rest),
        "http" if policy.plain_http => Ok(rest),
        "http" => Err(ConfigError::not_permitted(field, "http:// can be read and changed on the way", "plain-http")),
        "ssh" | "git+ssh" | "ssh+git" | "git" => Err(ConfigError::not_built(format!("{field}: {}://", scheme.to_ascii_lowercase()), https)),
        "file" => Err(ConfigError::invalid(
            field,
            "is a file:// URL",
            "name a mounted directory as source.directory, an archive as source.archive.path",
        )),
        scheme if scheme.contains("::") => Err(ConfigError::invalid(field, "names a transport helper (`::`)", https)),
        scheme if scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.')) => {
            Err(ConfigError::invalid(field, format!("there is no transport for {}://", shown(scheme).trim_matches('"')), https))
        }
        _ => Err(ConfigError::invalid(field, "is not a URL", https)),
    }
}

fn without_scheme(field: &str, text: &str) -> ConfigError {
    let fix = "write https://host/path; name a mounted directory as source.directory, an archive as source.archive.path";
    let before_slash = text.split('/').next().unwrap_or_default();
    let what = match text {
        text if text.contains("::") => "names a transport helper (`::`)",
        text if text.to_ascii_lowercase().starts_with("file:") => "is a file: URL",
        text if ["http:", "https:"].iter().any(|scheme| text.to_ascii_lowercase().starts_with(scheme)) => "has no // after its scheme",
        // git's scp-like form: a colon before the first slash (git-clone(1), "GIT URLS").
        _ if before_slash.contains(':') => return ConfigError::not_built(format!("{field}: host:path over ssh"), "use https://host/path"),
        _ => "is a path, not a URL",
    };
    ConfigError::invalid(field, what, fix)
}

fn credential(field: &str, url: &Url) -> Result<Option<UrlCredential>, ConfigError> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    if url.scheme() == "http" {
        let fix = "use https://; basic authentication over plain http is refused";
        return Err(ConfigError::invalid(field, "has credentials in a URL that is not encrypted", fix));
    }
    let decoded = |part: &str| {
        let text = percent_decode_str(part).decode_utf8().map_err(|_| "has credentials that are not UTF-8")?;
        if text.starts_with('-') && part == url.username() { Err("has a user that begins with a hyphen") } else { Ok(text.into_owned()) }
    };
    let invalid = |what: &str| ConfigError::invalid(field, what, "keep credentials in a secret directory");
    Ok(Some(UrlCredential {
        origin: url.origin().ascii_serialization(),
        username: SecretString::from(decoded(url.username()).map_err(invalid)?),
        password: SecretString::from(decoded(url.password().unwrap_or_default()).map_err(invalid)?),
    }))
}

#[cfg(test)]
mod tests;
