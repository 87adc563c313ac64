//! Our side of BuildKit's session: the services the daemon may call back (moby/buildkit, session/).
//!
//! A hijacked `POST /session` carries HTTP/2 from the daemon to us. Every method must be announced in a header of that request.
//! Without the health service the daemon drops the session after some seconds.

mod auth;
mod filesync;
mod secrets;
mod serve;
mod ssh;
mod wire;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bollard::health::health_check_response::ServingStatus;
use bollard::health::health_server::{Health, HealthServer};
use bollard::health::{HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse};
use http::Method;
use http::header::{CONNECTION, UPGRADE};
use hyper::rt::{Read, Write};
use hyper::server::conn::http2;
use hyper_util::rt::TokioExecutor;
use hyper_util::service::TowerToHyperService;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;
use tonic::service::Routes;

use super::client::{self, Client, no_body};
use super::diagnose;
use crate::engine::{EngineError, Vault};
use crate::event::ContextSent;
use crate::model::TreePath;
use crate::model::keychain::Keychain;
use crate::model::tree::{SourceTree, TreeError};
use crate::support::limits::SESSION_HEADER_BYTES;

/// What the daemon may ask for.
pub struct Served {
    pub context: Arc<dyn SourceTree>,
    pub dockerfile: Arc<dyn SourceTree>,
    pub shared_key: String,
    pub vault: Arc<dyn Vault>,
}

const METHODS: [&str; 7] = [
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    auth::CREDENTIALS,
    filesync::DIFF_COPY,
    secrets::GET_SECRET,
    ssh::CHECK_AGENT,
    ssh::FORWARD_AGENT,
];

/// An open session. Dropping it closes its connection, and so ends every call the daemon has under way with us.
pub struct Session {
    id: String,
    ledger: Arc<Ledger>,
    _connection: AbortOnDropHandle<()>,
}

/// What the services did, and what went wrong on our side.
#[derive(Default)]
pub struct Ledger {
    sent: Mutex<ContextSent>,
    failure: Mutex<Option<EngineError>>,
    no_text: OnceLock<TreePath>,
    not_given: OnceLock<(&'static str, String)>,
}

impl Ledger {
    /// Keeps the first failure: what follows is its echo.
    fn fail(&self, error: EngineError) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    /// A failure of ours: kept for the run's own report, and told to the daemon so that it stops.
    fn refuse(&self, error: EngineError) -> Status {
        let status = Status::aborted(error.to_string());
        if !matches!(error, EngineError::Context(TreeError::Abandoned)) {
            self.fail(error);
        }
        status
    }

    /// That this entry was announced, whose name or target is no UTF-8.
    fn found_no_text(&self, path: &TreePath) {
        self.no_text.get_or_init(|| path.clone());
    }

    /// That a step asked for what the request does not give: a mount may do without, so this alone is no failure.
    fn not_given(&self, field: &'static str, id: &str) -> Status {
        self.not_given.get_or_init(|| (field, id.to_owned()));
        Status::not_found(format!("the request has no {field} {id:?}"))
    }

    fn count(&self, add: impl FnOnce(&mut ContextSent)) {
        add(&mut self.sent.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Session {
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What went wrong on our side, once.
    pub fn failure(&self) -> Option<EngineError> {
        self.ledger.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What the daemon's fault is in truth, where this side knows it better.
    pub fn explains(&self, fault: &str) -> Option<EngineError> {
        let asked = self.ledger.not_given.get().is_some_and(|(_, id)| fault.contains(id.as_str()));
        if asked { self.not_given() } else { self.takes_no_bytes(fault) }
    }

    /// What a step asked for that the request does not give, where it did without.
    pub fn not_given(&self) -> Option<EngineError> {
        self.ledger.not_given.get().map(|(field, id)| EngineError::SecretMissing(format!("{field} {id:?}")))
    }

    /// Whether the daemon's fault is that it takes no names but UTF-8: paths are `string` in fsutil's protocol (types/stat.proto).
    /// Docker 26.1 takes any bytes for such a string, 28.5 does not, from its own command neither.
    fn takes_no_bytes(&self, fault: &str) -> Option<EngineError> {
        let path = self.ledger.no_text.get().filter(|_| fault.contains("invalid UTF-8"))?;
        Some(EngineError::Unsupported(format!(
            "its BuildKit takes no name or link that is not UTF-8, as that of {path:?}; builder: classic does"
        )))
    }

    pub fn sent(&self) -> ContextSent {
        self.ledger.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pub async fn open<K: Keychain + 'static>(client: &Client, served: Served, keychain: Arc<K>) -> Result<Session, EngineError> {
    const DOING: &str = "open a build session";
    let id = format!("{:016x}{:016x}", crate::support::backoff::random(), crate::support::backoff::random());
    let mut request = client
        .request(Method::POST, "/session")
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "h2c")
        .header("X-Docker-Expose-Session-Uuid", &id)
        .header("X-Docker-Expose-Session-Name", "podwright")
        .header("X-Docker-Expose-Session-Sharedkey", &served.shared_key);
    for method in METHODS {
        request = request.header("X-Docker-Expose-Session-Grpc-Method", method);
    }
    let answer = client.send(DOING, request.body(no_body())).await?;
    let status = answer.status();
    if status != http::StatusCode::SWITCHING_PROTOCOLS {
        let (status, message) = client::refusal(DOING, answer).await;
        return Err(match status {
            // Docker itself lets in everybody who may open its socket: this is somebody before it.
            401 | 403 | 405 => EngineError::SessionRefused { status, message },
            404 | 410 | 501 => EngineError::NoSession { status, message },
            _ => diagnose::call(DOING, status, message),
        });
    }
    let io = client::upgraded(DOING, answer).await?;
    let ledger = Arc::new(Ledger::default());
    let routes = Routes::new(HealthServer::new(AlwaysServing))
        .add_service(auth::service(keychain, Arc::clone(&ledger)))
        .add_service(secrets::service(Arc::clone(&served.vault), Arc::clone(&ledger)))
        .add_service(ssh::service(Arc::clone(&served.vault), Arc::clone(&ledger)))
        .add_service(filesync::service(served, Arc::clone(&ledger)));
    Ok(Session { id, ledger, _connection: serve(io, routes) })
}

/// Serves over a connection, which the task owns: ending the one ends the other. An ignore file arrives as headers, one for
/// each pattern.
fn serve(io: impl Read + Write + Send + Unpin + 'static, routes: Routes) -> AbortOnDropHandle<()> {
    let mut server = http2::Builder::new(TokioExecutor::new());
    server.max_header_list_size(SESSION_HEADER_BYTES);
    let connection = server.serve_connection(io, TowerToHyperService::new(routes.prepare()));
    AbortOnDropHandle::new(tokio::spawn(async move {
        let _ = connection.await;
    }))
}

/// While the session is open it serves.
struct AlwaysServing;

#[tonic::async_trait]
impl Health for AlwaysServing {
    async fn check(&self, _: tonic::Request<HealthCheckRequest>) -> Result<tonic::Response<HealthCheckResponse>, Status> {
        Ok(tonic::Response::new(HealthCheckResponse { status: ServingStatus::Serving.into() }))
    }

    async fn list(&self, _: tonic::Request<HealthListRequest>) -> Result<tonic::Response<HealthListResponse>, Status> {
        Err(Status::unimplemented("there is one service, and it is healthy"))
    }

    type WatchStream = tokio_stream::Pending<Result<HealthCheckResponse, Status>>;

    async fn watch(&self, _: tonic::Request<HealthCheckRequest>) -> Result<tonic::Response<Self::WatchStream>, Status> {
        Ok(tonic::Response::new(tokio_stream::pending()))
    }
}

#[cfg(test)]
mod tests;
