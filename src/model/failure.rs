//! What a failed run says of itself.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Phase, Reason};
use crate::support::secretdir::SecretError;

/// An error that knows its row in the table of reasons.
///
/// Every module of rows 2 and 3 has one error type; this is the only thing the story above needs to know of it.
pub trait Classified: std::error::Error {
    /// The row of the table. Exhaustive in every implementation: a new variant must choose.
    fn reason(&self) -> Reason;

    /// What to do about it, where the message does not say so already.
    fn hint(&self) -> Option<String> {
        None
    }
}

/// The end of a run that did not succeed: the `error` event, the `error` of the result, the exit code.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Failure {
    pub reason: Reason,
    pub phase: Phase,
    pub exit_code: u8,
    pub retryable: bool,
    pub fault: &'static str,
    pub message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Failure {
    /// From any classified error, with its chain of causes.
    pub fn new(phase: Phase, error: &dyn Classified) -> Self {
        let mut causes = Vec::new();
        let mut next = error.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            if causes.last() != Some(&text) {
                causes.push(text);
            }
            next = cause.source();
        }
        Self { causes, hint: error.hint(), ..Self::plain(phase, error.reason(), error.to_string()) }
    }

    /// From a reason and a message alone.
    pub fn plain(phase: Phase, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            phase,
            exit_code: reason.code(),
            retryable: reason.retryable(),
            fault: reason.fault(),
            message: message.into(),
            causes: Vec::new(),
            hint: None,
        }
    }
}

/// The secret reader is a row below and knows no reasons: its row in the table is chosen here, once for all who use it.
impl Classified for SecretError {
    fn reason(&self) -> Reason {
        match self {
            Self::Missing { .. }
            | Self::NotADirectory { .. }
            | Self::Denied { .. }
            | Self::Unreadable { .. }
            | Self::TooLarge { .. }
            | Self::Malformed { .. }
            | Self::Empty { .. } => Reason::SecretInvalid,
            Self::Forbidden(_) => Reason::NotPermitted,
        }
    }

    fn hint(&self) -> Option<String> {
        self.fix()
    }
}
