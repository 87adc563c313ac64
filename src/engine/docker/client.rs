//! One HTTP/1.1 request, one connection: the calls that bollard would lose something of.
//!
//! bollard 0.21 encodes credentials in the wrong base64 alphabet, drops the push's evidence and a step's exit code, and times
//! whole uploads; its small calls serve, over the same socket.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Fuse};
use http::{Method, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};

use super::connect::Endpoint;
use super::diagnose;
use super::hearing::Hearing;
use super::messages::{Decoder, Garbled, Message};
use crate::engine::EngineError;
use crate::model::keychain::Credential;

/// How long a daemon may take to answer a ping.
const PING: Duration = Duration::from_secs(10);

/// Silence after which the daemon is asked whether it lives.
const SILENCE: Duration = Duration::from_mins(1);

/// How many times in a row it may fail to say so: a node under load is slow, and a build of an hour is worth some patience.
const MISSES: u32 = 3;

/// What bollard asks for; whoever called it knows better.
const CARRIED: &str = "answer";

/// Bytes of an answer whose messages are visited together, about.
const TOGETHER: usize = 64 << 10;

/// An error body is read this far.
const ERROR_BYTES: usize = 64 << 10;

pub type Body = BoxBody<Bytes, std::io::Error>;

/// No body at all.
pub fn no_body() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

/// Where the daemon is and which version of its API was agreed on.
#[derive(Clone, Debug)]
pub struct Client {
    endpoint: Endpoint,
    /// `/v1.41`, empty before negotiation.
    prefix: String,
}

/// An answer. Dropping it closes its connection, which stops what the daemon does for us.
pub type Answer = Response<Carried>;

/// An answer's body together with the connection that carries it, which goes on as the body is read: two tasks would hand over each
/// line of a build's output by a system call.
pub struct Carried {
    body: Incoming,
    connection: Connection,
}

type Connection = Fuse<BoxFuture<'static, ()>>;

impl hyper::body::Body for Carried {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        // How it ends is told by the body.
        let _ = self.connection.poll_unpin(cx);
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Lets the connection go on for as long as this takes.
async fn along<T>(connection: &mut Connection, doing: impl Future<Output = T>) -> T {
    let mut doing = std::pin::pin!(doing);
    std::future::poll_fn(|cx| {
        let _ = connection.poll_unpin(cx);
        doing.as_mut().poll(cx)
    })
    .await
}

impl Client {
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, prefix: String::new() }
    }

    pub fn at_version(mut self, version: &str) -> Self {
        self.prefix = format!("/v{version}");
        self
    }

    pub fn endpoint(&self) -> String {
        self.endpoint.to_string()
    }

    /// Why the daemon does not let this pod in, if that is what it says.
    pub async fn refusal(&self) -> Option<EngineError> {
        self.endpoint.refusal().await
    }

    /// A request ready for its body; `path` begins with a slash and carries its query.
    pub fn request(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder().method(method).uri(format!("{}{path}", self.prefix)).header(http::header::HOST, "docker")
    }

    /// Sends it on a connection of its own and waits for the head of the answer, as long as the daemon lives.
    pub async fn send(&self, doing: &'static str, request: http::Result<Request<Body>>) -> Result<Answer, EngineError> {
        self.while_it_lives(doing, self.exchange(doing, request)).await?
    }

    /// Waits for what may take an hour; in a silence the daemon itself is asked, on another connection, whether it still lives.
    async fn while_it_lives<T>(&self, doing: &'static str, waiting: impl Future<Output = T>) -> Result<T, EngineError> {
        let done = while_alive(waiting, async || self.ping().await.is_ok()).await;
        done.ok_or(EngineError::Silent { doing, seconds: u64::from(MISSES) * (SILENCE + PING).as_secs() })
    }

    async fn exchange<B>(&self, doing: &'static str, request: http::Result<Request<B>>) -> Result<Answer, EngineError>
    where
        B: hyper::body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    {
        let request = request.map_err(|bad| EngineError::Unsupported(format!("a value cannot be sent in an HTTP header: {bad}")))?;
        let stream = self.endpoint.connect().await?;
        let lost = |error: hyper::Error| EngineError::Lost { doing, why: chain(&error) };
        let (mut sender, connection) = http1::handshake(TokioIo::new(Hearing(stream))).await.map_err(lost)?;
        let mut connection = connection.with_upgrades().map(drop).boxed().fuse();
        let response = along(&mut connection, sender.send_request(request)).await.map_err(lost)?;
        Ok(response.map(|body| Carried { body, connection }))
    }

    /// Sends a small call and reads its whole answer, both within `patience`.
    pub async fn call(
        &self,
        doing: &'static str,
        patience: Duration,
        request: http::Result<Request<Body>>,
    ) -> Result<(http::response::Parts, Bytes), EngineError> {
        let whole = async {
            let (head, body) = self.exchange(doing, request).await?.into_parts();
            let bytes = read(doing, body, 8 << 20).await?;
            Ok((head, bytes))
        };
        tokio::time::timeout(patience, whole).await.unwrap_or(Err(EngineError::Silent { doing, seconds: patience.as_secs() }))
    }

    /// The head and body of `/_ping`.
    pub async fn ping(&self) -> Result<(http::response::Parts, Bytes), EngineError> {
        self.call("answer a ping", PING, self.request(Method::GET, "/_ping").body(no_body())).await
    }

    /// The small calls' client, over the same connections and by the same version.
    pub fn bollard(&self, patience: Duration) -> Result<bollard::Docker, EngineError> {
        let client = self.clone();
        let transport = move |request: bollard::BollardRequest| {
            let client = client.clone();
            async move {
                let carried = client.carry(request).await;
                carried.map_err(|error| bollard::errors::Error::IOError { err: std::io::Error::other(error) })
            }
        };
        let at = Some("http://docker");
        let docker = bollard::Docker::connect_with_custom_transport(transport, at, patience.as_secs(), bollard::API_DEFAULT_VERSION);
        docker.map_err(|error| from_bollard("connect", error))
    }

    async fn carry(&self, request: bollard::BollardRequest) -> Result<Response<Incoming>, EngineError> {
        let (head, body) = request.into_parts();
        let path = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let mut plain = self.request(head.method, path);
        for (name, value) in head.headers.iter().filter(|(name, _)| *name != http::header::HOST) {
            plain = plain.header(name, value);
        }
        let (head, Carried { body, connection }) = self.exchange(CARRIED, plain.body(body)).await?.into_parts();
        // It ends with its answer.
        tokio::spawn(connection);
        Ok(Response::from_parts(head, body))
    }
}

async fn read(doing: &'static str, body: Carried, limit: usize) -> Result<Bytes, EngineError> {
    let collected = Limited::new(body, limit).collect().await;
    collected.map(http_body_util::Collected::to_bytes).map_err(|why| EngineError::Lost { doing, why: why.to_string() })
}

/// What the daemon said instead of doing it: its JSON `message`, or the text as it is.
pub async fn refusal(doing: &'static str, answer: Answer) -> (u16, String) {
    let status = answer.status().as_u16();
    let bytes = read(doing, answer.into_body(), ERROR_BYTES).await.unwrap_or_default();
    (status, message(&bytes))
}

/// Waits, and asks in each silence; `None` after too many misses in a row.
async fn while_alive<T>(waiting: impl Future<Output = T>, mut lives: impl AsyncFnMut() -> bool) -> Option<T> {
    let mut waiting = std::pin::pin!(waiting);
    let mut missed = 0;
    while missed < MISSES {
        if let Ok(done) = tokio::time::timeout(SILENCE, &mut waiting).await {
            return Some(done);
        }
        missed = if lives().await { 0 } else { missed + 1 };
    }
    None
}

/// The connection that an answer's 101 leaves to us.
pub async fn upgraded(doing: &'static str, answer: Answer) -> Result<Upgraded, EngineError> {
    let (head, Carried { body, mut connection }) = answer.into_parts();
    let upgrade = hyper::upgrade::on(Response::from_parts(head, body));
    along(&mut connection, upgrade).await.map_err(|error| EngineError::Lost { doing, why: chain(&error) })
}

/// Reads a 200's stream of messages to its end; the visitor is given those that are there together. Its error ends it; dropping it
/// stops what the daemon does.
pub async fn messages(
    client: &Client,
    doing: &'static str,
    answer: Answer,
    mut visit: impl FnMut(Vec<Message>) -> Result<(), EngineError>,
) -> Result<(), EngineError> {
    let garbled = |bad: Garbled| EngineError::Lost { doing, why: bad.to_string() };
    let mut body = answer.into_body();
    let mut decoder = Decoder::default();
    let mut open = true;
    while open {
        let mut frame = client.while_it_lives(doing, body.frame()).await?;
        let (mut messages, mut bytes) = (Vec::new(), 0);
        let read = loop {
            let taken = match frame {
                Some(Ok(frame)) => {
                    let data = frame.into_data().unwrap_or_default();
                    bytes += data.len();
                    decoder.push(&data, &mut messages).map_err(garbled)
                }
                Some(Err(error)) => Err(EngineError::Lost { doing, why: chain(&error) }),
                None => {
                    open = false;
                    decoder.finish(&mut messages).map_err(garbled)
                }
            };
            if taken.is_err() || !open || bytes >= TOGETHER {
                break taken;
            }
            match body.frame().now_or_never() {
                Some(next) => frame = next,
                None => break Ok(()),
            }
        };
        visit(messages)?;
        read?;
    }
    Ok(())
}

/// What stands for the message of a refusal that has none.
pub const WORDLESS: &str = "nothing more; its own log may say why";

/// The `message` of an error body.
pub fn message(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Error {
        message: String,
    }
    if body.trim_ascii().is_empty() {
        return WORDLESS.to_owned();
    }
    match serde_json::from_slice::<Error>(body) {
        Ok(error) => error.message.trim().to_owned(),
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    }
}

/// A whole chain of errors in one line: hyper hides the useful part in its sources.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

/// bollard's errors in our words.
pub fn from_bollard(doing: &'static str, error: bollard::errors::Error) -> EngineError {
    use bollard::errors::Error;
    match error {
        Error::DockerResponseServerError { status_code, message } => diagnose::call(doing, status_code, message),
        Error::RequestTimeoutError => EngineError::Silent { doing, seconds: super::SMALL_CALL.as_secs() },
        Error::IOError { err } => match err.downcast::<EngineError>() {
            Ok(EngineError::Lost { why, .. }) => EngineError::Lost { doing, why },
            Ok(error) => error,
            Err(other) => EngineError::Lost { doing, why: other.to_string() },
        },
        other => EngineError::Lost { doing, why: chain(&other) },
    }
}

/// Docker's `AuthConfig` for one host (Engine API reference, "Authentication").
pub fn auth_config(host: &str, credential: &Credential) -> Value {
    let server = if host == crate::model::reference::HUB { "https://index.docker.io/v1/" } else { host };
    match credential {
        Credential::Basic { username, password } => {
            json!({"username": username, "password": password.expose_secret(), "serveraddress": server})
        }
        Credential::Identity(token) => json!({"identitytoken": token.expose_secret(), "serveraddress": server}),
        Credential::Bearer(token) => json!({"registrytoken": token.expose_secret(), "serveraddress": server}),
    }
}

/// A header's value as the daemon decodes it: base64 in the URL-safe alphabet, padded. In the other alphabet it would be
/// silently taken for "anonymous".
pub fn auth_header(value: &Value) -> String {
    URL_SAFE.encode(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::SecretString;

    #[test]
    fn d10_credentials_are_written_in_the_alphabet_the_daemon_reads() {
        let credential = Credential::Basic { username: "u".into(), password: SecretString::from("a~~~b???c>>>dÿ") };
        let header = auth_header(&auth_config("r:5000", &credential));
        assert!(!header.contains(['+', '/']), "{header}");
        let back: Value = serde_json::from_slice(&URL_SAFE.decode(header).unwrap()).unwrap();
        assert_eq!(back["password"], "a~~~b???c>>>dÿ");
        assert_eq!(back["serveraddress"], "r:5000");
    }

    #[tokio::test(start_paused = true)]
    async fn a_daemon_may_be_silent_for_long_and_miss_some_pings_but_not_three_in_a_row() {
        let hour = || tokio::time::sleep(Duration::from_hours(1));
        let mut pings = 0;
        let lame = async || {
            pings += 1;
            pings % 3 == 0
        };
        assert_eq!(while_alive(hour(), lame).await, Some(()));
        assert!(pings > 50, "{pings}");
        let begun = tokio::time::Instant::now();
        assert_eq!(while_alive(hour(), async || false).await, None);
        assert_eq!(begun.elapsed(), SILENCE * MISSES);
    }
}
