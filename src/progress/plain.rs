//! Events as text for people: what `docker build --progress plain` taught them to expect, in the same place for every phase.
//!
//! Numbered steps, `CACHED` and `DONE`, log lines that always start with their step's number (so that no build can print a line
//! that looks like ours), transfers that speak every few seconds, and a summary at the end.

use std::collections::HashMap;
use std::fmt::{Display, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::queue::Stamp;
use super::render::Render;
use super::summary::{self, Paint, bytes, seconds};
use super::{LINE_BYTES, scrub, split};
use crate::event::{Event, ImagePushed, PushProgress, PushRetry, SourceProgress, Step, StepLog, StepProgress, StepWarning};
use crate::model::result::EngineInfo;
use crate::model::tree::Revision;
use crate::model::{Failure, Phase};
use crate::support::redact::Redactor;

/// Between two lines about one transfer.
const TRANSFER_PAUSE: Duration = Duration::from_secs(5);

/// Layers of one push that are counted.
const MOST_LAYERS: usize = 1024;

/// Bytes that a log line's number and time may take.
const PREFIX_BYTES: usize = 64;

pub struct Plain {
    run: String,
    paint: Paint,
    redactor: Arc<Redactor>,
    steps: HashMap<String, Shown>,
    layers: HashMap<String, Layer>,
    /// When each kind of transfer last spoke.
    spoke: HashMap<&'static str, Instant>,
    /// What was written last was the end of a paragraph.
    rested: bool,
}

/// A step that people have seen.
struct Shown {
    number: usize,
    started: Instant,
    spoke: Instant,
    done: bool,
}

struct Layer {
    bytes: u64,
    total: u64,
    done: bool,
}

impl Plain {
    pub fn new(run: String, colour: bool, redactor: Arc<Redactor>) -> Self {
        let (steps, layers, spoke) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { run, paint: Paint(colour), redactor, steps, layers, spoke, rested: true }
    }

    /// A name or message of somebody else's, fit for one line.
    fn words(&self, text: &str) -> String {
        scrub::one_line(&self.redactor.scrub(text))
    }

    /// An empty line, unless there is one.
    fn rest(&mut self, text: &mut String) {
        if !std::mem::replace(&mut self.rested, true) {
            text.push('\n');
        }
    }

    fn say(&mut self, text: &mut String, line: impl Display) {
        let _ = writeln!(text, "{line}");
        self.rested = false;
    }

    /// Whether this transfer may speak again.
    fn may_speak(&mut self, what: &'static str, now: Instant) -> bool {
        let due = self.spoke.get(what).is_none_or(|last| now.duration_since(*last) >= TRANSFER_PAUSE);
        if due {
            self.spoke.insert(what, now);
        }
        due
    }

    fn phase(&mut self, text: &mut String, phase: Phase) {
        self.rest(text);
        let line = self.paint.bold(&format!("==> {}", phase.name()));
        self.say(text, line);
        self.rested = true;
    }

    /// The step's number; its header when it is seen for the first time.
    fn number(&mut self, text: &mut String, id: &str, name: &str, at: Instant) -> usize {
        if let Some(step) = self.steps.get(id) {
            return step.number;
        }
        let number = self.steps.len() + 1;
        self.steps.insert(id.to_owned(), Shown { number, started: at, spoke: at, done: false });
        if !name.is_empty() {
            self.rest(text);
            let line = self.paint.blue(&format!("#{number} {}", self.words(name)));
            self.say(text, line);
        }
        number
    }

    fn step(&mut self, text: &mut String, step: &Step, stamp: Stamp) {
        if step.started.is_none() && step.completed.is_none() && !step.cached {
            return;
        }
        let number = self.number(text, &step.id, &step.name, stamp.at);
        let ended = step.completed.is_some() || step.cached || step.error.is_some();
        let Some(shown) = self.steps.get_mut(&step.id) else { return };
        if !ended || std::mem::replace(&mut shown.done, true) {
            return;
        }
        let took = duration(step).unwrap_or_else(|| stamp.at.duration_since(shown.started).as_secs_f64());
        let line = match &step.error {
            Some(error) => self.paint.red(&format!("#{number} ERROR: {}", self.words(error))),
            None if step.cached => self.paint.blue(&format!("#{number} CACHED")),
            None => self.paint.blue(&format!("#{number} DONE {took:.1}s")),
        };
        self.say(text, line);
        self.rest(text);
    }

    fn log(&mut self, text: &mut String, log: &StepLog, at: Instant) {
        let number = self.number(text, &log.step, "", at);
        let started = self.steps.get(&log.step).map_or(at, |step| step.started);
        let elapsed = at.duration_since(started).as_secs_f64();
        for piece in split::log(log, LINE_BYTES - PREFIX_BYTES, char::len_utf8) {
            for line in scrub::lines(&piece.text) {
                self.say(text, format_args!("#{number} {elapsed:.3} {line}"));
            }
        }
        if log.clipped {
            self.say(text, format_args!("#{number} {elapsed:.3} [the daemon clipped the output here]"));
        }
    }

    fn progress(&mut self, text: &mut String, progress: &StepProgress, at: Instant) {
        let number = self.number(text, &progress.step, "", at);
        let Some(step) = self.steps.get_mut(&progress.step) else { return };
        let due = at.duration_since(step.spoke) >= TRANSFER_PAUSE;
        if !due && !progress.completed {
            return;
        }
        step.spoke = at;
        let count = |n: i64| bytes(u64::try_from(n).unwrap_or_default());
        let amount = match (progress.current, progress.total) {
            (0, 0) => String::new(),
            (current, 0) => format!(" {}", count(current)),
            (current, total) => format!(" {} / {}", count(current), count(total)),
        };
        let done = if progress.completed { " done" } else { "" };
        let id = self.words(&progress.id);
        self.say(text, format_args!("#{number} {id}{amount}{done}"));
    }

    fn source_progress(&mut self, text: &mut String, progress: &SourceProgress, at: Instant) {
        if !self.may_speak("source", at) {
            return;
        }
        let of = |total: Option<String>| total.map(|total| format!(" of {total}")).unwrap_or_default();
        let objects = progress.objects.map(|n| format!(", {n}{} objects", of(progress.total_objects.map(|n| n.to_string()))));
        let total = of(progress.total_bytes.map(bytes));
        self.say(text, format_args!("received {}{total}{}", bytes(progress.bytes), objects.unwrap_or_default()));
    }

    fn source(&mut self, text: &mut String, revision: &Revision) {
        let line = self.words(&summary::source(revision));
        self.say(text, format_args!("source: {line}"));
        if let Some(subject) = &revision.subject {
            let by = revision.author.as_deref().map(|author| format!(" ({author})")).unwrap_or_default();
            let line = self.words(&format!("{subject}{by}"));
            self.say(text, format_args!("        {line}"));
        }
    }

    fn engine(&mut self, text: &mut String, engine: &EngineInfo) {
        let EngineInfo { engine: name, version, api, builder, store, os, arch, .. } = engine;
        let line = self.words(&format!("{name} {version}, API {api}, {builder} builder, {store} image store, {os}/{arch}"));
        self.say(text, format_args!("engine: {line}"));
        let Some(limits) = &engine.limits else { return };
        let held = [
            limits.memory.map(|memory| format!("{} of memory", bytes(memory))),
            limits.cpus.map(|cpus| format!("{cpus} CPUs")),
            limits.cgroup_parent.as_ref().map(|parent| format!("the control group {parent}")),
        ];
        let held: Vec<String> = held.into_iter().flatten().collect();
        let held = self.words(&if held.is_empty() { "nothing".to_owned() } else { held.join(", ") });
        self.say(text, format_args!("steps are bounded by: {held}"));
        for left in limits.not_enforced.iter().take(16) {
            let line = self.paint.yellow(&format!("not enforced: {}: {}", left.limit, self.words(&left.why)));
            self.say(text, line);
        }
    }

    fn warning(&mut self, text: &mut String, warning: &StepWarning) {
        let number = self.steps.get(&warning.step).map(|step| format!("#{} ", step.number)).unwrap_or_default();
        let line = self.paint.yellow(&format!("{number}WARNING: {}", self.words(&warning.message)));
        self.say(text, line);
        for detail in warning.detail.iter().chain(&warning.url).take(16) {
            let line = self.words(detail);
            self.say(text, format_args!("{number}  {line}"));
        }
    }

    fn push_progress(&mut self, text: &mut String, progress: &PushProgress, at: Instant) {
        if self.layers.len() < MOST_LAYERS || self.layers.contains_key(&progress.layer) {
            let done = ["Pushed", "Layer already exists", "Mounted from"].iter().any(|word| progress.status.starts_with(word));
            let total = progress.total.unwrap_or_default();
            self.layers.insert(progress.layer.clone(), Layer { bytes: progress.bytes, total, done });
        }
        if !self.may_speak("push", at) {
            return;
        }
        let done = self.layers.values().filter(|layer| layer.done).count();
        let sent: u64 = self.layers.values().map(|layer| layer.bytes).sum();
        let total: u64 = self.layers.values().map(|layer| layer.total.max(layer.bytes)).sum();
        let name = self.words(&progress.r#ref);
        self.say(text, format_args!("pushing {name}: {done}/{} layers, {} / {}", self.layers.len(), bytes(sent), bytes(total)));
    }

    fn retry(&mut self, text: &mut String, retry: &PushRetry) {
        let PushRetry { r#ref, attempt, of, delay_ms, reason } = retry;
        let why = self.words(reason);
        let again = format!("push of {ref} failed (attempt {attempt} of {of}), again in {}: {why}", seconds(*delay_ms));
        let line = self.paint.yellow(&again);
        self.say(text, line);
    }

    fn pushed(&mut self, text: &mut String, pushed: &ImagePushed) {
        self.layers.clear();
        let line = self.paint.green(&format!("pushed {}@{}", pushed.r#ref, pushed.digest));
        self.say(text, line);
    }

    fn hinted(&mut self, text: &mut String, line: String, hint: Option<&String>) {
        self.say(text, line);
        if let Some(hint) = hint {
            let hint = self.words(hint);
            self.say(text, format_args!("  hint: {hint}"));
        }
    }

    fn failed(&mut self, text: &mut String, failure: &Failure) {
        self.rest(text);
        let line = self.paint.red(&format!("ERROR: {}", self.words(&failure.message)));
        self.say(text, line);
        for cause in failure.causes.iter().take(16) {
            let cause = self.words(cause);
            self.say(text, format_args!("  because: {cause}"));
        }
        if let Some(hint) = &failure.hint {
            let hint = self.words(hint);
            self.say(text, format_args!("  hint: {hint}"));
        }
    }

    fn tell(&mut self, text: &mut String, event: &Event, stamp: Stamp) {
        match event {
            Event::RunStarted(started) => {
                let name = started.name.as_ref().map(|name| format!(", {name}")).unwrap_or_default();
                let line = self.words(&format!("{}, run {}{name}", started.agent, self.run));
                self.say(text, line);
            }
            Event::Heartbeat { elapsed_ms, silent_ms } => {
                let line = format!("still at work after {}, nothing new for {}", seconds(*elapsed_ms), seconds(*silent_ms));
                self.say(text, line);
            }
            Event::PhaseStarted { phase } => self.phase(text, *phase),
            // The summary has the times, the error says the rest.
            Event::PhaseFinished(_) => {}
            Event::SourceWaiting(waiting) => {
                let places = [waiting.url.as_deref(), waiting.socket.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" or ");
                let line = self.words(&format!("waiting for an upload at {places}"));
                self.say(text, line);
            }
            Event::SourceProgress(progress) => self.source_progress(text, progress, stamp.at),
            Event::SourceResolved(revision) => self.source(text, revision),
            Event::ContextSent(sent) => {
                let line = format!("context: {} in {} of {} entries sent", bytes(sent.bytes), sent.files, sent.entries);
                self.say(text, line);
            }
            Event::EngineConnected(engine) => self.engine(text, engine),
            Event::BuildStep(step) => self.step(text, step, stamp),
            Event::BuildProgress(progress) => self.progress(text, progress, stamp.at),
            Event::BuildLog(log) => self.log(text, log, stamp.at),
            Event::BuildWarning(warning) => self.warning(text, warning),
            Event::ImageBuilt(built) => {
                self.rest(text);
                let line = format!("built {} ({}) in {}", built.image_id, bytes(built.size), seconds(built.duration_ms));
                let line = self.paint.green(&line);
                self.say(text, line);
            }
            Event::PushProgress(progress) => self.push_progress(text, progress, stamp.at),
            Event::PushRetry(retry) => self.retry(text, retry),
            Event::ImagePushed(pushed) => self.pushed(text, pushed),
            Event::Notice { message, hint } => {
                let line = self.paint.yellow(&format!("notice: {}", self.words(message)));
                self.hinted(text, line, hint.as_ref());
            }
            Event::Failed(failure) => self.failed(text, failure),
            Event::Cancelling { cause, grace_ms } => {
                let line = self.paint.yellow(&format!("stopping: {cause}; cleaning up for at most {}", seconds(*grace_ms)));
                self.say(text, line);
            }
            Event::Dropped { events, .. } => self.say(text, gap(*events)),
            Event::RunFinished(document) => {
                self.rest(text);
                text.push_str(&summary::of(document, &self.redactor, self.paint));
                self.rested = false;
            }
        }
    }

    /// Masked as it stands, and no line longer than any line may be.
    fn send(&self, text: &str, out: &mut Vec<String>) {
        let text = self.redactor.scrub(text);
        if text.lines().all(|line| line.len() < LINE_BYTES) {
            return out.extend((!text.is_empty()).then(|| text.into_owned()));
        }
        let shorter = |line: &str| match line.len() {
            ..LINE_BYTES => format!("{line}\n"),
            _ => format!("{}…\n", &line[..line.floor_char_boundary(LINE_BYTES - 4)]),
        };
        out.push(text.lines().map(shorter).collect());
    }
}

impl Render for Plain {
    fn event(&mut self, event: &Event, stamp: Stamp, out: &mut Vec<String>) {
        let mut text = String::new();
        self.tell(&mut text, event, stamp);
        self.send(&text, out);
    }

    fn gap(&mut self, events: u64, _stamp: Stamp, out: &mut Vec<String>) {
        self.rested = false;
        out.push(gap(events) + "\n");
    }
}

fn gap(events: u64) -> String {
    format!("[{events} lines or progress reports were dropped here: nobody read them in time]")
}

/// Seconds between the step's own times, where it has both.
fn duration(step: &Step) -> Option<f64> {
    let parse = |text: &Option<String>| OffsetDateTime::parse(text.as_deref()?, &Rfc3339).ok();
    Some((parse(&step.completed)? - parse(&step.started)?).as_seconds_f64().max(0.0))
}
