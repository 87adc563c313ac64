//! Events as JSON lines, in the contract's envelope. A line is always whole JSON, never longer than [`LINE_BYTES`], and what a
//! build printed is only ever inside a string of it: nothing a step prints can become an event of ours.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use serde_json::{Map, Value, json};

use super::queue::Stamp;
use super::render::Render;
use super::{LINE_BYTES, split};
use crate::event::{Event, StepLog};
use crate::model::Phase;
use crate::support::json::{self, Shorten};
use crate::support::{clock, redact::Redactor};

/// Bytes of a line without its line end.
const MOST: usize = LINE_BYTES - 1;

/// Bytes of a step's id in a log line, as JSON writes it; BuildKit's are digests of 71.
const STEP_BYTES: usize = 256;

/// What `run.finished` gives up, in this order, when it does not fit one line: never a field that its schema requires, never
/// a part of a digest. The largest document there can be fits in the end. The result file holds all of it.
const FINISHED: &[Shorten] = &[
    Shorten::Last("data.steps.failed.log", 20),
    Shorten::Last("data.steps.failed.log", 5),
    Shorten::First("data.steps.failed.log", 0),
    Shorten::First("data.error.causes", 4),
    Shorten::Cut("data.error.message", 2000),
    Shorten::First("data.engine.capabilities", 0),
    Shorten::First("data.image.platforms", 16),
    Shorten::Drop("data.image.kept"),
    Shorten::Cut("data.steps.failed.name", 500),
    Shorten::Drop("data.source.subject"),
    Shorten::Drop("data.error.causes"),
    Shorten::Cut("data.error.hint", 500),
    Shorten::First("data.image.tags", 16),
    Shorten::First("data.image.refs", 16),
    Shorten::Drop("data.source.author"),
    Shorten::Drop("data.source.committer"),
    Shorten::Cut("data.source.url", 500),
    Shorten::Cut("data.source.subdir", 500),
    Shorten::Cut("data.source.origin", 500),
    Shorten::Cut("data.source.origin_revision", 200),
    Shorten::First("data.image.tags", 4),
    Shorten::First("data.image.refs", 4),
    Shorten::Drop("data.engine"),
    Shorten::Drop("data.image.platforms"),
    Shorten::Drop("data.source"),
    Shorten::First("data.image.tags", 1),
    Shorten::First("data.image.refs", 1),
];

pub struct Json {
    run: String,
    seq: u64,
    phase: Phase,
    redactor: Arc<Redactor>,
}

impl Json {
    pub fn new(run: &str, redactor: Arc<Redactor>) -> Self {
        Self { run: json::cut(run, STEP_BYTES).into_owned(), seq: 0, phase: Phase::Prepare, redactor }
    }

    /// The next line. Masked by value first, so that shortening never cuts a secret, and as it stands last.
    fn line(&mut self, event: &Event, stamp: Stamp) -> String {
        let mut data = serde_json::to_value(event).unwrap_or_else(|_| json!({}));
        json::scrub(&mut data, &self.redactor);
        self.seq += 1;
        let mut value = self.envelope(event, stamp, data);
        if matches!(event, Event::RunFinished(_)) {
            json::fit(&mut value, MOST, FINISHED);
        }
        let line = json::scrub_line(json::squeeze(&mut value, MOST), MOST, &self.redactor)
            .unwrap_or_else(|| json::line(&self.envelope(event, stamp, json!({ "message": "[redacted]" }))));
        line + "\n"
    }

    fn envelope(&self, event: &Event, stamp: Stamp, data: Value) -> Value {
        let mut envelope = Map::new();
        envelope.insert("v".into(), 1.into());
        envelope.insert("seq".into(), self.seq.into());
        envelope.insert("time".into(), time(stamp).into());
        envelope.insert("event".into(), event.name().into());
        envelope.insert("level".into(), json!(event.level()));
        envelope.insert("run".into(), self.run.clone().into());
        envelope.insert("phase".into(), self.phase.name().into());
        envelope.insert("data".into(), data);
        Value::Object(envelope)
    }

    /// A log in as many lines as it needs. Its text was masked before it came here.
    fn log(&mut self, log: &StepLog, stamp: Stamp, out: &mut Vec<String>) {
        let step = json::cut(&log.step, STEP_BYTES).into_owned();
        let empty = StepLog { step: step.clone(), stream: log.stream, text: String::new(), partial: true, clipped: true };
        let envelope = json::line(&self.envelope(&Event::BuildLog(empty.clone()), stamp, json!(empty))).len();
        // The sequence number may grow by a digit or two on the way.
        let room = MOST.saturating_sub(envelope + 8);
        for piece in split::log(log, room, json::cost) {
            let line = self.line(&Event::BuildLog(StepLog { step: step.clone(), ..piece }), stamp);
            out.push(line);
        }
    }
}

impl Render for Json {
    fn event(&mut self, event: &Event, stamp: Stamp, out: &mut Vec<String>) {
        if let Event::PhaseStarted { phase } = event {
            self.phase = *phase;
        }
        match event {
            Event::BuildLog(log) => self.log(log, stamp, out),
            event => out.push(self.line(event, stamp)),
        }
    }

    /// The dropped events keep their numbers: the range is the hole.
    fn gap(&mut self, events: u64, stamp: Stamp, out: &mut Vec<String>) {
        let first_seq = self.seq + 1;
        self.seq += events;
        out.push(self.line(&Event::Dropped { events, first_seq, last_seq: self.seq }, stamp));
    }
}

/// RFC 3339 in UTC with milliseconds.
fn time(stamp: Stamp) -> String {
    let since = stamp.wall.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or_default();
    clock::at_nanos(seconds, since.subsec_millis() * 1_000_000).unwrap_or_default()
}
