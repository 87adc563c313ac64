//! What can go wrong between this pod and a host, told apart so that everybody above can decide without reading text.

use std::error::Error;
use std::io;
use std::time::Duration;

use url::Url;

use super::address::Forbidden;
use super::client::host_of;
use super::{RedactedUrl, tls};

/// Which wait came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    Connect,
    FirstByte,
    Idle,
}

impl Wait {
    fn what(self) -> &'static str {
        match self {
            Self::Connect => "it took no connection",
            Self::FirstByte => "it did not begin to answer",
            Self::Idle => "it stopped sending",
        }
    }
}

/// The innermost cause, as text without any URL.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Cause(pub String);

/// Why the key of a host of ssh is not trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    #[error("known_hosts does not list it")]
    Unknown,
    #[error("known_hosts lists another key for it ({0}): somebody may be listening in")]
    Changed(String),
    #[error("known_hosts has revoked it (@revoked)")]
    Revoked,
    #[error("its certificate {0}")]
    Certificate(&'static str),
}

/// Why a request had no usable answer. `host` is `host:port` as the request named it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NetError {
    #[error("this pod could not resolve the name of {host}")]
    Dns {
        host: String,
        #[source]
        cause: Cause,
    },
    #[error("this pod could not connect to {host}")]
    Connect {
        host: String,
        #[source]
        cause: Cause,
    },
    #[error("no trusted TLS connection to {host}: {problem}")]
    Tls { host: String, problem: String, no_roots: bool },
    /// Before any certificate could be looked at, or by the other side.
    #[error("the TLS handshake with {host} failed: {problem}")]
    Handshake { host: String, problem: String },
    #[error("{host} {}: {problem}", if *.shown { "refuses the client certificate that it was shown" } else { "wants a client certificate" })]
    ClientCertificate { host: String, problem: String, shown: bool },
    #[error("{host} does not speak TLS on this port")]
    NotTls { host: String },
    #[error("{host}: {} within {} s", wait.what(), after.as_secs_f32())]
    Timeout { host: String, wait: Wait, after: Duration },
    #[error("a redirect from {from} is not followed: {rule}")]
    Redirect { from: RedactedUrl, rule: String },
    #[error("the proxy {proxy} did not let this pod through to {host}")]
    Proxy {
        host: String,
        proxy: RedactedUrl,
        #[source]
        cause: Cause,
    },
    /// It answered 407, or refused by SOCKS' own word (RFC 1929).
    #[error(
        "the proxy {proxy} on the way to {host} {}",
        if *.shown { "refuses the user and password that this pod has for it" } else { "wants a user and a password" }
    )]
    ProxyAuth { host: String, proxy: RedactedUrl, shown: bool },
    #[error("the connection to {host} broke")]
    Io {
        host: String,
        #[source]
        cause: Cause,
    },
    #[error("{host} is not talked to: {rule}")]
    Address { host: String, rule: String },
    #[error("{host} shows the key {offered}, which is not trusted: {why}")]
    HostKey { host: String, offered: String, why: Distrust },
    #[error("{host} does not let {user} in{}", if tried.is_empty() { String::new() } else { format!(" with {tried}") })]
    Denied { host: String, user: String, tried: String },
    #[error("{host} sent more than {limit} bytes")]
    TooLarge { host: String, limit: u64 },
    #[error("the request was cancelled")]
    Cancelled,
    #[error("the CA that is given is of no use: {0}")]
    Authority(String),
    #[error("the client certificate that is given is of no use: {0}")]
    Identity(String),
    #[error("{0}")]
    Settings(String),
}

impl NetError {
    /// What a body or a stream of this module ended with, read as a file is.
    pub fn of_io(error: io::Error) -> Self {
        let text = error.to_string();
        let inner = error.into_inner().and_then(|inner| inner.downcast::<Self>().ok());
        inner.map_or_else(|| Self::Settings(text), |inner| *inner)
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Tls { no_roots: true, .. } => {
                "this pod has no CA certificates: mount a bundle and name it in SSL_CERT_FILE, or give the CA in the secret as ca.crt"
            }
            Self::Tls { .. } => "if the host has a private CA, give it in the secret as ca.crt, or name a bundle in SSL_CERT_FILE",
            Self::ClientCertificate { shown: false, .. } => {
                "give one in the secret, as tls.crt and tls.key; it is shown to the host of the URL only, never to where a redirect leads"
            }
            Self::ClientCertificate { .. } => {
                "check that tls.crt in the secret is current, with what vouches for it, and is meant for this host"
            }
            Self::Dns { .. } => "check the name, and that this pod's DNS policy can see it",
            Self::Connect { .. } | Self::Timeout { wait: Wait::Connect, .. } => {
                "check host and port, network policies, and whether this pod needs a proxy (HTTPS_PROXY)"
            }
            Self::NotTls { .. } => "check the port, and whether the host is meant to be reached over plain http",
            Self::HostKey { why: Distrust::Unknown, .. } => {
                "if this is the host's key, by a way that can be trusted, add it to known_hosts in the secret"
            }
            Self::HostKey { .. } => "ask whoever runs the host which key is its own, and mend known_hosts in the secret",
            Self::Denied { .. } => "give a key in the secret (ssh-privatekey) that the host knows for this user",
            Self::Proxy { .. } => "check HTTP_PROXY, HTTPS_PROXY and NO_PROXY",
            Self::ProxyAuth { .. } => {
                "give them percent-encoded in HTTP_PROXY and HTTPS_PROXY: http://USER:PASSWORD@HOST:PORT, from a Kubernetes secret"
            }
            Self::Redirect { .. } => "if the place it leads to is right, name it in the request itself",
            _ => return None,
        };
        Some(hint.to_owned())
    }

    pub(super) fn proxy_auth(host: String, proxy: &Url) -> Self {
        Self::ProxyAuth { host, proxy: RedactedUrl::new(proxy.clone()), shown: !proxy.username().is_empty() }
    }

    /// Sorts what reqwest and everything below it say.
    pub(super) fn sort(error: reqwest::Error, host: String, way: Way<'_>) -> Self {
        let Way { proxy, no_roots, identified, from } = way;
        let error = error.without_url();
        let chain = Chain::of(&error);
        // Within a tunnel TLS is the host's; before it, and where the host speaks none, the proxy's.
        let by_proxy = chain.before_tunnel || from.is_some_and(|from| from.scheme() == "http");
        let speaks_tls = proxy.filter(|_| by_proxy).map_or_else(|| host.clone(), host_of);
        if let (Some(address), Some(from)) = (chain.forbidden, from) {
            return Self::Redirect { from: RedactedUrl::new(from.clone()), rule: address };
        }
        if chain.not_tls {
            return Self::NotTls { host: speaks_tls };
        }
        let cause = Cause(if chain.innermost == NO_TUNNEL { "it refused to open a tunnel there".to_owned() } else { chain.innermost });
        match chain.tls {
            Some((problem, true)) => return Self::Tls { host: speaks_tls, problem, no_roots },
            Some((problem, false)) if chain.who_are_you => return Self::ClientCertificate { host: speaks_tls, problem, shown: identified },
            Some((problem, false)) => return Self::Handshake { host: speaks_tls, problem },
            None => {}
        }
        match proxy {
            Some(proxy) if chain.proxy_auth => Self::proxy_auth(host, proxy),
            Some(proxy) if error.is_connect() => Self::Proxy { host, proxy: RedactedUrl::new(proxy.clone()), cause },
            _ if error.is_dns() => Self::Dns { host, cause },
            _ if error.is_connect() => Self::Connect { host, cause },
            _ => Self::Io { host, cause },
        }
    }
}

/// How a request went out.
#[derive(Clone, Copy, Default)]
pub(super) struct Way<'a> {
    pub proxy: Option<&'a Url>,
    /// This pod trusts nobody at all.
    pub no_roots: bool,
    /// With a client certificate at hand.
    pub identified: bool,
    pub from: Option<&'a Url>,
}

/// What an error's chain of sources tells; an `io::Error` hides the error it was made of, so it is opened.
#[derive(Default)]
struct Chain {
    innermost: String,
    /// What is wrong, and whether it is that the certificate is not trusted.
    tls: Option<(String, bool)>,
    not_tls: bool,
    /// The other side wants another client certificate, or any.
    who_are_you: bool,
    forbidden: Option<String>,
    /// The proxy itself was not reached.
    before_tunnel: bool,
    /// The proxy wants other credentials, or any.
    proxy_auth: bool,
}

/// What hyper-util says of a proxy that is not reached, and of one that lets nobody in; its types are its own.
const BEFORE_TUNNEL: &str = "tunnel error: failed to create underlying connection";
const NO_TUNNEL: &str = "tunnel error: unsuccessful";
const PROXY_AUTH: [&str; 3] = [
    "tunnel error: proxy authorization required",
    "SOCKS error: credentials not accepted",
    // The proxy takes none of the ways that were offered: without a password that is to say that it wants one.
    "SOCKS error: server does not support user/pass authentication",
];

impl Chain {
    fn of(error: &(dyn Error + 'static)) -> Self {
        let mut chain = Self::default();
        let mut next = Some(error);
        while let Some(error) = next {
            chain.innermost = error.to_string();
            chain.before_tunnel |= chain.innermost == BEFORE_TUNNEL;
            chain.proxy_auth |= PROXY_AUTH.contains(&chain.innermost.as_str());
            if let Some(tls) = error.downcast_ref::<rustls::Error>() {
                chain.tls = Some((tls::explain(tls), tls::is_distrust(tls)));
                chain.who_are_you = tls::is_about_client(tls);
                chain.not_tls = matches!(tls, rustls::Error::InvalidMessage(_));
            }
            if let Some(address) = error.downcast_ref::<Forbidden>() {
                chain.forbidden = Some(address.to_string());
            }
            next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                Some(inner) => Some(inner),
                None => error.source(),
            };
        }
        chain
    }
}
