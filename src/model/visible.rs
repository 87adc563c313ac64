//! The walk over what of a tree somebody wants to see.

use std::collections::HashMap;

use super::TreePath;
use super::tree::{Entry, Kind, SourceTree, TreeError, Walk};
use crate::support::selection::{Below, Selection};

/// How many entries were shown, and how many left out; a directory that was left out whole counts once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    pub shown: u64,
    pub left_out: u64,
}

/// Shows every entry that is selected, and every directory that holds one, in the tree's order.
pub fn walk(
    source: &dyn SourceTree,
    selection: &Selection,
    show: &mut dyn FnMut(&Entry) -> Result<(), TreeError>,
) -> Result<Counted, TreeError> {
    let mut walk = selection.walk();
    let mut ready = Vec::new();
    let (mut offered, mut shown) = (0, 0);
    source.walk(&mut |entry| {
        let path = entry.path.clone();
        let below = walk.offer(path.as_bytes(), entry.is_directory(), entry, &mut ready);
        offered += 1;
        shown += ready.len() as u64;
        for entry in ready.drain(..) {
            show(&entry)?;
        }
        Ok(if below == Below::Skip { Walk::Skip } else { Walk::Enter })
    })?;
    Ok(Counted { shown, left_out: offered - shown })
}

/// The first name of each file that has several, as they are shown.
#[derive(Default)]
pub struct FirstNames(HashMap<u64, TreePath>);

impl FirstNames {
    /// The name under which this entry's file was shown before; `None` where it is the first or the only one.
    pub fn before(&mut self, entry: &Entry) -> Option<TreePath> {
        let Kind::File { link, .. } = entry.kind else { return None };
        let first = self.0.get(&link).cloned();
        if link != 0 && first.is_none() {
            self.0.insert(link, entry.path.clone());
        }
        first
    }
}
