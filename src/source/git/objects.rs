//! The objects of a fetched repository, each asked for with its kind and a bound on its size.

use std::path::Path;

use git2::{ObjectType, Odb, OdbObject, Oid};

use super::ffi::Blob;
use super::names;
use crate::model::TreePath;
use crate::model::path::MAX_NAME;
use crate::model::tree::TreeError;
use crate::support::limits::{GIT_TREES, GIT_TREES_BYTES, OBJECT_BYTES};

/// One line of a tree object.
pub(super) struct Item<'a> {
    pub mode: u32,
    pub name: &'a [u8],
    pub id: Oid,
}

/// What the mode of an item says (git's own five kinds).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ItemKind {
    Directory,
    File,
    Link,
    Submodule,
    Unknown,
}

impl Item<'_> {
    pub fn kind(&self) -> ItemKind {
        match self.mode & 0o170_000 {
            0o040_000 => ItemKind::Directory,
            0o100_000 => ItemKind::File,
            0o120_000 => ItemKind::Link,
            0o160_000 => ItemKind::Submodule,
            _ => ItemKind::Unknown,
        }
    }
}

/// An object database that belongs to nobody's repository, so it can be kept; threads may share it.
pub(super) struct Objects(Odb<'static>);

impl Objects {
    /// Of the `objects` directory of a repository.
    pub fn open(directory: &Path) -> Result<Self, git2::Error> {
        let odb = Odb::new()?;
        odb.add_disk_alternate(&directory.to_string_lossy())?;
        Ok(Self(odb))
    }

    /// A tree whole; `items` reads it.
    pub fn tree(&self, id: Oid) -> Result<OdbObject<'_>, TreeError> {
        self.tree_beside(id, 0)
    }

    /// A tree whole, beside others that are held and have so many bytes.
    pub fn tree_beside(&self, id: Oid, held: u64) -> Result<OdbObject<'_>, TreeError> {
        let size = self.size_of(id, ObjectType::Tree)?;
        if held.saturating_add(size) > GIT_TREES_BYTES {
            let rule = format!("with it the source has more than the limit {GIT_TREES} of {GIT_TREES_BYTES}");
            return Err(TreeError::Refused { path: id.to_string(), rule });
        }
        self.read(id)
    }

    /// Bytes of a file, at most `limit`.
    pub fn size(&self, id: Oid, path: &TreePath, limit: u64) -> Result<u64, TreeError> {
        let size = self.size_of(id, ObjectType::Blob)?;
        if size > limit {
            return Err(TreeError::refused(path, format!("it has {size} bytes, more than the limit {OBJECT_BYTES} of {limit}")));
        }
        Ok(size)
    }

    /// A file whole, as libgit2 holds it.
    pub fn blob(&self, id: Oid, path: &TreePath, limit: u64) -> Result<Blob<'_>, TreeError> {
        self.size(id, path, limit)?;
        Blob::new(self.read(id)?).ok_or_else(|| TreeError::Damaged(format!("object {id} is no file")))
    }

    fn size_of(&self, id: Oid, kind: ObjectType) -> Result<u64, TreeError> {
        let (size, found) = self.0.read_header(id).map_err(|error| damaged(id, &error))?;
        if found == kind { Ok(size as u64) } else { Err(TreeError::Damaged(format!("object {id} is a {found}, not a {kind}"))) }
    }

    fn read(&self, id: Oid) -> Result<OdbObject<'_>, TreeError> {
        self.0.read(id).map_err(|error| damaged(id, &error))
    }
}

fn damaged(id: Oid, error: &git2::Error) -> TreeError {
    TreeError::Damaged(format!("object {id}: {}", error.message()))
}

/// The lines of a tree object, `mode SP name NUL id`, each name checked, in `TreePath`'s order.
/// git sorts a directory as if its name ended in a slash; here siblings are sorted by their names alone.
pub(super) fn items(data: &[u8]) -> Result<Vec<Item<'_>>, TreeError> {
    let mut items = Vec::new();
    let mut rest = data;
    while !rest.is_empty() {
        let (item, after) = item(rest).ok_or_else(|| TreeError::Damaged("a tree object is not what git writes".to_owned()))?;
        rest = after;
        names::check(item.name).map_err(|rule| refused(item.name, rule.to_string()))?;
        items.push(item);
    }
    items.sort_unstable_by(|a, b| a.name.cmp(b.name));
    match items.windows(2).find(|pair| pair[0].name == pair[1].name) {
        Some(pair) => Err(refused(pair[0].name, "the name is there twice in one directory".to_owned())),
        None => Ok(items),
    }
}

fn item(data: &[u8]) -> Option<(Item<'_>, &[u8])> {
    let space = data.iter().take(8).position(|b| *b == b' ')?;
    let mode = u32::from_str_radix(std::str::from_utf8(&data[..space]).ok()?, 8).ok()?;
    let data = &data[space + 1..];
    let (name, after) = data.split_at(data.iter().position(|b| *b == 0)?);
    let id = Oid::from_bytes(after.get(1..21)?).ok()?;
    Some((Item { mode, name, id }, &after[21..]))
}

fn refused(name: &[u8], rule: String) -> TreeError {
    TreeError::Refused { path: String::from_utf8_lossy(&name[..name.len().min(MAX_NAME)]).into_owned(), rule }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(mode: &str, name: &str) -> Vec<u8> {
        [mode.as_bytes(), b" ", name.as_bytes(), b"\0", &[7; 20]].concat()
    }

    #[test]
    fn a_tree_object_is_read_whole_or_not_at_all() {
        let tree = [line("100644", "a.b"), line("40000", "a"), line("120000", "z"), line("160000", "m"), line("10644", "x")].concat();
        let names: Vec<_> = items(&tree).unwrap().iter().map(|item| (item.name.to_owned(), item.kind())).collect();
        let want = [
            ("a", ItemKind::Directory),
            ("a.b", ItemKind::File),
            ("m", ItemKind::Submodule),
            ("x", ItemKind::Unknown),
            ("z", ItemKind::Link),
        ];
        assert_eq!(names, want.map(|(name, kind)| (name.as_bytes().to_owned(), kind)));
        let tree = line("100644", "name");
        assert!(items(b"").unwrap().is_empty());
        for cut in 1..tree.len() {
            assert!(matches!(items(&tree[..cut]), Err(TreeError::Damaged(_))), "{cut}");
        }
        for mode in ["", "9", "-1", "777777777777", "0x1"] {
            assert!(matches!(items(&line(mode, "name")), Err(TreeError::Damaged(_))), "{mode}");
        }
    }
}
