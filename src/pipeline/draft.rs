//! What is known of a run so far. Whatever ends the story, the document is made of this.

use std::sync::Arc;
use std::time::Instant;

use crate::event::{Event, EventSink, PhaseFinished, millis};
use crate::model::result::{Document, EngineInfo, Image, SCHEMA, Steps, Timing};
use crate::model::tree::Revision;
use crate::model::{Failure, Outcome, Phase};

pub struct Draft {
    events: Arc<dyn EventSink>,
    open: Option<(Phase, Instant)>,
    timing: Timing,
    pub source: Option<Revision>,
    pub engine: Option<EngineInfo>,
    pub image: Option<Image>,
    pub steps: Steps,
    pub warnings: u64,
}

impl Draft {
    pub fn new(events: Arc<dyn EventSink>) -> Self {
        Self {
            events,
            open: None,
            timing: Timing::default(),
            source: None,
            engine: None,
            image: None,
            steps: Steps::default(),
            warnings: 0,
        }
    }

    /// Ends the phase before, if one is open, and begins this one.
    pub fn enter(&mut self, phase: Phase) {
        self.leave(Outcome::Success);
        self.open = Some((phase, Instant::now()));
        self.events.emit(Event::PhaseStarted { phase });
    }

    /// Ends the open phase.
    pub fn leave(&mut self, outcome: Outcome) {
        if let Some((phase, begun)) = self.open.take() {
            let duration_ms = millis(begun.elapsed());
            self.timing.0.push((phase, duration_ms));
            self.events.emit(Event::PhaseFinished(PhaseFinished { phase, outcome, duration_ms }));
        }
    }

    /// Where the run is.
    pub fn phase(&self) -> Phase {
        self.open.map_or(Phase::Prepare, |(phase, _)| phase)
    }

    /// The document, as it would be if the run ended now.
    pub fn document(&self, run: &str, name: Option<&str>, error: Option<Failure>) -> Document {
        Document {
            schema: SCHEMA,
            run: run.to_owned(),
            name: name.map(str::to_owned),
            outcome: error.as_ref().map_or(Outcome::Success, |failure| failure.reason.outcome()),
            exit_code: error.as_ref().map_or(0, |failure| failure.exit_code),
            error,
            source: self.source.clone(),
            image: self.image.clone(),
            engine: self.engine.clone(),
            timing: self.timing.clone(),
            steps: self.steps.clone(),
            warnings: self.warnings,
        }
    }
}
