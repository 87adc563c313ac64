//! Registries, as far as this pod itself speaks with them: which credential is for which repository, what a tag really names
//! once the node's daemon says that it was pushed, and the layers of an artifact that is a source.
//!
//! Credentials stay with the origin they are for: they are looked up exactly, shown only to their registry or to a token server
//! that belongs to it, and never follow a redirect. Everything a registry sends is bounded and checked before it is believed.
//!
//! Documents are read in oci-distribution's words: its manifests, media types and error envelope. The reading itself goes
//! through `net`, since that client only knows connections of its own making, takes a manifest of any size into memory, sends
//! the password wherever a challenge points, keeps the content type to itself and needs a CA bundle even for plain http
//! (oci-client 0.18, client.rs: `TryFrom<ClientConfig> for Client`, `_pull_manifest_raw`, `_auth`, `Default for Client`).

mod challenge;
mod client;
mod credentials;
mod keychain;
mod manifest;
mod pull;
mod scope;
mod target;
mod token;

pub use client::{Client, Options};
pub use keychain::{DockerKeychain, Source, config_path};
pub use manifest::RemoteImage;
pub use pull::{Pull, Pulled};

use crate::model::{Classified, Digest, Reason, Reference};
use crate::net::NetError;
use crate::support::secretdir::SecretError;

/// Why a credential could not be had, a tag not be read back, or an artifact not be pulled.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// A file or variable that holds credentials is there and cannot be used. Never says what is in it.
    #[error("the registry credentials in {place} cannot be used: {problem}")]
    Secret { place: String, problem: String },
    /// The secret's directory or file cannot be used at all.
    #[error(transparent)]
    Unusable(#[from] SecretError),
    #[error("this pod's TLS settings for registries cannot be used")]
    Settings(#[source] NetError),
    #[error("the only credential for {host} is kept by the helper docker-credential-{helper}, and this version runs no helpers")]
    Helper { host: String, helper: String },
    #[error("this pod cannot reach the registry {host}")]
    Unreachable {
        host: String,
        #[source]
        cause: Cause,
    },
    #[error("the registry {host} answers this pod with status {status}{said}")]
    Unavailable { host: String, status: u16, said: String },
    #[error("this pod does not trust the registry {host}: {problem}")]
    Tls { host: String, problem: String },
    #[error("the registry {host} refuses to let this pod read {repository}: {problem}")]
    Auth { host: String, repository: String, problem: String },
    #[error("the registry does not have {reference}")]
    NotFound { reference: Reference },
    /// The manifest is there, and names it.
    #[error("the registry {host} does not have the layer {digest} of {reference}")]
    NoBlob { host: String, digest: Digest, reference: Reference },
    #[error("what the registry {host} answered this pod cannot be believed: {problem}")]
    Protocol { host: String, problem: String },
    /// Nothing is wrong with the tag as far as anybody knows; somebody else has to look.
    #[error("this pod cannot read from the registry {host}: {problem}")]
    CannotVerify { host: String, problem: String },
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    #[error("nothing came back within {0} s")]
    Timeout(u64),
    #[error(transparent)]
    Net(NetError),
}

impl RegistryError {
    /// Whether only this pod's own view is in the way, so that the node's daemon may be asked in its place.
    pub fn may_ask_the_engine(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Tls { .. } | Self::CannotVerify { .. })
    }

    /// Whether the same question may be answered a moment later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Unavailable { .. })
    }
}

impl Classified for RegistryError {
    fn reason(&self) -> Reason {
        match self {
            Self::Unusable(error) => error.reason(),
            Self::Secret { .. } | Self::Settings(_) | Self::Helper { .. } => Reason::SecretInvalid,
            Self::Unreachable { .. } | Self::Unavailable { .. } | Self::Tls { .. } => Reason::PushUnavailable,
            Self::Auth { .. } => Reason::PushAuth,
            // After a push that is said to have worked: the tag is not what was built.
            Self::NotFound { .. } | Self::NoBlob { .. } | Self::Protocol { .. } => Reason::DigestMismatch,
            Self::CannotVerify { .. } => Reason::Unsupported,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Unusable(error) => return error.hint(),
            Self::Helper { host, .. } => {
                return Some(format!("put a user and password or a token for {host} into a secret of type kubernetes.io/dockerconfigjson"));
            }
            Self::Tls { .. } => "give this pod the registry's CA, for example as ca.crt in its secret, or by SSL_CERT_FILE",
            Self::Unreachable { .. } => "check the name, this pod's network policy and its proxy settings",
            _ => return None,
        };
        Some(hint.into())
    }
}

#[cfg(test)]
mod tests;
