//! Where a source is: which schemes and characters a URL may have, and where the credentials in it go. Everything that names a
//! host goes through here: a request's URLs, those of submodules, those that servers send along.
//!
//! The URL library forgives much (tabs, backslashes, missing slashes). What it would forgive is refused here before it is
//! asked. No message shows a URL, since any part of one may hold a secret.

use std::fmt;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::support::redact;
use crate::support::url::{RedactedUrl, redact_url};

/// Characters of a URL; longer ones are an attack on somebody's buffer.
const MOST: usize = 4096;

/// What would not be itself in the path of a URL (WHATWG URL, "path percent-encode set"), and the sign of an encoding.
const IN_A_PATH: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'<').add(b'>').add(b'?').add(b'`').add(b'{').add(b'}');

/// How a host is talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Https,
    Http,
    Ssh,
    /// The protocol of git's own daemon: neither encrypted nor authenticated.
    Git,
}

/// Why a text is no address, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadAddress {
    pub what: String,
    pub fix: &'static str,
}

/// Where a source is, without the user and password that were written in it; the user of ssh, who is no secret, stays.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    url: Url,
    scheme: Scheme,
    /// The path is below the user's home: it was written as `host:path`.
    from_home: bool,
}

impl Address {
    /// Without user and password, but for ssh's user. A query may still hold a secret: show [`Address::shown`], not this.
    pub fn url(&self) -> &Url {
        &self.url
    }

    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The path as a server of ssh or git is told it: decoded, and not from the root where it was written as `host:path`.
    pub fn path(&self) -> Vec<u8> {
        let path: Vec<u8> = percent_decode_str(self.url.path()).collect();
        // `/~user/…` is how a URL writes a path that begins in a home (git-clone(1), "GIT URLS").
        if self.from_home || path.starts_with(b"/~") { path[1..].to_vec() } else { path }
    }

    /// Where a submodule is whose URL is written relative to this one (git-submodule(1), "add"): `./x` is below, `../x` beside.
    pub fn relative(&self, text: &str) -> Result<Self, BadAddress> {
        let mut above: Vec<&str> = self.url.path().split('/').filter(|part| !part.is_empty()).collect();
        let mut rest = text;
        loop {
            if let Some(after) = rest.strip_prefix("../") {
                above.pop().ok_or_else(|| bad("leads above the root of its host", "write the whole URL"))?;
                rest = after;
            } else if let Some(after) = rest.strip_prefix("./") {
                rest = after;
            } else {
                break;
            }
        }
        let (mut url, rest) = (self.url.clone(), rest.trim_matches('/'));
        // Nothing of it is a query or a fragment, and no more of it leads up.
        if rest.is_empty() || rest.contains(['?', '#']) || rest.split('/').any(|part| matches!(part, "." | "..")) {
            return Err(bad("is relative, and no path", "write the whole URL"));
        }
        check_text(rest).map_err(|what| bad(what, "write the whole URL"))?;
        above.push(rest);
        url.set_path(&above.join("/"));
        Ok(Self { url, ..self.clone() })
    }

    /// Whether another is on the same host: by the same scheme, at the same port.
    pub fn is_beside(&self, other: &Self) -> bool {
        place(&self.url) == place(&other.url)
    }

    /// For errors.
    pub fn redacted(&self) -> RedactedUrl {
        RedactedUrl::new(self.url.clone())
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

impl fmt::Display for Address {
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

type Parsed = (Address, Option<UrlCredential>);

impl Address {
    /// What an archive, an object or a service is at: http or https, with a query where it has one.
    pub fn of_web(text: &str) -> Result<Parsed, BadAddress> {
        let fix = "use https://, with a secret directory where it needs credentials";
        let (address, credential) = parse(text, fix)?;
        match address.scheme {
            Scheme::Https | Scheme::Http => Ok((address, credential)),
            Scheme::Ssh | Scheme::Git => Err(bad("is no http or https URL, which is what this field takes", fix)),
        }
    }

    /// What `git clone` takes, but for paths: https, http, ssh, git and `host:path`. It has no query, since paths are appended
    /// to it, and no slash at its end.
    pub fn of_git(text: &str) -> Result<Parsed, BadAddress> {
        let (mut address, credential) = parse(text, "use https:// or ssh://, with a secret directory where it needs credentials")?;
        if address.url.query().is_some() {
            return Err(bad("has a query (?…)", "write the URL that `git clone` takes"));
        }
        let path = address.url.path().trim_end_matches('/').to_owned();
        address.url.set_path(&path);
        // It would be an option of the command on the other side (CVE-2017-8386).
        if address.path().starts_with(b"-") {
            return Err(bad("has a path that begins with a hyphen", "write ./ before it"));
        }
        Ok((address, credential))
    }
}

/// Scheme, host and port, as they are compared.
pub fn place(url: &Url) -> (&str, String, u16) {
    (url.scheme(), url.host_str().unwrap_or_default().to_ascii_lowercase(), url.port_or_known_default().unwrap_or(22))
}

fn bad(what: impl Into<String>, fix: &'static str) -> BadAddress {
    BadAddress { what: what.into(), fix }
}

fn parse(text: &str, schemes: &'static str) -> Result<Parsed, BadAddress> {
    let invalid = |what: &str| bad(what, "write https://host/path");
    check_text(text).map_err(invalid)?;
    let Some((scheme, rest)) = text.split_once("://") else { return without_scheme(text) };
    let scheme = check_scheme(scheme, schemes)?;
    if rest.is_empty() || rest.starts_with(['/', '?', '#', ':']) {
        return Err(invalid("has no host"));
    }
    let mut url = Url::parse(text).map_err(|why| invalid(&format!("is not a URL: {why}")))?;
    if url.host_str().is_none_or(|host| host.is_empty() || host.starts_with('-')) {
        return Err(invalid("has no host, or one that begins with a hyphen"));
    }
    let plain = |host: &str| host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']'));
    if matches!(scheme, Scheme::Ssh | Scheme::Git) && !url.host_str().is_some_and(plain) {
        return Err(invalid("has a host that is no name and no address"));
    }
    if url.fragment().is_some() {
        return Err(bad("has a fragment (#…)", "write the ref and the directory in fields of their own"));
    }
    if url.path().trim_matches('/').is_empty() {
        return Err(invalid("has a host, but no path"));
    }
    if scheme == Scheme::Ssh {
        // Its aliases are ssh to git, too.
        url = Url::parse(&format!("ssh{}", &url.as_str()[url.scheme().len()..])).map_err(|_| invalid("is not a URL"))?;
    }
    let credential = credential(scheme, &url)?;
    // All of it can only fail where there is no host.
    if scheme != Scheme::Ssh {
        let _ = url.set_username("");
    }
    let _ = url.set_password(None);
    Ok((Address { url, scheme, from_home: false }, credential))
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

/// Control characters, as they are or percent-encoded: a reader further on may decode them.
pub fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control) || percent_decode_str(text).any(|b| b < 0x20 || b == 0x7f)
}

/// The schemes there are; the rest is named for what it is.
fn check_scheme(scheme: &str, fix: &'static str) -> Result<Scheme, BadAddress> {
    match &*scheme.to_ascii_lowercase() {
        "https" => Ok(Scheme::Https),
        "http" => Ok(Scheme::Http),
        "ssh" | "git+ssh" | "ssh+git" => Ok(Scheme::Ssh),
        "git" => Ok(Scheme::Git),
        "file" => Err(bad("is a file:// URL", "name a mounted directory as source.directory, an archive as source.archive.path")),
        scheme if scheme.contains("::") => Err(bad("names a transport helper (`::`)", fix)),
        scheme if scheme.len() < 60 && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.')) => {
            Err(bad(format!("there is no transport for {scheme}://"), fix))
        }
        _ => Err(bad("is not a URL", fix)),
    }
}

fn without_scheme(text: &str) -> Result<Parsed, BadAddress> {
    let fix = "write https://host/path; name a mounted directory as source.directory, an archive as source.archive.path";
    let what = match text {
        text if text.contains("::") && !text.contains("]:") => "names a transport helper (`::`)",
        text if text.to_ascii_lowercase().starts_with("file:") => "is a file: URL",
        text if ["http:", "https:", "ssh:", "git:"].iter().any(|scheme| text.to_ascii_lowercase().starts_with(scheme)) => {
            "has no // after its scheme"
        }
        text => return like_scp(text).unwrap_or_else(|| Err(bad("is a path, not a URL", fix))),
    };
    Err(bad(what, fix))
}

/// `[user@]host:path`, with a colon before the first slash (git-clone(1), "GIT URLS"); an address of IPv6 stands in brackets.
fn like_scp(text: &str) -> Option<Result<Parsed, BadAddress>> {
    let after_host = text.find(']').filter(|_| text.contains('[')).unwrap_or(0);
    let colon = after_host + text[after_host..].find(':')?;
    let (place, path) = (&text[..colon], &text[colon + 1..]);
    if place.is_empty() || place.contains('/') {
        return None;
    }
    let from_home = !path.starts_with('/');
    let url = format!("ssh://{place}/{}", utf8_percent_encode(path.trim_start_matches('/'), IN_A_PATH));
    let parsed = parse(&url, "").map(|(address, credential)| (Address { from_home, ..address }, credential));
    // The URL library resolves `..`, and a URL's encodings are none in a path that is no URL.
    let is_same = |parsed: &Parsed| parsed.0.path() == path.as_bytes();
    Some(
        parsed
            .and_then(|parsed| Some(parsed).filter(is_same).ok_or_else(|| bad("has a path that no URL can hold", "write ssh://host/path"))),
    )
}

fn credential(scheme: Scheme, url: &Url) -> Result<Option<UrlCredential>, BadAddress> {
    let invalid = |what: &str| bad(what, "keep credentials in a secret directory");
    let decoded = |part: &str| {
        let text = percent_decode_str(part).decode_utf8().map_err(|_| "has credentials that are not UTF-8")?;
        if text.starts_with('-') && part == url.username() { Err("has a user that begins with a hyphen") } else { Ok(text.into_owned()) }
    };
    let username = decoded(url.username()).map_err(invalid)?;
    let password = decoded(url.password().unwrap_or_default()).map_err(invalid)?;
    if username.is_empty() && url.password().is_none() {
        return Ok(None);
    }
    match scheme {
        Scheme::Https => {}
        Scheme::Ssh if url.password().is_none() => return Ok(None),
        Scheme::Ssh => return Err(invalid("has a password for ssh, which takes keys alone")),
        Scheme::Http | Scheme::Git => {
            let fix = "use https://; credentials over a connection that is not encrypted are refused";
            return Err(bad("has credentials in a URL that is not encrypted", fix));
        }
    }
    Ok(Some(UrlCredential {
        origin: url.origin().ascii_serialization(),
        username: SecretString::from(username),
        password: SecretString::from(password),
    }))
}

#[cfg(test)]
mod tests;
