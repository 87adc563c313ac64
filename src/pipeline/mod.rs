//! The linear story: prepare, fetch, build, push, report. Nothing here knows how a thing is done, only what comes next.

mod access;
mod build;
mod cancel;
mod draft;
mod fetch;
mod labels;
mod preflight;
mod publish;
mod push;
mod registries;
mod reject;
mod retry;
mod run;
mod tidy;

pub use cancel::Cancel;
pub use reject::{DEFECT, broken, reject, stopped};
pub use run::{Services, run};

use crate::config::ResultSinks;
use crate::report::Targets;

/// The sinks of the request, as the report takes them.
fn targets(sinks: &ResultSinks) -> Targets {
    Targets { file: sinks.file.clone(), termination: sinks.termination_message.clone(), termination_bytes: None }
}
