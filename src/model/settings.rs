//! What a run is to do, resolved: every value checked, every default filled in, every precedence settled.
//!
//! `config` makes it, the pipeline lives by it. It holds where secrets are, and the few that came as values in a type that
//! cannot be printed.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::path::TreePath;
use super::{Digest, Reference};
use crate::event::Pairs;
use crate::support::limits::Limits;

/// One run.
#[derive(Clone, Debug)]
pub struct Settings {
    pub name: Option<String>,
    /// Of the merged request, so that two runs can be told to have been asked the same.
    pub request_digest: Digest,
    pub source: Source,
    /// An inline Dockerfile.
    pub dockerfile: Option<String>,
    pub build: Build,
    pub push: Push,
    /// In the order of preference; exactly one where the request names it.
    pub workspace: Vec<PathBuf>,
    pub result: Sinks,
    pub deadline: Duration,
    pub limits: Limits,
    pub engine: EngineAddress,
    pub network: Network,
    /// Frontends that the operator allows beside `docker/dockerfile`.
    pub frontends: Vec<Reference>,
    /// W3C trace context, passed through.
    pub traceparent: Option<String>,
}

/// Where the source comes from.
#[derive(Clone, Debug)]
pub enum Source {
    Git(Git),
    Archive(Archive),
    Directory {
        path: PathBuf,
        subdir: TreePath,
    },
    /// Nothing but the inline Dockerfile.
    Empty,
}

#[derive(Clone, Debug)]
pub struct Git {
    /// Without userinfo.
    pub url: url::Url,
    pub r#ref: Option<String>,
    /// 40 hexadecimal digits, lower case.
    pub commit: Option<String>,
    pub subdir: TreePath,
    pub secret: Option<PathBuf>,
    /// Credentials that stood in the URL.
    pub userinfo: Option<(String, SecretString)>,
}

#[derive(Clone, Debug)]
pub struct Archive {
    pub from: ArchiveFrom,
    /// 64 hexadecimal digits, lower case.
    pub sha256: Option<String>,
    pub format: ArchiveFormat,
    pub strip_components: u32,
    pub subdir: TreePath,
    pub secret: Option<PathBuf>,
    pub userinfo: Option<(String, SecretString)>,
}

#[derive(Clone, Debug)]
pub enum ArchiveFrom {
    Url(url::Url),
    Path(PathBuf),
    Stdin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveFormat {
    Auto,
    Tar,
    TarGz,
}

#[derive(Clone, Debug)]
pub struct Build {
    pub dockerfile: String,
    pub target: Option<String>,
    pub args: Pairs,
    pub labels: Pairs,
    pub platform: Option<String>,
    pub builder: Builder,
    pub pull: bool,
    pub no_cache: bool,
    pub no_network: bool,
    pub keep: Vec<Reference>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builder {
    Auto,
    BuildKit,
    Classic,
}

#[derive(Clone, Debug)]
pub struct Push {
    /// Empty where nothing is pushed.
    pub destinations: Vec<Reference>,
    pub secret: Option<PathBuf>,
    /// Tries in all, for each destination.
    pub attempts: u32,
    pub within: Duration,
    pub verify: Verify,
    /// Registries that the operator allows plain http for; loopback needs none.
    pub insecure: Vec<String>,
}

/// Who reads a tag back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// The pod, and where it cannot reach the registry the engine.
    Auto,
    Pod,
    Engine,
    Off,
}

#[derive(Clone, Debug, Default)]
pub struct Sinks {
    pub file: Option<PathBuf>,
    pub termination: Option<PathBuf>,
}

/// How the engine is reached.
#[derive(Clone, Debug, Default)]
pub struct EngineAddress {
    pub host: Option<String>,
    pub api_version: Option<String>,
    /// `DOCKER_AUTH_CONFIG`, the document itself.
    pub auth_config: Option<SecretString>,
    /// Where `config.json` may be, most particular first.
    pub docker_config: Vec<PathBuf>,
}

/// How hosts are reached, as values: the environment was read before.
#[derive(Clone, Debug, Default)]
pub struct Network {
    pub http_proxy: Option<String>,
    pub https_proxy: Option<String>,
    pub no_proxy: Option<String>,
}
