//! What of a commit's files is kept beside the repository: the pointers in it, and where their objects are.

use std::ops::RangeInclusive;
use std::path::Path;

use super::GitTree;
use crate::model::TreePath;
use crate::model::tree::{TreeError, Walk};
use crate::source::git::GitError;
use crate::source::git::checkout::Directory;
use crate::source::git::lfs::{Lfs, POINTER_BYTES, Pointer, Store};
use crate::source::git::objects::{ItemKind, items};
use crate::source::git::walk::Seen;

/// Bytes of what may be a pointer at all.
const POINTERS: RangeInclusive<u64> = 100..=POINTER_BYTES;

/// Bytes of a file that is looked at although no attribute calls it a pointer: what git-lfs itself writes has some 130.
const STRAY: RangeInclusive<u64> = 120..=200;

/// Whether the attributes of a pointer say that it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source::git) enum Pointing {
    Tracked,
    Stray,
}

impl GitTree {
    /// Where the fetch keeps what it needs, until the tree is dropped.
    pub(in crate::source::git) fn directory(&self) -> &Path {
        self.scratch.path()
    }

    /// What was fetched beside the repository, with the bytes that came.
    pub(in crate::source::git) fn keep_objects(&mut self, store: Store, received: u64) {
        self.revision.size = self.revision.size.map(|size| size.saturating_add(received));
        // The same commit, and other files in it.
        if store.mode() != Lfs::Auto {
            self.identity.push_str(" pointers");
        }
        self.objects_beside = store;
    }

    /// A file of the commit's root, whole, whatever directory of it is built.
    pub(in crate::source::git) fn at_root(&self, name: &[u8], limit: u64) -> Result<Option<Vec<u8>>, TreeError> {
        let object = self.objects.tree(self.checkout.root())?;
        let items = items(object.data())?;
        let Some(item) = items.iter().find(|item| item.name == name && item.kind() == ItemKind::File) else { return Ok(None) };
        let path = TreePath::root().checked_join(name).map_err(|rule| TreeError::bad_name(name, rule))?;
        Ok(Some(self.objects.blob(item.id, &path, limit)?.data().to_owned()))
    }

    /// Shows every file that is a pointer of Git LFS, whether or not its attributes say so, as long as somebody wants to know.
    pub(in crate::source::git) fn pointers(
        &self,
        goes_on: &dyn Fn() -> bool,
        visit: &mut dyn FnMut(&TreePath, Pointer, Pointing) -> Result<(), GitError>,
    ) -> Result<(), GitError> {
        let mut failed = None;
        let walked = self.walk_items(&mut |Seen { path, full, item, place }| {
            if !goes_on() {
                failed = Some(GitError::Cancelled);
                return Err(TreeError::Abandoned);
            }
            if item.kind() != ItemKind::File {
                return Ok(Walk::Enter);
            }
            let size = self.objects.size(item.id, path, u64::MAX)?;
            let tracked = |place: &Directory| place.mentions_lfs() && place.treatment(full.as_bytes()).lfs;
            let tracked = POINTERS.contains(&size) && place.is_some_and(tracked);
            if !tracked && !STRAY.contains(&size) {
                return Ok(Walk::Enter);
            }
            let Some(pointer) = Pointer::parse(self.objects.blob(item.id, path, size)?.data()) else { return Ok(Walk::Enter) };
            visit(path, pointer, if tracked { Pointing::Tracked } else { Pointing::Stray }).map_err(|error| {
                failed = Some(error);
                TreeError::Abandoned
            })?;
            Ok(Walk::Enter)
        });
        match (failed, walked) {
            (Some(error), _) => Err(error),
            // What is refused is said to whoever walks there: it may lie where nobody does.
            (None, Ok(()) | Err(TreeError::Refused { .. })) => Ok(()),
            (None, Err(error)) => Err(error.into()),
        }
    }
}
