//! Trees in memory, as the tests of this module write them.

use crate::model::TreePath;
pub use crate::model::memory::MemoryTree;
use crate::model::tree::Kind;

pub fn path(text: &str) -> TreePath {
    TreePath::parse(text.as_bytes()).unwrap()
}

impl MemoryTree {
    fn with(mut self, name: &str, kind: Kind, body: Vec<u8>) -> Self {
        self.put(path(name), kind, body);
        self
    }

    pub(super) fn file(self, name: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        self.with(name, Kind::File { size: body.len() as u64, link: 0 }, body)
    }

    pub(super) fn symlink(self, name: &str, target: &str) -> Self {
        self.with(name, Kind::Symlink { target: target.as_bytes().to_vec() }, Vec::new())
    }

    pub(super) fn directory(self, name: &str) -> Self {
        self.with(name, Kind::Directory, Vec::new())
    }
}
