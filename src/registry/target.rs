//! One attempt at one tag: where it is asked for, and what each failure on the way is called there.

use http::StatusCode;
use url::Url;

use super::{Cause, RegistryError};
use crate::model::reference::HUB;
use crate::model::{Digest, Reference};
use crate::net::{BadCredential, Credential, NetError, Origin, Response};

/// Where the Hub's API is (moby, registry/config.go).
const HUB_API: &str = "registry-1.docker.io";

/// A registry and a repository on it, as one attempt addresses them.
pub struct Target<'a> {
    pub base: Url,
    pub origin: Origin,
    pub reference: &'a Reference,
}

impl<'a> Target<'a> {
    pub fn new(scheme: &str, reference: &'a Reference) -> Result<Self, RegistryError> {
        let host = if reference.host() == HUB { HUB_API } else { reference.host() };
        let base = Url::parse(&format!("{scheme}://{host}/")).ok();
        let whole = base.and_then(|base| Some(Self { origin: Origin::of(&base)?, base, reference }));
        whole.ok_or_else(|| RegistryError::Protocol { host: host.to_owned(), problem: "its name makes no URL".into() })
    }

    pub fn manifest_url(&self) -> Url {
        let name = self.reference.digest().map_or_else(|| self.reference.tag().to_owned(), ToString::to_string);
        let mut url = self.base.clone();
        url.set_path(&format!("/v2/{}/manifests/{name}", self.reference.repository()));
        url
    }

    pub fn blob_url(&self, digest: &Digest) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("/v2/{}/blobs/{digest}", self.reference.repository()));
        url
    }

    /// A credential as it may be used in this attempt: in the clear if this is an attempt over plain http, which is made only
    /// where that is allowed.
    pub fn usable(&self, credential: Result<Credential, BadCredential>) -> Result<Credential, RegistryError> {
        let credential = credential.map_err(|problem| self.auth(&problem.to_string()))?;
        Ok(if self.origin.is_tls() { credential } else { credential.in_the_clear() })
    }

    /// What a request that has no answer means.
    pub fn failed(&self, error: NetError) -> RegistryError {
        match error {
            NetError::NotTls { .. } => self.tls("it does not speak TLS, and plain http is not allowed for it"),
            NetError::Tls { no_roots: true, .. } => {
                self.tls("this pod has no CA certificates at all: mount a bundle and name it in SSL_CERT_FILE")
            }
            NetError::Tls { problem, .. } => self.tls(&problem),
            // No redirect is followed here: this is a token server's address.
            NetError::Redirect { rule, .. } => self.cannot(format!("its token server is refused: {rule}")),
            error => RegistryError::Unreachable { host: self.host(), cause: Cause::Net(error) },
        }
    }

    pub fn host(&self) -> String {
        self.reference.host().to_owned()
    }

    fn tls(&self, problem: &str) -> RegistryError {
        RegistryError::Tls { host: self.host(), problem: problem.to_owned() }
    }

    pub fn auth(&self, problem: &str) -> RegistryError {
        RegistryError::Auth { host: self.host(), repository: self.reference.repository().to_owned(), problem: problem.to_owned() }
    }

    pub fn cannot(&self, problem: impl Into<String>) -> RegistryError {
        RegistryError::CannotVerify { host: self.host(), problem: problem.into() }
    }

    pub fn protocol(&self, problem: impl Into<String>) -> RegistryError {
        RegistryError::Protocol { host: self.host(), problem: problem.into() }
    }

    pub fn unavailable(&self, status: StatusCode, said: String) -> RegistryError {
        RegistryError::Unavailable { host: self.host(), status: status.as_u16(), said }
    }

    /// An answer's body, read no further than its bound in bytes.
    pub async fn body(&self, response: Response, most: u64, what: &str) -> Result<bytes::Bytes, RegistryError> {
        response.bytes(most).await.map_err(|error| match error {
            NetError::TooLarge { limit, .. } => self.protocol(format!("{what} has more than {limit} bytes, its limit")),
            error => self.failed(error),
        })
    }
}
