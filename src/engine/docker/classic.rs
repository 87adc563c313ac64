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
use super::steps::StepBook;
use super::{credentials_error, diagnose, query};
use crate::engine::{BuildSpec, Built, EngineError, TarWriter};
use crate::event::{Event, EventSink, Step};
use crate::model::ImageId;
use crate::model::keychain::Keychain;
use crate::model::tree::TreeError;
use crate::support::clock;
use crate::support::limits::DOCKERFILE_BYTES;

/// Bytes of the tar on their way, at most: 8 pieces of 64 KiB.
const PIECE: usize = 64 << 10;
const PIECES: usize = 8;

/// Bytes of the longest line of the builder's own: it repeats a whole instruction.
const LINE: u64 = DOCKERFILE_BYTES + 64;

pub async fn build<K: Keychain>(
    client: &Client,
    spec: &BuildSpec,
    dockerfile: &str,
    tar: TarWriter,
    keychain: &K,
    events: &Arc<dyn EventSink>,
) -> Built {
    let mut story = Story { book: StepBook::new(Arc::clone(events)), current: None, count: 0, code: None, text: String::new() };
    let outcome = run(client, spec, dockerfile, tar, keychain, events, &mut story).await;
    story.flush();
    story.end_step(outcome.as_ref().err().map(ToString::to_string));
    let (steps, warnings) = story.book.close(story.code);
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
    let query = query::build(spec, dockerfile).finish();
    let mut request = client.request(Method::POST, &format!("/build?{query}")).header(http::header::CONTENT_TYPE, "application/x-tar");
    if let Some(header) = registry_config(spec, keychain)? {
        request = request.header("X-Registry-Config", header);
    }
    let upload = Upload::start(tar, Arc::clone(events));
    // What we could not read comes before what the daemon says of a body that broke off.
    let prefer = |error: EngineError| upload.failure().map_or(error, EngineError::Context);
    let answer = client.send(DOING, request.body(upload.body())).await.map_err(prefer)?;
    if !answer.response.status().is_success() {
        let (status, message) = client::refusal(DOING, answer.response).await;
        return Err(prefer(diagnose::build_call(DOING, status, &message)));
    }
    let mut image = None;
    let end = client::messages(client, DOING, answer.response, |message| match message {
        Message::Text(text) => {
            story.text(&text);
            Ok(())
        }
        Message::Image(id) => {
            image = Some(id);
            Ok(())
        }
        Message::Fault { code, message } => {
            let error = diagnose::build(&message, story.current.as_ref().map(|step| step.name.as_str()), code);
            if let EngineError::StepFailed { code, .. } = &error {
                story.code = *code;
            }
            Err(error)
        }
        _ => Ok(()),
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

/// The classic builder's text, read as steps (moby, daemon/builder/dockerfile: dispatchers.go, evaluator.go).
struct Story {
    book: StepBook,
    current: Option<Step>,
    count: usize,
    code: Option<i64>,
    /// A line that may be the builder's own and is not whole yet; at most [`LINE`] bytes.
    text: String,
}

impl Story {
    fn text(&mut self, text: &str) {
        if self.text.is_empty() && !text.starts_with("Step ") && !text.starts_with(" ---> ") && !text.starts_with("Successfully ") {
            return self.output(text);
        }
        self.text.push_str(text);
        if self.text.ends_with('\n') {
            let line = std::mem::take(&mut self.text);
            self.line(line.trim_end());
        } else if self.text.len() as u64 > LINE {
            self.flush();
        }
    }

    /// What began like a line of the builder's and is none is a step's.
    fn flush(&mut self) {
        let text = std::mem::take(&mut self.text);
        if !text.is_empty() {
            self.output(&text);
        }
    }

    fn line(&mut self, line: &str) {
        if let Some((number, name)) = self.next_step(line) {
            self.end_step(None);
            self.count += 1;
            let step = Step {
                id: format!("step-{}", self.count),
                name: format!("[{number}] {name}"),
                started: Some(clock::now()),
                ..Step::default()
            };
            self.book.record(step.clone());
            self.current = Some(step);
        } else if line == " ---> Using cache" {
            self.current.iter_mut().for_each(|step| step.cached = true);
        } else if !is_bookkeeping(line) {
            self.output(&format!("{line}\n"));
        }
    }

    /// `Step 2/5 : RUN make`, where 2 is next: a RUN may print such a line too, but then its number is seldom right.
    fn next_step<'a>(&self, line: &'a str) -> Option<(&'a str, &'a str)> {
        let (number, name) = line.strip_prefix("Step ")?.split_once(" : ")?;
        let (index, _) = number.split_once('/')?;
        (index.parse() == Ok(self.count + 1)).then_some((number, name))
    }

    fn output(&mut self, text: &str) {
        if let Some(step) = self.current.as_ref().filter(|_| !is_bookkeeping(text.trim_end()) && text != "\n") {
            // Standard error comes wrapped in red.
            let (stream, text) = match text.strip_prefix("\u{1b}[91m") {
                Some(red) => (2, red.strip_suffix("\u{1b}[0m").unwrap_or(red)),
                None => (1, text),
            };
            self.book.output(&step.id, stream, text.as_bytes());
        }
    }

    fn end_step(&mut self, error: Option<String>) {
        if let Some(step) = self.current.take() {
            self.book.record(Step { completed: Some(clock::now()), error, ..step });
        }
    }
}

/// What the builder says of its own containers and images, which no step printed.
fn is_bookkeeping(line: &str) -> bool {
    let id = |text: &str| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match line.strip_prefix(" ---> ").or_else(|| line.strip_prefix(" --->")) {
        Some(rest) => rest.is_empty() || rest == "Using cache" || id(rest) || rest.strip_prefix("Running in ").is_some_and(id),
        None => {
            line.strip_prefix("Removing intermediate container ").is_some_and(id)
                || line.strip_prefix("Successfully built ").is_some_and(id)
                || line.starts_with("Successfully tagged podwright-tmp/")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl EventSink for Heard {
        fn emit(&self, event: Event) {
            match event {
                Event::BuildLog(log) => self.0.lock().unwrap().push(log.text),
                Event::BuildStep(step) if step.completed.is_none() => self.0.lock().unwrap().push(step.name),
                _ => {}
            }
        }
    }

    fn story() -> (Story, Arc<Heard>) {
        let heard = Arc::new(Heard::default());
        let book = StepBook::new(Arc::clone(&heard) as Arc<dyn EventSink>);
        let mut story = Story { book, current: None, count: 0, code: None, text: String::new() };
        story.text("Step 1/2 : RUN true");
        story.text("\n");
        (story, heard)
    }

    #[test]
    fn output_that_begins_like_a_line_of_the_builders_is_passed_on_and_never_piled_up() {
        for begin in ["Step ", " ---> ", "Successfully "] {
            let (mut story, heard) = story();
            let piece = "x".repeat(64 << 10);
            story.text(begin);
            for _ in 0..40 {
                story.text(&piece);
                assert!(story.text.len() as u64 <= LINE, "{} bytes", story.text.len());
            }
            story.flush();
            story.end_step(None);
            let told: usize = heard.0.lock().unwrap()[1..].iter().map(String::len).sum();
            assert_eq!(told, begin.len() + 40 * piece.len());
        }
    }

    #[test]
    fn output_that_stops_within_such_a_line_is_not_lost() {
        let (mut story, heard) = story();
        story.text("Step by step");
        story.flush();
        story.end_step(None);
        assert_eq!(*heard.0.lock().unwrap(), ["[1/2] RUN true", "Step by step"]);
    }
}
