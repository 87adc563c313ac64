//! Git LFS: large files that are kept beside the repository, and pointers to them in it. After a fetch the objects below the
//! context's root are fetched, too, each checked by its id and size, into one file in the workspace that trees read from.
//!
//! By the batch API with its basic transfer alone (git-lfs, docs/api). No program of this machine runs, and of what a repository says of itself
//! (`.lfsconfig`) only the server's URL counts.

mod api;
mod ask;
mod authenticate;
mod config;
mod endpoint;
mod error;
mod gather;
mod pointer;
mod store;
mod transfer;

pub use error::LfsError;
pub use gather::complete;
pub use pointer::{LfsId, POINTER_BYTES, Pointer};
pub use store::Store;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What becomes of pointers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Lfs {
    /// What they point to takes their place.
    #[default]
    Auto,
    /// A build that would ship one fails.
    Refuse,
    /// They are shipped as they are.
    Keep,
}
