//! A run that never began, because its request was turned down: it has a terminal event and a result all the same.

use std::sync::Arc;

use super::Services;
use super::draft::Draft;
use crate::config::{Rejected, ResultSinks};
use crate::event::Event;
use crate::model::result::Document;
use crate::model::{Classified, Failure, Outcome, Phase, Reason};
use crate::report;

/// Says why, and leaves the result where it is still known to belong.
pub fn reject(rejected: &Rejected, services: &Services) -> Document {
    let mut draft = Draft::new(Arc::clone(&services.events));
    draft.enter(Phase::Prepare);
    tell(draft, Failure::new(Phase::Prepare, &rejected.error), rejected.name.as_deref(), &rejected.result, services)
}

/// The program itself is at fault.
pub fn broken(sinks: &ResultSinks, services: &Services) -> Document {
    let draft = Draft::new(Arc::clone(&services.events));
    let failure = Failure::plain(Phase::Prepare, Reason::Internal, "podwright has a defect: it stopped in the middle of its work");
    tell(draft, failure, None, sinks, services)
}

fn tell(mut draft: Draft, failure: Failure, name: Option<&str>, sinks: &ResultSinks, services: &Services) -> Document {
    draft.leave(Outcome::Failure);
    services.events.emit(Event::Failed(Box::new(failure.clone())));
    let document = draft.document(&services.run, name, Some(failure));
    if let Err(unwritten) = report::write(&document, &super::targets(sinks), &services.redactor) {
        services.events.emit(Event::Notice { message: unwritten.to_string(), hint: unwritten.hint() });
    }
    services.events.emit(Event::RunFinished(Box::new(document.clone())));
    document
}
