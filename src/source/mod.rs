//! Where a build's files come from. Every source becomes a `model::tree::SourceTree`; none is ever checked out or extracted.

pub mod archive;
pub mod artifact;
mod body;
mod digest_fields;
pub mod directory;
pub mod git;
pub mod prepared;
#[cfg(test)]
mod sample;
pub mod upload;

use crate::model::{Classified, Reason};
use crate::net::NetError;

/// Why a source did not become a tree; each kind of source has its own words for it.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error(transparent)]
    Archive(#[from] archive::ArchiveError),
    #[error(transparent)]
    Artifact(#[from] artifact::ArtifactError),
    #[error(transparent)]
    Git(#[from] git::GitError),
    #[error(transparent)]
    Directory(#[from] directory::DirectoryError),
    #[error(transparent)]
    Prepared(#[from] prepared::PreparedError),
    #[error(transparent)]
    Upload(#[from] upload::UploadError),
}

impl Classified for SourceError {
    fn reason(&self) -> Reason {
        match self {
            Self::Archive(error) => error.reason(),
            Self::Artifact(error) => error.reason(),
            Self::Git(error) => error.reason(),
            Self::Directory(error) => error.reason(),
            Self::Prepared(error) => error.reason(),
            Self::Upload(error) => error.reason(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Archive(error) => error.hint(),
            Self::Artifact(error) => error.hint(),
            Self::Git(error) => error.hint(),
            Self::Directory(error) => error.hint(),
            Self::Prepared(error) => error.hint(),
            Self::Upload(error) => error.hint(),
        }
    }
}

/// What a failure of the network is to a source.
fn reason_of(cause: &NetError) -> Reason {
    match cause {
        // A certificate that is not trusted now will not be in a minute, either.
        NetError::Redirect { .. }
        | NetError::Address { .. }
        | NetError::TooLarge { .. }
        | NetError::Tls { .. }
        | NetError::HostKey { .. } => Reason::SourceRefused,
        NetError::Denied { .. } | NetError::ProxyAuth { .. } | NetError::ClientCertificate { .. } => Reason::SourceAuth,
        NetError::Settings(_) | NetError::Authority(_) => Reason::SecretInvalid,
        NetError::Cancelled => Reason::Internal,
        _ => Reason::SourceUnavailable,
    }
}
