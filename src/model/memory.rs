//! A tree of a few small files that are in memory already: the Dockerfile and its ignore file, as they were read and checked.

use std::io::Read;

use sha2::{Digest as _, Sha256};

use crate::model::tree::{BodyKey, Entry, Kind, Revision, SourceTree, Time, TreeError, Visited, Walk};
use crate::model::{Digest, TreePath};

pub struct MemoryTree {
    revision: Revision,
    /// In order, with every directory above a file.
    entries: Vec<(Entry, Vec<u8>)>,
}

impl MemoryTree {
    pub fn new(revision: Revision, files: Vec<(TreePath, Vec<u8>)>) -> Self {
        let mut entries: Vec<(Entry, Vec<u8>)> = Vec::new();
        for (path, body) in files {
            let mut above = path.parent();
            while let Some(directory) = above.filter(|directory| !directory.is_root()) {
                above = directory.parent();
                if !entries.iter().any(|(entry, _)| entry.path == directory) {
                    entries.push((entry(directory, Kind::Directory, 0o755, &[]), Vec::new()));
                }
            }
            entries.push((entry(path, Kind::File { size: body.len() as u64, link: 0 }, 0o644, &body), body));
        }
        entries.sort_by(|(a, _), (b, _)| a.path.cmp(&b.path));
        Self { revision, entries }
    }

    fn find(&self, path: &TreePath) -> Option<&(Entry, Vec<u8>)> {
        self.entries.iter().find(|(entry, _)| entry.path == *path)
    }
}

/// The time says nothing but whether the content is another: a daemon that has the file goes by it.
fn entry(path: TreePath, kind: Kind, mode: u32, body: &[u8]) -> Entry {
    let hash = Sha256::digest(body);
    let number = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
    let modified = Time { seconds: i64::from(number >> 2), nanos: u32::from(hash[4]) * 1000 };
    Entry { path, kind, mode, modified, key: BodyKey::default() }
}

impl SourceTree for MemoryTree {
    fn revision(&self) -> &Revision {
        &self.revision
    }

    fn identity(&self) -> String {
        let mut hash = Sha256::new();
        self.entries.iter().for_each(|(_, body)| hash.update(Sha256::digest(body)));
        Digest::sha256(hash.finalize()).to_string()
    }

    fn walk(&self, visit: &mut dyn FnMut(Entry) -> Visited) -> Result<(), TreeError> {
        let mut skipped: Option<&TreePath> = None;
        for (entry, _) in &self.entries {
            if skipped.is_some_and(|directory| entry.path.strip(directory).is_some()) {
                continue;
            }
            if visit(entry.clone())? == Walk::Skip && entry.is_directory() {
                skipped = Some(&entry.path);
            }
        }
        Ok(())
    }

    fn lookup(&self, path: &TreePath) -> Result<Option<Entry>, TreeError> {
        Ok(self.find(path).map(|(entry, _)| entry.clone()))
    }

    fn open(&self, path: &TreePath, _: &BodyKey) -> Result<Box<dyn Read + Send + '_>, TreeError> {
        match self.find(path) {
            Some((_, body)) => Ok(Box::new(body.as_slice())),
            None => Err(TreeError::Damaged(format!("{path:?} was never announced"))),
        }
    }
}
