//! `Reference`: the name of an image, by the grammar of `distribution/reference` (reference.go, normalize.go).

use std::fmt;

use serde::Serialize;

use super::Digest;

/// The registry that a name without a host means, and the host its credentials are kept under.
pub const HUB: &str = "docker.io";

/// Why a string names no image.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadReference {
    #[error("it is empty")]
    Empty,
    #[error("a repository is written in lower case")]
    Uppercase,
    #[error("the repository name is not `[a-z0-9]` parts joined by `.`, `_`, `__`, `-` or `/`")]
    Repository,
    #[error("the tag is not `[A-Za-z0-9_][A-Za-z0-9_.-]` of at most 128 characters")]
    Tag,
    #[error("the digest is not sha256:<64 hex digits>")]
    Digest,
    #[error("the host {0:?} is not a host name, an IPv4 address or a bracketed IPv6 address, with an optional port")]
    Host(String),
    #[error("the name is longer than 255 characters")]
    TooLong,
    #[error("{0}:// has no place in an image's name")]
    Scheme(String),
}

/// `host[:port]/repository[:tag][@digest]`, normalised: `web` is `docker.io/library/web`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    host: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    pub fn parse(text: &str) -> Result<Self, BadReference> {
        if text.is_empty() {
            return Err(BadReference::Empty);
        }
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(BadReference::Scheme(scheme.to_owned()));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(Digest::parse(digest).map_err(|_| BadReference::Digest)?)),
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') && !tag.ends_with(']') => (name, Some(tag)),
            _ => (rest, None),
        };
        if let Some(tag) = tag {
            check_tag(tag)?;
        }
        let (host, path) = match name.split_once('/') {
            Some((first, path)) if is_host(first) => (first, path.to_owned()),
            _ => (HUB, name.to_owned()),
        };
        let host = if host == "index.docker.io" { HUB } else { host };
        check_host(host)?;
        let repository = if host == HUB && !path.contains('/') { format!("library/{path}") } else { path };
        check_repository(&repository)?;
        if host.len() + 1 + repository.len() > 255 {
            return Err(BadReference::TooLong);
        }
        Ok(Self { host: host.to_ascii_lowercase(), repository, tag: tag.map(str::to_owned), digest })
    }

    /// `host[:port]`, as credentials are kept and TLS is checked for it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path below the host.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; `latest` where neither tag nor digest is written.
    pub fn tag(&self) -> &str {
        self.tag.as_deref().unwrap_or("latest")
    }

    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// `host/repository`, without tag and digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.host, self.repository)
    }

    /// The name by which anybody can pull exactly this content.
    pub fn pinned(&self, digest: &Digest) -> String {
        format!("{}@{digest}", self.name())
    }

    /// Whether the registry is on this machine's loopback, where plain http is usual (as dockerd does by default).
    pub fn is_loopback(&self) -> bool {
        let host = self
            .host
            .strip_prefix('[')
            .and_then(|h| h.split_once(']'))
            .map_or_else(|| self.host.rsplit_once(':').map_or(self.host.as_str(), |(host, _)| host), |(host, _)| host);
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

/// A first part is a host if it could not be a repository: it has a dot or a port, or is `localhost` (normalize.go, splitDockerDomain).
fn is_host(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first.starts_with('[') || first.chars().any(|c| c.is_ascii_uppercase())
}

fn check_host(host: &str) -> Result<(), BadReference> {
    let bad = || BadReference::Host(host.chars().take(100).collect());
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']').ok_or_else(bad)?;
            address.parse::<std::net::Ipv6Addr>().map_err(|_| bad())?;
            ("v6", after.strip_prefix(':').or(if after.is_empty() { None } else { Some("bad") }))
        }
        None => host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
    };
    let label =
        |l: &str| !l.is_empty() && !l.starts_with('-') && !l.ends_with('-') && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let port_is_good = port.is_none_or(|p| p.parse::<u16>().is_ok_and(|n| n > 0));
    if name.split('.').all(label) && port_is_good { Ok(()) } else { Err(bad()) }
}

fn check_repository(repository: &str) -> Result<(), BadReference> {
    if repository.chars().any(|c| c.is_ascii_uppercase()) {
        return Err(BadReference::Uppercase);
    }
    if repository.split('/').all(component) { Ok(()) } else { Err(BadReference::Repository) }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn component(part: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    let edges = bytes.first().is_some_and(|b| alphanumeric(*b)) && bytes.last().is_some_and(|b| alphanumeric(*b));
    let separators = part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()).filter(|s| !s.is_empty());
    edges && separators.into_iter().all(|s| matches!(s, "." | "_" | "__") || s.bytes().all(|b| b == b'-'))
}

fn check_tag(tag: &str) -> Result<(), BadReference> {
    let first = tag.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    let rest = tag.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if first && rest && tag.len() <= 128 { Ok(()) } else { Err(BadReference::Tag) }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        match (&self.tag, &self.digest) {
            (None, None) => write!(f, ":latest"),
            (tag, digest) => {
                tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
                digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
            }
        }
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Reference {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl schemars::JsonSchema for Reference {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Reference".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "description": "host[:port]/repository[:tag][@digest]", "maxLength": 512})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalised_as_docker_does() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let table = [
            ("web", "docker.io/library/web:latest".to_owned()),
            ("team/web:1.2", "docker.io/team/web:1.2".to_owned()),
            ("localhost/web", "localhost/web:latest".to_owned()),
            ("localhost:5000/web", "localhost:5000/web:latest".to_owned()),
            ("registry.svc:5000/team/web:1.2", "registry.svc:5000/team/web:1.2".to_owned()),
            ("index.docker.io/web", "docker.io/library/web:latest".to_owned()),
            ("[::1]:5000/a", "[::1]:5000/a:latest".to_owned()),
            ("host:443/a__b-c/d.e:T", "host:443/a__b-c/d.e:T".to_owned()),
            (&*format!("a.b/c@{digest}"), format!("a.b/c@{digest}")),
            (&*format!("a.b/c:t@{digest}"), format!("a.b/c:t@{digest}")),
        ];
        for (text, want) in table {
            assert_eq!(Reference::parse(text).map(|r| r.to_string()), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_names_no_image_is_refused_with_the_rule() {
        let table = [
            ("", BadReference::Empty),
            ("https://a.b/c", BadReference::Scheme("https".into())),
            ("a.b/C", BadReference::Uppercase),
            ("a.b/c:", BadReference::Tag),
            ("a.b/c:-x", BadReference::Tag),
            ("a.b/c@sha256:12", BadReference::Digest),
            ("a.b//c", BadReference::Repository),
            ("a.b/c/../d", BadReference::Repository),
            ("a.b/c___d", BadReference::Repository),
            ("a.b:99999/c", BadReference::Host("a.b:99999".into())),
            ("reg@evil.example/c", BadReference::Digest),
            ("a..b/c", BadReference::Host("a..b".into())),
        ];
        for (text, want) in table {
            assert_eq!(Reference::parse(text), Err(want), "{text}");
        }
    }

    #[test]
    fn loopback_is_known_in_every_spelling() {
        for (name, want) in [
            ("localhost:5000/a", true),
            ("127.0.0.1:5000/a", true),
            ("[::1]:5000/a", true),
            ("127.9.9.9/a", true),
            ("10.0.0.1/a", false),
            ("a", false),
        ] {
            assert_eq!(Reference::parse(name).unwrap().is_loopback(), want, "{name}");
        }
    }
}
