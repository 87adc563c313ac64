//! The fetch and the tree against git itself.

mod attributes;
mod fetch;
mod hostile;
mod transport;
mod tree;
