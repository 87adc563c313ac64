//! `Settings`: the request, resolved. What a run works from; nothing in it is text that somebody still has to understand.
//!
//! Secrets are here as paths, but for those that came inside a URL or a variable: these are `SecretString`s.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use crate::engine::BuildOptions;
use crate::model::{Address, CommitId, Digest, GitRef, Reference, TreePath, UrlCredential};
use crate::net;
use crate::support::limits::Limits;

use super::address::Place;
use super::ambient::Ambient;
use super::policy::Policy;
pub use crate::report::ResultSinks;

pub use super::request::{ArchiveFormat, BuildProxy, Builder, Lfs, Verify};

/// Everything a run needs to know from outside.
#[derive(Clone, Debug)]
pub struct Settings {
    pub name: Option<String>,
    pub source: Source,
    pub build: Build,
    /// `None`: nothing is pushed, by request or because only `keep` is wanted.
    pub push: Option<Push>,
    /// The directory with the credentials of registries, for base images as for pushes.
    pub registry_secret: Option<PathBuf>,
    /// The one writable directory, or those of which the first writable one is taken.
    pub workspace: Vec<PathBuf>,
    pub result: ResultSinks,
    /// Where `podwright fetch` leaves the source; `None` for a build.
    pub output: Option<PathBuf>,
    pub limits: Limits,
    /// An hour where the request says none: no run waits for ever.
    pub deadline: Duration,
    pub policy: Policy,
    pub ambient: Ambient,
    /// SHA-256 of the merged request, canonical JSON, without the credentials of URLs: equal requests are equal here.
    pub request_digest: Digest,
}

/// Where the context comes from, and what takes the Dockerfile's place in it.
#[derive(Clone, Debug)]
pub struct Source {
    pub kind: SourceKind,
    /// The text of an inline Dockerfile.
    pub dockerfile: Option<String>,
}

#[derive(Clone, Debug)]
pub enum SourceKind {
    Git(GitSource),
    Archive(ArchiveSource),
    Artifact(ArtifactSource),
    Directory(DirectorySource),
    /// What `podwright fetch` left here: its directory, resolved.
    Prepared(PathBuf),
    /// An inline Dockerfile alone: the context is empty.
    Empty,
}

#[derive(Clone, Debug)]
pub struct GitSource {
    pub address: Address,
    /// What stood in the URL.
    pub credential: Option<UrlCredential>,
    pub secret: Option<PathBuf>,
    /// With neither ref nor commit: the remote's HEAD.
    pub reference: Option<GitRef>,
    pub commit: Option<CommitId>,
    pub subdir: TreePath,
    pub submodules: bool,
    /// Secret directories of other places.
    pub secrets: Vec<(Place, PathBuf)>,
    /// Commits; 0 is all of them.
    pub history: u32,
    /// Only where `subdir` is the root.
    pub keep_git_dir: bool,
    pub lfs: Lfs,
}

#[derive(Clone, Debug)]
pub struct ArchiveSource {
    pub from: ArchiveFrom,
    /// Of the archive as it is stored.
    pub sha256: Option<Digest>,
    /// The same.
    pub sha512: Option<Digest>,
    pub format: ArchiveFormat,
    /// The place of a single file, and only of that; never the root.
    pub name: Option<TreePath>,
    /// At most 64.
    pub strip_components: u32,
    /// After the components are stripped.
    pub subdir: TreePath,
}

#[derive(Clone, Debug)]
pub enum ArchiveFrom {
    Url {
        address: Address,
        credential: Option<UrlCredential>,
        secret: Option<PathBuf>,
    },
    /// Resolved: no link is on the way.
    Path(PathBuf),
    Stdin,
    Upload(UploadFrom),
}

/// At least one of the two.
#[derive(Clone, Debug)]
pub struct UploadFrom {
    pub http: Option<UploadHttp>,
    pub socket: Option<UploadSocket>,
}

#[derive(Clone, Debug)]
pub struct UploadHttp {
    pub listen: SocketAddr,
    /// The file with the bearer token.
    pub token: PathBuf,
    /// The files with the certificate and its key; with neither, plain http.
    pub tls: Option<(PathBuf, PathBuf)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UploadSocket {
    /// Under its usual name in the workspace.
    Workspace,
    At(PathBuf),
}

/// An OCI artifact.
#[derive(Clone, Debug)]
pub struct ArtifactSource {
    /// With a digest, or a tag that is resolved to one.
    pub reference: Reference,
    pub secret: Option<PathBuf>,
    pub subdir: TreePath,
}

#[derive(Clone, Debug)]
pub struct DirectorySource {
    /// Resolved: no link is on the way.
    pub path: PathBuf,
    pub subdir: TreePath,
}

#[derive(Clone, Debug)]
pub struct Build {
    /// Below the context's root.
    pub dockerfile: TreePath,
    /// As the request says them; what the source adds to arguments and labels comes later.
    pub options: BuildOptions,
    /// The arguments that tell of the source, beside the request's.
    pub source_args: bool,
    pub builder: Builder,
    /// Whether the steps' bounds are those of this pod, where `options` says none.
    pub inherit: Option<Inherit>,
    pub reproducible: bool,
    /// This pod's `SOURCE_DATE_EPOCH`, where the build is to be reproducible.
    pub epoch: Option<i64>,
    pub proxy: BuildProxy,
    pub secrets: Vec<BuildSecret>,
    pub ssh: Vec<BuildSsh>,
    /// Names that stay on the node.
    pub keep: Vec<Reference>,
}

/// What becomes of a bound of this pod's that the engine cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inherit {
    /// It is said.
    AsFarAsItGoes,
    /// The run is refused.
    Strictly,
}

/// What a step may mount.
#[derive(Clone, Debug)]
pub struct BuildSecret {
    pub id: String,
    pub from: SecretFrom,
}

#[derive(Clone, Debug)]
pub enum SecretFrom {
    File(PathBuf),
    /// The name of a variable, and what it held at the start.
    Env(String, SecretString),
}

/// An agent that a step may use.
#[derive(Clone, Debug)]
pub struct BuildSsh {
    pub id: String,
    pub from: SshFrom,
}

#[derive(Clone, Debug)]
pub enum SshFrom {
    /// The agent of this pod.
    Socket(PathBuf),
    /// Files of private keys.
    Keys(Vec<PathBuf>),
}

#[derive(Clone, Debug)]
pub struct Push {
    /// At least one, each once, none with a digest.
    pub destinations: Vec<Reference>,
    pub retries: Retries,
    pub verify: Verify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Tries after the first one, for each destination.
    pub max: u32,
    /// No new try begins later than this after the first one.
    pub within: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self { max: 5, within: Duration::from_mins(10) }
    }
}

/// The deadline that nobody set.
pub const DEFAULT_DEADLINE: Duration = Duration::from_hours(1);

/// The name of the Dockerfile that nobody named.
pub const DEFAULT_DOCKERFILE: &str = "Dockerfile";

impl Settings {
    /// The secrets that came in by URL or variable, to be masked wherever text goes out. Those of secret directories are
    /// added by whoever reads them.
    pub fn secrets(&self) -> Vec<SecretString> {
        let (address, credential, secret) = match &self.source.kind {
            SourceKind::Git(GitSource { address, credential, secret, .. })
            | SourceKind::Archive(ArchiveSource { from: ArchiveFrom::Url { address, credential, secret }, .. }) => {
                (Some(address), credential.as_ref(), secret)
            }
            _ => (None, None, &None),
        };
        // A name that yields to a secret directory is none; whoever uses it as a token all the same has it masked.
        let written = credential.filter(|written| !(written.is_name_alone() && secret.is_some()));
        let signatures = address.into_iter().flat_map(|address| net::secret_values(address.url()));
        written.map(|written| written.secret().clone()).into_iter().chain(signatures).chain(self.ambient.secrets()).collect()
    }

    /// Whether standard input is the archive.
    pub fn reads_stdin(&self) -> bool {
        matches!(&self.source.kind, SourceKind::Archive(archive) if matches!(archive.from, ArchiveFrom::Stdin))
    }
}
