//! What a checkout does to the files of one commit: the `.gitattributes` on the way to each, read as far as they are needed.
//!
//! What cannot be followed is an error only for whoever asks for a body, so that a file nobody copies into the image stops
//! nothing.

use std::collections::HashMap;
use std::iter::successors;
use std::sync::{Arc, Mutex, PoisonError};

use git2::Oid;

use super::attributes::{self, Attributes, Budget, Rules, TooMany, Treatment};
use super::objects::{Item, ItemKind, Objects, items};
use crate::model::TreePath;
use crate::model::tree::TreeError;

/// Directories whose attributes are kept; a hostile tree has millions of them, with long names.
const MOST_DIRECTORIES: usize = 4096;

/// The attributes of one commit, read as far as they are needed.
pub(super) struct Checkout {
    root: Oid,
    known: Mutex<Known>,
}

/// What is kept, and what may still be.
#[derive(Default)]
struct Known {
    directories: HashMap<TreePath, Arc<Directory>>,
    budget: Budget,
}

/// A directory on the way to a file.
pub(super) struct Directory {
    tree: Oid,
    /// Bytes of its path and the slash after it.
    skip: usize,
    rules: Rules,
    parent: Option<Arc<Directory>>,
    /// No rule is here or above.
    is_plain: bool,
    mentions_lfs: bool,
}

impl Checkout {
    /// `root` is the commit's own tree, where attributes begin, whatever directory of it is built.
    pub fn new(root: Oid) -> Self {
        Self { root, known: Mutex::default() }
    }

    /// The commit's own tree.
    pub fn root(&self) -> Oid {
        self.root
    }

    /// The directory with its attributes and all above it. `path` begins at the commit's root.
    pub fn directory(&self, objects: &Objects, path: &TreePath) -> Result<Arc<Directory>, TreeError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.directories.len() >= MOST_DIRECTORIES || known.budget.is_low() {
            *known = Known::default();
        }
        known.directory(self.root, objects, path)
    }

    /// Directories that are held now.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).directories.len()
    }
}

impl Known {
    /// Each is read once, as long as it is kept.
    fn directory(&mut self, root: Oid, objects: &Objects, path: &TreePath) -> Result<Arc<Directory>, TreeError> {
        if let Some(known) = self.directories.get(path) {
            return Ok(Arc::clone(known));
        }
        let parent = path.parent().map(|above| self.directory(root, objects, &above)).transpose()?;
        let tree = parent.as_ref().map_or(Ok(root), |parent| below(objects, parent.tree, path))?;
        let object = objects.tree(tree)?;
        let directory = Directory::new(objects, path, tree, &items(object.data())?, parent, &mut self.budget)?;
        let directory = Arc::new(directory);
        self.directories.insert(path.clone(), Arc::clone(&directory));
        Ok(directory)
    }
}

impl Directory {
    fn new(
        objects: &Objects,
        path: &TreePath,
        tree: Oid,
        items: &[Item<'_>],
        parent: Option<Arc<Self>>,
        budget: &mut Budget,
    ) -> Result<Self, TreeError> {
        let rules = rules(objects, items, path, parent.as_ref().map(|parent| parent.topmost()), budget)?;
        let is_plain = rules.is_empty() && parent.as_ref().is_none_or(|parent| parent.is_plain);
        let mentions_lfs = rules.mentions_lfs() || parent.as_ref().is_some_and(|parent| parent.mentions_lfs);
        let skip = if path.is_root() { 0 } else { path.as_bytes().len() + 1 };
        Ok(Self { tree, skip, rules, parent, is_plain, mentions_lfs })
    }

    /// A directory in this one, which is not kept for others. `budget` is what may be held beside all above it.
    pub fn enter(
        self: &Arc<Self>,
        objects: &Objects,
        path: &TreePath,
        tree: Oid,
        items: &[Item<'_>],
        budget: &mut Budget,
    ) -> Result<Self, TreeError> {
        Self::new(objects, path, tree, items, Some(Arc::clone(self)), budget)
    }

    /// Whether a file in here may be one of Git LFS, before anybody looks closer.
    pub fn mentions_lfs(&self) -> bool {
        self.mentions_lfs
    }

    /// What becomes of a file in here. `path` begins at the commit's root.
    pub fn treatment(&self, path: &[u8]) -> Treatment {
        if self.is_plain {
            return Treatment::default();
        }
        let chain = || successors(Some(self), |directory| directory.parent.as_deref());
        let files = chain().map(|directory| (&directory.rules, &path[directory.skip..]));
        Attributes::of(files, Some(self.topmost())).treatment()
    }

    /// The rules of the commit's root.
    fn topmost(&self) -> &Rules {
        self.parent.as_ref().map_or(&self.rules, |parent| parent.topmost())
    }
}

fn below(objects: &Objects, parent: Oid, path: &TreePath) -> Result<Oid, TreeError> {
    let object = objects.tree(parent)?;
    let items = items(object.data())?;
    let item = items.iter().find(|item| item.name == path.name() && item.kind() == ItemKind::Directory);
    item.map(|item| item.id).ok_or_else(|| TreeError::refused(path, "it is no directory of this source"))
}

/// The directory's own file. A link of that name is not followed: a checkout takes the text of its target for the rules (attr.c,
/// `read_attr_from_index`, which does not look at the mode).
fn rules(objects: &Objects, items: &[Item<'_>], path: &TreePath, root: Option<&Rules>, budget: &mut Budget) -> Result<Rules, TreeError> {
    let Some(item) = items.iter().find(|item| item.name == b".gitattributes" && matches!(item.kind(), ItemKind::File | ItemKind::Link))
    else {
        return Ok(Rules::default());
    };
    let file = path.clone().checked_join(item.name).map_err(|rule| TreeError::bad_name(item.name, rule))?;
    let text = objects.blob(item.id, &file, attributes::FILE_BYTES)?;
    let rule = "with it the commit has more attributes than can be matched";
    Rules::parse(text.data(), root, budget).map_err(|TooMany| TreeError::refused(&file, rule))
}
