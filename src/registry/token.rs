//! What a registry is answered when it asks who we are: a password, a token we have, or one that its token server gives
//! (distribution/docs/spec/auth/token.md).
//!
//! Every answer is bound to the origin it is for; the connector shows it to nobody else.

use http::StatusCode;
use secrecy::SecretString;
use serde_json::Value;

use super::RegistryError;
use super::challenge::{self, Demand};
use super::client::{Client, refusal};
use super::target::Target;
use crate::model::keychain::Credential;
use crate::net::{self, Origin, Request};

/// Bytes of a token server's answer.
const TOKEN_BYTES: u64 = 1 << 20;

impl Client {
    /// The credential that answers a challenge.
    pub(super) async fn answer(
        &self,
        target: &Target<'_>,
        demand: Demand,
        credential: Option<&Credential>,
    ) -> Result<net::Credential, RegistryError> {
        match (demand, credential) {
            (Demand::Unknown, _) => Err(target.auth("it asks for a kind of credential that nobody here knows")),
            (_, Some(Credential::Identity(_))) => {
                Err(target.cannot("its credential is an identity token, which this version cannot exchange"))
            }
            (Demand::Bearer { .. }, Some(Credential::Bearer(token))) => bearer(target, token.clone()),
            (Demand::Bearer { realm, service }, credential) => {
                bearer(target, self.token(target, &realm, service.as_deref(), credential).await?)
            }
            (Demand::Basic, Some(Credential::Basic { username, password })) => {
                target.usable(net::Credential::basic(target.origin.clone(), username, password.clone()))
            }
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
        let response = self.net.send(request(target, realm, service, credential)?).await.map_err(|error| target.failed(error))?;
        match response.status() {
            StatusCode::OK => {}
            // A token server that does not do its work says nothing about the tag.
            status @ (StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND) => {
                return Err(target.cannot(format!("its token server gives no token: status {}", status.as_u16())));
            }
            _ => return Err(refusal(target, response).await),
        }
        let bytes = target.body(response, TOKEN_BYTES, "the token").await?;
        let answer: Value = serde_json::from_slice(&bytes).map_err(|_| target.cannot("its token is not JSON"))?;
        // Both names are in use (token.md, "Token Response Fields").
        let token = ["token", "access_token"].into_iter().find_map(|name| answer.get(name)?.as_str().filter(|token| !token.is_empty()));
        let token = SecretString::from(token.ok_or_else(|| target.cannot("its token server's answer holds no token"))?);
        self.redactor.add(&token);
        Ok(token)
    }
}

/// What a token server is asked; with the user and password, if there are some and the server may see them.
fn request(target: &Target<'_>, realm: &str, service: Option<&str>, credential: Option<&Credential>) -> Result<Request, RegistryError> {
    let mut url = challenge::trusted_realm(realm, &target.base).map_err(|problem| target.cannot(problem))?;
    let scope = format!("repository:{}:pull", target.reference.repository());
    url.query_pairs_mut().extend_pairs(service.map(|service| ("service", service))).append_pair("scope", &scope);
    let origin = Origin::of(&url).ok_or_else(|| target.cannot("its token server is not on a host"))?;
    // The user chose where the registry is; any other place is the registry's word.
    let checked = origin != target.origin;
    let credential = match credential {
        Some(Credential::Basic { username, password }) => {
            Some(target.usable(net::Credential::basic(origin, username, password.clone()))?)
        }
        _ => None,
    };
    Ok(Request { credential, checked, follow: false, ..Request::get(url) })
}

fn bearer(target: &Target<'_>, token: SecretString) -> Result<net::Credential, RegistryError> {
    target.usable(net::Credential::bearer(target.origin.clone(), token))
}
