//! A tree of a few small files that are in memory already: the Dockerfile and its ignore file, as they were read and checked;
//! or nothing at all, where an inline Dockerfile has no context.

use std::collections::BTreeMap;
use std::io::Read;

use sha2::{Digest as _, Sha256};

use super::tree::{BodyKey, Entry, Kind, Revision, SourceTree, Time, TreeError, Visited, Walk};
use super::{Digest, TreePath};

/// Entries by name; directories above an entry are there by themselves.
#[derive(Default)]
pub struct MemoryTree {
    revision: Revision,
    entries: BTreeMap<TreePath, (Kind, Vec<u8>)>,
}

impl MemoryTree {
    pub fn new(revision: Revision, files: Vec<(TreePath, Vec<u8>)>) -> Self {
        let mut tree = Self { revision, entries: BTreeMap::new() };
        for (path, body) in files {
            tree.put(path, Kind::File { size: body.len() as u64, link: 0 }, body);
        }
        tree
    }

    /// Adds an entry, with the directories above it.
    pub fn put(&mut self, path: TreePath, kind: Kind, body: Vec<u8>) {
        let mut above = path.parent();
        while let Some(directory) = above.filter(|directory| !directory.is_root()) {
            above = directory.parent();
            self.entries.entry(directory).or_insert((Kind::Directory, Vec::new()));
        }
        self.entries.insert(path, (kind, body));
    }
}

/// The time says nothing but whether the content is another: a daemon that has the file goes by it.
fn entry(path: &TreePath, kind: &Kind, body: &[u8]) -> Entry {
    let hash = Sha256::digest(body);
    let number = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
    let modified = Time { seconds: i64::from(number >> 2), nanos: u32::from(hash[4]) * 1000 };
    let mode = if *kind == Kind::Directory { 0o755 } else { 0o644 };
    Entry { path: path.clone(), kind: kind.clone(), mode, modified, key: BodyKey::default() }
}

impl SourceTree for MemoryTree {
    fn revision(&self) -> &Revision {
        &self.revision
    }

    fn identity(&self) -> String {
        let mut hash = Sha256::new();
        self.entries.values().for_each(|(_, body)| hash.update(Sha256::digest(body)));
        Digest::sha256(hash.finalize()).to_string()
    }

    fn walk(&self, visit: &mut dyn FnMut(Entry) -> Visited) -> Result<(), TreeError> {
        let mut skipped: Option<&TreePath> = None;
        for (path, (kind, body)) in &self.entries {
            if skipped.is_some_and(|directory| path.strip(directory).is_some()) {
                continue;
            }
            if visit(entry(path, kind, body))? == Walk::Skip && *kind == Kind::Directory {
                skipped = Some(path);
            }
        }
        Ok(())
    }

    fn lookup(&self, path: &TreePath) -> Result<Option<Entry>, TreeError> {
        if path.is_root() {
            return Ok(Some(entry(path, &Kind::Directory, &[])));
        }
        Ok(self.entries.get(path).map(|(kind, body)| entry(path, kind, body)))
    }

    fn open(&self, path: &TreePath, _: &BodyKey) -> Result<Box<dyn Read + Send + '_>, TreeError> {
        match self.entries.get(path) {
            Some((_, body)) => Ok(Box::new(body.as_slice())),
            None => Err(TreeError::Damaged(format!("{path:?} was never announced"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_tree_shows_finds_and_opens_nothing() {
        let tree = MemoryTree::new(Revision { kind: "dockerfile".into(), ..Revision::default() }, Vec::new());
        let path = TreePath::parse(b"Dockerfile").unwrap();
        let mut shown = 0;
        tree.walk(&mut |_| {
            shown += 1;
            Ok(Walk::Enter)
        })
        .unwrap();
        assert_eq!((shown, tree.lookup(&path).unwrap(), tree.read(&path, 1).unwrap()), (0, None, None));
        assert!(tree.lookup(&TreePath::root()).unwrap().unwrap().is_directory());
        assert!(tree.open(&path, &BodyKey::default()).is_err());
        assert_eq!(tree.revision().kind, "dockerfile");
    }
}
