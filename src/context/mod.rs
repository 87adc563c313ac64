//! The context: what of a source the daemon may see. The ignore rules, the Dockerfile and what must be known of it before a
//! daemon reads it.
//!
//! Never writes a file and never follows a link: a context is a view of a `SourceTree`.

mod canonical_tar;
pub mod dockerfile;
pub mod ignore;
pub mod tree;

#[cfg(test)]
mod testing;

use crate::event::ContextSent;
use crate::model::tree::{SourceTree, TreeError, Walk};
use crate::model::{Classified, Reason};
use crate::support::limits::DOCKERFILE_BYTES;
use crate::support::patterns::BadPattern;

/// Why no context can be made of a source.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    #[error(transparent)]
    Tree(#[from] TreeError),
    #[error("the ignore file {name:?} of the source is not valid")]
    IgnorePattern {
        name: String,
        #[source]
        cause: BadPattern,
    },
    #[error("the ignore file {name:?} of the source {rule}")]
    IgnoreFile { name: String, rule: String },
    #[error("the source has no Dockerfile {name:?}{}", beside(.found.as_deref()))]
    DockerfileMissing { name: String, found: Option<String> },
    #[error("the Dockerfile {name:?} is refused: {rule}")]
    DockerfileRefused { name: String, rule: String },
    #[error("the Dockerfile {name:?} has more bytes than the limit of {DOCKERFILE_BYTES}")]
    DockerfileTooLong { name: String },
    #[error("{place} names a frontend that needs the operator's permission frontend={image}")]
    Frontend { place: String, image: String },
    #[error("{place} is not valid: {rule}")]
    Syntax { place: String, rule: String },
    #[error("the classic builder would show COPY a Dockerfile that must stay hidden, because the context holds a .dockerignore of its own")]
    ClassicCannotHide,
    #[error("Podman's service takes no context with a symbolic link that leads out of it, such as {path:?} to {target:?}")]
    LinkLeadsOut { path: String, target: String },
}

/// Writes all of a source as one tar, whatever an ignore file says: what `podwright fetch` keeps for a later build.
pub fn whole(source: &dyn SourceTree, out: &mut dyn std::io::Write) -> Result<ContextSent, TreeError> {
    let mut tar = canonical_tar::TarWriter::with_whole_times(out);
    source.walk(&mut |entry| tar.entry(source, &entry).map(|()| Walk::Enter))?;
    tar.finish(0)
}

fn beside(found: Option<&str>) -> String {
    found.map(|name| format!(", but it has {name:?}: the case of a name counts")).unwrap_or_default()
}

impl Classified for ContextError {
    fn reason(&self) -> Reason {
        match self {
            Self::Tree(error) => error.reason(),
            Self::IgnorePattern { .. } | Self::IgnoreFile { .. } => Reason::SourceRefused,
            Self::DockerfileMissing { .. } | Self::DockerfileRefused { .. } | Self::DockerfileTooLong { .. } | Self::Syntax { .. } => {
                Reason::DockerfileInvalid
            }
            Self::Frontend { .. } => Reason::NotPermitted,
            Self::ClassicCannotHide | Self::LinkLeadsOut { .. } => Reason::Unsupported,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Tree(error) => error.hint(),
            Self::Frontend { .. } => Some("docker/dockerfile needs no permission".into()),
            Self::ClassicCannotHide => Some("use builder: buildkit, or let the .dockerignore name itself and the Dockerfile".into()),
            Self::LinkLeadsOut { .. } => Some("name it in the .dockerignore, make the link absolute, or use a node with Docker".into()),
            Self::DockerfileMissing { .. } => Some("name it by build.dockerfile (-f), relative to the source's subdir".into()),
            _ => None,
        }
    }
}
