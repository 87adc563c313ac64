//! context (temporary mod)
pub mod canonical_tar;
mod memory;
pub mod tree;
pub mod visible;
use crate::model::tree::TreeError;
use crate::model::{Classified, Reason};
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    #[error("the Dockerfile is not valid: {0}")]
    DockerfileInvalid(String),
    #[error(
        "the classic builder cannot hide the Dockerfile from COPY here, because the context shows a .dockerignore that does not hide it"
    )]
    ClassicCannotHide,
    #[error(transparent)]
    Tree(#[from] TreeError),
}
impl Classified for ContextError {
    fn reason(&self) -> Reason {
        match self {
            Self::DockerfileInvalid(_) => Reason::DockerfileInvalid,
            Self::ClassicCannotHide => Reason::Unsupported,
            Self::Tree(e) => e.reason(),
        }
    }
}
