//! Where a run's result is left for machines: the result file, whole or not at all, and the pod's termination message.
//!
//! Both are projections of one [`Document`], written on success, failure and cancellation alike, and masked by value. What cannot
//! be written is an error of the run (`ReportFailed`): whoever asked for a result would wait for it in vain.

mod termination;

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::model::result::Document;
use crate::model::{Classified, Reason};
use crate::support::atomic;
use crate::support::json;
use crate::support::redact::Redactor;

pub use termination::DEFAULT_TERMINATION_MESSAGE;

/// Why a result could not be left where it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error("the result file {} could not be written by this pod (uid {uid}): {cause}", path.display())]
    File { path: PathBuf, uid: u32, cause: io::Error },
    #[error("the termination message {} could not be written by this pod (uid {uid}): {cause}", path.display())]
    Termination { path: PathBuf, uid: u32, cause: io::Error },
}

impl Classified for ReportError {
    fn reason(&self) -> Reason {
        match self {
            Self::File { .. } | Self::Termination { .. } => Reason::ReportFailed,
        }
    }

    fn hint(&self) -> Option<String> {
        let (Self::File { path, uid, cause } | Self::Termination { path, uid, cause }) = self;
        match cause.kind() {
            io::ErrorKind::NotFound => Some(format!("{} has to exist: mount a volume there", parent(path).display())),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Some(format!("give uid {uid} the right to write in {}, for example by an emptyDir", parent(path).display()))
            }
            // What the kernel says where a file is mounted by itself: it cannot be replaced by a whole one.
            io::ErrorKind::ResourceBusy => Some(format!("{} is a mount itself: mount its directory in its place", path.display())),
            _ => None,
        }
    }
}

/// Where the result document goes, besides standard output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResultSinks {
    /// The result file. Its directory must exist.
    pub file: Option<PathBuf>,
    /// The termination message, where one was asked for; else [`DEFAULT_TERMINATION_MESSAGE`] is written if this pod may.
    pub termination_message: Option<PathBuf>,
}

/// Leaves the result at every sink. One that fails does not keep the others from being written; the first error is told.
pub fn write(document: &Document, sinks: &ResultSinks, redactor: &Redactor) -> Result<(), ReportError> {
    let file = write_file(document, sinks, redactor);
    let termination = write_termination(document, sinks, redactor);
    file.and(termination)
}

/// The result file: the whole document, indented for whoever looks into it. Nothing to do where none was asked for.
fn write_file(document: &Document, sinks: &ResultSinks, redactor: &Redactor) -> Result<(), ReportError> {
    let Some(path) = &sinks.file else { return Ok(()) };
    let value = masked(document, redactor);
    let mut bytes = serde_json::to_vec_pretty(&value).unwrap_or_default();
    bytes.push(b'\n');
    atomic::write(path, &bytes).map_err(|cause| ReportError::File { path: path.clone(), uid: uid(), cause })
}

/// The termination message: what of the document fits. A default path that is not there is no error: not every pod has one.
fn write_termination(document: &Document, sinks: &ResultSinks, redactor: &Redactor) -> Result<(), ReportError> {
    let message = termination::message(masked(document, redactor), termination::BYTES, redactor);
    let Some(path) = &sinks.termination_message else {
        let _ = termination::write_existing(Path::new(DEFAULT_TERMINATION_MESSAGE), message.as_bytes());
        return Ok(());
    };
    let failed = |cause| ReportError::Termination { path: path.clone(), uid: uid(), cause };
    termination::write(path, message.as_bytes()).map_err(failed)
}

/// The document without any known secret: by value, and once more as the line it becomes.
fn masked(document: &Document, redactor: &Redactor) -> Value {
    let mut value = document.to_value();
    json::scrub(&mut value, redactor);
    match json::scrub_line(json::line(&value), usize::MAX, redactor) {
        Some(line) => serde_json::from_str(&line).unwrap_or(value),
        None => json!({
            "schema": document.schema,
            "outcome": document.outcome,
            "exit_code": document.exit_code,
            "error": { "message": "the result holds a secret that cannot be masked in place" },
        }),
    }
}

fn uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests;
