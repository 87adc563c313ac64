//! The result document: what a run came to. Every sink is a projection of it.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::tree::Revision;
use super::{Digest, Failure, ImageId, Outcome, Phase, Reference};

/// The name and version of the document's form.
pub const SCHEMA: &str = "podwright/result/v1";

/// `run.finished`'s data, the result file, and what every projection is made of.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Document {
    pub schema: &'static str,
    pub run: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub outcome: Outcome,
    pub exit_code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Revision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<EngineInfo>,
    pub timing: Timing,
    pub steps: Steps,
    pub warnings: u64,
}

/// The image, as far as the run came.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Image {
    /// The engine's own name for it.
    pub image_id: ImageId,
    /// The image config in the registry, from the manifest that was read back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_digest: Option<Digest>,
    /// The manifest (or index) in the registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Bytes of the manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
    /// `host/repository@digest`, one for each repository that was pushed to.
    pub refs: Vec<String>,
    pub tags: Vec<TagResult>,
    /// Names left on the node.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<Reference>,
}

/// How far one destination came.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TagResult {
    pub r#ref: Reference,
    pub status: TagStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified_by: Option<VerifiedBy>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TagStatus {
    /// Read back from the registry and proved to be this image.
    Pushed,
    /// Pushed, and by request not read back.
    Unverified,
    /// Tried, and not there as far as the run could tell.
    Failed,
    /// Never tried, because something failed before.
    Pending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerifiedBy {
    /// This pod read the tag from the registry.
    Pod,
    /// The node's daemon read the tag from the registry.
    Engine,
}

/// The engine that did the work.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct EngineInfo {
    /// `docker`, or what the server calls itself.
    pub engine: String,
    pub version: String,
    /// The API version agreed on.
    pub api: String,
    /// `buildkit` or `classic`: the builder chosen for this run.
    pub builder: String,
    /// How the engine comes by a build's files: it asks for them through a `session`, or has them sent whole (`classic`).
    pub transport: String,
    /// `graph` (image ids are config digests) or `containerd` (image ids are manifest digests).
    pub store: String,
    pub os: String,
    pub arch: String,
    /// Who makes the control groups of steps: `cgroupfs`, `systemd` or `none`.
    pub cgroup_driver: String,
    /// Whether the node's kernel can bound swap.
    #[serde(skip)]
    pub swap_limit: bool,
    /// What the engine can do, by name.
    pub capabilities: Vec<String>,
    /// What bounds RUN steps; only where the request wants bounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
}

impl EngineInfo {
    /// That this builder does the work.
    pub fn is_built_by(&mut self, builder: &str) {
        builder.clone_into(&mut self.builder);
        (if builder == "classic" { "classic" } else { "session" }).clone_into(&mut self.transport);
    }
}

/// What bounds RUN steps, and what was wanted of it and does not.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Limits {
    /// Bytes of memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Bytes of memory and swap together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_and_swap: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    /// The control group below which they run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup_parent: Option<String>,
    /// What the engine does not hold.
    pub not_enforced: Vec<Unenforced>,
}

/// A bound that was wanted and does not hold.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Unenforced {
    /// `memory`, `swap`, `cpus` or `cgroup_parent`.
    pub limit: String,
    pub why: String,
}

/// Milliseconds spent in each phase that was entered.
#[derive(Clone, Debug, Default, JsonSchema)]
#[schemars(with = "std::collections::BTreeMap<Phase, u64>")]
pub struct Timing(pub Vec<(Phase, u64)>);

impl Serialize for Timing {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(phase, ms)| (phase.name(), ms)))
    }
}

/// What became of the Dockerfile's steps.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Steps {
    pub total: u64,
    pub cached: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<FailedStep>,
}

/// The step that ended the build.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct FailedStep {
    pub name: String,
    /// The exit code of the step's own command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// The last lines it printed.
    pub log: Vec<String>,
}

impl Document {
    /// The document as a JSON value, for projections.
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).unwrap_or(Value::Null)
    }
}
