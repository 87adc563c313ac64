//! A source that `podwright fetch` left in a directory: `context.tar`, all of it, and `source.json`, which says what it is.
//!
//! The directory is a volume that others may write, too, so that nothing of it is believed unseen: `source.json` is read strictly
//! and up to a bound, and `context.tar` is copied into the workspace, hashed as it is copied, and used from there only.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::archive::{self, ArchiveError, ArchiveOptions, ArchiveTree, Asker, Expected, Format, Progress};
use crate::model::tree::{Revision, reason_of};
use crate::model::{Classified, Digest, Reason, TreePath};
use crate::support::guard::{Forbidden, Guard};
use crate::support::limits::{Limits, PREPARED_BYTES};

/// The name and version of `source.json`'s form.
pub const SCHEMA: &str = "podwright/source/v1";

/// Says what is in the directory; written last, so that a directory without it is none.
pub const SOURCE: &str = "source.json";

/// All of the source as one tar, no ignore rule applied.
pub const CONTEXT: &str = "context.tar";

/// The kinds of source that `fetch` knows.
const KINDS: [&str; 5] = ["git", "archive", "artifact", "directory", "dockerfile"];

/// Bytes of one text of `source.json`.
const TEXT_BYTES: usize = 64 << 10;

/// `source.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prepared {
    pub schema: String,
    /// What exactly the source is; a build from here says the same of itself as a direct one.
    pub revision: Revision,
    /// What makes two sources one on a node (`SourceTree::identity`).
    pub identity: String,
    pub context: PreparedContext,
}

/// What `context.tar` has to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreparedContext {
    /// 64 hexadecimal digits.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
    /// Entries, directories included.
    pub entries: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum PreparedError {
    #[error("{dir:?} holds no prepared source: it has no {name}")]
    Missing { dir: PathBuf, name: &'static str },
    #[error("{path:?} of the prepared source cannot be read by this pod")]
    Open {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("the prepared source is not read: {0}")]
    Forbidden(#[from] Forbidden),
    #[error("{path:?} is not what podwright fetch writes: {rule}")]
    Foreign { path: PathBuf, rule: String },
    #[error("the prepared source in {dir:?} is torn: context.tar has {actual} bytes, and source.json says {expected}")]
    Torn { dir: PathBuf, expected: u64, actual: u64 },
    #[error("the context.tar of the prepared source in {dir:?} cannot be used")]
    Context {
        dir: PathBuf,
        #[source]
        cause: ArchiveError,
    },
}

impl Classified for PreparedError {
    fn reason(&self) -> Reason {
        match self {
            Self::Missing { .. } => Reason::SourceNotFound,
            Self::Open { cause, .. } => reason_of(cause),
            Self::Forbidden(_) => Reason::NotPermitted,
            Self::Foreign { .. } => Reason::SourceRefused,
            Self::Torn { .. } => Reason::SourceIntegrity,
            Self::Context { cause, .. } => cause.reason(),
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Missing { .. } => {
                "`podwright fetch --output` writes source.json last: see that it ended well, and that both containers mount one volume"
                    .into()
            }
            Self::Open { cause, .. } if cause.kind() == io::ErrorKind::PermissionDenied => {
                "the two containers run as different users: let fetch's umask or the pod's fsGroup give this one read access".into()
            }
            Self::Forbidden(forbidden) => return Some(forbidden.fix()),
            Self::Torn { .. } => "run podwright fetch again; nothing else may write to that directory".into(),
            Self::Context { cause: ArchiveError::Digest { .. }, .. } => {
                "it is not the file that source.json was written for: run podwright fetch again; nothing else may write there".into()
            }
            Self::Context { cause, .. } => return cause.hint(),
            Self::Open { .. } | Self::Foreign { .. } => return None,
        })
    }
}

/// Reads what is in the directory, and makes it a tree in the workspace. Blocks, as `archive::receive` does.
pub fn open(
    dir: &Path,
    workspace: &Path,
    limits: &Limits,
    guard: &Guard,
    progress: &mut Progress<'_>,
) -> Result<ArchiveTree, PreparedError> {
    let known = Prepared::read(dir, guard)?;
    let context = file(dir, CONTEXT, guard)?;
    let actual = context.metadata().map_err(|cause| PreparedError::Open { path: dir.join(CONTEXT), cause })?.len();
    if actual != known.context.size {
        return Err(PreparedError::Torn { dir: dir.to_owned(), expected: known.context.size, actual });
    }
    let foreign = |rule: String| PreparedError::Foreign { path: dir.join(SOURCE), rule };
    let sha256 = Digest::parse(&format!("sha256:{}", known.context.sha256)).map_err(|_| foreign("its digest is none".into()))?;
    let options = ArchiveOptions {
        workspace: workspace.to_owned(),
        limits: limits.clone(),
        digests: vec![Expected { digest: sha256, by: Asker::Request }],
        size: None,
        format: Some(Format::Tar),
        name: TreePath::root(),
        strip_components: 0,
        subdir: TreePath::root(),
        url: None,
        // Marked: who can write this file must not be able to call it a source that a node has files of from elsewhere.
        identity: format!("prepared\n{}", known.identity),
    };
    let tree = archive::receive_prepared(context, &options, known.revision, progress);
    tree.map_err(|cause| PreparedError::Context { dir: dir.to_owned(), cause })
}

impl Prepared {
    fn read(dir: &Path, guard: &Guard) -> Result<Self, PreparedError> {
        let path = dir.join(SOURCE);
        let foreign = |rule: String| PreparedError::Foreign { path: path.clone(), rule };
        let mut bytes = Vec::new();
        let opened = file(dir, SOURCE, guard)?;
        opened.take(PREPARED_BYTES + 1).read_to_end(&mut bytes).map_err(|cause| PreparedError::Open { path: path.clone(), cause })?;
        if bytes.len() as u64 > PREPARED_BYTES {
            return Err(foreign(format!("it has more than {PREPARED_BYTES} bytes")));
        }
        // The version first: another one may have any form.
        let schema =
            serde_json::from_slice::<serde_json::Value>(&bytes).ok().and_then(|value| Some(value.get("schema")?.as_str()? == SCHEMA));
        match schema {
            None => return Err(foreign("it is no JSON document that names its schema".into())),
            Some(false) => return Err(foreign(format!("its schema is not {SCHEMA}: both containers need the same version of podwright"))),
            Some(true) => {}
        }
        let known: Self = serde_json::from_slice(&bytes).map_err(|why| foreign(why.to_string()))?;
        known.check().map_err(|rule| foreign(rule.to_owned()))?;
        Ok(known)
    }

    /// What becomes labels, and what goes into a line of the result, is held to what `fetch` would have written.
    fn check(&self) -> Result<(), &'static str> {
        let revision = &self.revision;
        let texts = [&revision.url, &revision.r#ref, &revision.commit, &revision.date, &revision.digest, &revision.subdir];
        let names = texts.into_iter().flatten();
        let people = [&revision.author, &revision.committer, &revision.subject].into_iter().flatten();
        if !KINDS.contains(&revision.kind.as_str()) {
            return Err("it names no kind of source that is known");
        }
        if names.clone().any(|text| text.chars().any(char::is_control)) {
            return Err("it holds a control character");
        }
        if names.chain(people).chain([&self.identity]).any(|text| text.len() > TEXT_BYTES || text.contains('\0')) {
            return Err("a text of it is too long, or holds a NUL");
        }
        let hex = |text: &String| matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !revision.commit.as_ref().is_none_or(hex) {
            return Err("its commit is none");
        }
        if revision.digest.as_ref().is_some_and(|text| Digest::parse(text).is_err()) {
            return Err("its digest is none");
        }
        Ok(())
    }
}

/// A regular file of the directory, which no link stands in for.
fn file(dir: &Path, name: &'static str, guard: &Guard) -> Result<File, PreparedError> {
    let path = dir.join(name);
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match rustix::fs::open(&path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT) => return Err(PreparedError::Missing { dir: dir.to_owned(), name }),
        Err(rustix::io::Errno::LOOP) => return Err(PreparedError::Foreign { path, rule: "it is a symbolic link".into() }),
        Err(cause) => return Err(PreparedError::Open { path, cause: cause.into() }),
    };
    guard.opened(&file, &path)?;
    match file.metadata() {
        Ok(metadata) if metadata.is_file() => Ok(file),
        Ok(_) => Err(PreparedError::Foreign { path, rule: "it is not a regular file".into() }),
        Err(cause) => Err(PreparedError::Open { path, cause }),
    }
}

#[cfg(test)]
mod tests;
