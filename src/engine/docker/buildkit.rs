//! BuildKit inside the daemon: `POST /build?version=2` with a session that serves the context file by file.

use std::sync::Arc;

use bollard::moby::buildkit::v1::{StatusResponse, Vertex};
use http::Method;

use super::cancel::Cancelling;
use super::client::{self, Client, no_body};
use super::messages::Message;
use super::session::{self, Served};
use super::steps::StepBook;
use super::story::Dialect;
use super::{diagnose, query};
use crate::engine::{BuildSpec, Built, EngineError};
use crate::event::{Event, EventSink, Step, StepProgress, StepWarning};
use crate::model::keychain::Keychain;
use crate::model::{Classified, ImageId};
use crate::support::clock;

pub async fn build<K: Keychain + 'static>(
    client: &Client,
    spec: &BuildSpec,
    dockerfile: &str,
    served: Served,
    keychain: &Arc<K>,
    events: &Arc<dyn EventSink>,
) -> Built {
    let mut book = StepBook::new(Arc::clone(events));
    let outcome = run(client, spec, dockerfile, served, keychain, events, &mut book).await;
    let code = match &outcome {
        Err(EngineError::StepFailed { code, .. } | EngineError::OutOfMemory { code, .. }) => *code,
        _ => None,
    };
    let (steps, warnings) = book.close(code);
    Built { outcome, steps, warnings }
}

async fn run<K: Keychain + 'static>(
    client: &Client,
    spec: &BuildSpec,
    dockerfile: &str,
    served: Served,
    keychain: &Arc<K>,
    events: &Arc<dyn EventSink>,
    book: &mut StepBook,
) -> Result<ImageId, EngineError> {
    const DOING: &str = "build";
    // The session first: a build that names a session the daemon does not know yet fails.
    let session = session::open(client, served, Arc::clone(keychain)).await?;
    let query = query::build(spec, dockerfile, Dialect::Docker)
        .append_pair("version", "2")
        .append_pair("remote", "client-session")
        .append_pair("session", session.id())
        .append_pair("buildid", session.id())
        .finish();
    let mut cancelling = Cancelling::unless_it_ends(client, session.id());
    let request = client.request(Method::POST, &format!("/build?{query}"));
    let answer = client.send(DOING, request.body(no_body())).await?;
    if !answer.status().is_success() {
        let (status, message) = client::refusal(DOING, answer).await;
        cancelling.ended();
        return Err(session.failure().unwrap_or_else(|| diagnose::build_call(DOING, status, &message)));
    }
    let mut image = None;
    let end = client::messages(client, DOING, answer, |messages| {
        for message in messages {
            match message {
                Message::Trace(trace) => record(book, *trace),
                Message::Image(id) => image = Some(id),
                Message::Fault { code, message } => {
                    return Err(session.explains(&message).unwrap_or_else(|| diagnose::build(&message, book.failed_name(), code)));
                }
                _ => {}
            }
        }
        book.pause();
        Ok(())
    })
    .await;
    if !end.as_ref().is_err_and(EngineError::is_loss) {
        cancelling.ended();
    }
    if let (Err(EngineError::StepFailed { .. }), Some(missing)) = (&end, session.not_given()) {
        events.emit(Event::Notice { message: missing.to_string(), hint: missing.hint() });
    }
    // What we could not read or look up comes before what the daemon makes of it.
    end.map_err(|error| session.failure().unwrap_or(error))?;
    events.emit(Event::ContextSent(session.sent()));
    image.ok_or_else(|| EngineError::Lost { doing: DOING, why: "its answer ended without an image id".into() })
}

/// One piece of the trace, into the book: a step is there before what it prints, and ends after it.
fn record(book: &mut StepBook, trace: StatusResponse) {
    let (ended, begun): (Vec<Step>, Vec<Step>) = trace.vertexes.into_iter().map(step).partition(|step| step.completed.is_some());
    for step in begun {
        book.record(step);
    }
    for step in &ended {
        book.introduce(step);
    }
    for log in trace.logs {
        book.output(&log.vertex, log.stream, &log.msg);
    }
    for status in trace.statuses {
        book.progress(StepProgress {
            step: status.vertex,
            id: status.id,
            current: status.current,
            total: status.total,
            completed: status.completed.is_some(),
        });
    }
    for warning in trace.warnings {
        book.warning(StepWarning {
            step: warning.vertex,
            message: String::from_utf8_lossy(&warning.short).into_owned(),
            detail: warning.detail.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect(),
            url: (!warning.url.is_empty()).then_some(warning.url),
        });
    }
    for step in ended {
        book.record(step);
    }
}

fn step(vertex: Vertex) -> Step {
    let time = |seconds: i64, nanos: i32| clock::at_nanos(seconds, u32::try_from(nanos).unwrap_or_default());
    Step {
        id: vertex.digest,
        name: vertex.name,
        inputs: vertex.inputs,
        started: vertex.started.and_then(|at| time(at.seconds, at.nanos)),
        completed: vertex.completed.and_then(|at| time(at.seconds, at.nanos)),
        cached: vertex.cached,
        error: (!vertex.error.is_empty()).then_some(vertex.error),
    }
}
