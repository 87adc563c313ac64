//! What a run says on standard output: one bounded queue, one writer thread, one line a `write(2)`.
//!
//! A build never waits for whoever reads its output and never fails because of it: `emit` only puts a fact into the queue. When
//! nobody reads, what is expendable is dropped and the gap is told; when the reader is gone, the rest is discarded. Facts become
//! JSON lines for programs ([`json`]) or text for people ([`plain`]). It decides nothing about the run, and nothing else in the
//! library writes to standard output.

mod json;
mod plain;
mod queue;
mod render;
mod scrub;
mod sink;
mod split;
mod summary;
mod writer;

use std::io::IsTerminal;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::event::{Event, EventSink};
use crate::support::redact::Redactor;
pub use queue::Patience;
use queue::Queue;
use sink::Sink;
use writer::Writer;

/// Bytes of one line, its line end included: log transports cut at 8 KiB (CRI-O) or 16 KiB (Docker, containerd).
pub const LINE_BYTES: usize = 8_000;

/// Silence after which the run shows that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// Who reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Programs: one JSON object a line, as the contract's events.
    Json,
    /// People: what `docker build --progress plain` taught them to expect.
    Plain,
}

/// How to write.
#[derive(Clone, Debug)]
pub struct Options {
    pub mode: Mode,
    /// Colour for people.
    pub colour: bool,
    /// The run's id, in every event.
    pub run: String,
    /// Silence after which `run.heartbeat` is written.
    pub heartbeat: Duration,
}

impl Options {
    /// As it suits whoever reads standard output: for people at a terminal, in colour where that is wanted, as events for
    /// everybody else.
    pub fn fitting(wish: Option<Mode>, colour: bool, run: impl Into<String>) -> Self {
        let terminal = std::io::stdout().is_terminal();
        let mode = wish.unwrap_or(if terminal { Mode::Plain } else { Mode::Json });
        Self { colour: colour && terminal, ..Self::new(mode, run) }
    }

    pub fn new(mode: Mode, run: impl Into<String>) -> Self {
        Self { mode, colour: false, run: run.into(), heartbeat: HEARTBEAT }
    }
}

/// The one event sink of a process. Cheap to clone; every clone writes to the same queue.
#[derive(Clone)]
pub struct Progress {
    queue: Arc<Queue>,
    redactor: Arc<Redactor>,
}

impl Progress {
    /// Starts the writer on standard output.
    pub fn start(options: Options, redactor: Arc<Redactor>) -> Self {
        Self::run(options, redactor, Sink::Stdout)
    }

    /// Starts the writer on a descriptor of its own.
    #[cfg(test)]
    fn start_on(options: Options, redactor: Arc<Redactor>, descriptor: std::os::fd::OwnedFd) -> Self {
        Self::run(options, redactor, Sink::Owned(descriptor))
    }

    fn run(options: Options, redactor: Arc<Redactor>, sink: Sink) -> Self {
        let queue = Arc::new(Queue::default());
        let writer = Writer::new(options, Arc::clone(&redactor), Arc::clone(&queue), sink);
        if thread::Builder::new().name("progress".into()).spawn(move || writer.run()).is_err() {
            // No thread, no output: the run goes on and the result file tells how it ended.
            queue.lose();
        }
        Self { queue, redactor }
    }

    /// Takes no more events and waits for those taken to be written, as long as its patience lasts. Says whether the last one
    /// was. Blocks its thread.
    pub fn finish(&self, patience: Patience) -> bool {
        self.queue.finish(patience)
    }
}

impl EventSink for Progress {
    fn emit(&self, event: Event) {
        match event {
            // Masked before it is cut, so that no cut goes through a secret.
            Event::BuildLog(mut log) if log.text.len() > split::PIECE_BYTES => {
                log.text = self.redactor.scrub(&log.text).into_owned();
                split::log(&log, split::PIECE_BYTES, char::len_utf8).for_each(|piece| self.queue.put(Event::BuildLog(piece)));
            }
            event => self.queue.put(event),
        }
    }
}

#[cfg(test)]
mod tests;
