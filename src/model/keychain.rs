//! Which credential is for which registry repository.

use secrecy::SecretString;

use super::{Classified, Reference};

/// What a registry is shown. Printing one shows nothing of the secret.
#[derive(Clone, Debug)]
pub enum Credential {
    Basic {
        username: String,
        password: SecretString,
    },
    /// An OAuth2 refresh token, `identitytoken` in Docker's configuration.
    Identity(SecretString),
    /// A bearer token as it is, `registrytoken` in Docker's configuration.
    Bearer(SecretString),
}

/// Finds credentials; re-reads its files at every call, since mounted secrets are rotated under a running pod.
pub trait Keychain: Send + Sync {
    type Error: Classified + Send + Sync + 'static;

    /// The credential for one repository: the most specific path, then the host; never another host's.
    fn resolve(&self, reference: &Reference) -> Result<Option<Credential>, Self::Error>;

    /// The credential for a whole host, as BuildKit's session and the classic builder ask for it (`host[:port]`).
    fn for_host(&self, host: &str) -> Result<Option<Credential>, Self::Error>;

    /// Every host that has a credential: the classic builder wants them with the build.
    fn hosts(&self) -> Result<Vec<String>, Self::Error>;
}
