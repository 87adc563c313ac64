//! What can be known to fail before anything is fetched.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::model::{Classified, Reason};
use crate::support::scratch::ScratchDir;

/// Why there is nowhere to work.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    #[error("the workspace {path:?} is not there")]
    Missing { path: PathBuf },
    #[error("this pod cannot write to its workspace {path:?}: {why}")]
    NotWritable { path: PathBuf, why: String },
    #[error("the workspace {path:?} is full")]
    Full {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error("none of {tried:?} can be written, and the request names no workspace")]
    Nowhere { tried: Vec<PathBuf> },
}

impl Classified for WorkspaceError {
    fn reason(&self) -> Reason {
        match self {
            Self::Full { .. } => Reason::WorkspaceFull,
            Self::Missing { .. } | Self::NotWritable { .. } | Self::Nowhere { .. } => Reason::RequestInvalid,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Full { .. } => "give the volume more room (emptyDir sizeLimit, ephemeral-storage), or build a smaller source".into(),
            _ => "mount one writable volume, such as an emptyDir at /workspace, that uid and group of the agent may write".into(),
        })
    }
}

/// The run's own directory in the workspace, gone when the run is.
#[derive(Debug)]
pub struct Workspace(ScratchDir);

impl Workspace {
    /// In the first candidate that can be written. With one candidate only, the error says what is wrong with it.
    pub fn claim(candidates: &[PathBuf], run: &str) -> Result<Self, WorkspaceError> {
        let mut first_error = None;
        for path in candidates {
            match Self::claim_in(path, run) {
                Ok(workspace) => return Ok(workspace),
                Err(error) => first_error.get_or_insert(error),
            };
        }
        match first_error {
            Some(error) if candidates.len() == 1 || matches!(error, WorkspaceError::Full { .. }) => Err(error),
            _ => Err(WorkspaceError::Nowhere { tried: candidates.to_vec() }),
        }
    }

    fn claim_in(path: &Path, run: &str) -> Result<Self, WorkspaceError> {
        ScratchDir::create(path.join(format!("podwright-{run}"))).map(Self).map_err(|cause| explain(path, cause))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

fn explain(path: &Path, cause: std::io::Error) -> WorkspaceError {
    use std::io::ErrorKind;
    let path = path.to_owned();
    match cause.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => WorkspaceError::Missing { path },
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => WorkspaceError::Full { path, cause },
        _ => {
            let of =
                fs::metadata(&path).map(|meta| format!("; it has mode {:04o}, owner {}:{}", meta.mode() & 0o7777, meta.uid(), meta.gid()));
            let uid = rustix::process::getuid().as_raw();
            let gid = rustix::process::getgid().as_raw();
            WorkspaceError::NotWritable { path, why: format!("{cause}; this process is {uid}:{gid}{}", of.unwrap_or_default()) }
        }
    }
}
