//! Origins, and credentials that are bound to one: comparing happens here, not at the places that send.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// Scheme, host and port, as RFC 6454 compares them: `https://a.b` is `https://a.b:443`, and another port is another origin.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    /// The origin of an http or https URL; `None` for everything else.
    pub fn of(url: &Url) -> Option<Self> {
        if !matches!(url.scheme(), "http" | "https") {
            return None;
        }
        Some(Self { scheme: url.scheme().to_owned(), host: url.host_str()?.to_ascii_lowercase(), port: url.port_or_known_default()? })
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn is_tls(&self) -> bool {
        self.scheme == "https"
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        if self.port == if self.is_tls() { 443 } else { 80 } { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A credential that HTTP cannot carry.
#[derive(Debug, thiserror::Error)]
pub enum BadCredential {
    #[error("a user name for basic authentication may not hold a colon or a control character (RFC 7617, section 2)")]
    Username,
    #[error("the secret holds a control character; is there a line end inside it?")]
    Secret,
    #[error("the token holds something else than ASCII (RFC 6750, section 2.1)")]
    Token,
}

/// What one origin is shown (RFC 7617 basic, RFC 6750 bearer, and headers of its own). Printing one shows the origin and nothing of
/// the secret.
#[derive(Clone)]
pub struct Credential {
    origin: Origin,
    secret: Option<Secret>,
    headers: Vec<(HeaderName, SecretString)>,
    in_the_clear: bool,
}

#[derive(Clone)]
enum Secret {
    Basic { username: String, password: SecretString },
    Bearer(SecretString),
}

impl Credential {
    pub fn basic(origin: Origin, username: impl Into<String>, password: SecretString) -> Result<Self, BadCredential> {
        let username = username.into();
        if username.chars().any(|c| c == ':' || c.is_control()) {
            return Err(BadCredential::Username);
        }
        check(&password)?;
        Ok(Self { origin, secret: Some(Secret::Basic { username, password }), headers: Vec::new(), in_the_clear: false })
    }

    pub fn bearer(origin: Origin, token: SecretString) -> Result<Self, BadCredential> {
        check(&token)?;
        if !token.expose_secret().is_ascii() {
            return Err(BadCredential::Token);
        }
        Ok(Self { origin, secret: Some(Secret::Bearer(token)), headers: Vec::new(), in_the_clear: false })
    }

    /// Headers alone: see [`Credential::with`].
    pub fn headers(origin: Origin, headers: Vec<(HeaderName, SecretString)>) -> Self {
        Self { origin, secret: None, headers, in_the_clear: false }
    }

    /// And these headers, whose values are secrets too. What else it has goes before an `Authorization` among them.
    #[must_use]
    pub fn with(self, headers: Vec<(HeaderName, SecretString)>) -> Self {
        Self { headers, ..self }
    }

    /// Whether it is meant for each request, and not only for one that the host asks it of.
    pub fn is_for_each(&self) -> bool {
        !self.headers.is_empty()
    }

    /// May also be shown to an origin of plain http. Only for what is on this machine, or where the operator allows it.
    #[must_use]
    pub fn in_the_clear(self) -> Self {
        Self { in_the_clear: true, ..self }
    }

    /// The one origin that may see it.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Puts in what this URL's host is to be shown: nothing for another origin, and over plain http only where that is allowed.
    pub(super) fn put(&self, url: &Url, into: &mut HeaderMap) {
        if !(self.origin.is_tls() || self.in_the_clear) || Origin::of(url).as_ref() != Some(&self.origin) {
            return;
        }
        let own = self.headers.iter().map(|(name, value)| (name.clone(), value.expose_secret().to_owned()));
        let authorization = self.secret.as_ref().map(|secret| match secret {
            Secret::Basic { username, password } => {
                format!("Basic {}", STANDARD.encode(format!("{username}:{}", password.expose_secret())))
            }
            Secret::Bearer(token) => format!("Bearer {}", token.expose_secret()),
        });
        for (name, text) in own.chain(authorization.map(|text| (AUTHORIZATION, text))) {
            if let Ok(mut value) = HeaderValue::from_str(&text) {
                value.set_sensitive(true);
                into.insert(name, value);
            }
        }
    }
}

fn check(secret: &SecretString) -> Result<(), BadCredential> {
    let control = secret.expose_secret().chars().any(char::is_control);
    if control { Err(BadCredential::Secret) } else { Ok(()) }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.secret {
            Some(Secret::Basic { .. }) => "basic",
            Some(Secret::Bearer(_)) => "bearer",
            None => "headers",
        };
        write!(f, "Credential({kind}, {})", self.origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    /// The names of what is put in.
    fn shown(credential: &Credential, to: &Url) -> Vec<String> {
        let mut headers = HeaderMap::new();
        credential.put(to, &mut headers);
        assert!(headers.values().all(HeaderValue::is_sensitive));
        headers.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn g4_a_credential_is_for_its_own_origin_only() {
        let origin = Origin::of(&url("https://Git.Example/team/web")).unwrap();
        let token = vec![(HeaderName::from_static("private-token"), SecretString::from("secret-2"))];
        let alone = Credential::headers(origin.clone(), token.clone());
        let basic = Credential::basic(origin, "me", SecretString::from("secret-1")).unwrap();
        let both = basic.clone().with(token);
        for (text, want) in [
            ("https://git.example/other", true),
            ("https://git.example:443/x", true),
            ("https://git.example:8443/x", false),
            ("http://git.example/x", false),
            ("http://git.example:443/x", false),
            ("https://git.example.evil/x", false),
            ("https://evil/git.example", false),
            ("https://git.example@evil/x", false),
        ] {
            for (credential, count) in [(&alone, 1), (&basic, 1), (&both, 2)] {
                assert_eq!(shown(credential, &url(text)).len(), if want { count } else { 0 }, "{text}");
            }
        }
        assert!(!format!("{both:?} {alone:?}").contains("secret-"));
    }

    #[test]
    fn nothing_is_sent_in_the_clear() {
        let plain = url("http://git.example/x");
        let credential = Credential::bearer(Origin::of(&plain).unwrap(), SecretString::from("secret-1")).unwrap();
        assert!(shown(&credential, &plain).is_empty());
        let allowed = credential.in_the_clear();
        assert_eq!(shown(&allowed, &plain), ["authorization"]);
        assert!(shown(&allowed, &url("http://git.example:81/x")).is_empty());
        assert!(shown(&allowed, &url("https://git.example/x")).is_empty());
    }

    #[test]
    fn what_http_cannot_carry_is_refused() {
        let origin = Origin::of(&url("https://a.b")).unwrap();
        assert!(Credential::basic(origin.clone(), "a:b", SecretString::from("x")).is_err());
        assert!(Credential::basic(origin.clone(), "a", SecretString::from("x\n")).is_err());
        assert!(Credential::bearer(origin.clone(), SecretString::from("x\r\nHost: evil")).is_err());
        assert!(Credential::bearer(origin, SecretString::from("tökén")).is_err());
    }
}
