//! What happened, as facts: the only way any module speaks of what it does.
//!
//! A fact is emitted once, by the module that knows it, into an [`EventSink`]. Nothing above this row prints.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::result::{Document, EngineInfo};
use crate::model::tree::Revision;
use crate::model::{Digest, Failure, ImageId, Outcome, Phase, Reference, TreePath};

/// Takes facts and never keeps the sender waiting, whatever becomes of standard output.
pub trait EventSink: Send + Sync {
    fn emit(&self, event: Event);
}

/// How much an event matters to somebody who filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// Every kind of event there is; `name()` is its name on the wire, the fields are its `data`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Event {
    RunStarted(RunStarted),
    Heartbeat {
        elapsed_ms: u64,
        silent_ms: u64,
    },
    PhaseStarted {
        phase: Phase,
    },
    PhaseFinished(PhaseFinished),
    SourceWaiting(SourceWaiting),
    SourceProgress(SourceProgress),
    SourceResolved(Box<Revision>),
    ContextSent(ContextSent),
    EngineConnected(Box<EngineInfo>),
    BuildStep(Step),
    BuildProgress(StepProgress),
    BuildLog(StepLog),
    BuildWarning(StepWarning),
    ImageBuilt(ImageBuilt),
    PushProgress(PushProgress),
    PushRetry(PushRetry),
    ImagePushed(ImagePushed),
    Notice {
        message: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    Failed(Box<Failure>),
    Cancelling {
        cause: &'static str,
        grace_ms: u64,
    },
    Dropped {
        events: u64,
        first_seq: u64,
        last_seq: u64,
    },
    RunFinished(Box<Document>),
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RunStarted {
    pub agent: String,
    pub request_digest: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PhaseFinished {
    pub phase: Phase,
    pub outcome: Outcome,
    pub duration_ms: u64,
}

/// Where an upload can be handed in, and its bounds.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct SourceWaiting {
    /// Where it is `PUT`, as this pod sees itself; with the port that it really has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The socket that `podwright receive` finds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket: Option<String>,
    /// The most bytes it may have, as it comes.
    pub max_bytes: u64,
    pub first_byte_ms: u64,
    pub idle_ms: u64,
}

/// Bytes and objects received so far, of a total where the server says one.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct SourceProgress {
    pub bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objects: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_objects: Option<u64>,
}

/// What of the context the daemon took.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct ContextSent {
    /// Bytes of file bodies that were sent.
    pub bytes: u64,
    /// Files whose bodies were sent.
    pub files: u64,
    /// Entries that were announced.
    pub entries: u64,
    /// Entries that the ignore rules left out; an excluded directory counts once.
    pub ignored: u64,
    /// The classic builder's tar, SHA-256; BuildKit takes files, no archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The largest bodies sent, largest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub largest: Vec<LargeFile>,
}

/// How many of the largest bodies are named.
const LARGEST: usize = 10;

impl ContextSent {
    /// Counts a body that was sent.
    pub fn body(&mut self, path: &TreePath, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
        let position = self.largest.partition_point(|file| file.bytes >= bytes);
        if position < LARGEST {
            self.largest.insert(position, LargeFile { path: path.display(), bytes });
            self.largest.truncate(LARGEST);
        }
    }
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LargeFile {
    pub path: String,
    pub bytes: u64,
}

/// BuildKit's Vertex (moby/buildkit, api/services/control/control.proto); a classic step is mapped to it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Step {
    pub id: String,
    pub name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed: Option<String>,
    pub cached: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// BuildKit's VertexStatus.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct StepProgress {
    pub step: String,
    pub id: String,
    pub current: i64,
    pub total: i64,
    pub completed: bool,
}

/// Whole lines of a step's output, without the line end; BuildKit's VertexLog.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct StepLog {
    pub step: String,
    /// 1 = standard output, 2 = standard error.
    pub stream: i64,
    pub text: String,
    /// The line goes on in the next event.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// The daemon says that it clipped what follows.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub clipped: bool,
}

/// BuildKit's VertexWarning.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct StepWarning {
    pub step: String,
    pub message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub detail: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ImageBuilt {
    pub image_id: ImageId,
    /// Bytes, as the engine counts them.
    pub size: u64,
    pub platforms: Vec<String>,
    pub duration_ms: u64,
}

#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct PushProgress {
    pub r#ref: String,
    pub layer: String,
    pub status: String,
    pub bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PushRetry {
    pub r#ref: Reference,
    /// The attempt that failed, from 1.
    pub attempt: u32,
    pub of: u32,
    pub delay_ms: u64,
    pub reason: String,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ImagePushed {
    pub r#ref: Reference,
    pub tag: String,
    pub digest: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    pub attempts: u32,
}

impl Event {
    /// The event's name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Self::RunStarted(_) => "run.started",
            Self::Heartbeat { .. } => "run.heartbeat",
            Self::PhaseStarted { .. } => "phase.started",
            Self::PhaseFinished(_) => "phase.finished",
            Self::SourceWaiting(_) => "source.waiting",
            Self::SourceProgress(_) => "source.progress",
            Self::SourceResolved(_) => "source.resolved",
            Self::ContextSent(_) => "context.sent",
            Self::EngineConnected(_) => "engine.connected",
            Self::BuildStep(_) => "build.step",
            Self::BuildProgress(_) => "build.progress",
            Self::BuildLog(_) => "build.log",
            Self::BuildWarning(_) => "build.warning",
            Self::ImageBuilt(_) => "image.built",
            Self::PushProgress(_) => "push.progress",
            Self::PushRetry(_) => "push.retry",
            Self::ImagePushed(_) => "image.pushed",
            Self::Notice { .. } => "notice",
            Self::Failed(_) => "error",
            Self::Cancelling { .. } => "run.cancelling",
            Self::Dropped { .. } => "events.dropped",
            Self::RunFinished(_) => "run.finished",
        }
    }

    /// How much it matters.
    pub fn level(&self) -> Level {
        match self {
            Self::Failed(_) => Level::Error,
            Self::BuildWarning(_) | Self::Notice { .. } | Self::PushRetry(_) | Self::Cancelling { .. } | Self::Dropped { .. } => {
                Level::Warn
            }
            Self::BuildProgress(_) | Self::PushProgress(_) | Self::SourceProgress(_) | Self::Heartbeat { .. } => Level::Debug,
            _ => Level::Info,
        }
    }

    /// Whether a run can be understood without it: only such events are dropped when nobody reads.
    pub fn is_expendable(&self) -> bool {
        matches!(
            self,
            Self::BuildLog(_) | Self::BuildProgress(_) | Self::PushProgress(_) | Self::SourceProgress(_) | Self::Heartbeat { .. }
        )
    }
}

/// Labels and build arguments keep one order everywhere, so that equal requests are equal bytes.
pub type Pairs = BTreeMap<String, String>;

/// Whole milliseconds, as every duration is written.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
