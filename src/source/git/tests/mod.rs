//! The fetch and the tree against git itself.

mod attributes;
mod checkout;
mod fetch;
mod git_dir;
mod hostile;
mod lfs;
mod lfs_hostile;
mod transport;
mod tree;
mod version2;
