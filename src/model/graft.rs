//! A tree with others in it: submodules in the directories that are theirs, a `.git` beside the files.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Bound;

use super::TreePath;
use super::tree::{BodyKey, Entry, Kind, Revision, SourceTree, Time, TreeError, Visited, Walk};
use crate::support::limits::{Limits, SOURCE_BYTES, SOURCE_ENTRIES};

/// A tree, and what stands in it in the place of directories that are empty or not there.
pub struct GraftedTree<T> {
    base: T,
    grafts: BTreeMap<TreePath, Box<dyn SourceTree>>,
    limits: Limits,
}

impl<T: SourceTree> GraftedTree<T> {
    /// Of the limits, `source_entries` and `source_bytes` bind a walk over all of it.
    pub fn new(base: T, limits: Limits) -> Self {
        Self { base, grafts: BTreeMap::new(), limits }
    }

    /// Puts a tree at a path below the root. The directory above it must be one of the base.
    pub fn graft(&mut self, at: TreePath, tree: Box<dyn SourceTree>) {
        self.grafts.insert(at, tree);
    }

    /// The graft that holds the path, and the path within it.
    fn within(&self, path: &TreePath) -> Option<(&dyn SourceTree, TreePath)> {
        let mut at = Some(path.clone());
        while let Some(above) = at {
            if let Some(tree) = self.grafts.get(&above) {
                let depth = above.components().count();
                let mut rest = TreePath::root();
                for name in path.components().skip(depth) {
                    rest = rest.checked_join(name).ok()?;
                }
                return Some((tree.as_ref(), rest));
            }
            at = above.parent();
        }
        None
    }
}

/// A path of a graft, as the whole has it.
fn joined(at: &TreePath, below: &TreePath) -> Result<TreePath, TreeError> {
    let mut path = at.clone();
    for name in below.components() {
        path = path.checked_join(name).map_err(|rule| TreeError::bad_name(name, rule))?;
    }
    Ok(path)
}

/// Shows the base and the grafts in one order, and counts.
struct Walker<'a, 'v> {
    grafts: &'a BTreeMap<TreePath, Box<dyn SourceTree>>,
    visit: &'v mut dyn FnMut(Entry) -> Visited,
    limits: &'a Limits,
    entries: u64,
    bytes: u64,
    /// Up to here, and with it, grafts were shown or passed over.
    done: Option<TreePath>,
}

impl Walker<'_, '_> {
    fn show(&mut self, entry: Entry) -> Visited {
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(entry.size());
        let over =
            |bound, most: u64| TreeError::refused(&entry.path, format!("with it the source has more than the limit {bound} of {most}"));
        if self.entries > self.limits.source_entries {
            return Err(over(SOURCE_ENTRIES, self.limits.source_entries));
        }
        if self.bytes > self.limits.source_bytes {
            return Err(over(SOURCE_BYTES, self.limits.source_bytes));
        }
        (self.visit)(entry)
    }

    /// Shows an entry of the base, after the grafts that come before it.
    fn base(&mut self, entry: Entry) -> Visited {
        self.before(Some(&entry.path), entry.modified)?;
        let path = entry.path.clone();
        let graft = self.grafts.get(&path);
        let walk = self.show(entry)?;
        if walk == Walk::Skip {
            // Nor anything of the grafts below it.
            let below = |at: &&TreePath| path.components().zip(at.components()).all(|(a, b)| a == b);
            let last = self.grafts.range((Bound::Excluded(&path), Bound::Unbounded)).map(|(at, _)| at).take_while(below).last();
            self.done = Some(last.unwrap_or(&path).clone());
            return Ok(Walk::Skip);
        }
        if let Some(tree) = graft {
            self.done = Some(path.clone());
            self.graft(&path, tree.as_ref())?;
            // What stands in the base there is not part of it.
            return Ok(Walk::Skip);
        }
        Ok(Walk::Enter)
    }

    /// Shows the grafts that the base has no directory for, up to a path.
    fn before(&mut self, path: Option<&TreePath>, modified: Time) -> Result<(), TreeError> {
        let from = self.done.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let to = path.map_or(Bound::Unbounded, Bound::Excluded);
        if let (Bound::Excluded(from), Bound::Excluded(to)) = (&from, to)
            && from >= to
        {
            return Ok(());
        }
        for (at, tree) in self.grafts.range((from.as_ref(), to)) {
            self.done = Some(at.clone());
            let directory = Entry { path: at.clone(), kind: Kind::Directory, mode: 0o755, modified, key: BodyKey::default() };
            if self.show(directory)? == Walk::Enter {
                self.graft(at, tree.as_ref())?;
            }
        }
        Ok(())
    }

    fn graft(&mut self, at: &TreePath, tree: &dyn SourceTree) -> Result<(), TreeError> {
        tree.walk(&mut |entry| {
            let path = joined(at, &entry.path)?;
            self.show(Entry { path, ..entry })
        })
    }
}

impl<T: SourceTree> SourceTree for GraftedTree<T> {
    fn revision(&self) -> &Revision {
        self.base.revision()
    }

    fn identity(&self) -> String {
        self.base.identity()
    }

    fn walk(&self, visit: &mut dyn FnMut(Entry) -> Visited) -> Result<(), TreeError> {
        let mut walker = Walker { grafts: &self.grafts, visit, limits: &self.limits, entries: 0, bytes: 0, done: None };
        let mut modified = Time::default();
        self.base.walk(&mut |entry| {
            modified = entry.modified;
            walker.base(entry)
        })?;
        walker.before(None, modified)
    }

    fn lookup(&self, path: &TreePath) -> Result<Option<Entry>, TreeError> {
        let Some((tree, rest)) = self.within(path) else { return self.base.lookup(path) };
        let found = tree.lookup(&rest)?;
        Ok(found.map(|entry| Entry { path: path.clone(), ..entry }))
    }

    fn open(&self, path: &TreePath, key: &BodyKey) -> Result<Box<dyn Read + Send + '_>, TreeError> {
        match self.within(path) {
            Some((tree, rest)) => tree.open(&rest, key),
            None => self.base.open(path, key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::memory::MemoryTree;

    fn path(text: &str) -> TreePath {
        TreePath::parse(text.as_bytes()).unwrap()
    }

    fn tree(files: &[&str]) -> MemoryTree {
        MemoryTree::new(Revision::default(), files.iter().map(|name| (path(name), name.as_bytes().to_vec())).collect())
    }

    fn whole() -> GraftedTree<MemoryTree> {
        let mut base = tree(&["a", "b/x", "d.txt", "z"]);
        base.put(path("d"), Kind::Directory, Vec::new());
        base.put(path("sub/deep"), Kind::Directory, Vec::new());
        let mut whole = GraftedTree::new(base, Limits::default());
        whole.graft(path(".git"), Box::new(tree(&["HEAD", "objects/pack/p"])));
        whole.graft(path("d"), Box::new(tree(&["one", "two/three"])));
        whole.graft(path("sub/deep"), Box::new(tree(&["four"])));
        whole
    }

    fn shown(tree: &dyn SourceTree, skip: &str) -> Vec<String> {
        let mut names = Vec::new();
        let walked = tree.walk(&mut |entry| {
            names.push(entry.path.display());
            Ok(if entry.path.display() == skip { Walk::Skip } else { Walk::Enter })
        });
        walked.unwrap();
        names
    }

    #[test]
    fn it_is_one_tree_in_one_order() {
        let whole = whole();
        let names = shown(&whole, "");
        let want = [
            ".git",
            ".git/HEAD",
            ".git/objects",
            ".git/objects/pack",
            ".git/objects/pack/p",
            "a",
            "b",
            "b/x",
            "d",
            "d/one",
            "d/two",
            "d/two/three",
            "d.txt",
            "sub",
            "sub/deep",
            "sub/deep/four",
            "z",
        ];
        assert_eq!(names, want);
        assert!(names.iter().map(|name| path(name)).is_sorted());
        for name in &names {
            let entry = whole.lookup(&path(name)).unwrap().unwrap();
            assert_eq!(entry.path.display(), *name);
            if !entry.is_directory() {
                let mut body = String::new();
                whole.open(&entry.path, &entry.key).unwrap().read_to_string(&mut body).unwrap();
                assert!(name.ends_with(&body), "{name}: {body}");
            }
        }
        assert!(whole.lookup(&path("d/none")).unwrap().is_none());
    }

    #[test]
    fn what_is_skipped_is_skipped_with_its_grafts() {
        assert_eq!(shown(&whole(), "sub").last().unwrap(), "z");
        assert!(!shown(&whole(), "sub").iter().any(|name| name.starts_with("sub/")));
        assert!(!shown(&whole(), "d").iter().any(|name| name.starts_with("d/")));
        assert!(!shown(&whole(), ".git").iter().any(|name| name.starts_with(".git/")));
        assert!(!shown(&whole(), "d/two").contains(&"d/two/three".to_owned()));
        assert!(shown(&whole(), "d").contains(&"sub/deep/four".to_owned()));
    }

    #[test]
    fn the_limits_go_for_all_of_it() {
        let mut whole = whole();
        whole.limits.source_entries = 10;
        let error = whole.walk(&mut |_| Ok(Walk::Enter)).unwrap_err();
        assert!(error.to_string().contains("limits.sourceEntries"), "{error}");
    }
}
