//! Reads one tag back from its registry, with at most two tries at being let in.
//!
//! No redirect is followed, no credential is shown before the registry asks for it, no answer is read beyond its bound, and all
//! of it ends in time.

use std::sync::Arc;
use std::time::Duration;

use oci_distribution::errors::OciEnvelope;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{NoProxy, Proxy, Response, StatusCode, redirect};
use rustls::pki_types::CertificateDer;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

use super::challenge::{self, Demand};
use super::manifest::{self, RemoteImage};
use super::tls::{self, Trouble};
use super::{Cause, RegistryError};
use crate::model::Reference;
use crate::model::keychain::Credential;
use crate::model::reference::HUB;
use crate::support::limits::MANIFEST_BYTES;
use crate::support::redact::Redactor;

/// Where the Hub's API is (moby, registry/config.go).
const HUB_API: &str = "registry-1.docker.io";

/// Bytes of a token server's answer.
const TOKEN_BYTES: u64 = 1 << 20;

/// Bytes of an error's explanation.
const ERROR_BYTES: u64 = 64 << 10;

/// Never through a proxy, as Go's clients have it.
const LOOPBACK: &str = "localhost,127.0.0.0/8,::1";

/// How this pod reaches registries.
#[derive(Clone, Debug)]
pub struct Options {
    /// `host[:port]` of the registries that the operator allows to be asked over plain http; one on the loopback always may.
    pub plain_http: Vec<String>,
    /// PEM bundles beside the system's roots.
    pub ca_bundles: Vec<Vec<u8>>,
    pub https_proxy: Option<String>,
    pub http_proxy: Option<String>,
    /// Comma-separated hosts, domains, addresses and networks.
    pub no_proxy: Option<String>,
    /// For one connection, TLS included.
    pub connect_timeout: Duration,
    /// For reading one tag back, tokens and tries included.
    pub total_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            plain_http: Vec::new(),
            ca_bundles: Vec::new(),
            https_proxy: None,
            http_proxy: None,
            no_proxy: None,
            connect_timeout: Duration::from_secs(10),
            total_timeout: Duration::from_secs(30),
        }
    }
}

/// Reads tags. One serves for any number of registries.
pub struct Client {
    http: reqwest::Client,
    plain_http: Vec<String>,
    no_roots: bool,
    total_timeout: Duration,
    redactor: Arc<Redactor>,
}

/// A registry and a repository on it, as one attempt addresses them.
struct Target<'a> {
    base: Url,
    reference: &'a Reference,
}

impl Client {
    /// Fails only for options that no registry could be reached with.
    pub fn new(options: &Options, redactor: Arc<Redactor>) -> Result<Self, RegistryError> {
        Self::trusting(tls::system_roots(), options, redactor)
    }

    /// With these roots in place of the system's.
    pub(super) fn trusting(
        system: Vec<CertificateDer<'static>>,
        options: &Options,
        redactor: Arc<Redactor>,
    ) -> Result<Self, RegistryError> {
        let roots = tls::roots(system, &options.ca_bundles).map_err(RegistryError::Settings)?;
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(roots.config)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .http1_only()
            .no_proxy()
            .connect_timeout(options.connect_timeout)
            .user_agent(concat!("podwright/", env!("CARGO_PKG_VERSION")));
        let direct = format!("{},{LOOPBACK}", options.no_proxy.as_deref().unwrap_or_default());
        let proxies = [(options.https_proxy.as_deref(), Proxy::https::<&str> as fn(_) -> _), (options.http_proxy.as_deref(), Proxy::http)];
        for (url, proxy) in proxies {
            if let Some(url) = url.filter(|url| !url.is_empty()) {
                let proxy = proxy(url).map_err(|_| RegistryError::Settings("a proxy is not a URL".into()))?;
                builder = builder.proxy(proxy.no_proxy(NoProxy::from_string(&direct)));
            }
        }
        let http = builder.build().map_err(|error| RegistryError::Settings(error.to_string()))?;
        let plain_http = options.plain_http.iter().map(|host| host.to_ascii_lowercase()).collect();
        Ok(Self { http, plain_http, no_roots: roots.none, total_timeout: options.total_timeout, redactor })
    }

    /// What the registry has under this name now.
    pub async fn read_back(&self, reference: &Reference, credential: Option<&Credential>) -> Result<RemoteImage, RegistryError> {
        let timeout =
            || RegistryError::Unreachable { host: reference.host().to_owned(), cause: Cause::Timeout(self.total_timeout.as_secs()) };
        tokio::time::timeout(self.total_timeout, self.try_schemes(reference, credential)).await.map_err(|_| timeout())?
    }

    /// https, and where plain http is allowed and the other side does not speak TLS, that.
    async fn try_schemes(&self, reference: &Reference, credential: Option<&Credential>) -> Result<RemoteImage, RegistryError> {
        let secure = Target::new("https", reference)?;
        match self.send(&secure, self.manifest_request(&secure, None)).await {
            Err(Failed::NotTls) if self.may_be_plain(reference) => {
                let plain = Target::new("http", reference)?;
                let first = self.send(&plain, self.manifest_request(&plain, None)).await.map_err(|failed| failed.at(&plain))?;
                self.manifest(&plain, first, credential).await
            }
            first => self.manifest(&secure, first.map_err(|failed| failed.at(&secure))?, credential).await,
        }
    }

    fn may_be_plain(&self, reference: &Reference) -> bool {
        reference.is_loopback() || self.plain_http.iter().any(|host| host == reference.host())
    }

    /// The manifest, after one answer to a challenge if there is one.
    async fn manifest(&self, target: &Target<'_>, first: Response, credential: Option<&Credential>) -> Result<RemoteImage, RegistryError> {
        let mut response = first;
        if response.status() == StatusCode::UNAUTHORIZED {
            let answer = self.answer(target, challenge::demand(response.headers()), credential).await?;
            let request = self.manifest_request(target, Some(answer));
            response = self.send(target, request).await.map_err(|failed| failed.at(target))?;
        }
        if response.status() != StatusCode::OK {
            return Err(self.refusal(target, response).await);
        }
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap_or("not text").to_owned());
        let (content_type, named) = (header(CONTENT_TYPE.as_str()), header("docker-content-digest"));
        let bytes = body(target, response, MANIFEST_BYTES, "the manifest").await?;
        manifest::read(&bytes, content_type.as_deref(), named.as_deref(), target.reference).map_err(|problem| target.protocol(problem))
    }

    fn manifest_request(&self, target: &Target<'_>, authorization: Option<HeaderValue>) -> reqwest::RequestBuilder {
        let reference = target.reference;
        let name = reference.digest().map_or_else(|| reference.tag().to_owned(), ToString::to_string);
        let mut url = target.base.clone();
        url.set_path(&format!("/v2/{}/manifests/{name}", reference.repository()));
        let request = self.http.get(url).header(ACCEPT, manifest::MEDIA_TYPES.join(", "));
        authorization.into_iter().fold(request, |request, value| request.header(AUTHORIZATION, value))
    }

    /// The `Authorization` that answers a challenge.
    async fn answer(&self, target: &Target<'_>, demand: Demand, credential: Option<&Credential>) -> Result<HeaderValue, RegistryError> {
        match (demand, credential) {
            (Demand::Unknown, _) => Err(target.auth("it asks for a kind of credential that nobody here knows")),
            (_, Some(Credential::Identity(_))) => {
                Err(target.cannot("its credential is an identity token, which this version cannot exchange"))
            }
            (Demand::Bearer { .. }, Some(Credential::Bearer(token))) => sensitive(target, "Bearer", token.expose_secret()),
            (Demand::Bearer { realm, service }, credential) => {
                let token = self.token(target, &realm, service.as_deref(), credential).await?;
                sensitive(target, "Bearer", token.expose_secret())
            }
            (Demand::Basic, Some(Credential::Basic { username, password })) => basic(target, username, password),
            (Demand::Basic, Some(Credential::Bearer(_))) => Err(target.auth("it asks for a user and password, and there is only a token")),
            (Demand::Basic, None) => Err(target.auth("it asks for a user and password, and there is no credential for it")),
        }
    }

    /// A token to pull this one repository.
    async fn token(
        &self,
        target: &Target<'_>,
        realm: &str,
        service: Option<&str>,
        credential: Option<&Credential>,
    ) -> Result<SecretString, RegistryError> {
        let mut url = challenge::trusted_realm(realm, &target.base).map_err(|problem| target.cannot(problem))?;
        let scope = format!("repository:{}:pull", target.reference.repository());
        url.query_pairs_mut().extend_pairs(service.map(|service| ("service", service))).append_pair("scope", &scope);
        let mut request = self.http.get(url);
        if let Some(Credential::Basic { username, password }) = credential {
            request = request.header(AUTHORIZATION, basic(target, username, password)?);
        }
        let response = self.send(target, request).await.map_err(|failed| failed.at(target))?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND => return Err(target.protocol("its token server gives no token")),
            _ => return Err(self.refusal(target, response).await),
        }
        let bytes = body(target, response, TOKEN_BYTES, "the token").await?;
        let answer: Value = serde_json::from_slice(&bytes).map_err(|_| target.protocol("its token is not JSON"))?;
        // Both names are in use (token.md, "Token Response Fields").
        let token = ["token", "access_token"].into_iter().find_map(|name| answer.get(name)?.as_str().filter(|token| !token.is_empty()));
        let token = SecretString::from(token.ok_or_else(|| target.protocol("its token server's answer holds no token"))?);
        self.redactor.add(&token);
        Ok(token)
    }

    async fn send(&self, target: &Target<'_>, request: reqwest::RequestBuilder) -> Result<Response, Failed> {
        request.send().await.map_err(|error| match tls::trouble(&error) {
            Trouble::NotTls => Failed::NotTls,
            Trouble::Distrust(_) if self.no_roots => {
                Failed::Known(target.tls("this pod has no CA certificates at all: mount a bundle or set SSL_CERT_FILE"))
            }
            Trouble::Distrust(problem) => Failed::Known(target.tls(&problem)),
            Trouble::Other => Failed::Known(target.unreachable(error)),
        })
    }

    /// What an answer other than 200 means.
    async fn refusal(&self, target: &Target<'_>, response: Response) -> RegistryError {
        let status = response.status();
        if status.is_redirection() {
            return target.cannot("it redirects to another place, where no credential of ours follows");
        }
        let said = body(target, response, ERROR_BYTES, "the error").await.map(|bytes| said(&bytes)).unwrap_or_default();
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => target.auth(&format!("status {}{said}", status.as_u16())),
            StatusCode::NOT_FOUND => RegistryError::NotFound { reference: target.reference.clone() },
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => target.unavailable(status, said),
            status if status.is_server_error() => target.unavailable(status, said),
            status => target.protocol(format!("status {}{said}", status.as_u16())),
        }
    }
}

/// Why a request has no answer.
enum Failed {
    NotTls,
    Known(RegistryError),
}

impl Failed {
    fn at(self, target: &Target<'_>) -> RegistryError {
        match self {
            Self::NotTls => target.tls("it does not speak TLS, and plain http is not allowed for it"),
            Self::Known(error) => error,
        }
    }
}

impl<'a> Target<'a> {
    fn new(scheme: &str, reference: &'a Reference) -> Result<Self, RegistryError> {
        let host = if reference.host() == HUB { HUB_API } else { reference.host() };
        let problem = |_| RegistryError::Protocol { host: host.to_owned(), problem: "its name makes no URL".into() };
        Ok(Self { base: Url::parse(&format!("{scheme}://{host}/")).map_err(problem)?, reference })
    }

    fn host(&self) -> String {
        self.reference.host().to_owned()
    }

    fn tls(&self, problem: &str) -> RegistryError {
        RegistryError::Tls { host: self.host(), problem: problem.to_owned() }
    }

    fn auth(&self, problem: &str) -> RegistryError {
        RegistryError::Auth { host: self.host(), repository: self.reference.repository().to_owned(), problem: problem.to_owned() }
    }

    fn cannot(&self, problem: impl Into<String>) -> RegistryError {
        RegistryError::CannotVerify { host: self.host(), problem: problem.into() }
    }

    fn protocol(&self, problem: impl Into<String>) -> RegistryError {
        RegistryError::Protocol { host: self.host(), problem: problem.into() }
    }

    fn unavailable(&self, status: StatusCode, said: String) -> RegistryError {
        RegistryError::Unavailable { host: self.host(), status: status.as_u16(), said }
    }

    fn unreachable(&self, error: reqwest::Error) -> RegistryError {
        RegistryError::Unreachable { host: self.host(), cause: Cause::Http(error.without_url()) }
    }
}

/// An answer's body, read no further than its bound.
async fn body(target: &Target<'_>, mut response: Response, most: u64, what: &str) -> Result<Vec<u8>, RegistryError> {
    let too_much = || target.protocol(format!("{what} has more than {most} bytes, its limit"));
    if response.content_length().is_some_and(|length| length > most) {
        return Err(too_much());
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| target.unreachable(error))? {
        if (bytes.len() + chunk.len()) as u64 > most {
            return Err(too_much());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn basic(target: &Target<'_>, username: &str, password: &SecretString) -> Result<HeaderValue, RegistryError> {
    use base64::Engine as _;
    let pair = format!("{username}:{}", password.expose_secret());
    sensitive(target, "Basic", &base64::engine::general_purpose::STANDARD.encode(pair))
}

fn sensitive(target: &Target<'_>, scheme: &str, secret: &str) -> Result<HeaderValue, RegistryError> {
    let mut value =
        HeaderValue::from_str(&format!("{scheme} {secret}")).map_err(|_| target.auth("its token has bytes that no header may have"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The registry's own words, if it has some (distribution-spec, "Error Codes").
fn said(bytes: &[u8]) -> String {
    let envelope: Option<OciEnvelope> = serde_json::from_slice(bytes).ok();
    let message = envelope.and_then(|envelope| envelope.errors.into_iter().next()).map(|error| error.message).unwrap_or_default();
    let message: String = message.chars().filter(|c| !c.is_control()).take(300).collect();
    if message.is_empty() { message } else { format!(": {message}") }
}
