//! What steps of a build may be given beside the context: secrets, and agents of ssh. Looked up when a step asks for it.

use secrecy::SecretSlice;

use super::EngineError;
use crate::net::SshAgent;

/// Knows what the request names. Every call reads anew, since mounted secrets are rotated under a running pod.
pub trait Vault: Send + Sync {
    /// `None` where the request names no such secret.
    fn secret(&self, id: &str) -> Result<Option<SecretSlice<u8>>, EngineError>;

    /// `None` where the request names no such agent.
    fn agent(&self, id: &str) -> Result<Option<SshAgent>, EngineError>;
}
