//! The source that holds nothing: an inline Dockerfile alone has no context.

use std::io::{self, Read};

use crate::model::TreePath;
use crate::model::tree::{BodyKey, Entry, Kind, Revision, SourceTree, Time, TreeError, Visited};

/// A tree without entries.
#[derive(Debug)]
pub struct EmptyTree {
    revision: Revision,
}

impl EmptyTree {
    pub fn new() -> Self {
        Self { revision: Revision { kind: "dockerfile".into(), ..Revision::default() } }
    }
}

impl Default for EmptyTree {
    fn default() -> Self {
        Self::new()
    }
}

impl SourceTree for EmptyTree {
    fn revision(&self) -> &Revision {
        &self.revision
    }

    /// One for all: nothing cannot be mistaken for anything else.
    fn identity(&self) -> String {
        "dockerfile".into()
    }

    fn walk(&self, _visit: &mut dyn FnMut(Entry) -> Visited) -> Result<(), TreeError> {
        Ok(())
    }

    fn lookup(&self, path: &TreePath) -> Result<Option<Entry>, TreeError> {
        let root = || Entry { path: TreePath::root(), kind: Kind::Directory, mode: 0o755, modified: Time::default(), key: [0; 20] };
        Ok(path.is_root().then(root))
    }

    fn open(&self, path: &TreePath, _key: &BodyKey) -> Result<Box<dyn Read + Send + '_>, TreeError> {
        Err(TreeError::io(path, io::ErrorKind::NotFound.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tree::Walk;

    #[test]
    fn nothing_is_shown_found_or_opened() {
        let tree = EmptyTree::new();
        let path = TreePath::parse(b"Dockerfile").unwrap();
        let mut shown = 0;
        tree.walk(&mut |_| {
            shown += 1;
            Ok(Walk::Enter)
        })
        .unwrap();
        assert_eq!(shown, 0);
        assert_eq!(tree.lookup(&path).unwrap(), None);
        assert_eq!(tree.read(&path, 1).unwrap(), None);
        assert!(tree.lookup(&TreePath::root()).unwrap().unwrap().is_directory());
        assert!(tree.open(&path, &[0; 20]).is_err());
        assert_eq!(tree.revision().kind, "dockerfile");
    }
}
