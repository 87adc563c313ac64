//! Our side of BuildKit's session: the services the daemon may call back (moby/buildkit, session/).
//!
//! A hijacked `POST /session` carries HTTP/2 from the daemon to us. Every method must be announced in a header of that request.
//! Without the health service the daemon drops the session after some seconds.

mod auth;
mod filesync;
mod serve;
mod wire;

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bollard::health::health_check_response::ServingStatus;
use bollard::health::health_server::{Health, HealthServer};
use bollard::health::{HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse};
use http::Method;
use http::header::{CONNECTION, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::Server;
use tonic::transport::server::Connected;

use super::client::{self, Client, no_body};
use crate::engine::EngineError;
use crate::event::ContextSent;
use crate::model::keychain::Keychain;
use crate::model::tree::SourceTree;

/// What the daemon may ask for.
pub struct Served {
    pub context: Arc<dyn SourceTree>,
    pub dockerfile: Arc<dyn SourceTree>,
    pub shared_key: String,
}

const METHODS: [&str; 4] = ["/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch", auth::CREDENTIALS, filesync::DIFF_COPY];

/// An open session. Dropping it ends every call the daemon has under way with us.
pub struct Session {
    id: String,
    ledger: Arc<Ledger>,
    _connection: AbortOnDropHandle<()>,
    _server: AbortOnDropHandle<()>,
}

/// What the services did, and what went wrong on our side.
#[derive(Default)]
pub struct Ledger {
    sent: Mutex<ContextSent>,
    failure: Mutex<Option<EngineError>>,
}

impl Ledger {
    /// Keeps the first failure: what follows is its echo.
    fn fail(&self, error: EngineError) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
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
    let status = answer.response.status();
    if status != http::StatusCode::SWITCHING_PROTOCOLS {
        let (status, message) = client::refusal(DOING, answer.response).await;
        return Err(EngineError::Refused { doing: DOING, status: status.as_u16(), message });
    }
    let lost = |error: hyper::Error| EngineError::Lost { doing: DOING, why: client::chain(&error) };
    let io = Hijacked(TokioIo::new(hyper::upgrade::on(answer.response).await.map_err(lost)?));
    let ledger = Arc::new(Ledger::default());
    let router = Server::builder()
        .add_service(HealthServer::new(AlwaysServing))
        .add_service(auth::service(keychain, Arc::clone(&ledger)))
        .add_service(filesync::service(served, Arc::clone(&ledger)));
    let incoming = futures_util::stream::once(std::future::ready(Ok::<_, std::io::Error>(io)));
    let task = AbortOnDropHandle::new(tokio::spawn(async move {
        let _ = router.serve_with_incoming(incoming).await;
    }));
    Ok(Session { id, ledger, _connection: answer.connection, _server: task })
}

/// While the session is open it serves.
struct AlwaysServing;

#[tonic::async_trait]
impl Health for AlwaysServing {
    async fn check(&self, _: tonic::Request<HealthCheckRequest>) -> Result<tonic::Response<HealthCheckResponse>, tonic::Status> {
        Ok(tonic::Response::new(HealthCheckResponse { status: ServingStatus::Serving.into() }))
    }

    async fn list(&self, _: tonic::Request<HealthListRequest>) -> Result<tonic::Response<HealthListResponse>, tonic::Status> {
        Err(tonic::Status::unimplemented("there is one service, and it is healthy"))
    }

    type WatchStream = tokio_stream::Pending<Result<HealthCheckResponse, tonic::Status>>;

    async fn watch(&self, _: tonic::Request<HealthCheckRequest>) -> Result<tonic::Response<Self::WatchStream>, tonic::Status> {
        Ok(tonic::Response::new(tokio_stream::pending()))
    }
}

/// The hijacked connection, as tonic wants one.
struct Hijacked(TokioIo<Upgraded>);

impl Connected for Hijacked {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Hijacked {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Hijacked {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[std::io::IoSlice<'_>]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
