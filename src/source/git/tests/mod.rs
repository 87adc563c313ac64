//! The fetch and the tree against git itself.

mod attributes;
mod fetch;
mod git_dir;
mod hostile;
mod transport;
mod tree;
