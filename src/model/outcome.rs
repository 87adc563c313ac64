//! Where a run is, and how it ended.

use serde::Serialize;

/// The five phases of a run, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    Prepare,
    Fetch,
    Build,
    Push,
    Report,
}

impl Phase {
    /// The word used in events, results and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Fetch => "fetch",
            Self::Build => "build",
            Self::Push => "push",
            Self::Report => "report",
        }
    }
}

/// OpenTelemetry's words for how a pipeline ended (`cicd.pipeline.result`):
/// `failure` is the user's input, `error` is the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Success,
    Failure,
    Error,
    Timeout,
    Cancellation,
}
