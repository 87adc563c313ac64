//! The table of reasons: the one place that decides exit code, retry and fault.

use serde::{Serialize, Serializer};

use super::outcome::Outcome;

/// Why a run did not succeed. The numbers and names are public interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    Internal,
    Usage,
    RequestInvalid,
    SecretInvalid,
    Unsupported,
    NotPermitted,
    SourceNotFound,
    SourceAuth,
    RevisionNotFound,
    SourceUnavailable,
    SourceIntegrity,
    SourceRefused,
    UploadTimeout,
    WorkspaceFull,
    EngineUnavailable,
    EnginePermission,
    EngineIncompatible,
    EngineLost,
    EngineDiskFull,
    BuildRejected,
    DockerfileInvalid,
    StepFailed,
    BaseImageDenied,
    BaseImageUnavailable,
    OutOfMemory,
    PushRejected,
    PushAuth,
    PushDenied,
    PushUnavailable,
    DigestMismatch,
    ReportFailed,
    DeadlineExceeded,
    Interrupted,
    Terminated,
}

/// One row of the table.
struct Row {
    reason: Reason,
    code: u8,
    name: &'static str,
    outcome: Outcome,
    retryable: bool,
    meaning: &'static str,
}

const fn row(reason: Reason, code: u8, name: &'static str, outcome: Outcome, retryable: bool, meaning: &'static str) -> Row {
    Row { reason, code, name, outcome, retryable, meaning }
}

use Outcome::{Cancellation, Error, Failure, Timeout};

/// In the order of the enum, so that a reason is its own index (a test checks it).
const TABLE: &[Row] = &[
    row(Reason::Internal, 1, "Internal", Error, false, "a defect of podwright itself"),
    row(Reason::Usage, 2, "Usage", Failure, false, "the command line cannot be understood"),
    row(Reason::RequestInvalid, 10, "RequestInvalid", Failure, false, "the request is wrong, or asks for what is not built yet"),
    row(Reason::SecretInvalid, 11, "SecretInvalid", Failure, false, "a secret is missing, unreadable or malformed"),
    row(Reason::Unsupported, 12, "Unsupported", Failure, false, "this engine cannot do what the request asks"),
    row(Reason::NotPermitted, 13, "NotPermitted", Failure, false, "the operator does not allow what the request asks"),
    row(Reason::SourceNotFound, 20, "SourceNotFound", Failure, false, "the repository, archive, artifact or directory is not there"),
    row(Reason::SourceAuth, 21, "SourceAuth", Failure, false, "the source refuses these credentials"),
    row(Reason::RevisionNotFound, 22, "RevisionNotFound", Failure, false, "the ref or commit is not there, or is another one"),
    row(Reason::SourceUnavailable, 23, "SourceUnavailable", Error, true, "the source's server cannot be reached or breaks off"),
    row(Reason::SourceIntegrity, 24, "SourceIntegrity", Failure, false, "a digest or size is not the one that was asked for"),
    row(Reason::SourceRefused, 25, "SourceRefused", Failure, false, "traversal, a limit, a malformed source, or an untrusted host"),
    row(Reason::UploadTimeout, 26, "UploadTimeout", Error, true, "no upload came in time"),
    row(Reason::WorkspaceFull, 27, "WorkspaceFull", Error, true, "the pod's workspace is full"),
    row(Reason::EngineUnavailable, 30, "EngineUnavailable", Error, true, "the node's Docker daemon does not answer"),
    row(Reason::EnginePermission, 31, "EnginePermission", Error, false, "the engine's socket or port is not open to this pod"),
    row(Reason::EngineIncompatible, 32, "EngineIncompatible", Error, false, "the engine's API is too old, too new or another's"),
    row(Reason::EngineLost, 33, "EngineLost", Error, true, "the daemon went away in the middle"),
    row(Reason::EngineDiskFull, 34, "EngineDiskFull", Error, true, "the node's disk is full; retry on another node"),
    row(Reason::BuildRejected, 40, "BuildRejected", Failure, false, "the engine refuses the build"),
    row(Reason::DockerfileInvalid, 41, "DockerfileInvalid", Failure, false, "the Dockerfile is missing or cannot be parsed"),
    row(Reason::StepFailed, 42, "StepFailed", Failure, false, "a step of the Dockerfile failed; its own code is in the result"),
    row(Reason::BaseImageDenied, 43, "BaseImageDenied", Failure, false, "a base image is denied or not found"),
    row(Reason::BaseImageUnavailable, 44, "BaseImageUnavailable", Error, true, "a base image's registry cannot be reached"),
    row(Reason::OutOfMemory, 45, "OutOfMemory", Failure, false, "a step exceeded its memory"),
    row(Reason::PushRejected, 50, "PushRejected", Failure, false, "the registry refuses the image"),
    row(Reason::PushAuth, 51, "PushAuth", Failure, false, "the registry refuses these credentials"),
    row(Reason::PushDenied, 52, "PushDenied", Failure, false, "immutable tag, quota, or no right to push"),
    row(Reason::PushUnavailable, 53, "PushUnavailable", Error, true, "the registry cannot be reached or keeps failing"),
    row(Reason::DigestMismatch, 54, "DigestMismatch", Error, false, "the tag in the registry is not the image that was built"),
    row(Reason::ReportFailed, 60, "ReportFailed", Error, false, "the image is there, but a result could not be written"),
    row(Reason::DeadlineExceeded, 70, "DeadlineExceeded", Timeout, false, "the run's own deadline passed"),
    row(Reason::Interrupted, 130, "Cancelled", Cancellation, false, "SIGINT"),
    row(Reason::Terminated, 143, "Cancelled", Cancellation, false, "SIGTERM"),
];

impl Reason {
    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// The process's exit code.
    pub fn code(self) -> u8 {
        self.row().code
    }

    /// The word in `error.reason`.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Whether the same request may succeed when it is run again.
    pub fn retryable(self) -> bool {
        self.row().retryable
    }

    /// How a run that ends for this reason is counted.
    pub fn outcome(self) -> Outcome {
        self.row().outcome
    }

    /// Who has to act: the one who wrote the request, or the one who runs the system.
    pub fn fault(self) -> &'static str {
        match self.outcome() {
            Failure => "user",
            _ => "system",
        }
    }

    /// One clause for help texts and documents.
    pub fn meaning(self) -> &'static str {
        self.row().meaning
    }

    /// Every reason, in the order of the table.
    pub fn all() -> impl Iterator<Item = Reason> {
        TABLE.iter().map(|row| row.reason)
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl schemars::JsonSchema for Reason {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Reason".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let mut names: Vec<&str> = Self::all().map(Self::name).collect();
        // Both signals have one name.
        names.dedup();
        schemars::json_schema!({"type": "string", "enum": names})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_its_own_row() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.reason as usize, index, "{}", row.name);
        }
    }

    #[test]
    fn codes_are_unique_and_leave_what_others_use() {
        let mut codes: Vec<u8> = Reason::all().map(Reason::code).collect();
        let all = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), all);
        for taken in [64, 65, 78, 100, 124, 125, 126, 127, 137] {
            assert!(!codes.contains(&taken), "{taken} means something to an orchestrator");
        }
    }

    #[test]
    fn the_retry_set_is_the_contracts() {
        let set: Vec<u8> = Reason::all().filter(|r| r.retryable()).map(Reason::code).collect();
        assert_eq!(set, [23, 26, 27, 30, 33, 34, 44, 53]);
    }
}
