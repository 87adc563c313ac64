//! The linear story: prepare, fetch, build, push, report. Nothing here knows how a thing is done, only what comes next.

mod access;
mod artifact;
mod build;
mod cancel;
mod clients;
mod draft;
mod engine;
mod fetch;
mod gc;
mod limits;
mod outbox;
mod preflight;
mod publish;
mod push;
mod registries;
mod reject;
mod repository;
mod retry;
mod run;
mod sweep;
mod tidy;
mod told;
mod upload;
mod vault;

pub use cancel::Cancel;
pub use gc::gc;
pub use reject::{DEFECT, broken, reject, stopped};
pub use run::{Services, run};
