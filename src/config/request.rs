//! The request document, `podwright/v1`: exactly the fields that are built. `podwright schema request` prints it.
//!
//! These types only carry what was written. What it means, and whether it may be, is decided in `resolve`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::source::git::Lfs;

/// The version of the document's form.
pub const API_VERSION: &str = "podwright/v1";

/// What to fetch, how to build it, where to push it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Request {
    /// `podwright/v1`, which is also what a document without it means.
    pub api_version: Option<ApiVersion>,
    /// Shows in events, labels and leftovers: 1 to 128 of `A-Z a-z 0-9 . _ / -`.
    pub name: Option<String>,
    #[serde(default)]
    pub source: Source,
    #[serde(default)]
    pub build: Build,
    /// Where the image goes: destinations, or the word `none`.
    pub push: Option<Push>,
    /// The one writable directory; by default the first writable one of `$TMPDIR`, `/workspace`, `/tmp`.
    pub workspace: Option<String>,
    #[serde(default)]
    pub result: ResultSinks,
    #[serde(default)]
    pub limits: LimitsDoc,
    /// The run's own deadline, such as `1h30m` or `90s`; `1h` by default.
    pub deadline: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum ApiVersion {
    #[serde(rename = "podwright/v1")]
    V1,
}

/// Exactly one of `git`, `archive` and `directory`. An inline Dockerfile may be added to any, or stand alone.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    pub git: Option<Git>,
    pub archive: Option<Archive>,
    pub directory: Option<Directory>,
    /// The text of a Dockerfile; takes the place of the file. Alone, the context is empty.
    pub dockerfile: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Git {
    /// `https://…`; `http://…` where the operator allows `plain-http`.
    pub url: Option<String>,
    /// A branch, a tag, or a full name such as `refs/pull/7/head`; by default the remote's HEAD.
    pub r#ref: Option<String>,
    /// 40 hexadecimal digits. With `ref`: the ref must lead to exactly this commit. Alone: this commit is fetched.
    pub commit: Option<String>,
    /// The directory of the repository that is the context.
    pub subdir: Option<String>,
    /// Pointers of Git LFS: `auto`, the default, ships what they point to.
    pub lfs: Option<Lfs>,
    /// A directory: `username` and `password`, `token`, `.git-credentials`, `ca.crt`.
    pub secret: Option<String>,
}

/// Exactly one of `url`, `path` and `stdin`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Archive {
    /// `https://…`; `http://…` where the operator allows `plain-http`.
    pub url: Option<String>,
    pub path: Option<String>,
    /// The archive comes on standard input.
    pub stdin: Option<bool>,
    /// 64 hexadecimal digits, of the archive as it is stored; checked before a byte reaches the daemon.
    pub sha256: Option<String>,
    #[serde(default)]
    pub format: Option<ArchiveFormat>,
    /// Leading components that are dropped from every name.
    #[schemars(range(max = 64))]
    pub strip_components: Option<u32>,
    /// The directory of the archive that is the context, after `stripComponents`.
    pub subdir: Option<String>,
    /// For `url`: a directory with `username` and `password`, `token` or `ca.crt`.
    pub secret: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum ArchiveFormat {
    /// By its first bytes.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    #[serde(rename = "tar")]
    Tar,
    #[serde(rename = "tar.gz")]
    TarGz,
}

/// A directory that is mounted into the pod: its path, or the path and a directory below it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Directory {
    Path(String),
    Below(DirectoryBelow),
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DirectoryBelow {
    pub path: String,
    pub subdir: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Build {
    /// Within the context; `Dockerfile` by default.
    pub dockerfile: Option<String>,
    pub target: Option<String>,
    /// Build arguments. They are visible in the image's history: never a secret.
    #[serde(default)]
    pub args: BTreeMap<String, String>,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// `os/arch` or `os/arch/variant`.
    pub platform: Option<String>,
    pub builder: Option<Builder>,
    /// Ask the registries for the base images, whatever the node has under their names: `true` by default, because everybody
    /// on a node can put an image under any name there.
    pub pull: Option<bool>,
    pub no_cache: Option<bool>,
    pub network: Option<Network>,
    /// Names under which the image stays on the node.
    #[serde(default)]
    pub keep: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Builder {
    /// BuildKit where the engine has it, else classic.
    #[default]
    Auto,
    Buildkit,
    Classic,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    #[default]
    Default,
    None,
}

/// `none`, or the destinations.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Push {
    None(NoPush),
    To(PushTo),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NoPush {
    None,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PushTo {
    #[serde(default)]
    pub destinations: Vec<String>,
    /// A directory: `.dockerconfigjson`, `config.json` or `.dockercfg`.
    pub secret: Option<String>,
    #[serde(default)]
    pub retries: Retries,
    pub verify: Option<Verify>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retries {
    /// Tries after the first one, for each destination; 5 by default.
    #[schemars(range(max = 100))]
    pub max: Option<u32>,
    /// No new try begins later than this after the first one; `10m` by default.
    pub within: Option<String>,
}

/// Who reads the tag back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    /// This pod, else the node's daemon.
    #[default]
    Auto,
    Pod,
    Engine,
    /// Nobody: the result says `unverified`.
    Off,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResultSinks {
    /// The result document goes here, whole or not at all.
    pub file: Option<String>,
    /// Where the kubelet reads the termination message; `/dev/termination-log` by default, if it is there.
    pub termination_message: Option<String>,
}

/// Bounds on the source. Sizes are bytes, or a number with a unit (`512m`, `4g`).
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LimitsDoc {
    /// Bytes of the source, decompressed.
    pub source_bytes: Option<Size>,
    /// Entries of the source.
    pub source_entries: Option<u64>,
    /// Bytes of one file of the source.
    pub object_bytes: Option<Size>,
    /// Decompressed bytes for each compressed byte, once 64 MiB are out.
    pub compression_ratio: Option<u64>,
}

/// A number of bytes, or one with a unit.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Size {
    Bytes(u64),
    Text(String),
}
