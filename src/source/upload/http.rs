//! The upload over HTTP/1.1: `PUT /source` (or `/`) with the bearer token, and `GET /readyz`. Nothing else is there.
//!
//! A connection serves one request, so that nothing can be smuggled behind another, and has seconds until its request is
//! authorised. What may be large has a bound: the head of a request, the number of connections, the body.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, EXPECT, TRANSFER_ENCODING, WWW_AUTHENTICATE,
};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::desk::{Counter, Ending, Framing, Sender, Verdict};
use super::digests::Promised;
use super::token::Token;
use super::{HttpOptions, Refusal, UploadError, tls};
use crate::model::Reason;

/// For a TLS handshake, and for the head of a request.
const HEAD: Duration = Duration::from_secs(10);

/// For a connection that is not the upload.
const CONNECTION: Duration = Duration::from_secs(30);

/// Bytes of a request's head, and what is read of a body at once.
const BUFFER: usize = 64 << 10;

/// Fields of a request's head.
const FIELDS: usize = 64;

/// How long the rest of a body is read that is not wanted, so that its sender can read why.
const DRAIN: Duration = Duration::from_secs(2);

/// The paths of the upload; the first is for `curl -T`, which makes a name of its own of a path that ends in a slash.
const PATHS: [&str; 2] = ["/source", "/"];

type Answer = Response<Full<Bytes>>;

pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    desk: Arc<At>,
}

/// What a request is judged by.
struct At {
    counter: Arc<Counter>,
    token: Token,
}

impl Server {
    pub async fn bind(wanted: &HttpOptions, counter: Arc<Counter>) -> Result<Self, UploadError> {
        let options = &counter.options;
        let token = Token::new(&wanted.token, &options.guard, &options.redactor)?;
        let tls = wanted.tls.as_ref().map(|(certificate, key)| tls::acceptor(certificate, key, &options.guard)).transpose()?;
        let failed = |cause| UploadError::Listen { listen: wanted.listen, cause };
        let listener = TcpListener::bind(wanted.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, tls, desk: Arc::new(At { counter, token }) })
    }

    pub fn url(&self) -> String {
        format!("{}://{}{}", if self.tls.is_some() { "https" } else { "http" }, self.address, PATHS[0])
    }

    /// Until it is dropped.
    pub async fn serve(self) {
        loop {
            let Ok(room) = Arc::clone(&self.desk.counter.http).acquire_owned().await else { return };
            let Ok((stream, _)) = self.listener.accept().await else {
                // This pod has no descriptor left, or the peer is gone already.
                sleep(Duration::from_millis(100)).await;
                continue;
            };
            let (tls, desk) = (self.tls.clone(), Arc::clone(&self.desk));
            tokio::spawn(async move {
                connection(stream, tls, desk).await;
                drop(room);
            });
        }
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, desk: Arc<At>) {
    match tls {
        None => exchange(stream, desk).await,
        Some(tls) => {
            if let Ok(Ok(stream)) = timeout(HEAD, tls.accept(stream)).await {
                exchange(stream, desk).await;
            }
        }
    }
}

async fn exchange(stream: impl AsyncRead + AsyncWrite + Unpin, desk: Arc<At>) {
    let uploads = Arc::new(AtomicBool::new(false));
    let service = service_fn(|request: Request<Incoming>| {
        let (desk, uploads) = (Arc::clone(&desk), Arc::clone(&uploads));
        async move { Ok::<_, Infallible>(answer(request, &desk, &uploads).await) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(BUFFER).max_headers(FIELDS);
    server.keep_alive(false).half_close(true);
    let exchanged = server.serve_connection(TokioIo::new(stream), service);
    let patience = async {
        sleep(CONNECTION).await;
        while uploads.load(Ordering::Relaxed) {
            sleep(CONNECTION).await;
        }
    };
    tokio::select! {
        _ = exchanged => {}
        () = patience => {}
    }
}

async fn answer(request: Request<Incoming>, desk: &At, uploads: &AtomicBool) -> Answer {
    let (head, body) = request.into_parts();
    if let Err(refused) = judge(&head, desk).await {
        unread(&head.headers, body);
        return refused;
    }
    uploads.store(true, Ordering::Relaxed);
    let answer = upload(&head.headers, body, &desk.counter).await;
    uploads.store(false, Ordering::Relaxed);
    answer
}

/// The answer to everything that is no authorised upload.
async fn judge(head: &Parts, desk: &At) -> Result<(), Answer> {
    let path = head.uri.path();
    let allowed = match path {
        "/readyz" => Method::GET,
        path if PATHS.contains(&path) => Method::PUT,
        _ => return Err(said(StatusCode::NOT_FOUND, &json!({"error": {"message": "there are /source and /readyz"}}))),
    };
    if head.method != allowed {
        let mut answer = said(StatusCode::METHOD_NOT_ALLOWED, &json!({"error": {"message": format!("there is {allowed} {path}")}}));
        answer.headers_mut().extend(allowed.as_str().parse().ok().map(|allowed| (ALLOW, allowed)));
        return Err(answer);
    }
    if allowed == Method::GET {
        let ready = desk.counter.is_waiting();
        return Err(said(if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &json!({"waiting": ready})));
    }
    if !desk.token.is(bearer(&head.headers)).await {
        let mut answer = said(StatusCode::UNAUTHORIZED, &json!({"error": {"message": "the bearer token is missing or wrong"}}));
        answer.headers_mut().insert(WWW_AUTHENTICATE, http::HeaderValue::from_static("Bearer"));
        return Err(answer);
    }
    Ok(())
}

/// The one token of the one `Authorization` (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let (scheme, token) = fields.next()?.to_str().ok()?.split_once(' ')?;
    (fields.next().is_none() && scheme.eq_ignore_ascii_case("bearer")).then(|| token.trim())
}

async fn upload(headers: &HeaderMap, mut body: Incoming, counter: &Arc<Counter>) -> Answer {
    let (promised, total) = match framing(headers) {
        Ok(framing) => framing,
        Err((status, rule)) => {
            unread(headers, body);
            return said(status, &json!({"error": {"message": rule}}));
        }
    };
    let Some(sender) = counter.begin(Framing::Http, total).await else {
        unread(headers, body);
        return refused(StatusCode::CONFLICT, &Refusal::taken());
    };
    let verdict = if let Some(total) = total.filter(|total| *total > counter.options.bytes) {
        unread(headers, body);
        sender.end(Ending::TooLarge(total)).await
    } else {
        let verdict = take(&mut body, sender, promised, counter.options.idle).await;
        drain(body);
        verdict
    };
    match verdict {
        Some(Verdict::Taken(receipt)) => said(StatusCode::CREATED, &json!(receipt)),
        Some(Verdict::Refused(refusal)) => refused(blame(&refusal), &refusal),
        Some(Verdict::TooLarge(refusal)) => refused(StatusCode::PAYLOAD_TOO_LARGE, &refusal),
        Some(Verdict::Corrupt(refusal)) => refused(StatusCode::BAD_REQUEST, &refusal),
        Some(Verdict::Silent(refusal)) => refused(StatusCode::REQUEST_TIMEOUT, &refusal),
        None => said(StatusCode::SERVICE_UNAVAILABLE, &json!({"error": {"message": "the agent has ended"}})),
    }
}

/// Who is to blame for an archive that came whole: most often it is the archive.
fn blame(refusal: &Refusal) -> StatusCode {
    match Reason::all().find(|reason| reason.code() == refusal.exit_code) {
        Some(Reason::WorkspaceFull) => StatusCode::INSUFFICIENT_STORAGE,
        Some(reason) if reason.fault() == "system" => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

/// What the head promises of the body; else the answer.
fn framing(headers: &HeaderMap) -> Result<(Promised, Option<u64>), (StatusCode, &'static str)> {
    if headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "no Content-Encoding is taken: a compressed archive is sent as it is"));
    }
    // RFC 9110, section 14.4: what takes no partial PUT must not take one for a whole.
    if headers.contains_key(CONTENT_RANGE) {
        return Err((StatusCode::BAD_REQUEST, "an upload is whole: no Content-Range is taken"));
    }
    let promised = Promised::of(headers).map_err(|rule| (StatusCode::BAD_REQUEST, rule))?;
    let total = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if total.is_none() && !headers.contains_key(TRANSFER_ENCODING) {
        return Err((StatusCode::LENGTH_REQUIRED, "an upload needs a Content-Length, or Transfer-Encoding: chunked"));
    }
    Ok((promised, total))
}

/// Passes the body on, to its end or to where nobody wants more of it.
async fn take(body: &mut Incoming, sender: Sender, mut promised: Promised, idle: Duration) -> Option<Verdict> {
    loop {
        let frame = match timeout(idle, body.frame()).await {
            Err(_) => return sender.end(Ending::Silent).await,
            Ok(Some(Err(_))) => return sender.end(Ending::Cut).await,
            Ok(None) => {
                let corrupt = || Ending::Corrupt("what came is not what its digest field promised".into());
                return sender.end(if promised.kept() { Ending::Whole } else { corrupt() }).await;
            }
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        promised.update(&data);
        if !sender.piece(data).await {
            return sender.verdict().await;
        }
    }
}

/// A body that nobody asked for. To read it would be to ask a sender for it that waits to be asked.
fn unread(headers: &HeaderMap, body: Incoming) {
    if !headers.contains_key(EXPECT) {
        drain(body);
    }
}

/// Reads on for a while beside the answer: a connection that is closed on unread bytes takes the answer with it.
fn drain(mut body: Incoming) {
    tokio::spawn(async move { timeout(DRAIN, async { while let Some(Ok(_)) = body.frame().await {} }).await });
}

fn refused(status: StatusCode, refusal: &Refusal) -> Answer {
    said(status, &json!({"error": refusal}))
}

fn said(status: StatusCode, document: &serde_json::Value) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(format!("{document}\n"))));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    answer
}
