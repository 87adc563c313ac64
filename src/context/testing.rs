//! A tree in memory, for the tests of this module.

use std::collections::BTreeMap;
use std::io::Read;

use crate::model::TreePath;
use crate::model::tree::{BodyKey, Entry, Kind, Revision, SourceTree, Time, TreeError, Visited, Walk};

/// Entries by name; directories above an entry are there by themselves.
#[derive(Default)]
pub struct MemoryTree {
    entries: BTreeMap<TreePath, (Kind, Vec<u8>)>,
    revision: Revision,
}

pub fn path(text: &str) -> TreePath {
    TreePath::parse(text.as_bytes()).unwrap()
}

impl MemoryTree {
    pub fn file(mut self, name: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        self.put(name, Kind::File { size: body.len() as u64, link: 0 }, body);
        self
    }

    pub fn symlink(mut self, name: &str, target: &str) -> Self {
        self.put(name, Kind::Symlink { target: target.as_bytes().to_vec() }, Vec::new());
        self
    }

    pub fn directory(mut self, name: &str) -> Self {
        self.put(name, Kind::Directory, Vec::new());
        self
    }

    fn put(&mut self, name: &str, kind: Kind, body: Vec<u8>) {
        let path = path(name);
        let mut above = path.parent();
        while let Some(directory) = above.filter(|directory| !directory.is_root()) {
            above = directory.parent();
            self.entries.entry(directory).or_insert((Kind::Directory, Vec::new()));
        }
        self.entries.insert(path, (kind, body));
    }
}

fn entry(path: &TreePath, kind: &Kind) -> Entry {
    Entry { path: path.clone(), kind: kind.clone(), mode: 0o644, modified: Time::default(), key: [0; 20] }
}

impl SourceTree for MemoryTree {
    fn revision(&self) -> &Revision {
        &self.revision
    }

    fn identity(&self) -> String {
        "memory".into()
    }

    fn walk(&self, visit: &mut dyn FnMut(Entry) -> Visited) -> Result<(), TreeError> {
        let mut skipped: Option<TreePath> = None;
        for (path, (kind, _)) in &self.entries {
            if skipped.as_ref().is_some_and(|above| path.strip(above).is_some()) {
                continue;
            }
            if visit(entry(path, kind))? == Walk::Skip {
                skipped = Some(path.clone());
            }
        }
        Ok(())
    }

    fn lookup(&self, path: &TreePath) -> Result<Option<Entry>, TreeError> {
        Ok(self.entries.get(path).map(|(kind, _)| entry(path, kind)))
    }

    fn open(&self, path: &TreePath, _key: &BodyKey) -> Result<Box<dyn Read + Send + '_>, TreeError> {
        match self.entries.get(path) {
            Some((_, body)) => Ok(Box::new(body.as_slice())),
            None => Err(TreeError::refused(path, "no such entry")),
        }
    }
}
