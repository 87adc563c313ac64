//! An archive in the spool, shown as a source.

use std::fmt;
use std::fs::File;
use std::io::Read;

use super::ArchiveOptions;
use super::error::ArchiveError;
use super::format::Format;
use super::index::Index;
use super::intake::Received;
use super::spool::Stretch;
use super::trie::{Node, NodeKind, ROOT};
use crate::model::tree::{BodyKey, Entry, Kind, Revision, SourceTree, Time, TreeError, Visited, Walk};
use crate::model::{Digest, TreePath};
use crate::support::clock;

/// An archive that was received whole and checked. Its spool is gone when it is dropped.
pub struct ArchiveTree {
    spool: File,
    bytes: u64,
    index: Index,
    root: u32,
    /// The sub-second part of every time, where the entries' own do not count.
    nanos: Option<u32>,
    revision: Revision,
    identity: String,
}

/// Without the entries: there may be a million.
impl fmt::Debug for ArchiveTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArchiveTree").field("revision", &self.revision).finish_non_exhaustive()
    }
}

impl ArchiveTree {
    pub(super) fn new(received: Received, index: Index, options: &ArchiveOptions) -> Result<Self, ArchiveError> {
        let root = root(&index, &options.subdir)?;
        let subdir = &options.subdir;
        let revision = Revision {
            kind: "archive".into(),
            url: options.url.clone(),
            date: index.newest.and_then(clock::at),
            digest: Some(received.digest.to_string()),
            size: Some(received.size),
            subdir: (!subdir.is_root()).then(|| subdir.display()),
            ..Revision::default()
        };
        // Stripped otherwise, the same archive is another source: two entries may change places, equal in every stat.
        let file = received.format == Format::File;
        let identity = format!("archive\n{}\n{}\n{}\n{file}", options.identity, options.strip_components, subdir.display());
        let nanos = Some(nanos(&received.digest));
        Ok(Self { spool: received.spool, bytes: received.bytes, index, root, nanos, revision, identity })
    }

    /// From a tar that `podwright fetch` made: times count to the nanosecond, and what it is was found out then.
    pub(super) fn prepared(received: Received, index: Index, revision: Revision, identity: String) -> Self {
        Self { spool: received.spool, bytes: received.bytes, index, root: ROOT, nanos: None, revision, identity }
    }

    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    /// Bytes of the spool.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn entry(&self, node: &Node, path: &TreePath) -> Entry {
        let kind = match node.kind {
            NodeKind::Implied | NodeKind::Directory => Kind::Directory,
            NodeKind::File | NodeKind::Hardlink => Kind::File { size: node.length, link: u64::from(node.group) },
            NodeKind::Symlink => Kind::Symlink { target: self.index.target(node).to_vec() },
        };
        let own = node.modified();
        let modified = Time { nanos: self.nanos.unwrap_or(own.nanos), ..own };
        Entry { path: path.clone(), key: if node.is_file() { key(node) } else { [0; 20] }, kind, mode: u32::from(node.mode), modified }
    }

    fn show(&self, directory: u32, path: &TreePath, visit: &mut dyn FnMut(Entry) -> Visited) -> Result<(), TreeError> {
        for child in self.index.children(self.index.node(directory)) {
            let node = self.index.node(*child);
            let name = self.index.name(node);
            let below = path.clone().checked_join(name).map_err(|rule| TreeError::bad_name(name, rule))?;
            if visit(self.entry(node, &below))? == Walk::Enter {
                self.show(*child, &below, visit)?;
            }
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn spool(&self) -> &File {
        &self.spool
    }

    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.index.memory()
    }
}

/// The tree's root has to be a directory of the archive, said or implied.
fn root(index: &Index, subdir: &TreePath) -> Result<u32, ArchiveError> {
    let mut at = ROOT;
    for name in subdir.components() {
        if !index.node(at).is_directory() {
            break;
        }
        let step = TreePath::root().checked_join(name).map_err(|rule| ArchiveError::entry(name, rule))?;
        at = index.find(at, &step).ok_or_else(|| ArchiveError::NoSubdir(subdir.display()))?;
    }
    if index.node(at).is_directory() {
        Ok(at)
    } else {
        Err(ArchiveError::entry(index.name(index.node(at)), "it is no directory, though the subdirectory asked for goes through it"))
    }
}

/// An archive's times have whole seconds, and FileSync sees a change by size and time alone: two archives must not show equal
/// times for what differs.
fn nanos(digest: &Digest) -> u32 {
    let head = u64::from_str_radix(digest.hex().get(..16).unwrap_or_default(), 16).unwrap_or_default();
    u32::try_from(head % 1_000_000_000).unwrap_or_default()
}

fn key(node: &Node) -> BodyKey {
    let mut key = [0; 20];
    key[..8].copy_from_slice(&node.at.to_be_bytes());
    key[8..16].copy_from_slice(&node.length.to_be_bytes());
    key
}

/// Where a body lies, and how long it is.
fn place(key: &BodyKey) -> (u64, u64) {
    let number = |bytes: &[u8]| bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
    (number(&key[..8]), number(&key[8..16]))
}

impl SourceTree for ArchiveTree {
    fn revision(&self) -> &Revision {
        &self.revision
    }

    fn identity(&self) -> String {
        self.identity.clone()
    }

    fn walk(&self, visit: &mut dyn FnMut(Entry) -> Visited) -> Result<(), TreeError> {
        self.show(self.root, &TreePath::root(), visit)
    }

    fn lookup(&self, path: &TreePath) -> Result<Option<Entry>, TreeError> {
        Ok(self.index.find(self.root, path).map(|node| self.entry(self.index.node(node), path)))
    }

    fn open(&self, path: &TreePath, key: &BodyKey) -> Result<Box<dyn Read + Send + '_>, TreeError> {
        let (at, length) = place(key);
        match at.checked_add(length) {
            Some(end) if end <= self.bytes => Ok(Box::new(Stretch::new(&self.spool, at, length))),
            _ => Err(TreeError::Damaged(format!("{:?} has no body in this archive", path.display()))),
        }
    }
}
