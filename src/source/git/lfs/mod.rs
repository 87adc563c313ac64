//! Git LFS: large files that are kept beside the repository, and pointers to them in it.

mod pointer;

pub use pointer::Pointer;
