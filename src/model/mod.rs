//! The nouns of the program: plain data, no tokio, no bollard, no input or output.
//!
//! Everything above this row speaks in these words, so that two modules of one row can agree without importing each other.

pub mod address;
pub mod artifact;
pub mod digest;
pub mod failure;
pub mod graft;
pub mod keychain;
pub mod memory;
pub mod outcome;
pub mod path;
pub mod reason;
pub mod reference;
pub mod result;
pub mod revision;
pub mod tree;
pub mod visible;

pub use address::{Address, UrlCredential};
pub use digest::{Digest, ImageId};
pub use failure::{Classified, Failure};
pub use outcome::{Outcome, Phase};
pub use path::TreePath;
pub use reason::Reason;
pub use reference::Reference;
pub use revision::{CommitId, GitRef};
