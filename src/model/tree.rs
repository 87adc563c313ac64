//! A source as a tree of entries that can be read: the one shape every source takes, and all that the build ever sees of it.

use std::io::{self, Read};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::path::{BadPath, TreePath};
use super::{Classified, Reason};

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Directory,
    /// `link` is the same, non-zero number for every name of one file that has several (hard links).
    File {
        size: u64,
        link: u64,
    },
    /// The target as it stands, never followed.
    Symlink {
        target: Vec<u8>,
    },
    /// What no image can hold, by its name for people: `socket`, `pipe`, `device`. Only a mounted directory shows one, so that
    /// it may lie where the ignore rules leave it out; whoever would ship one refuses the source instead. It has no body.
    Other(&'static str),
}

/// How a tree finds a body again: an object id, an offset; opaque to everybody else.
pub type BodyKey = [u8; 20];

/// Seconds and nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time {
    pub seconds: i64,
    pub nanos: u32,
}

/// One name in a tree. Owners are not kept: in an image everything of a context belongs to 0:0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub path: TreePath,
    pub kind: Kind,
    /// Permission bits, set-id and sticky bits: at most `0o7777`.
    pub mode: u32,
    pub modified: Time,
    pub key: BodyKey,
}

impl Entry {
    pub fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }

    /// Bytes of the body; 0 for what has none.
    pub fn size(&self) -> u64 {
        match self.kind {
            Kind::File { size, .. } => size,
            _ => 0,
        }
    }
}

/// What exactly a source is: for the result, the labels and whoever asks later.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct Revision {
    /// `git`, `archive`, `artifact`, `directory`, `dockerfile`.
    pub kind: String,
    /// Where it came from, without any secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#ref: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub committer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The commit's or the archive's own time, RFC 3339 in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Bytes received over the network or read from the archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subdir: Option<String>,
    /// Where an artifact says that it was made from, without any secret; nobody proved it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Of what revision it says it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin_revision: Option<String>,
}

/// Whether a walk goes into the directory it was just shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    Enter,
    Skip,
}

/// What a visitor answers.
pub type Visited = Result<Walk, TreeError>;

/// A source, once it is here: nothing is checked out, nothing is extracted.
pub trait SourceTree: Send + Sync {
    /// What exactly this is.
    fn revision(&self) -> &Revision;

    /// What makes two trees the same source on one node, so that the engine may send only what changed: it goes,
    /// hashed, into BuildKit's shared key.
    fn identity(&self) -> String;

    /// Shows every entry below the root in `TreePath`'s order, without bodies. A directory answered with `Skip` is not entered.
    fn walk(&self, visit: &mut dyn FnMut(Entry) -> Visited) -> Result<(), TreeError>;

    /// One entry by its name; no link on the way is followed.
    fn lookup(&self, path: &TreePath) -> Result<Option<Entry>, TreeError>;

    /// The body of a file that this tree showed.
    fn open(&self, path: &TreePath, key: &BodyKey) -> Result<Box<dyn Read + Send + '_>, TreeError>;

    /// A small file, whole: `None` where there is none, an error where it is no file or has more than `limit` bytes.
    fn read(&self, path: &TreePath, limit: u64) -> Result<Option<Vec<u8>>, TreeError> {
        let Some(entry) = self.lookup(path)? else { return Ok(None) };
        let Kind::File { size, .. } = entry.kind else {
            return Err(TreeError::refused(path, "it is not a regular file"));
        };
        if size > limit {
            return Err(TreeError::refused(path, format!("it has {size} bytes, more than the limit of {limit}")));
        }
        let mut body = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        self.open(path, &entry.key)?.take(limit).read_to_end(&mut body).map_err(|cause| TreeError::io(path, cause))?;
        Ok(Some(body))
    }
}

/// Why a tree could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    #[error("the source is refused: {path:?}: {rule}")]
    Refused { path: String, rule: String },
    #[error("{path:?} could not be read by this pod")]
    Io {
        path: String,
        #[source]
        cause: io::Error,
    },
    #[error("the source is damaged: {0}")]
    Damaged(String),
    /// The reader of a walk went away: not the tree's fault, and never the reason of a run.
    #[error("nobody reads any more")]
    Abandoned,
}

impl TreeError {
    pub fn refused(path: &TreePath, rule: impl Into<String>) -> Self {
        Self::Refused { path: path.display(), rule: rule.into() }
    }

    pub fn bad_name(name: &[u8], rule: BadPath) -> Self {
        Self::Refused { path: String::from_utf8_lossy(&name[..name.len().min(256)]).into_owned(), rule: rule.to_string() }
    }

    pub fn io(path: &TreePath, cause: io::Error) -> Self {
        Self::Io { path: path.display(), cause }
    }
}

/// What it means that a source's file could not be read: names and permissions are the source's, a file that changed in our
/// hands is, too; everything else that the system says (EIO, ESTALE) is the volume's, and may pass.
pub fn reason_of(cause: &io::Error) -> Reason {
    match (cause.kind(), cause.raw_os_error()) {
        (io::ErrorKind::NotFound, _) => Reason::SourceNotFound,
        (io::ErrorKind::StorageFull, _) => Reason::WorkspaceFull,
        (io::ErrorKind::PermissionDenied | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename, _) => Reason::SourceRefused,
        (_, Some(code)) if code != Errno::LOOP.raw_os_error() => Reason::SourceUnavailable,
        _ => Reason::SourceRefused,
    }
}

impl Classified for TreeError {
    fn reason(&self) -> Reason {
        match self {
            Self::Refused { .. } => Reason::SourceRefused,
            Self::Damaged(_) => Reason::SourceIntegrity,
            Self::Io { cause, .. } => reason_of(cause),
            Self::Abandoned => Reason::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Io { cause, .. } if cause.kind() == io::ErrorKind::PermissionDenied => {
                Some("the agent runs as an unprivileged user: give that user read access to the source".into())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_that_fails_is_no_fault_of_the_source() {
        let reason = |errno: Errno| reason_of(&errno.into());
        for errno in [Errno::IO, Errno::STALE, Errno::TIMEDOUT, Errno::MFILE] {
            assert_eq!(reason(errno), Reason::SourceUnavailable, "{errno}");
        }
        for errno in [Errno::ACCESS, Errno::PERM, Errno::NOTDIR, Errno::LOOP, Errno::NAMETOOLONG] {
            assert_eq!(reason(errno), Reason::SourceRefused, "{errno}");
        }
        assert_eq!((reason(Errno::NOENT), reason(Errno::NOSPC)), (Reason::SourceNotFound, Reason::WorkspaceFull));
        assert_eq!(reason_of(&io::Error::other("it grew")), Reason::SourceRefused);
    }
}
