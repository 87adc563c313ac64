//! One commit as a tree of entries, read from the objects of a bare repository.
//!
//! Every name, mode and size in it was chosen by whoever wrote the repository: each is checked when it is met.

use std::io::Read;

use git2::Oid;

use super::GitError;
use super::checkout::Checkout;
use super::commit::Commit;
use super::objects::{Item, ItemKind, Objects, items};
use super::remote::Notice;
use crate::model::path::{MAX_DEPTH, MAX_PATH};
use crate::model::tree::{BodyKey, Entry, Kind, Revision, SourceTree, Time, TreeError, Visited, Walk};
use crate::model::{Address, TreePath};
use crate::support::limits::{Bound, Limits, SOURCE_BYTES, SOURCE_ENTRIES};
use crate::support::scratch::ScratchDir;

/// Submodules named in a notice.
const NAMED: usize = 3;

/// All that a fetch hands over.
pub(super) struct Parts {
    pub scratch: ScratchDir,
    pub address: Address,
    pub commit: Commit,
    pub reference: Option<String>,
    pub subdir: TreePath,
    pub limits: Limits,
    /// Bytes of the pack.
    pub received: u64,
}

/// A fetched commit. Its objects stay in their directory until it is dropped.
pub struct GitTree {
    // Before their directory: what is dropped first is closed before its files go.
    objects: Objects,
    checkout: Checkout,
    root: Oid,
    subdir: TreePath,
    time: Time,
    revision: Revision,
    identity: String,
    limits: Limits,
    notices: Vec<Notice>,
    _scratch: ScratchDir,
}

impl GitTree {
    pub(super) fn open(parts: Parts) -> Result<Self, GitError> {
        let objects = Objects::open(&parts.scratch.path().join("objects"));
        let objects = objects.map_err(|error| GitError::Library(error.message().to_owned()))?;
        let (commit, url) = (&parts.commit, parts.address.shown());
        let root = descend(&objects, commit.tree, &parts.subdir)?;
        let submodules = submodules(&objects, commit.tree)?;
        let mut tree = Self {
            objects,
            checkout: Checkout::new(commit.tree),
            root,
            time: commit.time(),
            identity: format!("git {url} {}", parts.subdir.display()),
            revision: commit.revision(url, parts.reference, &parts.subdir, parts.received),
            limits: parts.limits,
            notices: Vec::new(),
            subdir: parts.subdir,
            _scratch: parts.scratch,
        };
        if submodules {
            tree.notices.extend(tree.submodule_notice()?);
        }
        Ok(tree)
    }

    /// What people should know of this fetch although it succeeded.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    #[cfg(test)]
    pub(super) fn directories_kept(&self) -> usize {
        self.checkout.held()
    }

    pub(super) fn add_notice(&mut self, notice: Notice) {
        self.notices.push(notice);
    }

    /// Submodules are not built: as after `git clone` without `--recursive` their directories are empty, and that is said.
    fn submodule_notice(&self) -> Result<Option<Notice>, TreeError> {
        let (mut names, mut count) = (Vec::new(), 0);
        self.walk_with(&mut |entry, kind| {
            if kind == ItemKind::Submodule {
                count += 1;
                if count <= NAMED {
                    names.push(entry.path.display());
                }
            }
            Ok(Walk::Enter)
        })?;
        let more = if count > NAMED { format!(" and {} more", count - NAMED) } else { String::new() };
        let message = format!("submodules are not fetched, their directories are empty: {}{more}", names.join(", "));
        Ok((count > 0).then_some(Notice { message, hint: None }))
    }

    fn walk_with(&self, visit: &mut dyn FnMut(Entry, ItemKind) -> Visited) -> Result<(), TreeError> {
        let mut walker = Walker { tree: self, visit, entries: 0, bytes: 0, held: 0 };
        walker.directory(self.root, &TreePath::root(), 0)
    }

    /// An item as an entry, with the size of its body.
    fn entry(&self, path: TreePath, item: &Item<'_>) -> Result<Entry, TreeError> {
        let (kind, mode) = match item.kind() {
            ItemKind::Directory | ItemKind::Submodule => (Kind::Directory, 0o755),
            ItemKind::Link => (Kind::Symlink { target: self.target(item.id, &path)? }, 0o777),
            ItemKind::File => {
                let size = self.objects.size(item.id, &path, self.limits.object_bytes)?;
                // Executable or not, whatever else old trees say (git's cache.h, `create_ce_mode`).
                (Kind::File { size, link: 0 }, if item.mode & 0o100 == 0 { 0o644 } else { 0o755 })
            }
            ItemKind::Unknown => return Err(TreeError::refused(&path, format!("git knows no entry with the mode {:o}", item.mode))),
        };
        let mut key = BodyKey::default();
        key.copy_from_slice(item.id.as_bytes());
        Ok(Entry { path, kind, mode, modified: self.time, key })
    }

    fn target(&self, id: Oid, path: &TreePath) -> Result<Vec<u8>, TreeError> {
        let target = self.objects.blob(id, path, MAX_PATH as u64)?.data().to_owned();
        if target.is_empty() || target.contains(&0) {
            return Err(TreeError::refused(path, "the link's target is empty or holds a NUL byte"));
        }
        Ok(target)
    }
}

/// The tree of a directory below the commit's root, each step a directory and never a link (G10).
fn descend(objects: &Objects, root: Oid, path: &TreePath) -> Result<Oid, GitError> {
    let mut at = root;
    for name in path.components() {
        let object = objects.tree(at)?;
        let items = items(object.data())?;
        let item = items.iter().find(|item| item.name == name);
        let problem = match item.map(Item::kind) {
            Some(ItemKind::Directory) => {
                at = item.map_or(at, |item| item.id);
                continue;
            }
            Some(ItemKind::Submodule) => "a part of it is a submodule, and submodules are not built",
            Some(ItemKind::Link) => "a part of it is a link, and links are not followed",
            Some(_) => "a part of it is a file",
            None => "there is no such directory in this commit",
        };
        return Err(GitError::Subdir { path: path.display(), problem, exists: item.is_some() });
    }
    Ok(at)
}

/// Whether the commit says that it has submodules.
fn submodules(objects: &Objects, root: Oid) -> Result<bool, TreeError> {
    let object = objects.tree(root)?;
    Ok(items(object.data())?.iter().any(|item| item.name == b".gitmodules"))
}

impl SourceTree for GitTree {
    fn revision(&self) -> &Revision {
        &self.revision
    }

    fn identity(&self) -> String {
        self.identity.clone()
    }

    fn walk(&self, visit: &mut dyn FnMut(Entry) -> Visited) -> Result<(), TreeError> {
        self.walk_with(&mut |entry, _| visit(entry))
    }

    fn lookup(&self, path: &TreePath) -> Result<Option<Entry>, TreeError> {
        let root = Item { mode: 0o040_000, name: b"", id: self.root };
        let mut found = self.entry(TreePath::root(), &root)?;
        let mut at = Some(self.root);
        for name in path.components() {
            let Some(tree) = at else { return Ok(None) };
            let object = self.objects.tree(tree)?;
            let items = items(object.data())?;
            let Some(item) = items.iter().find(|item| item.name == name) else { return Ok(None) };
            let seen = found.path.checked_join(name).map_err(|rule| TreeError::bad_name(name, rule))?;
            found = self.entry(seen, item)?;
            at = (item.kind() == ItemKind::Directory).then_some(item.id);
        }
        Ok(Some(found))
    }

    fn open(&self, path: &TreePath, key: &BodyKey) -> Result<Box<dyn Read + Send + '_>, TreeError> {
        let id = Oid::from_bytes(key).map_err(|error| TreeError::Damaged(error.message().to_owned()))?;
        let blob = self.objects.blob(id, path, self.limits.object_bytes)?;
        let mut full = self.subdir.clone();
        for name in path.components() {
            full = full.checked_join(name).map_err(|rule| TreeError::bad_name(name, rule))?;
        }
        self.checkout.check(&self.objects, &full, blob.data())?;
        Ok(Box::new(blob))
    }
}

/// Goes through a tree and counts.
struct Walker<'a, 'v> {
    tree: &'a GitTree,
    visit: &'v mut dyn FnMut(Entry, ItemKind) -> Visited,
    /// Of every directory that was read, whether or not they were shown yet: those above are all held.
    entries: u64,
    bytes: u64,
    /// Bytes of the tree objects from the root to here.
    held: u64,
}

impl Walker<'_, '_> {
    fn directory(&mut self, id: Oid, path: &TreePath, depth: usize) -> Result<(), TreeError> {
        if depth > MAX_DEPTH {
            return Err(TreeError::refused(path, format!("it is nested deeper than {MAX_DEPTH} directories")));
        }
        let object = self.tree.objects.tree_beside(id, self.held)?;
        let items = items(object.data())?;
        let limits = &self.tree.limits;
        self.entries += items.len() as u64;
        within(path, self.entries, SOURCE_ENTRIES, limits.source_entries)?;
        self.held += object.len() as u64;
        for item in items {
            let below = path.clone().checked_join(item.name).map_err(|rule| TreeError::bad_name(item.name, rule))?;
            let entry = self.tree.entry(below, &item)?;
            self.bytes = self.bytes.saturating_add(entry.size());
            within(&entry.path, self.bytes, SOURCE_BYTES, limits.source_bytes)?;
            let path = (item.kind() == ItemKind::Directory).then(|| entry.path.clone());
            if let (Walk::Enter, Some(path)) = ((self.visit)(entry, item.kind())?, path) {
                self.directory(item.id, &path, depth + 1)?;
            }
        }
        self.held -= object.len() as u64;
        Ok(())
    }
}

fn within(path: &TreePath, found: u64, bound: Bound, most: u64) -> Result<(), TreeError> {
    if found > most {
        return Err(TreeError::refused(path, format!("with it the source has more than the limit {bound} of {most}")));
    }
    Ok(())
}
