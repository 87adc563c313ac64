//! The session's Auth service: credentials for the hosts of base images (moby/buildkit, session/auth/auth.proto).
//!
//! Only `Credentials` is announced, so the daemon itself gets the tokens: it may reach a token server that this pod cannot. Files are
//! read again at each call. It calls when a registry has refused it (util/resolver/authorizer.go): again at each 401 of a registry that
//! wants a password; of one that wants tokens once in a build, and once more where the registry calls its token invalid. Until then it
//! keeps the password, and gets a token anew with it when nine tenths of the last one's time are over.

use std::sync::Arc;

use bollard::moby::filesync::v1::auth_server::{Auth, AuthServer};
use bollard::moby::filesync::v1::{
    CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse, GetTokenAuthorityRequest, GetTokenAuthorityResponse,
    VerifyTokenAuthorityRequest, VerifyTokenAuthorityResponse,
};
use secrecy::ExposeSecret;
use tonic::{Request, Response, Status};

use super::Ledger;
use crate::engine::EngineError;
use crate::engine::docker::credentials_error;
use crate::model::keychain::{Credential, Keychain};
use crate::model::reference::HUB;

pub const CREDENTIALS: &str = "/moby.filesync.v1.Auth/Credentials";

pub fn service<K: Keychain + 'static>(keychain: Arc<K>, ledger: Arc<Ledger>) -> AuthServer<Service<K>> {
    AuthServer::new(Service { keychain, ledger })
}

pub struct Service<K> {
    keychain: Arc<K>,
    ledger: Arc<Ledger>,
}

/// The host as credentials are kept for it: BuildKit asks for Docker Hub by the name of its API.
fn keychain_host(asked: &str) -> &str {
    if asked == "registry-1.docker.io" { HUB } else { asked }
}

#[tonic::async_trait]
impl<K: Keychain + 'static> Auth for Service<K> {
    async fn credentials(&self, request: Request<CredentialsRequest>) -> Result<Response<CredentialsResponse>, Status> {
        let asked = request.into_inner().host;
        let host = keychain_host(&asked);
        let found = self.keychain.for_host(host).map_err(|error| {
            self.ledger.fail(credentials_error(host, &error));
            Status::unauthenticated("the credentials cannot be read")
        })?;
        // An empty user name says that the secret is a refresh token; with nothing at all the daemon goes on anonymously.
        let (username, secret) = match found {
            Some(Credential::Basic { username, password }) => (username, password.expose_secret().to_owned()),
            Some(Credential::Identity(token)) => (String::new(), token.expose_secret().to_owned()),
            Some(Credential::Bearer(_)) => {
                let message = "a registrytoken is of no use to BuildKit, which asks for its tokens by itself: \
                    give username and password or an identitytoken, or use builder: classic";
                self.ledger.fail(EngineError::Credentials { host: host.to_owned(), message: message.to_owned() });
                return Err(Status::unauthenticated("the credential cannot be used"));
            }
            None => Default::default(),
        };
        Ok(Response::new(CredentialsResponse { username, secret }))
    }

    async fn fetch_token(&self, _: Request<FetchTokenRequest>) -> Result<Response<FetchTokenResponse>, Status> {
        Err(Status::unimplemented("the daemon fetches its tokens itself"))
    }

    async fn get_token_authority(&self, _: Request<GetTokenAuthorityRequest>) -> Result<Response<GetTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("the daemon fetches its tokens itself"))
    }

    async fn verify_token_authority(
        &self,
        _: Request<VerifyTokenAuthorityRequest>,
    ) -> Result<Response<VerifyTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("the daemon fetches its tokens itself"))
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;
    use crate::engine::EngineError;
    use crate::model::{Classified, Reason, Reference};

    struct One(Credential);

    impl Keychain for One {
        type Error = EngineError;

        fn resolve(&self, _: &Reference) -> Result<Option<Credential>, EngineError> {
            Ok(None)
        }

        fn for_host(&self, host: &str) -> Result<Option<Credential>, EngineError> {
            Ok((host == HUB).then(|| self.0.clone()))
        }

        fn hosts(&self) -> Result<Vec<String>, EngineError> {
            Ok(Vec::new())
        }
    }

    /// What BuildKit is answered for Docker Hub, and what the run is told.
    async fn answer(credential: Credential) -> (Option<(String, String)>, Option<Reason>) {
        let service = Service { keychain: Arc::new(One(credential)), ledger: Arc::default() };
        let asked = CredentialsRequest { host: "registry-1.docker.io".into() };
        let answer = service.credentials(Request::new(asked)).await.ok().map(Response::into_inner);
        let failure = service.ledger.failure.lock().unwrap().take();
        (answer.map(|answer| (answer.username, answer.secret)), failure.map(|error| error.reason()))
    }

    #[tokio::test]
    async fn a_refresh_token_is_handed_out_and_a_bearer_token_never_as_one() {
        let secret = || SecretString::from("s");
        let pair = |user: &str| Some((user.to_owned(), "s".to_owned()));
        assert_eq!(answer(Credential::Basic { username: "u".into(), password: secret() }).await, (pair("u"), None));
        assert_eq!(answer(Credential::Identity(secret())).await, (pair(""), None));
        assert_eq!(answer(Credential::Bearer(secret())).await, (None, Some(Reason::SecretInvalid)));
    }
}
