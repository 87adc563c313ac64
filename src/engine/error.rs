//! What can go wrong with an engine, and which row of the table it is.

use std::path::PathBuf;
use std::time::Duration;

use crate::model::tree::TreeError;
use crate::model::{Classified, Reason};
use crate::support::limits::ENGINE_WAIT;

/// Every message says which side it happened on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("there is no engine socket at {0}")]
    NoSocket(PathBuf),
    #[error("this pod may not open the engine's socket {path}: {who}")]
    SocketPermission { path: PathBuf, who: String },
    #[error("the engine at {endpoint} does not answer this pod")]
    Unreachable {
        endpoint: String,
        #[source]
        cause: std::io::Error,
    },
    #[error("the certificates for the engine in {directory} cannot be used by this pod: {what}")]
    Certificates { directory: PathBuf, what: String },
    #[error("this pod and the engine at {endpoint} do not trust each other: {problem}")]
    Untrusted { endpoint: String, problem: String },
    #[error("the engine did not come within {ENGINE_WAIT} of {} s", waited.as_secs_f32())]
    NeverCame {
        waited: Duration,
        #[source]
        cause: Box<Self>,
    },
    #[error("the engine at {endpoint} cannot serve this agent: {why}")]
    Incompatible { endpoint: String, why: String },
    #[error("this pod may not open a build session with the engine ({status}): {message}")]
    SessionRefused { status: u16, message: String },
    #[error("the engine takes no build session ({status}), and this agent has no other way to its BuildKit: {message}")]
    NoSession { status: u16, message: String },
    #[error("the node's daemon asks for what this agent does not know: {0}")]
    Surprise(String),
    #[error("the engine cannot do this: {0}")]
    Unsupported(String),
    #[error("the node's daemon did not answer within {seconds} s while this pod asked it to {doing}")]
    Silent { doing: &'static str, seconds: u64 },
    #[error("the node's daemon went away while this pod asked it to {doing}: {why}")]
    Lost { doing: &'static str, why: String },
    /// It lives, and said so.
    #[error("the node's daemon failed to {doing} ({status}): {message}")]
    Broken { doing: &'static str, status: u16, message: String },
    #[error("the node's daemon refused to {doing} ({status}): {message}")]
    Refused { doing: &'static str, status: u16, message: String },
    #[error("the node's disk is full: {0}")]
    DiskFull(String),
    /// Seen of BuildKit in Docker 26.1 with the containerd store, when a build was broken off while it exported its image: what it
    /// had of that build in its cache is named there and not there, so that every later build of the same fails.
    #[error("the build cache of the node's daemon is damaged: {0}")]
    CacheDamaged(String),
    /// A time of the daemon's own was up, such as the 20 s that BuildKit gives itself to write down what it built: nobody has told it
    /// one. Seen of Docker 26.1 with the containerd store and 32 builds at once; the image was made, and comes from the cache.
    #[error("the node's daemon is too busy, and ran out of its own time: {0}")]
    Busy(String),
    #[error("the node's daemon rejected the build: {0}")]
    BuildRejected(String),
    #[error("the Dockerfile is not valid: {0}")]
    DockerfileInvalid(String),
    #[error("a step failed: {message}")]
    StepFailed { message: String, code: Option<i64> },
    #[error("a step was ended for want of memory: {message}")]
    OutOfMemory { message: String, code: Option<i64>, certain: bool },
    #[error("a base image is denied or not there, says the node's daemon: {0}")]
    BaseImageDenied(String),
    #[error("the node's daemon cannot get a base image: {0}")]
    BaseImageUnavailable(String),
    #[error("the registry refuses the image, says the node's daemon: {0}")]
    PushRejected(String),
    #[error("the registry refuses these credentials, says the node's daemon: {0}")]
    PushAuth(String),
    #[error("the registry denies this push, says the node's daemon: {0}")]
    PushDenied(String),
    #[error("the node's daemon cannot push: {0}")]
    PushUnavailable(String),
    #[error("the node's daemon does not trust the registry: {0}")]
    PushUntrusted(String),
    /// Another run on this node moved or took the name between tagging and pushing.
    #[error("the local name {0} was moved by somebody else on this node while it was pushed")]
    NameMoved(String),
    #[error("the node's daemon pushed another manifest than the image's own: {0}")]
    Downgraded(String),
    #[error("the context could not be read by this pod")]
    Context(#[from] TreeError),
    #[error("the credentials for {host} could not be read by this pod: {message}")]
    Credentials { host: String, message: String },
    #[error("{field} {id:?} could not be read by this pod: {message}")]
    Secret { field: &'static str, id: String, message: String },
    #[error("a step needs what the request does not give: {0}")]
    SecretMissing(String),
}

impl EngineError {
    /// That nobody answered at all: a daemon that is not there yet, or not there just now.
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::NoSocket(_) | Self::Unreachable { .. })
    }

    /// That a daemon which was at work for this run was not heard of again: it may have done its work all the same.
    pub fn is_loss(&self) -> bool {
        matches!(self, Self::Lost { .. } | Self::Silent { .. })
    }
}

impl Classified for EngineError {
    fn reason(&self) -> Reason {
        match self {
            Self::NoSocket(_) | Self::Unreachable { .. } => Reason::EngineUnavailable,
            Self::NeverCame { cause, .. } => cause.reason(),
            Self::SocketPermission { .. } | Self::SessionRefused { .. } | Self::Untrusted { .. } => Reason::EnginePermission,
            Self::Incompatible { .. } | Self::NoSession { .. } | Self::Surprise(_) => Reason::EngineIncompatible,
            Self::Unsupported(_) => Reason::Unsupported,
            Self::Silent { .. } | Self::Lost { .. } | Self::Broken { .. } | Self::CacheDamaged(_) | Self::Busy(_) => Reason::EngineLost,
            Self::Refused { .. } | Self::BuildRejected(_) | Self::SecretMissing(_) => Reason::BuildRejected,
            Self::DiskFull(_) => Reason::EngineDiskFull,
            Self::DockerfileInvalid(_) => Reason::DockerfileInvalid,
            Self::StepFailed { .. } => Reason::StepFailed,
            Self::OutOfMemory { .. } => Reason::OutOfMemory,
            Self::BaseImageDenied(_) => Reason::BaseImageDenied,
            Self::BaseImageUnavailable(_) => Reason::BaseImageUnavailable,
            Self::PushRejected(_) => Reason::PushRejected,
            Self::PushAuth(_) => Reason::PushAuth,
            Self::PushDenied(_) => Reason::PushDenied,
            Self::PushUnavailable(_) | Self::PushUntrusted(_) => Reason::PushUnavailable,
            Self::NameMoved(_) | Self::Downgraded(_) => Reason::DigestMismatch,
            Self::Context(error) => error.reason(),
            Self::Credentials { .. } | Self::Secret { .. } | Self::Certificates { .. } => Reason::SecretInvalid,
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::NoSocket(_) => "mount the node's Docker socket into the pod (hostPath /var/run/docker.sock), or set DOCKER_HOST",
            Self::SocketPermission { .. } => "give the pod the socket's group (supplementalGroups, --group-add)",
            Self::Certificates { .. } => {
                "give ca.pem, cert.pem and key.pem in DOCKER_CERT_PATH, as docker reads them; the key not encrypted"
            }
            Self::Untrusted { .. } => {
                "ca.pem in DOCKER_CERT_PATH must have issued the daemon's certificate, for the name in DOCKER_HOST; and the daemon's own CA \
                 the cert.pem there, for clients"
            }
            Self::Unreachable { .. } => "check that dockerd runs on this node and that the mounted socket is its current one",
            Self::StepFailed { code: Some(137), .. } => {
                "it was killed (SIGKILL); want of memory, in the build or on the node, is the usual cause"
            }
            Self::OutOfMemory { certain: false, .. } => {
                "it was killed (SIGKILL) while its memory was bounded, and the daemon does not say by whom; give it more, or let it need less"
            }
            Self::OutOfMemory { .. } => {
                "let it need less (fewer jobs at once), or give it more: build.limits.memory, or the pod's own limit where that is inherited"
            }
            Self::DiskFull(_) => "free space on the node (docker system df), let runs make room by --allow prune, or run on another node",
            Self::Busy(_) => "let fewer builds run at once on this node, or give it a faster disk; another try may do",
            Self::CacheDamaged(_) => "clear the build cache of the node's daemon (docker builder prune)",
            Self::BaseImageDenied(_) => "check the image's name, and give credentials for its registry (push.secret, DOCKER_AUTH_CONFIG)",
            Self::BaseImageUnavailable(_) => "the daemon pulls with the node's network, proxy and certificates, not the pod's",
            Self::PushAuth(_) => "give credentials for exactly this registry (push.secret, DOCKER_AUTH_CONFIG, config.json)",
            Self::PushUnavailable(_) => "the daemon pushes with the node's network, proxy and certificates, not the pod's",
            Self::PushUntrusted(_) => {
                "give the node's daemon the registry's CA (/etc/docker/certs.d), or name a registry without TLS in its insecure-registries"
            }
            Self::SessionRefused { .. } => "let what stands before the engine's socket pass POST /session, or use builder: classic",
            Self::NoSession { .. } => "builder: classic does without; what only BuildKit has needs an engine with POST /session",
            Self::SecretMissing(_) => "give it by the same id in build.secrets (--secret) or build.ssh (--ssh)",
            Self::NameMoved(_) => "two runs pushed the same tag at once from this node; run one of them again",
            Self::Context(error) => return error.hint(),
            Self::NeverCame { cause, .. } => return cause.hint(),
            _ => return None,
        };
        Some(text.to_owned())
    }
}
