//! An archive as a tree: taken in once, checked whole, never extracted.
//!
//! ```text
//! reader ─► intake (hash, count, bounds) ─► decode ─► spool: one nameless file in the workspace
//!                                                       │
//!              digest compared ──► members (one strict reader: header, pax, sparse) ─► trie (rules) ─► index ─► ArchiveTree
//!                            or zip (another; its bodies are inflated into a spool of their own)
//! ```
//!
//! The layers of an OCI artifact are archives, each read so; `layers` lays them over each other.
//!
//! Everything is spooled, a plain tar given by path too: a file that others can write may change between its check and its use.
//! What the archive's entries may do is decided in one place, `trie`; since what is shipped is made anew from the index, no later
//! reader can see other files in it than this one did.

mod decode;
mod download;
mod error;
mod format;
mod header;
mod index;
mod intake;
mod largest;
mod layers;
mod members;
mod pax;
mod resume;
mod sparse;
mod spool;
mod tree;
mod trie;
mod zip;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use index::Index;
use intake::Received;

use crate::model::tree::Revision;
use crate::model::{Digest, TreePath};
use crate::support::guard::Guard;
use crate::support::limits::Limits;

pub use download::{Download, download};
pub use error::ArchiveError;
pub use format::{Codec, Format};
pub use layers::{LayeredTree, layer};
pub use tree::ArchiveTree;

/// Bytes of one extended header or long name of the archive's own.
const EXTENDED_BYTES: u64 = 1 << 20;

/// Bytes of one extended header that goes for all entries.
const GLOBAL_BYTES: u64 = 64 << 10;

/// Bytes of a link's target: what Linux takes (PATH_MAX with its NUL).
const TARGET_BYTES: usize = 4095;

/// Bytes of all names and link targets together: they are what is kept in memory.
const NAME_BYTES: usize = 64 << 20;

/// How an archive is to be read.
#[derive(Clone, Debug)]
pub struct ArchiveOptions {
    /// The directory the spool is made in.
    pub workspace: PathBuf,
    pub limits: Limits,
    /// What the bytes must hash to as they come, before decompression: all of these.
    pub digests: Vec<Expected>,
    /// The size that the source says it has.
    pub size: Option<u64>,
    /// What its first bytes must say it is; `None` takes whatever they say.
    pub format: Option<Format>,
    /// The path of the one file that [`Format::File`] is.
    pub name: TreePath,
    /// Leading components taken off every name, as tar's `--strip-components` does.
    pub strip_components: u32,
    /// The directory that becomes the tree's root, after stripping.
    pub subdir: TreePath,
    /// Where the archive comes from, without any secret: for the revision.
    pub url: Option<String>,
    /// What makes two archives the same source: a URL without secrets, a path, `stdin`.
    pub identity: String,
}

/// A digest, and whose word it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    pub digest: Digest,
    pub by: Asker,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    Request,
    /// In the head of its answer (RFC 9530).
    Server,
    /// The manifest that the layer is of.
    Manifest,
}

/// Told the bytes that came so far, about once for every 128 KiB and while the entries are read; `Break` cancels.
pub type Progress<'a> = dyn FnMut(u64) -> ControlFlow<()> + 'a;

/// Reads an archive to its end and makes it a tree. Blocks: for a thread where that is allowed.
///
/// An error of `reader` is a `SourceUnavailable`. A reader that blocks is not woken by a cancellation: it has to end by itself.
pub fn receive(reader: impl Read, options: &ArchiveOptions, progress: &mut Progress<'_>) -> Result<ArchiveTree, ArchiveError> {
    let (received, index) = read(reader, options, progress)?;
    ArchiveTree::new(received, index, options)
}

fn read(reader: impl Read, options: &ArchiveOptions, progress: &mut Progress<'_>) -> Result<(Received, Index), ArchiveError> {
    let mut received = intake::take_in(reader, options, progress)?;
    let size = received.size;
    let mut beat = || progress(size);
    let index = index::read(&mut received, options, &mut beat)?;
    Ok((received, index))
}

/// The same for the tar of a prepared source, whose entries' times count whole; `revision` and `identity` are what was said of it.
pub fn receive_prepared(
    reader: impl Read,
    options: &ArchiveOptions,
    revision: Revision,
    progress: &mut Progress<'_>,
) -> Result<ArchiveTree, ArchiveError> {
    let (received, index) = read(reader, options, progress)?;
    Ok(ArchiveTree::prepared(received, index, revision, options.identity.clone()))
}

/// Opens an archive of this pod's file system. Links on the way are followed; the guard judges where they led.
pub fn open(path: &Path, guard: &Guard) -> Result<File, ArchiveError> {
    let failed = |cause| ArchiveError::Open { path: path.to_owned(), cause };
    // A pipe under the name must not keep the run waiting.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path).map_err(failed)?;
    guard.opened(&file, path)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")));
    }
    Ok(file)
}
