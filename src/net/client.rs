//! The HTTP client: one request, its redirects, and an answer whose every wait is bounded.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Method, StatusCode};
use rustls::ClientConfig;
use tokio::time::timeout;
use url::Url;

use super::address::{CheckedResolver, Rule};
use super::error::Way;
use super::identity::Face;
use super::{Credential, Identity, NetError, Origin, ProxySettings, RedactedUrl, SystemRoots, Trust, Wait, tls};

/// Redirects that one request follows.
const MOST_HOPS: usize = 5;

/// How a client reaches hosts.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub trust: Trust,
    pub roots: SystemRoots,
    pub proxy: ProxySettings,
    pub timeouts: Timeouts,
    /// Shown to hosts of requests themselves, never to where they are sent on.
    pub identity: Option<Identity>,
    /// Hosts that somebody else than the user named may be on this pod's loopback: only where the user's own address is there.
    pub loopback: bool,
}

/// The bounds of every wait.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For name resolution, TCP, the proxy's tunnel and TLS together.
    pub connect: Duration,
    /// From the request to the head of the answer, over and above `connect`.
    pub first_byte: Duration,
    /// Between two pieces of a body.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), first_byte: Duration::from_mins(1), idle: Duration::from_mins(1) }
    }
}

/// One request. Redirects are followed by the rules of [`Client::send`], unless `follow` says otherwise.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    /// Headers for the URL's own origin, whatever it is: a redirect that leaves it loses them, as it loses the credential.
    pub bound: HeaderMap,
    pub body: Bytes,
    /// Shown to its own origin and to nobody else.
    pub credential: Option<Credential>,
    /// The URL was named by a host and not by the user: it gets no credential, and its address is checked.
    pub foreign: bool,
    /// The URL was named by a host, and is shown its credential all the same: its address is checked.
    pub checked: bool,
    /// Without it a redirect is an answer like any other.
    pub follow: bool,
}

impl Request {
    pub fn get(url: Url) -> Self {
        Self {
            method: Method::GET,
            url,
            headers: HeaderMap::new(),
            bound: HeaderMap::new(),
            body: Bytes::new(),
            credential: None,
            foreign: false,
            checked: false,
            follow: true,
        }
    }

    pub fn post(url: Url, body: Bytes) -> Self {
        Self { method: Method::POST, body, ..Self::get(url) }
    }
}

/// Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    /// For the origins that the user named.
    own: reqwest::Client,
    /// For what a host named, as by a redirect, and no proxy serves: its resolver refuses the addresses in `address`.
    foreign: reqwest::Client,
    /// For what somebody else than the user named, and the user has a secret for: as `own`, by the resolver of `foreign`.
    checked: reqwest::Client,
    /// For what a host named, behind a proxy, which resolves names itself.
    proxied: reqwest::Client,
    proxy: ProxySettings,
    timeouts: Timeouts,
    no_roots: bool,
    rule: Rule,
    /// To the origins that the user named.
    face: Face,
    /// To everybody else.
    nobody: Face,
}

impl Client {
    pub fn new(settings: &Settings) -> Result<Self, NetError> {
        let (plain, any_root) = tls::configure(&settings.trust, &settings.roots, None)?;
        let rule = Rule { loopback: settings.loopback };
        let build = |config: &ClientConfig, checked: bool| {
            let proxy = settings.proxy.clone();
            let builder = reqwest::Client::builder()
                .tls_backend_preconfigured(config.clone())
                .no_proxy()
                .proxy(reqwest::Proxy::custom(move |url| proxy.for_url(url).cloned()))
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .connect_timeout(settings.timeouts.connect)
                .user_agent(concat!("podwright/", env!("CARGO_PKG_VERSION")));
            let builder = if checked { builder.dns_resolver(CheckedResolver(rule)) } else { builder };
            builder.build().map_err(|cause| NetError::Settings(format!("the HTTP client could not be set up: {}", cause.without_url())))
        };
        let nobody = Face::new(plain);
        let (proxied, foreign) = (build(nobody.config(), false)?, build(nobody.config(), true)?);
        let (own, checked, face) = match &settings.identity {
            Some(identity) => {
                let face = Face::new(tls::configure(&settings.trust, &settings.roots, Some(identity))?.0);
                (build(face.config(), false)?, build(face.config(), true)?, face)
            }
            None => (proxied.clone(), foreign.clone(), nobody.clone()),
        };
        Ok(Self {
            own,
            foreign,
            checked,
            proxied,
            proxy: settings.proxy.clone(),
            timeouts: settings.timeouts,
            no_roots: !any_root,
            rule,
            face,
            nobody,
        })
    }

    pub(super) fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    pub(super) fn rule(&self) -> Rule {
        self.rule
    }

    /// Sends, follows redirects, and returns whatever status the last answer has.
    ///
    /// A redirect is followed for GET and HEAD alone, at most five times, never from https to http, never to an address that
    /// only this node sees, nor to this pod itself unless that is allowed; every other one is an error.
    /// Once it leaves the request's origin no credential goes along, not even back to where it came from.
    pub async fn send(&self, request: Request) -> Result<Response, NetError> {
        let home = Origin::of(&request.url);
        let mut request = request;
        for _ in 0..=MOST_HOPS {
            let response = self.once(&request).await?;
            if !request.follow {
                return Ok(response);
            }
            let Some(next) = next_hop(&request, &response)? else { return Ok(response) };
            if Origin::of(&next) != home {
                request.foreign = true;
                request.bound.clear();
            }
            request.url = next;
        }
        Err(refused(&request.url, format!("more than {MOST_HOPS} redirects in a row")))
    }

    async fn once(&self, request: &Request) -> Result<Response, NetError> {
        let host = host_of(&request.url);
        let checked = request.foreign || request.checked;
        let proxy = self.proxy.for_url(&request.url);
        if checked {
            self.check(&request.url, proxy).await?;
        }
        let client = match proxy {
            None if request.foreign => &self.foreign,
            None if checked => &self.checked,
            // The pod resolves the name itself.
            Some(proxy) if request.foreign && proxy.scheme() == "socks5" => &self.foreign,
            Some(proxy) if checked && proxy.scheme() == "socks5" => &self.checked,
            Some(_) if request.foreign => &self.proxied,
            _ => &self.own,
        };
        let mut headers = request.headers.clone();
        headers.extend(request.bound.clone());
        let credential = request.credential.as_ref().filter(|_| !request.foreign);
        if let Some(credential) = credential {
            credential.put(&request.url, &mut headers);
        }
        let mut builder = client.request(request.method.clone(), request.url.clone()).headers(headers);
        if request.method != Method::GET && request.method != Method::HEAD {
            builder = builder.body(request.body.clone());
        }
        let after = self.timeouts.connect + self.timeouts.first_byte;
        let answer = timeout(after, builder.send()).await;
        let answer = answer.map_err(|_| NetError::Timeout { host: host.clone(), wait: Wait::FirstByte, after })?;
        let inner = match answer {
            Ok(inner) => inner,
            Err(error) => return Err(self.sort(error, &host, request).await),
        };
        if let (StatusCode::PROXY_AUTHENTICATION_REQUIRED, Some(proxy)) = (inner.status(), proxy) {
            return Err(NetError::proxy_auth(host, proxy));
        }
        Ok(Response { inner, url: request.url.clone(), foreign: request.foreign, host, idle: self.timeouts.idle })
    }

    /// Where a host that another one named may be. A proxy finds the address by itself: then it is looked up here only to be
    /// judged, and a name that this pod cannot resolve, as is usual behind proxies, is left to the proxy.
    async fn check(&self, url: &Url, proxy: Option<&Url>) -> Result<(), NetError> {
        self.rule.check_host(url).map_err(|bad| refused(url, bad.to_string()))?;
        if let (Some(_), Some(name)) = (proxy, url.domain()) {
            let found = timeout(self.timeouts.connect, self.rule.check_name(name)).await;
            found.unwrap_or(Ok(())).map_err(|bad| refused(url, bad.to_string()))?;
        }
        Ok(())
    }

    async fn sort(&self, error: reqwest::Error, host: &str, request: &Request) -> NetError {
        if error.is_connect() && error.is_timeout() {
            return NetError::Timeout { host: host.to_owned(), wait: Wait::Connect, after: self.timeouts.connect };
        }
        let (url, checked) = (&request.url, request.foreign || request.checked);
        let proxy = self.proxy.for_url(url);
        let face = if request.foreign { &self.nobody } else { &self.face };
        let way = Way { proxy, no_roots: self.no_roots, identified: face.is_shown(), from: Some(url) };
        match NetError::sort(error, host.to_owned(), way) {
            broken @ NetError::Io { .. } if proxy.is_none() => {
                face.refusal(url, checked.then_some(self.rule), &self.timeouts).await.unwrap_or(broken)
            }
            sorted => sorted,
        }
    }
}

/// Where the answer sends us on, if it does.
fn next_hop(request: &Request, response: &Response) -> Result<Option<Url>, NetError> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = response.headers().get(LOCATION) else { return Ok(None) };
    let refuse = |rule: &str| Err(refused(&request.url, rule));
    if request.method != Method::GET && request.method != Method::HEAD {
        return refuse("only a request that asks is sent on, never one that sends");
    }
    let Some(mut next) = location.to_str().ok().and_then(|text| request.url.join(text).ok()) else {
        return refuse("its Location is no URL");
    };
    next.set_fragment(None);
    match (request.url.scheme(), next.scheme()) {
        ("https" | "http", "https") | ("http", "http") => {}
        ("https", "http") => return refuse("it leads from https to plain http"),
        _ => return refuse("it leads to another scheme than http and https"),
    }
    if !next.username().is_empty() || next.password().is_some() {
        return refuse("its Location carries a user name or password");
    }
    Ok(Some(next))
}

fn refused(from: &Url, rule: impl Into<String>) -> NetError {
    NetError::Redirect { from: RedactedUrl::new(from.clone()), rule: rule.into() }
}

/// `host:port`, for messages.
pub(super) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The head of an answer, and its body as it comes.
#[derive(Debug)]
pub struct Response {
    inner: reqwest::Response,
    url: Url,
    foreign: bool,
    host: String,
    idle: Duration,
}

impl Response {
    pub fn status(&self) -> StatusCode {
        self.inner.status()
    }

    pub fn headers(&self) -> &HeaderMap {
        self.inner.headers()
    }

    /// Where the answer came from, after all redirects.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Whether a redirect led away from the request's origin.
    pub fn is_foreign(&self) -> bool {
        self.foreign
    }

    /// `host:port` of the answer, for messages.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The next piece of the body, as it was sent; `None` at its end. A body cut short is an error.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, NetError> {
        let piece = timeout(self.idle, self.inner.chunk()).await;
        let piece = piece.map_err(|_| NetError::Timeout { host: self.host.clone(), wait: Wait::Idle, after: self.idle })?;
        piece.map_err(|error| NetError::sort(error, self.host.clone(), Way::default()))
    }

    /// The whole body, if it has at most `limit` bytes.
    pub async fn bytes(mut self, limit: u64) -> Result<Bytes, NetError> {
        if self.inner.content_length().is_some_and(|announced| announced > limit) {
            return Err(NetError::TooLarge { host: self.host, limit });
        }
        let mut body = Vec::new();
        while let Some(piece) = self.chunk().await? {
            body.extend_from_slice(&piece);
            if body.len() as u64 > limit {
                return Err(NetError::TooLarge { host: self.host, limit });
            }
        }
        Ok(body.into())
    }
}
