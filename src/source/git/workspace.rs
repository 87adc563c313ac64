//! The directory that holds a fetched repository: new for every fetch, and gone with the tree that reads it.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::GitError;
use crate::support::backoff;

/// Removed with everything in it when dropped.
#[derive(Debug)]
pub(super) struct Workspace(PathBuf);

impl Workspace {
    /// A fresh directory that only this user may enter, below `parent`.
    pub fn create(parent: &Path) -> Result<Self, GitError> {
        let path = parent.join(format!(".podwright-git-{:016x}", backoff::random()));
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => Ok(Self(path)),
            Err(cause) => Err(failed(parent, cause)),
        }
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Tells a full workspace from an unusable one.
pub(super) fn failed(path: &Path, cause: io::Error) -> GitError {
    let path = path.display().to_string();
    match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => GitError::WorkspaceFull { path },
        _ => GitError::Workspace { path, cause },
    }
}
