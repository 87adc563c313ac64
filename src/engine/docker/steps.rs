//! The book of a build's steps: both builders write into it, it emits what changed, and in the end it says what became of them.

use std::collections::HashMap;
use std::sync::Arc;

use super::logs::Logs;
use crate::event::{Event, EventSink, Step, StepProgress, StepWarning};
use crate::model::result::{FailedStep, Steps};

pub struct StepBook {
    events: Arc<dyn EventSink>,
    steps: HashMap<String, Step>,
    logs: Logs,
    failed: Option<String>,
    warnings: u64,
}

impl StepBook {
    pub fn new(events: Arc<dyn EventSink>) -> Self {
        Self { events, steps: HashMap::new(), logs: Logs::default(), failed: None, warnings: 0 }
    }

    /// Records what is known of a step now, and says it where it is news.
    pub fn record(&mut self, step: Step) {
        if self.steps.get(&step.id) == Some(&step) {
            return;
        }
        if step.completed.is_some() || step.error.is_some() {
            self.flush(&step.id);
        }
        match &step.error {
            // A step that was stopped because another one failed is not the one that failed.
            Some(error) if self.failed.is_none() && !error.contains("context canceled") => self.failed = Some(step.id.clone()),
            None if step.completed.is_some() => self.logs.forget(&step.id),
            _ => {}
        }
        self.say(Event::BuildStep(step.clone()));
        self.steps.insert(step.id.clone(), step);
    }

    /// A step that is first heard of when it has ended began before.
    pub fn introduce(&mut self, step: &Step) {
        if !self.steps.contains_key(&step.id) {
            self.record(Step { completed: None, error: None, ..step.clone() });
        }
    }

    pub fn output(&mut self, step: &str, stream: i64, bytes: &[u8]) {
        for log in self.logs.push(step, stream, bytes) {
            self.events.emit(Event::BuildLog(log));
        }
    }

    /// Nothing more is at hand: what waits for more of a step's output waits no longer.
    pub fn pause(&mut self) {
        if let Some(log) = self.logs.rest() {
            self.events.emit(Event::BuildLog(log));
        }
    }

    pub fn progress(&mut self, progress: StepProgress) {
        self.say(Event::BuildProgress(progress));
    }

    pub fn warning(&mut self, warning: StepWarning) {
        self.warnings += 1;
        self.say(Event::BuildWarning(warning));
    }

    /// After what was printed before.
    fn say(&mut self, event: Event) {
        self.pause();
        self.events.emit(event);
    }

    fn flush(&mut self, step: &str) {
        for log in self.logs.close(step) {
            self.events.emit(Event::BuildLog(log));
        }
    }

    /// The name of the step that failed, once one has.
    pub fn failed_name(&self) -> Option<&str> {
        self.failed.as_ref().and_then(|id| self.steps.get(id)).map(|step| step.name.as_str())
    }

    /// Closes the book. `code` is the failed step's own exit code, where the daemon said one.
    pub fn close(mut self, code: Option<i64>) -> (Steps, u64) {
        let open: Vec<String> = self.steps.keys().cloned().collect();
        for id in &open {
            self.flush(id);
        }
        let failed = self.failed.as_ref().and_then(|id| self.steps.get(id)).map(|step| FailedStep {
            name: step.name.clone(),
            exit_code: code,
            log: self.logs.tail(&step.id),
        });
        // What the builder does for itself is no step of the Dockerfile: those are named `[stage 2/5] RUN …`.
        let own = |step: &&Step| step.name.starts_with('[') && !step.name.starts_with("[internal]");
        let total = self.steps.values().filter(own).count() as u64;
        let cached = self.steps.values().filter(own).filter(|step| step.cached).count() as u64;
        (Steps { total, cached, failed }, self.warnings)
    }
}
