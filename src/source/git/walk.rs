//! The one way through a commit's trees: every name in its order, each directory's attributes at hand, and everything counted.

use std::sync::Arc;

use git2::Oid;

use super::attributes::Budget;
use super::checkout::{Checkout, Directory};
use super::objects::{Item, ItemKind, Objects, items};
use crate::model::TreePath;
use crate::model::path::MAX_DEPTH;
use crate::model::tree::{TreeError, Visited, Walk};
use crate::support::limits::{Bound, SOURCE_ENTRIES};

/// What a walk shows.
pub(super) struct Seen<'a> {
    /// As seen from where the walk began.
    pub path: &'a TreePath,
    /// As seen from the commit's root.
    pub full: &'a TreePath,
    pub item: &'a Item<'a>,
    /// The directory it is in; `None` where its attributes cannot be held.
    pub place: Option<&'a Directory>,
}

/// Where a walk begins.
pub(super) struct Start<'a> {
    pub objects: &'a Objects,
    pub checkout: &'a Checkout,
    pub tree: Oid,
    /// As seen from the commit's root.
    pub path: &'a TreePath,
    pub most_entries: u64,
}

/// Shows everything below a directory; one answered with `Skip` is not entered.
pub(super) fn walk(start: &Start<'_>, visit: &mut dyn FnMut(Seen<'_>) -> Visited) -> Result<(), TreeError> {
    let parent = match start.path.parent() {
        Some(above) => held(start.checkout.directory(start.objects, &above))?,
        None => None,
    };
    let at = At { tree: start.tree, path: TreePath::root(), full: start.path.clone(), parent, depth: 0 };
    Walker { start, visit, entries: 0, held: 0, budget: Budget::default() }.directory(&at)
}

/// A directory that is entered.
struct At {
    tree: Oid,
    path: TreePath,
    full: TreePath,
    parent: Option<Arc<Directory>>,
    depth: usize,
}

/// Goes through trees and counts.
struct Walker<'a, 'v> {
    start: &'a Start<'a>,
    visit: &'v mut dyn FnMut(Seen<'_>) -> Visited,
    /// Of every directory that was read, whether or not they were shown yet: those above are all held.
    entries: u64,
    /// Bytes of the tree objects from the root to here.
    held: u64,
    /// What the attributes from the root to here leave.
    budget: Budget,
}

impl Walker<'_, '_> {
    fn directory(&mut self, at: &At) -> Result<(), TreeError> {
        if at.depth > MAX_DEPTH {
            return Err(TreeError::refused(&at.path, format!("it is nested deeper than {MAX_DEPTH} directories")));
        }
        let object = self.start.objects.tree_beside(at.tree, self.held)?;
        let items = items(object.data())?;
        self.entries += items.len() as u64;
        within(&at.path, self.entries, SOURCE_ENTRIES, self.start.most_entries)?;
        self.held += object.len() as u64;
        let before = self.budget;
        let place = self.place(at, &items)?;
        for item in &items {
            let join = |path: &TreePath| path.clone().checked_join(item.name).map_err(|rule| TreeError::bad_name(item.name, rule));
            let (path, full) = (join(&at.path)?, join(&at.full)?);
            let seen = Seen { path: &path, full: &full, item, place: place.as_deref() };
            if (self.visit)(seen)? == Walk::Enter && item.kind() == ItemKind::Directory {
                self.directory(&At { tree: item.id, path, full, parent: place.clone(), depth: at.depth + 1 })?;
            }
        }
        self.budget = before;
        self.held -= object.len() as u64;
        Ok(())
    }

    fn place(&mut self, at: &At, items: &[Item<'_>]) -> Result<Option<Arc<Directory>>, TreeError> {
        match &at.parent {
            Some(parent) => held(parent.enter(self.start.objects, &at.full, at.tree, items, &mut self.budget).map(Arc::new)),
            None if at.full.is_root() => held(self.start.checkout.directory(self.start.objects, &at.full)),
            None => Ok(None),
        }
    }
}

/// Attributes that are refused are for whoever asks for a body.
pub(super) fn held(directory: Result<Arc<Directory>, TreeError>) -> Result<Option<Arc<Directory>>, TreeError> {
    match directory {
        Ok(directory) => Ok(Some(directory)),
        Err(TreeError::Refused { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Refuses what is more than a bound allows.
pub(super) fn within(path: &TreePath, found: u64, bound: Bound, most: u64) -> Result<(), TreeError> {
    if found > most {
        return Err(TreeError::refused(path, format!("with it the source has more than the limit {bound} of {most}")));
    }
    Ok(())
}
