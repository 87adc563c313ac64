//! The classic builder: the whole context in the request's body, its output as lines of text.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt;
use http::Method;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use super::client::{self, Client, auth_config, auth_header};
use super::messages::Message;
use super::story::{Dialect, Story};
use super::{credentials_error, diagnose, oom, query};
use crate::engine::{BuildSpec, Built, EngineError, TarWriter};
use crate::event::{Event, EventSink};
use crate::model::ImageId;
use crate::model::keychain::Keychain;
use crate::model::tree::TreeError;
use crate::support::clock;

/// Bytes of the tar on their way, at most: 8 pieces of 64 KiB.
const PIECE: usize = 64 << 10;
const PIECES: usize = 8;

pub async fn build<K: Keychain>(
    client: &Client,
    dialect: Dialect,
    spec: &BuildSpec,
    dockerfile: &str,
    tar: TarWriter,
    keychain: &K,
    events: &Arc<dyn EventSink>,
) -> Built {
    let mut story = Story::new(dialect, &spec.reference, events);
    let begun = clock::unix();
    let outcome = match run(client, spec, dockerfile, tar, keychain, events, &mut story).await {
        Err(error) => Err(oom::or(client, spec, story.container(), begun, error).await),
        built => built,
    };
    let (steps, warnings) = story.close(outcome.as_ref().err().map(ToString::to_string));
    Built { outcome, steps, warnings }
}

async fn run<K: Keychain>(
    client: &Client,
    spec: &BuildSpec,
    dockerfile: &str,
    tar: TarWriter,
    keychain: &K,
    events: &Arc<dyn EventSink>,
    story: &mut Story,
) -> Result<ImageId, EngineError> {
    const DOING: &str = "build";
    let query = query::build(spec, dockerfile, story.dialect).finish();
    let mut request = client.request(Method::POST, &format!("/build?{query}")).header(http::header::CONTENT_TYPE, "application/x-tar");
    if let Some(header) = registry_config(spec, keychain)? {
        request = request.header("X-Registry-Config", header);
    }
    let upload = Upload::start(tar, Arc::clone(events));
    // What we could not read comes before what the daemon says of a body that broke off.
    let prefer = |error: EngineError| upload.failure().map_or(error, EngineError::Context);
    let answer = client.send(DOING, request.body(upload.body())).await.map_err(prefer)?;
    if !answer.status().is_success() {
        let (status, message) = client::refusal(DOING, answer).await;
        // Podman 4 tells its log alone what it could not do with a context.
        if story.dialect == Dialect::Podman && status >= 500 && message == client::WORDLESS {
            let why = "it could not unpack the context, and does not say why: a full disk looks like this, and its own log has the reason";
            return Err(prefer(EngineError::Broken { doing: DOING, status, message: why.into() }));
        }
        return Err(prefer(diagnose::build_call(DOING, status, &message)));
    }
    let mut image = None;
    let end = client::messages(client, DOING, answer, |messages| {
        for message in messages {
            match message {
                Message::Text(text) => story.text(&text),
                Message::Image(id) => image = Some(id),
                Message::Fault { code, message } => {
                    let error = diagnose::build(&message, story.step(), code);
                    if let EngineError::StepFailed { code, .. } = &error {
                        story.code = *code;
                    }
                    return Err(error);
                }
                _ => {}
            }
        }
        story.pause();
        Ok(())
    })
    .await;
    end.map_err(prefer)?;
    image.ok_or_else(|| EngineError::Lost { doing: DOING, why: "its answer ended without an image id".into() })
}

/// Credentials for the base images' hosts: all that there are where the Dockerfile does not tell which.
fn registry_config<K: Keychain>(spec: &BuildSpec, keychain: &K) -> Result<Option<String>, EngineError> {
    let hosts = match &spec.base_hosts {
        Some(hosts) => hosts.clone(),
        None => keychain.hosts().map_err(|error| credentials_error("the base images", &error))?,
    };
    let mut map = Map::new();
    for host in hosts {
        if let Some(credential) = keychain.for_host(&host).map_err(|error| credentials_error(&host, &error))? {
            let config = auth_config(&host, &credential);
            let key = config["serveraddress"].as_str().unwrap_or(&host).to_owned();
            map.insert(key, config);
        }
    }
    Ok((!map.is_empty()).then(|| auth_header(&Value::Object(map))))
}

/// The tar, written by a thread of its own, while the connection reads it.
struct Upload {
    receiver: Mutex<Option<mpsc::Receiver<io::Result<Bytes>>>>,
    failure: Arc<Mutex<Option<TreeError>>>,
}

impl Upload {
    fn start(tar: TarWriter, events: Arc<dyn EventSink>) -> Self {
        let (sender, receiver) = mpsc::channel(PIECES);
        let failure = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&failure);
        tokio::task::spawn_blocking(move || {
            let mut pipe = Pipe { sender: sender.clone(), buffer: Vec::with_capacity(PIECE) };
            match tar(&mut pipe).and_then(|sent| pipe.flush().map(|()| sent).map_err(|_| TreeError::Abandoned)) {
                Ok(sent) => events.emit(Event::ContextSent(sent)),
                Err(TreeError::Abandoned) => {}
                Err(error) => {
                    let message = error.to_string();
                    // First, so that whoever sees the body break off finds why.
                    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    let _ = sender.blocking_send(Err(io::Error::other(message)));
                }
            }
        });
        Self { receiver: Mutex::new(Some(receiver)), failure }
    }

    fn body(&self) -> client::Body {
        let receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take();
        let stream = futures_util::stream::unfold(receiver, |receiver| async move {
            let mut receiver = receiver?;
            let piece = receiver.recv().await?;
            Some((piece, Some(receiver)))
        });
        BodyExt::boxed(StreamBody::new(stream.map(|piece| piece.map(Frame::data))))
    }

    fn failure(&self) -> Option<TreeError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A `Write` into the channel, in pieces.
struct Pipe {
    sender: mpsc::Sender<io::Result<Bytes>>,
    buffer: Vec<u8>,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() == PIECE {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE));
        self.sender.blocking_send(Ok(piece.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
