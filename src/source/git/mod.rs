//! git: one commit, fetched as shallow as the server allows into a bare repository of our own, read from its objects.
//!
//! There is no worktree, no child process, no git configuration and no hook: what a hostile repository attacks is not there.
//! libgit2 negotiates and indexes; every byte of the network goes through `net`. What comes out is what `git clone` gives.

mod answer;
mod attributes;
mod checkout;
mod commit;
mod config;
mod convert;
mod credentials;
mod error;
mod fetch;
mod ffi;
mod git_dir;
mod http;
mod ident;
mod lfs;
mod modules;
mod names;
mod objects;
mod pattern;
mod pkt;
mod remote;
mod resolve;
mod session;
mod sizes;
mod transport;
mod transport_http;
mod transport_stream;
mod tree;
mod version2;
mod walk;

pub use credentials::token_credential;
pub use error::GitError;
pub use fetch::{Fetched, Options, fetch};
pub use lfs::Lfs;
pub use modules::Submodule;
pub use remote::Notice;
pub use session::Door;
pub use tree::GitTree;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod trial;
#[cfg(test)]
mod trial_lfs;
