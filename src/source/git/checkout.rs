//! Whether a checkout would have given a file other bytes than the repository holds: LFS and active attributes.
//!
//! Asked when a body is asked for, so that a file nobody copies into the image stops nothing.

use std::collections::HashMap;
use std::iter::successors;
use std::sync::{Arc, Mutex, PoisonError};

use git2::Oid;

use super::attributes::{self, Attributes, Budget, Rules, TooMany};
use super::objects::{ItemKind, Objects, items};
use crate::model::TreePath;
use crate::model::tree::TreeError;

/// What begins a pointer of Git LFS, and how long one may be (git-lfs, docs/spec.md).
const LFS: &[u8] = b"version https://git-lfs.github.com/spec/v1";
const LFS_BYTES: usize = 1024;

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
struct Directory {
    tree: Oid,
    /// Bytes of its path and the slash after it.
    skip: usize,
    rules: Rules,
    parent: Option<Arc<Directory>>,
}

impl Checkout {
    /// `root` is the commit's own tree, where attributes begin, whatever directory of it is built.
    pub fn new(root: Oid) -> Self {
        Self { root, known: Mutex::default() }
    }

    /// Refuses a body that is not what `git clone` would have written. `path` begins at the commit's root.
    pub fn check(&self, objects: &Objects, path: &TreePath, body: &[u8]) -> Result<(), TreeError> {
        if body.len() < LFS_BYTES && body.starts_with(LFS) {
            let rule = "it is a pointer of Git LFS, which is not built: the file itself is not in the repository";
            return Err(TreeError::refused(path, rule));
        }
        let nearest = self.directory(objects, &path.parent().unwrap_or_default())?;
        let chain: Vec<&Directory> = successors(Some(&*nearest), |directory| directory.parent.as_deref()).collect();
        if chain.iter().all(|directory| directory.rules.is_empty()) {
            return Ok(());
        }
        let files = chain.iter().map(|directory| (&directory.rules, &path.as_bytes()[directory.skip..]));
        match Attributes::of(files, chain.last().map(|directory| &directory.rules)).changes(body) {
            Some(attribute) => {
                Err(TreeError::refused(path, format!("its attribute {attribute} would change it on checkout, which is not built")))
            }
            None => Ok(()),
        }
    }

    fn directory(&self, objects: &Objects, path: &TreePath) -> Result<Arc<Directory>, TreeError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.directories.len() >= MOST_DIRECTORIES || known.budget.is_low() {
            *known = Known::default();
        }
        known.directory(self.root, objects, path)
    }
}

impl Checkout {
    /// Directories that are held now.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).directories.len()
    }
}

impl Known {
    /// The directory with its attributes and all above it; each is read once, as long as it is kept.
    fn directory(&mut self, root: Oid, objects: &Objects, path: &TreePath) -> Result<Arc<Directory>, TreeError> {
        if let Some(known) = self.directories.get(path) {
            return Ok(Arc::clone(known));
        }
        let directory = match path.parent() {
            None => Directory { tree: root, skip: 0, rules: rules(objects, root, path, None, &mut self.budget)?, parent: None },
            Some(above) => {
                let parent = self.directory(root, objects, &above)?;
                let tree = below(objects, parent.tree, path)?;
                let rules = rules(objects, tree, path, Some(parent.topmost()), &mut self.budget)?;
                Directory { tree, skip: path.as_bytes().len() + 1, rules, parent: Some(parent) }
            }
        };
        let directory = Arc::new(directory);
        self.directories.insert(path.clone(), Arc::clone(&directory));
        Ok(directory)
    }
}

impl Directory {
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

/// The directory's own file; a link of that name counts for nothing, as in git.
fn rules(objects: &Objects, tree: Oid, path: &TreePath, root: Option<&Rules>, budget: &mut Budget) -> Result<Rules, TreeError> {
    let object = objects.tree(tree)?;
    let items = items(object.data())?;
    let Some(item) = items.iter().find(|item| item.name == b".gitattributes" && item.kind() == ItemKind::File) else {
        return Ok(Rules::default());
    };
    let file = path.clone().checked_join(item.name).map_err(|rule| TreeError::bad_name(item.name, rule))?;
    let text = objects.blob(item.id, &file, attributes::FILE_BYTES)?;
    let rule = "with it the commit has more attributes than can be matched";
    Rules::parse(text.data(), root, budget).map_err(|TooMany| TreeError::refused(&file, rule))
}
