//! A source that is brought to the waiting pod: over HTTP (`PUT`, see `http`), or by `podwright receive` in the same pod over a
//! unix socket (see `socket`). The first whole upload is the source; there is no second.
//!
//! ```text
//!  http ───┐  one at a time   ┌─ pieces, bounded ─► Upload: Read ─► archive::receive ─┐
//!          ├─► Desk::begin ───┤                                                       │
//!  socket ─┘                  └◄────────────── the verdict: a receipt or a refusal ◄──┘
//! ```
//!
//! An upload is whole when its own framing says so: a `Content-Length`, the last chunk, or the end frame. One that is cut is no
//! upload, and the agent goes on waiting. A whole one that is refused is the run's end: it was the source.

mod desk;
mod digests;
mod frame;
mod http;
mod send;
mod socket;
mod tls;
mod token;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::archive::ArchiveError;
use crate::model::tree::{Kind, SourceTree, TreeError, Walk};
use crate::model::{Classified, Reason};
use crate::support::guard::Guard;
use crate::support::limits::{SOURCE_BYTES, UPLOAD_FIRST_BYTE, UPLOAD_IDLE};
use crate::support::redact::Redactor;
use crate::support::secretdir::SecretError;

pub use desk::{Again, Desk, Inbox, Upload};
pub use send::{HandOver, SendError, hand_over};
pub use socket::NAME as SOCKET_NAME;

/// Where an agent waits, and how long.
#[derive(Clone)]
pub struct UploadOptions {
    pub http: Option<HttpOptions>,
    /// The unix socket to wait at.
    pub socket: Option<SocketOptions>,
    /// The most bytes an upload may have, as it comes.
    pub bytes: u64,
    /// From the beginning of waiting to the beginning of an upload.
    pub first_byte: Duration,
    /// The longest silence within an upload.
    pub idle: Duration,
    pub guard: Guard,
    /// Told of every token that is read.
    pub redactor: Arc<Redactor>,
}

#[derive(Clone, Debug)]
pub struct HttpOptions {
    pub listen: SocketAddr,
    /// The file with the bearer token.
    pub token: PathBuf,
    /// The files with the certificate and its key; without them, plain http.
    pub tls: Option<(PathBuf, PathBuf)>,
}

#[derive(Clone, Debug)]
pub struct SocketOptions {
    /// Its well-known name.
    pub path: PathBuf,
    /// A directory of this run's own on the same file system, to make it in.
    pub workshop: PathBuf,
}

/// What the sender is told of an upload that was taken: it was read whole, checked and indexed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Bytes as they came.
    pub bytes: u64,
    /// 64 hexadecimal digits, of the bytes as they came.
    pub sha256: String,
    /// Files of the source.
    pub files: u64,
}

impl Receipt {
    pub fn of(tree: &dyn SourceTree) -> Result<Self, TreeError> {
        let mut files = 0;
        tree.walk(&mut |entry| {
            files += u64::from(matches!(entry.kind, Kind::File { .. }));
            Ok(Walk::Enter)
        })?;
        let revision = tree.revision();
        let digest = revision.digest.as_deref().and_then(|digest| digest.split_once(':')).unwrap_or_default();
        Ok(Self { bytes: revision.size.unwrap_or_default(), sha256: digest.1.to_owned(), files })
    }
}

/// What the sender is told of an upload that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// A name of the table of reasons.
    pub reason: String,
    pub exit_code: u8,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Refusal {
    fn of(error: &dyn Classified) -> Self {
        // The causes stay in the agent's own events: they are of this pod's files.
        Self { hint: error.hint(), ..Self::plain(error.reason(), error.to_string()) }
    }

    fn plain(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason: reason.name().to_owned(), exit_code: reason.code(), message: message.into(), hint: None }
    }

    fn taken() -> Self {
        Self::plain(Reason::SourceRefused, "another upload is under way, or was taken: a run has one source")
    }
}

#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error("this pod cannot listen at {listen} for the upload")]
    Listen {
        listen: SocketAddr,
        #[source]
        cause: io::Error,
    },
    #[error("this pod cannot wait for the upload at the socket {path:?}")]
    Socket {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("the socket {path:?} cannot be waited at: {rule}")]
    SocketTaken { path: PathBuf, rule: &'static str },
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("the upload's token in {path:?} {rule}")]
    Token { path: PathBuf, rule: &'static str },
    #[error("the certificate and key in {certificate:?} and {key:?} cannot be used: {rule}")]
    Certificate { certificate: PathBuf, key: PathBuf, rule: String },
    #[error("no upload came within {UPLOAD_FIRST_BYTE} of {} s", after.as_secs_f32())]
    FirstByte { after: Duration },
    #[error("the upload fell silent after {bytes} bytes, for longer than {UPLOAD_IDLE} of {} s", after.as_secs_f32())]
    Idle { bytes: u64, after: Duration },
    #[error("the upload is refused: it says that it has {says} bytes, more than the limit {SOURCE_BYTES} of {most}")]
    TooLarge { says: u64, most: u64 },
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Tree(#[from] TreeError),
}

impl Classified for UploadError {
    fn reason(&self) -> Reason {
        match self {
            Self::Listen { .. } | Self::Socket { .. } | Self::SocketTaken { .. } => Reason::RequestInvalid,
            Self::Secret(error) => error.reason(),
            Self::Token { .. } | Self::Certificate { .. } => Reason::SecretInvalid,
            Self::FirstByte { .. } | Self::Idle { .. } => Reason::UploadTimeout,
            Self::TooLarge { .. } => Reason::SourceRefused,
            Self::Archive(error) => error.reason(),
            Self::Tree(error) => error.reason(),
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Listen { cause, .. } if cause.kind() == io::ErrorKind::PermissionDenied => "take a port above 1023".into(),
            Self::Socket { cause, .. } if cause.kind() == io::ErrorKind::CrossesDevices => {
                "it is made in the workspace and then given its name: name a path on the workspace's own volume, or put the workspace there"
                    .into()
            }
            Self::Socket { .. } => "it is made in the workspace: its directory has to be there, and its path may have 107 bytes".into(),
            Self::Secret(error) => return error.hint(),
            Self::Token { .. } => "put at least 16 random bytes there, such as `openssl rand -hex 32` prints".into(),
            Self::FirstByte { .. } => {
                "whoever sends it waits for readiness (/readyz, or the event source.waiting) and sends it then".into()
            }
            Self::Idle { .. } => "the sender or the network stalled: send it again".into(),
            Self::TooLarge { .. } => "raise the limit if the archive can be trusted".into(),
            Self::Archive(error) => return error.hint(),
            Self::Tree(error) => return error.hint(),
            Self::Listen { .. } | Self::SocketTaken { .. } | Self::Certificate { .. } => return None,
        })
    }
}
