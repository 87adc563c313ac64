//! Reads one tag back from its registry, with at most two tries at being let in.
//!
//! It opens no connection of its own: that is the connector's, with its trust, its proxies and its waits. Here are the rules
//! of registries: https first; no redirect is followed; no credential is shown before the registry asks for it; no answer is
//! read beyond its bound; and all of it ends in time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use oci_distribution::errors::OciEnvelope;

use super::challenge;
use super::manifest::{self, RemoteImage};
use super::target::Target;
use super::{Cause, RegistryError};
use crate::model::Reference;
use crate::model::keychain::Credential;
use crate::net::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use crate::net::{self, NetError, Request, Response};
use crate::support::limits::MANIFEST_BYTES;
use crate::support::redact::Redactor;

/// Bytes of an error's explanation.
const ERROR_BYTES: u64 = 64 << 10;

/// How this pod reaches registries.
#[derive(Clone, Debug)]
pub struct Options {
    /// Trust, proxies, and the bound of each single wait.
    pub net: net::Settings,
    /// `host[:port]` of the registries that the operator allows to be asked over plain http; one on the loopback always may.
    pub plain_http: Vec<String>,
    /// For reading one tag back, tokens and tries included.
    pub total_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { net: net::Settings::default(), plain_http: Vec::new(), total_timeout: Duration::from_secs(30) }
    }
}

/// Reads tags. One serves for any number of registries.
pub struct Client {
    pub(super) net: net::Client,
    pub(super) redactor: Arc<Redactor>,
    plain_http: Vec<String>,
    pub(super) total_timeout: Duration,
}

impl Client {
    /// Fails only for options that no registry could be reached with.
    pub fn new(options: &Options, redactor: Arc<Redactor>) -> Result<Self, RegistryError> {
        let net = net::Client::new(&options.net).map_err(RegistryError::Settings)?;
        let plain_http = options.plain_http.iter().map(|host| host.to_ascii_lowercase()).collect();
        Ok(Self { net, redactor, plain_http, total_timeout: options.total_timeout })
    }

    /// What the registry has under this name now.
    pub async fn read_back(&self, reference: &Reference, credential: Option<&Credential>) -> Result<RemoteImage, RegistryError> {
        let timeout =
            || RegistryError::Unreachable { host: reference.host().to_owned(), cause: Cause::Timeout(self.total_timeout.as_secs()) };
        tokio::time::timeout(self.total_timeout, self.try_schemes(reference, credential)).await.map_err(|_| timeout())?
    }

    async fn try_schemes(&self, reference: &Reference, credential: Option<&Credential>) -> Result<RemoteImage, RegistryError> {
        let (target, first) = self.reach(reference).await?;
        let (response, _) = self.admitted(&target, first, credential).await?;
        read(&target, response).await.map(|(image, _)| image)
    }

    /// https, and where plain http is allowed and nobody speaks TLS there, that; as Docker does. With the first answer.
    pub(super) async fn reach<'a>(&self, reference: &'a Reference) -> Result<(Target<'a>, Result<Response, NetError>), RegistryError> {
        let secure = Target::new("https", reference)?;
        match self.ask(&secure, None).await {
            Err(error) if nobody_speaks_tls(&error) && self.may_be_plain(reference) => {
                let plain = Target::new("http", reference)?;
                let first = self.ask(&plain, None).await;
                Ok((plain, first))
            }
            first => Ok((secure, first)),
        }
    }

    fn may_be_plain(&self, reference: &Reference) -> bool {
        reference.is_loopback() || self.plain_http.iter().any(|host| host == reference.host())
    }

    /// An answer that has the manifest, after one answer to a challenge if there is one; and what was shown for it.
    pub(super) async fn admitted(
        &self,
        target: &Target<'_>,
        first: Result<Response, NetError>,
        credential: Option<&Credential>,
    ) -> Result<(Response, Option<net::Credential>), RegistryError> {
        let mut response = first.map_err(|error| target.failed(error))?;
        let mut shown = None;
        if response.status() == StatusCode::UNAUTHORIZED {
            let answer = self.answer(target, challenge::demand(response.headers()), credential).await?;
            response = self.ask(target, Some(answer.clone())).await.map_err(|error| target.failed(error))?;
            shown = Some(answer);
        }
        if response.status() == StatusCode::OK { Ok((response, shown)) } else { Err(refusal(target, response).await) }
    }

    /// Asks for the manifest once.
    async fn ask(&self, target: &Target<'_>, credential: Option<net::Credential>) -> Result<Response, NetError> {
        let mut request = Request { credential, follow: false, ..Request::get(target.manifest_url()) };
        for media_type in manifest::MEDIA_TYPES {
            request.headers.append(ACCEPT, HeaderValue::from_static(media_type));
        }
        self.net.send(request).await
    }
}

/// The manifest of an answer, once it is sure that it is the one that was asked for; and its bytes.
pub(super) async fn read(target: &Target<'_>, response: Response) -> Result<(RemoteImage, Bytes), RegistryError> {
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap_or("not text").to_owned());
    let (content_type, named) = (header(CONTENT_TYPE.as_str()), header("docker-content-digest"));
    let bytes = target.body(response, MANIFEST_BYTES, "the manifest").await?;
    let image = manifest::read(&bytes, content_type.as_deref(), named.as_deref(), target.reference);
    Ok((image.map_err(|problem| target.protocol(problem))?, bytes))
}

/// Without a port in the name, https and http are two ports, of which one may be closed.
fn nobody_speaks_tls(error: &NetError) -> bool {
    matches!(error, NetError::NotTls { .. } | NetError::Connect { .. })
}

/// What an answer other than 200 means.
pub(super) async fn refusal(target: &Target<'_>, response: Response) -> RegistryError {
    let status = response.status();
    if status.is_redirection() {
        return target.cannot("it redirects to another place, where no credential of ours follows");
    }
    let said = target.body(response, ERROR_BYTES, "the error").await.map(|bytes| said(&bytes)).unwrap_or_default();
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => target.auth(&format!("status {}{said}", status.as_u16())),
        StatusCode::NOT_FOUND => RegistryError::NotFound { reference: target.reference.clone() },
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => target.unavailable(status, said),
        status if status.is_server_error() => target.unavailable(status, said),
        status => target.protocol(format!("status {}{said}", status.as_u16())),
    }
}

/// The registry's own words, if it has some (distribution-spec, "Error Codes").
fn said(bytes: &[u8]) -> String {
    let envelope: Option<OciEnvelope> = serde_json::from_slice(bytes).ok();
    let message = envelope.and_then(|envelope| envelope.errors.into_iter().next()).map(|error| error.message).unwrap_or_default();
    let message: String = message.chars().filter(|c| !c.is_control()).take(300).collect();
    if message.is_empty() { message } else { format!(": {message}") }
}
