//! The writer: the one thread that takes from the queue, and the one that notices silence.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::json::Json;
use super::plain::Plain;
use super::queue::{Item, Next, Queue, Stamp};
use super::render::Render;
use super::sink::Sink;
use super::split::Holdback;
use super::{Mode, Options};
use crate::event::{Event, StepLog, millis};
use crate::support::redact::Redactor;

pub struct Writer {
    queue: Arc<Queue>,
    redactor: Arc<Redactor>,
    sink: Sink,
    render: Box<dyn Render>,
    holdback: Holdback,
    heartbeat: Duration,
    started: Instant,
    /// When the last event of the run happened: a heartbeat is none.
    moved: Instant,
    /// When the last line was written.
    spoke: Instant,
}

impl Writer {
    pub fn new(options: Options, redactor: Arc<Redactor>, queue: Arc<Queue>, sink: Sink) -> Self {
        let now = Instant::now();
        let render: Box<dyn Render> = match options.mode {
            Mode::Json => Box::new(Json::new(&options.run, Arc::clone(&redactor))),
            Mode::Plain => Box::new(Plain::new(options.run, options.colour, Arc::clone(&redactor))),
        };
        let heartbeat = options.heartbeat;
        Self { queue, redactor, sink, render, holdback: Holdback::default(), heartbeat, started: now, moved: now, spoke: now }
    }

    /// Until the queue ends or nobody reads. Whatever happens in here, whoever waits in `finish` is told.
    pub fn run(mut self) {
        let _told = Told(Arc::clone(&self.queue));
        loop {
            let mut out = Vec::new();
            let next = self.queue.next(self.spoke + self.heartbeat);
            let ends = matches!(next, Next::End);
            match next {
                Next::Item(Item::Event(event), stamp) => self.event(*event, stamp, &mut out),
                Next::Item(Item::Gap(events), stamp) => self.gap(events, stamp, &mut out),
                Next::Quiet => self.beat(&mut out),
                Next::End => self.rest(&mut out),
            }
            for text in &out {
                if self.sink.write(text.as_bytes()).is_err() {
                    return self.queue.lose();
                }
                self.queue.moved();
            }
            if !out.is_empty() {
                self.spoke = Instant::now();
            }
            if ends {
                return;
            }
        }
    }

    fn event(&mut self, event: Event, stamp: Stamp, out: &mut Vec<String>) {
        self.moved = stamp.at;
        match event {
            Event::BuildLog(log) => {
                let log = self.holdback.pass(log, &self.redactor);
                self.logs(log, stamp, out);
            }
            event => {
                match &event {
                    Event::BuildStep(step) if step.completed.is_some() => {
                        let held = self.holdback.end_step(&step.id, &self.redactor);
                        self.logs(held, stamp, out);
                    }
                    Event::RunFinished(_) => self.rest(out),
                    _ => {}
                }
                self.render.event(&event, stamp, out);
            }
        }
    }

    fn gap(&mut self, events: u64, stamp: Stamp, out: &mut Vec<String>) {
        let held = self.holdback.interrupt();
        self.logs(held, stamp, out);
        self.render.gap(events, stamp, out);
        self.moved = stamp.at;
    }

    fn beat(&mut self, out: &mut Vec<String>) {
        let event = Event::Heartbeat { elapsed_ms: millis(self.started.elapsed()), silent_ms: millis(self.moved.elapsed()) };
        self.render.event(&event, Stamp::now(), out);
    }

    fn rest(&mut self, out: &mut Vec<String>) {
        let held = self.holdback.end(&self.redactor);
        self.logs(held, Stamp::now(), out);
    }

    fn logs(&mut self, logs: impl IntoIterator<Item = StepLog>, stamp: Stamp, out: &mut Vec<String>) {
        for log in logs {
            self.render.event(&Event::BuildLog(log), stamp, out);
        }
    }
}

/// Tells the queue when the writer ends, for whatever reason.
struct Told(Arc<Queue>);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lose();
        }
        self.0.end();
    }
}
