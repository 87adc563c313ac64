//! What hosts of git repositories want to be shown. Reading secret directories is the caller's business; binding a credential
//! to its origin, and showing it only when asked, is `net`'s and the session's.

use secrecy::SecretString;

use crate::net::{BadCredential, Credential, Origin};

/// The credential for a token that came without a user name: basic, as `oauth2`. GitHub, Gitea and GitLab's access tokens
/// take any name beside a token; GitLab's OAuth tokens take only this one. Bitbucket Cloud wants names of its own
/// (`x-token-auth`), so there the secret needs a username.
pub fn token_credential(origin: Origin, token: SecretString) -> Result<Credential, BadCredential> {
    Credential::basic(origin, "oauth2", token)
}
