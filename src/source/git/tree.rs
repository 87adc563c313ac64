//! One commit as a tree of entries, read from the objects of a bare repository.
//!
//! Every name, mode and size in it was chosen by whoever wrote the repository: each is checked when it is met.

use std::io::Read;

use git2::Oid;

use super::GitError;
use super::checkout::Checkout;
use super::commit::Commit;
use super::modules::{self, Section, Submodule};
use super::objects::{Item, ItemKind, Objects, items};
use super::remote::Notice;
use crate::model::path::{MAX_DEPTH, MAX_PATH};
use crate::model::tree::{BodyKey, Entry, Kind, Revision, SourceTree, Time, TreeError, Visited, Walk};
use crate::model::{Address, TreePath};
use crate::support::limits::{Bound, GIT_MODULES_BYTES, Limits, SOURCE_BYTES, SOURCE_ENTRIES};
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
    /// Somebody fetches them: nothing is to be said of them.
    pub submodules: bool,
    /// Bytes of the pack.
    pub received: u64,
}

/// A fetched commit. Its objects stay in their directory until it is dropped.
pub struct GitTree {
    // Before their directory: what is dropped first is closed before its files go.
    objects: Objects,
    checkout: Checkout,
    /// The commit's own tree, and that of the directory that is the root.
    top: Oid,
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
            top: commit.tree,
            root,
            time: commit.time(),
            identity: format!("git {url} {}", parts.subdir.display()),
            revision: commit.revision(url, parts.reference, &parts.subdir, parts.received),
            limits: parts.limits,
            notices: Vec::new(),
            subdir: parts.subdir,
            _scratch: parts.scratch,
        };
        if submodules && !parts.submodules {
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

    /// Bytes that came over the network.
    pub fn received(&self) -> u64 {
        self.revision.size.unwrap_or_default()
    }

    /// The submodules below the root, by path. One that `.gitmodules` says nothing of is an error, as it is to `git clone`; one with
    /// `update = none` is left out, and so is an empty directory.
    pub fn submodules(&self) -> Result<Vec<Submodule>, TreeError> {
        let name = ".gitmodules";
        let refused = |path: &str, rule: String| TreeError::Refused { path: path.to_owned(), rule };
        let mut links = Vec::new();
        self.walk_with(&mut |entry, kind| {
            if kind == ItemKind::Submodule {
                links.push((entry.path, entry.key));
            }
            Ok(Walk::Enter)
        })?;
        if links.is_empty() {
            return Ok(Vec::new());
        }
        let object = self.objects.tree(self.top)?;
        let item = items(object.data())?.into_iter().find(|item| item.name == name.as_bytes());
        let text = match item {
            Some(item) if item.kind() == ItemKind::File => {
                self.objects.blob(item.id, &TreePath::root(), GIT_MODULES_BYTES)?.data().to_owned()
            }
            // A link there could lead git elsewhere (CVE-2018-11235 and its kin).
            Some(_) => return Err(refused(name, "it is not a regular file".to_owned())),
            None => Vec::new(),
        };
        let sections = modules::parse(&text).map_err(|rule| refused(name, rule))?;
        let mut found = Vec::new();
        for (path, key) in links {
            let full = if self.subdir.is_root() { path.display() } else { format!("{}/{}", self.subdir.display(), path.display()) };
            let commit = Oid::from_bytes(&key).map_err(|error| TreeError::Damaged(error.message().to_owned()))?;
            match sections.get(&full) {
                Some(section) if section.skipped => {}
                Some(Section { url: Some(url), .. }) => found.push(Submodule { path, url: url.clone(), commit }),
                _ => return Err(refused(&full, "it is a submodule, and .gitmodules does not say where from".to_owned())),
            }
        }
        Ok(found)
    }

    /// Where they are not asked for: as after `git clone` without `--recursive` their directories are empty, and that is said.
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
        let hint = Some("--submodules fetches them".to_owned());
        Ok((count > 0).then_some(Notice { message, hint }))
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
            Some(ItemKind::Submodule) => "a part of it is a submodule: build that repository itself",
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
