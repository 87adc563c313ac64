//! The walk over what the ignore rules leave of a source.

use crate::model::tree::{Entry, SourceTree, TreeError, Walk};
use crate::support::selection::{Below, Selection};

/// Shows every entry that is not ignored, and every directory that holds one, in the tree's order. Gives the number of
/// entries left out; a directory that was left out whole counts once.
pub fn walk(source: &dyn SourceTree, visible: &Selection, show: &mut dyn FnMut(&Entry) -> Result<(), TreeError>) -> Result<u64, TreeError> {
    let mut walk = visible.walk();
    let mut ready = Vec::new();
    let (mut offered, mut announced) = (0, 0);
    source.walk(&mut |entry| {
        let path = entry.path.clone();
        let below = walk.offer(path.as_bytes(), entry.is_directory(), entry, &mut ready);
        offered += 1;
        announced += ready.len() as u64;
        for entry in ready.drain(..) {
            show(&entry)?;
        }
        Ok(if below == Below::Skip { Walk::Skip } else { Walk::Enter })
    })?;
    Ok(offered - announced)
}
