//! The request document, `podwright/v1`: exactly the fields that are built. `podwright schema request` prints it.
//!
//! These types only carry what was written. What it means, and whether it may be, is decided in `resolve`.

mod build;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::build::{Build, BuildProxy, Builder, Cpus, SecretDoc, SecretFields, SshDoc, SshFields, StepLimitsDoc};
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

/// Exactly one of `git`, `archive`, `artifact`, `directory` and `prepared`. An inline Dockerfile may be added to any, or stand alone.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    pub git: Option<Git>,
    pub archive: Option<Archive>,
    pub artifact: Option<Artifact>,
    pub directory: Option<Directory>,
    /// A directory that `podwright fetch --output` wrote, in another container of this pod.
    pub prepared: Option<String>,
    /// The text of a Dockerfile; takes the place of the file. Alone, the context is empty.
    pub dockerfile: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Git {
    /// `https://…`, `ssh://…` or `host:path`, also with `#ref:subdir` or `?ref=…&subdir=…`; `http://…` and `git://…` where the operator allows `plain-http` or `git-protocol`.
    pub url: Option<String>,
    /// A branch, a tag, or a full name such as `refs/pull/7/head`; by default the remote's HEAD.
    pub r#ref: Option<String>,
    /// 40 hexadecimal digits. With `ref`: the ref must lead to exactly this commit. Alone: this commit is fetched.
    pub commit: Option<String>,
    /// The directory of the repository that is the context.
    pub subdir: Option<String>,
    /// Fetch the submodules, and theirs, each at the commit that is recorded. Otherwise their directories are empty.
    pub submodules: Option<bool>,
    /// Secret directories for other places, above all those of submodules: `https://host[/path]` or `ssh://host` → a directory. The
    /// longest one that a URL begins with counts; `secret` is for the request's own URL, and for submodules of its host.
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
    /// Commits that are fetched of the one that is built back; `0` is all of them. More than 1 only with `keepGitDir`.
    pub history: Option<u32>,
    /// Put a `.git` into the context, with which `git status` is clean and `git describe` finds the tags within the history.
    pub keep_git_dir: Option<bool>,
    /// Pointers of Git LFS: `auto`, the default, ships what they point to.
    pub lfs: Option<Lfs>,
    /// A directory: `username` and `password`, `token`, `.git-credentials`, `ca.crt`, `tls.crt` and `tls.key`; for ssh
    /// `ssh-privatekey` (also `ssh`, `identity`), its `passphrase`, and `known_hosts`.
    pub secret: Option<String>,
}

/// Exactly one of `url`, `path`, `stdin` and `upload`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Archive {
    /// `https://…`; `http://…` where the operator allows `plain-http`.
    pub url: Option<String>,
    pub path: Option<String>,
    /// The archive comes on standard input.
    pub stdin: Option<bool>,
    /// The archive is brought to the waiting agent.
    pub upload: Option<Upload>,
    /// 64 hexadecimal digits, of the archive as it is stored; checked before a byte reaches the daemon.
    pub sha256: Option<String>,
    /// 128 hexadecimal digits, of the same.
    pub sha512: Option<String>,
    /// What it must be, by its first bytes; `auto` by default.
    #[serde(default)]
    pub format: Option<ArchiveFormat>,
    /// With `format: file`: the path of the file in the context. Its mode is 0644.
    pub name: Option<String>,
    /// Leading components that are dropped from every name.
    #[schemars(range(max = 64))]
    pub strip_components: Option<u32>,
    /// The directory of the archive that is the context, after `stripComponents`.
    pub subdir: Option<String>,
    /// For `url`: a directory with `username` and `password`, `token` or `ca.crt`.
    pub secret: Option<String>,
}

/// An OCI artifact in a registry, whose layers are tars or single files, as Flux, ORAS and Shipwright push them; an image, too.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Artifact {
    /// `registry/repository@sha256:…`, with `oci://` before it or without. A tag is taken for what it names now.
    pub r#ref: Option<String>,
    /// The directory of the artifact that is the context.
    pub subdir: Option<String>,
    /// A directory: `.dockerconfigjson`, `config.json`, `.dockercfg`, or `username` and `password`; `ca.crt`.
    pub secret: Option<String>,
}

/// Where an upload is waited for: at `listen`, at `socket`, or at both.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Upload {
    /// `IP:PORT`: `PUT /source` is taken there. Plain http, but on loopback, where the operator allows `plain-http`.
    pub listen: Option<String>,
    /// A file with the bearer token: at least 16 random bytes, as text.
    pub token_file: Option<String>,
    /// A file with the certificate to show, PEM; with `key`.
    pub certificate: Option<String>,
    pub key: Option<String>,
    /// A directory with `token`, `tls.crt` and `tls.key`, in place of the three files.
    pub secret: Option<String>,
    /// The unix socket for `podwright receive`: its path, or `true` for `podwright-receive.sock` in the workspace.
    pub socket: Option<UploadSocket>,
}

/// `true`, or a path.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum UploadSocket {
    On(bool),
    Path(String),
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
    #[serde(rename = "tar.zst")]
    TarZst,
    #[serde(rename = "tar.xz")]
    TarXz,
    #[serde(rename = "tar.bz2")]
    TarBz2,
    #[serde(rename = "zip")]
    Zip,
    /// No archive: a single file, which `name` gives its place.
    #[serde(rename = "file")]
    File,
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

/// Bounds on the source, and on waiting. Sizes are bytes, or a number with a unit (`512m`, `4g`).
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
    /// Submodules, those of submodules counted.
    pub submodules: Option<u64>,
    /// How deep submodules may lie in submodules; 1 is those of the source alone.
    pub submodule_depth: Option<u64>,
    /// How long an upload is waited for; `10m` by default.
    pub upload_first_byte: Option<String>,
    /// The longest silence within an upload; `1m` by default.
    pub upload_idle: Option<String>,
    /// How long an engine that is not there yet is waited for; `1m` by default, `0` for one look.
    pub engine_wait: Option<String>,
}

/// A number of bytes, or one with a unit.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Size {
    Bytes(u64),
    Text(String),
}
