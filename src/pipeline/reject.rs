//! Runs that end outside of their story: turned down, stopped before the request was read, or broken off by a defect. Each has
//! a terminal event and a result all the same.

use std::sync::Arc;

use super::Services;
use super::cancel;
use super::draft::Draft;
use crate::config::{Known, Rejected};
use crate::event::Event;
use crate::model::result::Document;
use crate::model::{Failure, Phase, Reason};
use crate::report;

/// What people are told where the program itself is at fault.
pub const DEFECT: &str = "podwright has a defect: it stopped in the middle of its work";

/// Says why, and leaves the result where it is still known to belong.
pub fn reject(rejected: &Rejected, services: &Services) -> Document {
    tell(Failure::new(Phase::Prepare, &rejected.error), &rejected.known, services)
}

/// A signal or the deadline was there before the request.
pub fn stopped(cause: Reason, known: &Known, services: &Services) -> Document {
    services.cancel.cancel(cause);
    let (event, message) = cancel::told(cause, known.deadline);
    services.events.emit(event);
    tell(Failure::plain(Phase::Prepare, cause, format!("{message}, before its request was read")), known, services)
}

/// The program itself is at fault, or what it cannot work without is missing.
pub fn broken(phase: Phase, why: &str, known: &Known, services: &Services) -> Document {
    tell(Failure::plain(phase, Reason::Internal, why), known, services)
}

fn tell(failure: Failure, known: &Known, services: &Services) -> Document {
    let mut draft = Draft::new(Arc::clone(&services.events));
    draft.enter(failure.phase);
    draft.leave(failure.reason.outcome());
    services.events.emit(Event::Failed(Box::new(failure.clone())));
    let document = draft.document(&services.run, known.name.as_deref(), Some(failure));
    if let Err(unwritten) = report::write(&document, &known.result, &services.redactor) {
        let hint = crate::model::Classified::hint(&unwritten);
        services.events.emit(Event::Notice { message: unwritten.to_string(), hint });
    }
    services.events.emit(Event::RunFinished(Box::new(document.clone())));
    document
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;
    use std::time::Instant;

    use super::*;
    use crate::config::{Overrides, load};
    use crate::event::EventSink;
    use crate::model::Outcome;
    use crate::pipeline::Cancel;

    /// Takes every event, and has a defect at the first.
    #[derive(Default)]
    struct Defective(Mutex<Vec<&'static str>>);

    impl EventSink for Defective {
        fn emit(&self, event: Event) {
            self.0.lock().unwrap().push(event.name());
            assert!(!matches!(event, Event::PhaseStarted { phase: Phase::Prepare }), "a defect");
        }
    }

    #[tokio::test]
    async fn a_defect_in_the_story_has_one_end_and_a_result() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("result.json");
        let request = serde_json::json!({"source": {"directory": "/tmp"}, "push": "none", "result": {"file": file}});
        let env = BTreeMap::from([("PODWRIGHT_REQUEST".to_owned(), request.to_string())]);
        let settings = load(&Overrides::default(), &env, &mut std::io::empty()).unwrap();
        let events = Arc::new(Defective::default());
        let sink: Arc<dyn EventSink> = Arc::clone(&events) as _;
        let services =
            Services { run: "r".into(), events: sink, redactor: Arc::default(), cancel: Cancel::default(), begun: Instant::now() };
        let document = crate::pipeline::run(Arc::new(settings), &services).await;
        assert_eq!((document.exit_code, document.outcome), (1, Outcome::Error));
        let written: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        assert_eq!(written["error"]["reason"], "Internal");
        let names = events.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        assert_eq!(names.iter().filter(|name| **name == "run.finished").count(), 1);
        assert_eq!(names.last(), Some(&"run.finished"));
    }
}
