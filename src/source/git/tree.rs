//! One commit as a tree of entries, read from the objects of a bare repository.
//!
//! Every name, mode and size in it was chosen by whoever wrote the repository: each is checked when it is met.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use git2::{ObjectType, Odb, OdbObject, Oid};

use super::attributes::{self, Attributes, Rules};
use super::ffi::Blob;
use super::remote::Notice;
use super::workspace::Workspace;
use super::{GitError, GitUrl, names};
use crate::model::TreePath;
use crate::model::path::{MAX_DEPTH, MAX_NAME, MAX_PATH};
use crate::model::tree::{BodyKey, Entry, Kind, Revision, SourceTree, Time, TreeError, Visited, Walk};
use crate::support::clock;
use crate::support::limits::Limits;

/// Bytes of one tree object: a directory of a million names.
const TREE_BYTES: usize = 256 << 20;

/// What begins a pointer of Git LFS, and how long one may be (git-lfs, docs/spec.md).
const LFS: &[u8] = b"version https://git-lfs.github.com/spec/v1";
const LFS_BYTES: usize = 1024;

/// Characters of a subject that are shown.
const SUBJECT: usize = 80;

/// Submodules named in a notice.
const NAMED: usize = 3;

/// What a commit says of itself.
#[derive(Clone, Debug)]
pub(super) struct Commit {
    id: Oid,
    tree: Oid,
    seconds: i64,
    author: String,
    committer: String,
    subject: String,
}

impl Commit {
    pub fn of(commit: &git2::Commit<'_>) -> Self {
        Self {
            id: commit.id(),
            tree: commit.tree_id(),
            seconds: commit.committer().when().seconds(),
            author: person(&commit.author()),
            committer: person(&commit.committer()),
            subject: clean(commit.message_bytes().split(|b| *b == b'\n').find(|line| !line.trim_ascii().is_empty()).unwrap_or_default()),
        }
    }

    /// The committer's second, and below it a part of the id: two commits in one second must differ (FileSync compares times).
    fn time(&self) -> Time {
        let id = self.id.as_bytes();
        let number = u32::from_be_bytes([id[0], id[1], id[2], id[3]]);
        Time { seconds: self.seconds, nanos: number % 999_999_999 + 1 }
    }
}

fn person(signature: &git2::Signature<'_>) -> String {
    format!("{} <{}>", clean(signature.name_bytes()), clean(signature.email_bytes()))
}

fn clean(text: &[u8]) -> String {
    String::from_utf8_lossy(text).chars().filter(|c| !c.is_control()).take(SUBJECT).collect::<String>().trim().to_owned()
}

/// All that a fetch hands over.
pub(super) struct Parts {
    pub workspace: Workspace,
    pub url: GitUrl,
    pub commit: Commit,
    pub reference: Option<String>,
    pub subdir: TreePath,
    pub limits: Limits,
    pub received: u64,
}

/// A fetched commit. Its objects stay in the workspace until it is dropped.
pub struct GitTree {
    odb: Odb<'static>,
    /// The commit's own root, where attributes begin; and the directory that the tree shows.
    repository_root: Oid,
    root: Oid,
    subdir: TreePath,
    time: Time,
    revision: Revision,
    identity: String,
    limits: Limits,
    notices: Vec<Notice>,
    directories: Mutex<HashMap<TreePath, Arc<Directory>>>,
    _workspace: Workspace,
}

/// A directory on the way to a file, for its attributes.
struct Directory {
    tree: Oid,
    /// Bytes of its path and the slash after it.
    skip: usize,
    rules: Rules,
    parent: Option<Arc<Directory>>,
}

/// One line of a tree object.
struct Item<'a> {
    mode: u32,
    name: &'a [u8],
    id: Oid,
}

impl GitTree {
    pub(super) fn open(parts: Parts) -> Result<Self, GitError> {
        let library = |error: git2::Error| GitError::Library(error.message().to_owned());
        let odb = Odb::new().map_err(library)?;
        let objects = parts.workspace.path().join("objects");
        odb.add_disk_alternate(&objects.to_string_lossy()).map_err(library)?;
        let url = parts.url.text();
        let commit = &parts.commit;
        let subdir = (!parts.subdir.is_root()).then(|| parts.subdir.display());
        let revision = Revision {
            kind: "git".to_owned(),
            url: Some(url.clone()),
            r#ref: parts.reference,
            commit: Some(commit.id.to_string()),
            author: Some(commit.author.clone()),
            committer: Some(commit.committer.clone()),
            subject: Some(commit.subject.clone()),
            date: clock::at(commit.seconds),
            digest: None,
            size: Some(parts.received),
            subdir: subdir.clone(),
        };
        let mut tree = Self {
            odb,
            repository_root: commit.tree,
            root: commit.tree,
            time: commit.time(),
            identity: format!("git {url} {}", subdir.unwrap_or_default()),
            revision,
            limits: parts.limits,
            notices: Vec::new(),
            directories: Mutex::default(),
            subdir: TreePath::root(),
            _workspace: parts.workspace,
        };
        tree.root = tree.descend(&parts.subdir)?;
        tree.subdir = parts.subdir;
        Ok(tree)
    }

    /// What people should know of this fetch although it succeeded.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    pub(super) fn set_notices(&mut self, notices: Vec<Notice>) {
        self.notices = notices;
    }

    /// Submodules are not built: as after `git clone` without `--recursive` their directories are empty, and that is said.
    pub(super) fn submodule_notice(&self) -> Result<Option<Notice>, TreeError> {
        let declared = self.tree(self.repository_root)?;
        if !items(declared.data())?.iter().any(|item| item.name == b".gitmodules") {
            return Ok(None);
        }
        let mut found = Vec::new();
        self.walk_with(&mut |entry, mode| {
            if mode == 0o160_000 {
                found.push(entry.path.display());
            }
            Ok(Walk::Enter)
        })?;
        if found.is_empty() {
            return Ok(None);
        }
        let more = if found.len() > NAMED { format!(" and {} more", found.len() - NAMED) } else { String::new() };
        Ok(Some(Notice {
            message: format!(
                "submodules are not fetched, their directories are empty: {}{more}",
                found[..found.len().min(NAMED)].join(", ")
            ),
            hint: None,
        }))
    }

    /// The tree of a directory below the commit's root, each step a directory and never a link (G10).
    fn descend(&self, path: &TreePath) -> Result<Oid, TreeError> {
        let mut at = self.repository_root;
        for name in path.components() {
            let object = self.tree(at)?;
            let items = items(object.data())?;
            at = match items.iter().find(|item| item.name == name) {
                Some(item) if is_directory(item.mode) => item.id,
                Some(item) if item.mode == 0o160_000 => {
                    return Err(TreeError::refused(path, "a part of this subdir is a submodule, and submodules are not built"));
                }
                Some(_) => return Err(TreeError::refused(path, "a part of this subdir is no directory, and links are not followed")),
                None => return Err(TreeError::refused(path, "there is no such subdir in this commit")),
            };
        }
        Ok(at)
    }

    fn object(&self, id: Oid, kind: ObjectType, most: u64) -> Result<OdbObject<'_>, TreeError> {
        let damaged = |error: git2::Error| TreeError::Damaged(format!("object {id}: {}", error.message()));
        let (size, found) = self.odb.read_header(id).map_err(damaged)?;
        if found != kind {
            return Err(TreeError::Damaged(format!("object {id} is no {}", kind.str())));
        }
        if size as u64 > most {
            return Err(TreeError::Refused {
                path: id.to_string(),
                rule: format!("the object has {size} bytes, more than the limit of {most}"),
            });
        }
        self.odb.read(id).map_err(damaged)
    }

    fn tree(&self, id: Oid) -> Result<OdbObject<'_>, TreeError> {
        self.object(id, ObjectType::Tree, TREE_BYTES as u64)
    }

    fn walk_with(&self, visit: &mut dyn FnMut(Entry, u32) -> Visited) -> Result<(), TreeError> {
        let mut walker = Walker { tree: self, visit, entries: 0, bytes: 0 };
        walker.directory(self.root, &TreePath::root(), 0)
    }

    /// An item as an entry, with the size of its body.
    fn entry(&self, path: TreePath, item: &Item<'_>) -> Result<Entry, TreeError> {
        let (kind, mode) = match item.mode {
            0o160_000 => (Kind::Directory, 0o755),
            mode if is_directory(mode) => (Kind::Directory, 0o755),
            0o120_000 => (Kind::Symlink { target: self.target(item.id, &path)? }, 0o777),
            mode if mode & 0o170_000 == 0o100_000 => (Kind::File { size: self.size(item.id, &path)?, link: 0 }, permissions(mode)),
            mode => return Err(TreeError::refused(&path, format!("git knows no entry with the mode {mode:o}"))),
        };
        let mut key = BodyKey::default();
        key.copy_from_slice(item.id.as_bytes());
        Ok(Entry { path, kind, mode, modified: self.time, key })
    }

    fn size(&self, id: Oid, path: &TreePath) -> Result<u64, TreeError> {
        let (size, kind) = self.odb.read_header(id).map_err(|error| TreeError::Damaged(format!("object {id}: {}", error.message())))?;
        let (size, limit) = (size as u64, self.limits.object_bytes);
        match kind {
            ObjectType::Blob if size <= limit => Ok(size),
            ObjectType::Blob => Err(TreeError::refused(path, format!("it has {size} bytes, more than the limit object-bytes of {limit}"))),
            _ => Err(TreeError::Damaged(format!("object {id} is no file"))),
        }
    }

    fn target(&self, id: Oid, path: &TreePath) -> Result<Vec<u8>, TreeError> {
        let target = self.object(id, ObjectType::Blob, MAX_PATH as u64)?.data().to_owned();
        if target.is_empty() || target.contains(&0) {
            return Err(TreeError::refused(path, "the link's target is empty or holds a NUL byte"));
        }
        Ok(target)
    }

    /// The directory with its attributes and all above it; each is read once.
    fn directory(&self, path: &TreePath) -> Result<Arc<Directory>, TreeError> {
        if let Some(known) = self.directories.lock().unwrap_or_else(PoisonError::into_inner).get(path) {
            return Ok(Arc::clone(known));
        }
        let (tree, parent, skip) = match path.parent() {
            None => (self.repository_root, None, 0),
            Some(above) => {
                let parent = self.directory(&above)?;
                let object = self.tree(parent.tree)?;
                let items = items(object.data())?;
                let item = items.iter().find(|item| item.name == path.name() && is_directory(item.mode));
                let tree = item.map(|item| item.id).ok_or_else(|| TreeError::refused(path, "it is no directory of this source"))?;
                (tree, Some(parent), path.as_bytes().len() + 1)
            }
        };
        let directory = Arc::new(Directory { tree, skip, rules: self.rules(tree, path)?, parent });
        self.directories.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone(), Arc::clone(&directory));
        Ok(directory)
    }

    /// A link of this name counts for nothing, as in git.
    fn rules(&self, tree: Oid, path: &TreePath) -> Result<Rules, TreeError> {
        let object = self.tree(tree)?;
        let items = items(object.data())?;
        let Some(item) = items.iter().find(|item| item.name == b".gitattributes" && item.mode & 0o170_000 == 0o100_000) else {
            return Ok(Rules::default());
        };
        let text = self.object(item.id, ObjectType::Blob, attributes::FILE_BYTES)?;
        let named = || path.clone().checked_join(b".gitattributes").unwrap_or_default();
        Rules::parse(text.data(), path.is_root()).map_err(|_| TreeError::refused(&named(), "it has more patterns than can be matched"))
    }

    /// Refuses a body that a checkout would have changed.
    fn check_body(&self, path: &TreePath, body: &[u8]) -> Result<(), TreeError> {
        if body.len() < LFS_BYTES && body.starts_with(LFS) {
            return Err(TreeError::refused(
                path,
                "it is a pointer of Git LFS, which is not built: the file itself is not in the repository",
            ));
        }
        let mut full = self.subdir.clone();
        for name in path.components() {
            full = full.checked_join(name).map_err(|rule| TreeError::refused(path, rule.to_string()))?;
        }
        let nearest = self.directory(&full.parent().unwrap_or_default())?;
        let chain: Vec<&Directory> = std::iter::successors(Some(&*nearest), |directory| directory.parent.as_deref()).collect();
        if chain.iter().all(|directory| directory.rules.is_empty()) {
            return Ok(());
        }
        let files = chain.iter().map(|directory| (&directory.rules, &full.as_bytes()[directory.skip..]));
        match Attributes::of(files, chain.last().map(|directory| &directory.rules)).changes(body) {
            Some(attribute) => {
                Err(TreeError::refused(path, format!("its attribute {attribute} would change it on checkout, which is not built")))
            }
            None => Ok(()),
        }
    }
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
        let mut at = self.root;
        let mut seen = TreePath::root();
        let mut components = path.components().peekable();
        while let Some(name) = components.next() {
            let object = self.tree(at)?;
            let items = items(object.data())?;
            let Some(item) = items.iter().find(|item| item.name == name) else { return Ok(None) };
            seen = seen.checked_join(name).map_err(|rule| TreeError::bad_name(name, rule))?;
            if components.peek().is_none() {
                return self.entry(seen, item).map(Some);
            }
            if !is_directory(item.mode) {
                return Ok(None);
            }
            at = item.id;
        }
        let item = Item { mode: 0o040_000, name: b"", id: self.root };
        self.entry(seen, &item).map(Some)
    }

    fn open(&self, path: &TreePath, key: &BodyKey) -> Result<Box<dyn Read + Send + '_>, TreeError> {
        let id = Oid::from_bytes(key).map_err(|error| TreeError::Damaged(error.message().to_owned()))?;
        let object = self.object(id, ObjectType::Blob, self.limits.object_bytes)?;
        let blob = Blob::new(object).ok_or_else(|| TreeError::Damaged(format!("object {id} is no file")))?;
        self.check_body(path, blob.data())?;
        Ok(Box::new(blob))
    }
}

/// Goes through a tree and counts.
struct Walker<'a, 'v> {
    tree: &'a GitTree,
    visit: &'v mut dyn FnMut(Entry, u32) -> Visited,
    entries: u64,
    bytes: u64,
}

impl Walker<'_, '_> {
    fn directory(&mut self, id: Oid, path: &TreePath, depth: usize) -> Result<(), TreeError> {
        if depth > MAX_DEPTH {
            return Err(TreeError::refused(path, format!("it is nested deeper than {MAX_DEPTH} directories")));
        }
        let object = self.tree.tree(id)?;
        for item in items(object.data())? {
            let below = path.clone().checked_join(item.name).map_err(|rule| TreeError::bad_name(item.name, rule))?;
            let entry = self.tree.entry(below, &item)?;
            self.count(&entry)?;
            let path = is_directory(item.mode).then(|| entry.path.clone());
            if let (Walk::Enter, Some(path)) = ((self.visit)(entry, item.mode)?, path) {
                self.directory(item.id, &path, depth + 1)?;
            }
        }
        Ok(())
    }

    fn count(&mut self, entry: &Entry) -> Result<(), TreeError> {
        let limits = &self.tree.limits;
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(entry.size());
        if self.entries > limits.source_entries {
            return Err(TreeError::refused(
                &entry.path,
                format!("the source has more than the limit source-entries of {}", limits.source_entries),
            ));
        }
        if self.bytes > limits.source_bytes {
            return Err(TreeError::refused(
                &entry.path,
                format!("the source has more bytes than the limit source-bytes of {}", limits.source_bytes),
            ));
        }
        Ok(())
    }
}

fn is_directory(mode: u32) -> bool {
    mode & 0o170_000 == 0o040_000
}

/// Files are executable or not, whatever else old trees say (git's cache.h, `create_ce_mode`).
fn permissions(mode: u32) -> u32 {
    if mode & 0o100 == 0 { 0o644 } else { 0o755 }
}

/// The lines of a tree object, `mode SP name NUL id`, each name checked, in `TreePath`'s order.
/// git sorts a directory as if its name ended in a slash; here siblings are sorted by their names alone.
fn items(data: &[u8]) -> Result<Vec<Item<'_>>, TreeError> {
    let damaged = || TreeError::Damaged("a tree object is not what git writes".to_owned());
    let mut items = Vec::new();
    let mut rest = data;
    while !rest.is_empty() {
        let space = rest.iter().take(8).position(|b| *b == b' ').ok_or_else(damaged)?;
        let mode = std::str::from_utf8(&rest[..space]).ok().and_then(|text| u32::from_str_radix(text, 8).ok()).ok_or_else(damaged)?;
        rest = &rest[space + 1..];
        let nul = rest.iter().position(|b| *b == 0).ok_or_else(damaged)?;
        let (name, after) = rest.split_at(nul);
        let id = after.get(1..21).and_then(|id| Oid::from_bytes(id).ok()).ok_or_else(damaged)?;
        rest = &after[21..];
        let shown = || String::from_utf8_lossy(&name[..name.len().min(MAX_NAME)]).into_owned();
        names::check(name).map_err(|rule| TreeError::Refused { path: shown(), rule: rule.to_string() })?;
        items.push(Item { mode, name, id });
    }
    items.sort_unstable_by(|a, b| a.name.cmp(b.name));
    if let Some(pair) = items.windows(2).find(|pair| pair[0].name == pair[1].name) {
        let path = String::from_utf8_lossy(pair[0].name).into_owned();
        return Err(TreeError::Refused { path, rule: "the name is there twice in one directory".to_owned() });
    }
    Ok(items)
}
