//! The only place that opens a connection to a host: git, archives, registries, webhooks and traces all go through it.
//!
//! It exists so that four rules hold everywhere, because they hold here: a credential goes to its own origin and nowhere
//! else; a redirect is followed by our own code under our own rules; every wait has a bound; a URL is shown only redacted.
//! It never reads the environment but for the two variables that name the CA bundle, and those only where nobody says where
//! the roots are; it never retries, and never keeps a cookie.

mod address;
mod blocking;
mod client;
pub mod dial;
mod error;
mod identity;
mod origin;
mod proxy;
mod ssh;
mod stream;
mod tls;

pub use address::{is_forbidden as is_node_local, is_on_loopback};
pub use blocking::{BlockingClient, Body, Reply};
pub use client::{Client, Request, Response, Settings, Timeouts};
pub use error::{Cause, Distrust, NetError, Wait};
pub use origin::{BadCredential, Credential, Origin};
pub use proxy::{BadProxy, ProxySettings};
pub use reqwest::Method;
pub use reqwest::header;
pub use ssh::{BadHosts, BadKey, KnownHosts, RemoteCommand, SshAgent, SshIdentity, SshKey};
pub use stream::Stream;
pub use tls::{Identity, SystemRoots, Trust};

pub use crate::support::url::{RedactedUrl, redact_url, secret_values};

/// Chooses ring for every TLS connection of this process. Called by every client; harmless the second time.
pub fn init() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod trial;
