//! One commit as a tree of entries, read from the objects of a bare repository.
//!
//! Every name, mode and size in it was chosen by whoever wrote the repository: each is checked when it is met.

mod pointers;

pub(super) use pointers::Pointing;

use std::io::Read;
use std::path::PathBuf;

use git2::Oid;

use super::GitError;
use super::attributes::Treatment;
use super::checkout::{Checkout, Directory};
use super::commit::Commit;
use super::convert::Converted;
use super::lfs::{self, POINTER_BYTES, Pointer};
use super::modules::{self, Section, Submodule};
use super::objects::{Item, ItemKind, Objects, items};
use super::remote::Notice;
use super::sizes::Sizes;
use super::walk::{self, Seen, Start, within};
use crate::model::path::MAX_PATH;
use crate::model::tree::{BodyKey, Entry, Kind, Revision, SourceTree, Time, TreeError, Visited, Walk};
use crate::model::{Address, CommitId, TreePath};
use crate::support::limits::{GIT_MODULES_BYTES, Limits, OBJECT_BYTES, SOURCE_BYTES};
use crate::support::scratch::ScratchDir;

/// Submodules named in a notice.
const NAMED: usize = 3;

/// Where the repository is among what a fetch keeps: alone, since it may become a `.git`.
pub(super) fn repository(scratch: &ScratchDir) -> PathBuf {
    scratch.path().join("repository")
}

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
    sizes: Sizes,
    objects_beside: lfs::Store,
    root: Oid,
    subdir: TreePath,
    time: Time,
    revision: Revision,
    identity: String,
    limits: Limits,
    notices: Vec<Notice>,
    scratch: ScratchDir,
}

impl GitTree {
    pub(super) fn open(parts: Parts) -> Result<Self, GitError> {
        let objects = Objects::open(&repository(&parts.scratch).join("objects"));
        let objects = objects.map_err(|error| GitError::Library(error.message().to_owned()))?;
        let (commit, url) = (&parts.commit, parts.address.shown());
        let root = descend(&objects, commit.tree, &parts.subdir)?;
        let submodules = submodules(&objects, commit.tree)?;
        let mut tree = Self {
            objects,
            checkout: Checkout::new(commit.tree),
            top: commit.tree,
            sizes: Sizes::default(),
            objects_beside: lfs::Store::default(),
            root,
            time: commit.time(),
            identity: format!("git {url} {}", parts.subdir.display()),
            revision: commit.revision(url, parts.reference, &parts.subdir, parts.received),
            limits: parts.limits,
            notices: Vec::new(),
            subdir: parts.subdir,
            scratch: parts.scratch,
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
        self.walk_items(&mut |seen| {
            if seen.item.kind() == ItemKind::Submodule {
                links.push((seen.path.clone(), seen.full.display(), seen.item.id));
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
        for (path, full, id) in links {
            let commit =
                CommitId::parse(&id.to_string()).map_err(|bad| TreeError::Damaged(format!("the commit of {full} {}", bad.what)))?;
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
        self.walk_items(&mut |seen| {
            if seen.item.kind() == ItemKind::Submodule {
                count += 1;
                if count <= NAMED {
                    names.push(seen.path.display());
                }
            }
            Ok(Walk::Enter)
        })?;
        let more = if count > NAMED { format!(" and {} more", count - NAMED) } else { String::new() };
        let message = format!("submodules are not fetched, their directories are empty: {}{more}", names.join(", "));
        let hint = Some("--submodules fetches them".to_owned());
        Ok((count > 0).then_some(Notice { message, hint }))
    }

    /// Shows what is there without looking at any body.
    fn walk_items(&self, visit: &mut dyn FnMut(Seen<'_>) -> Visited) -> Result<(), TreeError> {
        let (objects, checkout, most_entries) = (&self.objects, &self.checkout, self.limits.source_entries);
        walk::walk(&Start { objects, checkout, tree: self.root, path: &self.subdir, most_entries }, visit)
    }

    /// An item as an entry, with the size of its body. `full` is its path from the commit's root, `place` the directory it is in,
    /// as far as its attributes can be had.
    fn entry(&self, path: TreePath, full: &TreePath, item: &Item<'_>, place: Option<&Directory>) -> Result<Entry, TreeError> {
        let (kind, mode) = match item.kind() {
            ItemKind::Directory | ItemKind::Submodule => (Kind::Directory, 0o755),
            ItemKind::Link => (Kind::Symlink { target: self.target(item.id, &path)? }, 0o777),
            ItemKind::File => {
                let treatment = place.map(|place| place.treatment(full.as_bytes())).unwrap_or_default();
                let size = self.size(&path, item.id, &treatment)?;
                // Executable or not, whatever else old trees say (git's cache.h, `create_ce_mode`).
                (Kind::File { size, link: 0 }, if item.mode & 0o100 == 0 { 0o644 } else { 0o755 })
            }
            ItemKind::Unknown => return Err(TreeError::refused(&path, format!("git knows no entry with the mode {:o}", item.mode))),
        };
        let mut key = BodyKey::default();
        key.copy_from_slice(item.id.as_bytes());
        Ok(Entry { path, kind, mode, modified: self.time, key })
    }

    /// Bytes of a file as a checkout gives it; of one that is refused, as it is stored.
    fn size(&self, path: &TreePath, id: Oid, treatment: &Treatment) -> Result<u64, TreeError> {
        let limit = self.limits.object_bytes;
        let stored = self.objects.size(id, path, limit)?;
        if stored == 0 || treatment.refused.is_some() {
            return Ok(stored);
        }
        if treatment.lfs && stored <= POINTER_BYTES {
            let pointer = Pointer::parse(self.objects.blob(id, path, limit)?.data());
            if let Some(size) = pointer.and_then(|pointer| self.objects_beside.size(&pointer)) {
                return Ok(size);
            }
        }
        if treatment.conversion.is_nothing() {
            return Ok(stored);
        }
        let size = self.sizes.of(id, treatment.conversion, || {
            let blob = self.objects.blob(id, path, limit)?;
            Ok(treatment.conversion.size(blob.data(), id))
        })?;
        if size > limit {
            return Err(TreeError::refused(path, format!("it has {size} bytes, more than the limit {OBJECT_BYTES} of {limit}")));
        }
        Ok(size)
    }

    fn full(&self, path: &TreePath) -> Result<TreePath, TreeError> {
        path.components()
            .try_fold(self.subdir.clone(), |full, name| full.checked_join(name).map_err(|rule| TreeError::bad_name(name, rule)))
    }

    /// What becomes of a file.
    fn treatment(&self, full: &TreePath) -> Result<Treatment, TreeError> {
        Ok(self.checkout.directory(&self.objects, &full.parent().unwrap_or_default())?.treatment(full.as_bytes()))
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
        let mut bytes: u64 = 0;
        self.walk_items(&mut |seen| {
            let entry = self.entry(seen.path.clone(), seen.full, seen.item, seen.place)?;
            bytes = bytes.saturating_add(entry.size());
            within(&entry.path, bytes, SOURCE_BYTES, self.limits.source_bytes)?;
            visit(entry)
        })
    }

    fn lookup(&self, path: &TreePath) -> Result<Option<Entry>, TreeError> {
        let root = Item { mode: 0o040_000, name: b"", id: self.root };
        let mut found = self.entry(TreePath::root(), &self.subdir, &root, None)?;
        let mut at = Some(self.root);
        for name in path.components() {
            let Some(tree) = at else { return Ok(None) };
            let object = self.objects.tree(tree)?;
            let items = items(object.data())?;
            let Some(item) = items.iter().find(|item| item.name == name) else { return Ok(None) };
            let seen = found.path.checked_join(name).map_err(|rule| TreeError::bad_name(name, rule))?;
            let full = self.full(&seen)?;
            let place = match item.kind() {
                ItemKind::File => walk::held(self.checkout.directory(&self.objects, &full.parent().unwrap_or_default()))?,
                _ => None,
            };
            found = self.entry(seen, &full, item, place.as_deref())?;
            at = (item.kind() == ItemKind::Directory).then_some(item.id);
        }
        Ok(Some(found))
    }

    fn open(&self, path: &TreePath, key: &BodyKey) -> Result<Box<dyn Read + Send + '_>, TreeError> {
        let id = Oid::from_bytes(key).map_err(|error| TreeError::Damaged(error.message().to_owned()))?;
        let blob = self.objects.blob(id, path, self.limits.object_bytes)?;
        let treatment = self.treatment(&self.full(path)?)?;
        if let Some(refusal) = treatment.refused.filter(|refusal| refusal.of_empty || !blob.data().is_empty()) {
            let rule = format!("its attribute {} would change it on checkout, by what this agent does not have", refusal.attribute);
            return Err(TreeError::refused(path, rule));
        }
        if let Some(pointer) = Pointer::parse(blob.data()).filter(|_| treatment.lfs) {
            match self.objects_beside.open(&pointer) {
                Ok(Some(object)) => return Ok(Box::new(object)),
                Ok(None) => {}
                Err(rule) => return Err(TreeError::refused(path, rule)),
            }
        }
        if treatment.conversion.is_nothing() {
            return Ok(Box::new(blob));
        }
        Ok(Box::new(Converted::new(blob, treatment.conversion, id)))
    }
}
