//! The session's Secrets service: `RUN --mount=type=secret` (moby/buildkit, session/secrets/secrets.proto).

use std::sync::Arc;

use bollard::moby::buildkit::secrets::v1::secrets_server::{Secrets, SecretsServer};
use bollard::moby::buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse};
use secrecy::ExposeSecret;
use tonic::{Request, Response, Status};

use super::Ledger;
use crate::engine::Vault;

pub const GET_SECRET: &str = "/moby.buildkit.secrets.v1.Secrets/GetSecret";

pub fn service(vault: Arc<dyn Vault>, ledger: Arc<Ledger>) -> SecretsServer<Service> {
    SecretsServer::new(Service { vault, ledger })
}

pub struct Service {
    vault: Arc<dyn Vault>,
    ledger: Arc<Ledger>,
}

#[tonic::async_trait]
impl Secrets for Service {
    async fn get_secret(&self, request: Request<GetSecretRequest>) -> Result<Response<GetSecretResponse>, Status> {
        let id = request.into_inner().id;
        let found = self.vault.secret(&id).map_err(|error| self.ledger.refuse(error))?;
        let secret = found.ok_or_else(|| self.ledger.not_given("build.secrets", &id))?;
        Ok(Response::new(GetSecretResponse { data: secret.expose_secret().to_vec() }))
    }
}
