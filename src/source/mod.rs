//! Sources: each becomes a tree of entries that can be read, and nothing is ever checked out or extracted.

pub mod git;
