//! Why an archive did not become a tree.

use std::io;
use std::path::{Path, PathBuf};

use super::Asker;
use super::format::{Codec, Format};
use super::largest::Largest;
use crate::model::tree::reason_of as reason_of_io;
use crate::model::{Classified, Digest, Reason};
use crate::net::{NetError, RedactedUrl};
use crate::source::reason_of;
use crate::support::guard::Forbidden;
use crate::support::limits::{Bound, WINDOW, WINDOW_BYTES};

#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("the archive {path:?} cannot be opened in this pod")]
    Open {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("the archive is not read: {0}")]
    Forbidden(#[from] Forbidden),
    /// The reader that was handed in failed: the connection, or the file.
    #[error("the archive could not be read to its end: it broke off after {bytes} bytes")]
    Input {
        bytes: u64,
        #[source]
        cause: io::Error,
    },
    #[error("{url} could not be fetched by this pod")]
    Net {
        url: RedactedUrl,
        #[source]
        cause: NetError,
    },
    #[error("{url} has no archive (status {status})")]
    NotFound { url: RedactedUrl, status: u16 },
    #[error("{url} {} (status {status})", if *.authenticated { "refused the credential" } else { "wants a credential" })]
    Auth { url: RedactedUrl, status: u16, authenticated: bool },
    #[error("{url} failed with status {status}")]
    Server { url: RedactedUrl, status: u16 },
    #[error("{url} answered with status {status}, which is no archive")]
    Answer { url: RedactedUrl, status: u16 },
    #[error("the workspace {path:?} of this pod cannot take the archive")]
    Workspace {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("the workspace of this pod does not give the archive back")]
    Spool {
        #[source]
        cause: io::Error,
    },
    #[error("the archive is not the one that {}: its digest is {actual}, not {expected}", match by {
        Asker::Request => "was asked for",
        Asker::Server => "the server says it sent",
        Asker::Manifest => "the manifest names",
    })]
    Digest { expected: Digest, actual: Digest, by: Asker },
    #[error("the archive is incomplete: {0}")]
    Truncated(String),
    #[error("the archive is damaged: {0}")]
    Damaged(String),
    #[error("the archive is refused: {0}")]
    Format(String),
    #[error("the archive is refused: it has more than the limit {limit} of {value} {unit}{largest}")]
    Limit { limit: Bound, value: u64, unit: &'static str, largest: Largest },
    #[error("the archive is refused: entry {entry:?}: {rule}")]
    Entry { entry: String, rule: String },
    #[error("the archive has no {0:?}")]
    NoSubdir(String),
    /// The progress callback asked to stop: not the archive's fault, and never the reason of a run.
    #[error("the archive is not read on: the run was cancelled")]
    Cancelled,
}

impl ArchiveError {
    /// The first 256 bytes of the name tell enough, and a hostile name may be a mebibyte.
    pub fn entry(name: &[u8], rule: impl std::fmt::Display) -> Self {
        let entry = String::from_utf8_lossy(&name[..name.len().min(256)]).into_owned();
        Self::Entry { entry, rule: format!("{rule}") }
    }

    pub fn workspace(path: &Path, cause: io::Error) -> Self {
        Self::Workspace { path: path.to_owned(), cause }
    }

    /// As an input error, to travel through a decoder that knows nothing of us; `from_io` takes it out again.
    pub fn into_io(self) -> io::Error {
        io::Error::other(self)
    }

    /// What a decoder's error means: our own error, taken out of it, or a stream that ends early or makes no sense.
    pub fn from_io(error: io::Error, format: Format) -> Self {
        let codec = if let Format::Compressed(codec) = format { codec.name() } else { format.name() };
        match error.downcast::<Self>() {
            Ok(own) => own,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Self::Truncated(format!("the {codec} stream ends in the middle")),
            Err(error) => Self::Damaged(format!("{codec}: {error}")),
        }
    }

    /// What no reader of the codec may pass over in silence.
    pub fn trailing(codec: Codec) -> Self {
        Self::Format(format!("something follows the end of its {} stream", codec.name()))
    }

    /// A window larger than what is taken from memory for one.
    pub fn window() -> Self {
        Self::limit(WINDOW, WINDOW_BYTES, "bytes")
    }

    pub fn limit(limit: Bound, value: u64, unit: &'static str) -> Self {
        Self::Limit { limit, value, unit, largest: Largest::default() }
    }

    /// With the largest files that are known, where it is about the archive's size.
    #[must_use]
    pub fn with(self, largest: Largest) -> Self {
        match self {
            Self::Limit { limit, value, unit, .. } if limit != WINDOW => Self::Limit { limit, value, unit, largest },
            other => other,
        }
    }

    /// Whether it is about the bytes that came, so that a wrong digest would be the better explanation.
    pub fn is_about_content(&self) -> bool {
        matches!(self, Self::Truncated(_) | Self::Damaged(_) | Self::Format(_))
    }
}

impl Classified for ArchiveError {
    fn reason(&self) -> Reason {
        match self {
            Self::Open { cause, .. } => reason_of_io(cause),
            Self::NoSubdir(_) | Self::NotFound { .. } | Self::Answer { .. } => Reason::SourceNotFound,
            Self::Forbidden(_) => Reason::NotPermitted,
            Self::Auth { .. } => Reason::SourceAuth,
            Self::Net { cause, .. } => reason_of(cause),
            Self::Server { .. } | Self::Input { .. } => Reason::SourceUnavailable,
            Self::Workspace { .. } | Self::Spool { .. } => Reason::WorkspaceFull,
            Self::Digest { .. } | Self::Truncated(_) | Self::Damaged(_) => Reason::SourceIntegrity,
            Self::Format(_) | Self::Limit { .. } | Self::Entry { .. } => Reason::SourceRefused,
            Self::Cancelled => Reason::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Open { cause, .. } if cause.kind() == io::ErrorKind::PermissionDenied => {
                "the agent runs as an unprivileged user: give that user read access to the archive"
            }
            Self::Workspace { cause, .. } if cause.kind() == io::ErrorKind::StorageFull => {
                "the whole archive is kept in the workspace, decompressed: give it more room, or name another"
            }
            Self::Forbidden(forbidden) => return Some(forbidden.fix()),
            Self::Workspace { .. } => "the workspace has to be a directory that the agent's user can write",
            Self::Net { cause, .. } => return cause.hint(),
            Self::Auth { authenticated: false, .. } => {
                "give the credential in source.archive.secret, or use a presigned URL; a secret is shown to the URL's own host only, never to \
                 where a redirect leads"
            }
            Self::Auth { authenticated: true, .. } => "check that the secret is current and may read this archive",
            Self::Truncated(_) => "the upload or the file is incomplete: make it again",
            Self::Limit { .. } => "raise the limit if the archive can be trusted",
            _ => return None,
        };
        Some(hint.into())
    }
}
