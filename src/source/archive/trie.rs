//! The rules of what an archive's entries may do to each other, kept on names alone: there is no file system here to attack.
//!
//! - a name that points out of the archive refuses it whole (`TreePath`);
//! - nothing lies below a symbolic link or a file;
//! - a hard link names a file that came before it;
//! - of entries with one name the last counts, as long as all are of one kind; a change of kind is refused (in a zip, whose
//!   readers differ in which one they take, every second entry but a directory's);
//! - directories that are only implied are made.
//!
//! Small on purpose: 40 bytes and a name for an entry, so that a hundred thousand of them cost some megabytes.

use std::hash::{BuildHasher, RandomState};

use super::members::{Member, MemberKind};
use super::{NAME_BYTES, TARGET_BYTES};
use crate::model::TreePath;
use crate::model::path::BadPath;
use crate::model::tree::Time;

/// In nanoseconds.
const SECOND: i64 = 1_000_000_000;

/// The root of every trie.
pub const ROOT: u32 = 0;

/// What stands at a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// A directory no entry was for.
    Implied,
    Directory,
    File,
    /// A further name of a file.
    Hardlink,
    Symlink,
}

/// One name. `at` and `length` are a body's place in the spool, a target's place among the names, or, once the trie has become
/// an index, a directory's first child and their number.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    pub at: u64,
    pub length: u64,
    /// Nanoseconds since the epoch: whatever time a layer can hold fits.
    modified: i64,
    pub parent: u32,
    name_at: u32,
    /// The same for all names of one file that has several; else 0.
    pub group: u32,
    pub mode: u16,
    name_length: u8,
    pub kind: NodeKind,
}

impl Node {
    /// Said or implied.
    pub fn is_directory(&self) -> bool {
        matches!(self.kind, NodeKind::Implied | NodeKind::Directory)
    }

    /// By its first name or a further one.
    pub fn is_file(&self) -> bool {
        matches!(self.kind, NodeKind::File | NodeKind::Hardlink)
    }

    pub fn modified(&self) -> Time {
        let nanos = u32::try_from(self.modified.rem_euclid(SECOND)).unwrap_or_default();
        Time { seconds: self.modified.div_euclid(SECOND), nanos }
    }

    pub fn set_modified(&mut self, time: Time) {
        self.modified = time.seconds.saturating_mul(SECOND).saturating_add(time.nanos.into());
    }

    /// Its name, among the names of its trie.
    pub fn name_in<'a>(&self, names: &'a [u8]) -> &'a [u8] {
        let at = self.name_at as usize;
        &names[at..at + usize::from(self.name_length)]
    }
}

/// All names so far.
#[derive(Debug)]
pub struct Trie {
    pub nodes: Vec<Node>,
    names: Vec<u8>,
    table: Vec<u32>,
    hasher: RandomState,
    groups: u32,
    /// Whether a name may be there once only, but for a directory's.
    unique: bool,
    /// The newest time of any entry, in seconds since the epoch.
    pub newest: Option<i64>,
}

/// A broken rule, for people.
pub type Rule = String;

impl Trie {
    pub fn new(unique: bool) -> Self {
        let root = Node {
            at: 0,
            length: 0,
            modified: 0,
            parent: ROOT,
            name_at: 0,
            group: 0,
            mode: 0o755,
            name_length: 0,
            kind: NodeKind::Implied,
        };
        Self { nodes: vec![root], names: Vec::new(), table: vec![ROOT; 64], hasher: RandomState::new(), groups: 0, unique, newest: None }
    }

    /// Adds an entry, or does nothing for one that has too few components to be stripped of `strip`.
    pub fn add(&mut self, member: &Member, strip: u32) -> Result<(), Rule> {
        let Some(path) = stripped(&member.name, strip).map_err(|rule| rule.to_string())? else { return Ok(()) };
        self.newest = self.newest.max(Some(member.modified.seconds));
        if path.is_root() {
            return if member.kind == MemberKind::Directory { Ok(()) } else { Err("it has no name".into()) };
        }
        let parent = self.parent(&path)?;
        let old = self.find(parent, path.name());
        let new = self.node(member, old, strip)?;
        match old {
            Some(old) => self.replace(old, new),
            None => self.insert(parent, path.name(), new).map(|_| ()),
        }
    }

    /// The node at a path.
    pub fn at(&self, path: &TreePath) -> Option<u32> {
        path.components().try_fold(ROOT, |parent, name| self.find(parent, name))
    }

    fn name(&self, node: &Node) -> &[u8] {
        node.name_in(&self.names)
    }

    /// Ends the adding: the nodes and the bytes their names and targets lie in.
    pub fn into_parts(self) -> (Vec<Node>, Vec<u8>) {
        (self.nodes, self.names)
    }

    /// The directory an entry lies in, made where it is only implied.
    fn parent(&mut self, path: &TreePath) -> Result<u32, Rule> {
        let Some(parent) = path.parent() else { return Ok(ROOT) };
        let mut at = ROOT;
        for name in parent.components() {
            at = match self.find(at, name) {
                Some(found) => self.directory(found, name)?,
                None => self.insert(at, name, Node { kind: NodeKind::Implied, ..self.nodes[0] })?,
            };
        }
        Ok(at)
    }

    fn directory(&self, node: u32, name: &[u8]) -> Result<u32, Rule> {
        let name = String::from_utf8_lossy(name);
        match self.nodes[node as usize].kind {
            NodeKind::Implied | NodeKind::Directory => Ok(node),
            NodeKind::Symlink => Err(format!("it lies below {name:?}, a symbolic link")),
            NodeKind::File | NodeKind::Hardlink => Err(format!("it lies below {name:?}, a file")),
        }
    }

    /// What the entry comes to; `old` is what has its name so far.
    fn node(&mut self, member: &Member, old: Option<u32>, strip: u32) -> Result<Node, Rule> {
        let mode = u16::try_from(member.mode & 0o7777).unwrap_or_default();
        let mut blank = Node { mode, ..self.nodes[0] };
        blank.set_modified(member.modified);
        Ok(match &member.kind {
            MemberKind::Directory => Node { kind: NodeKind::Directory, ..blank },
            MemberKind::File { at, size } => Node { kind: NodeKind::File, at: *at, length: *size, ..blank },
            MemberKind::Symlink(target) if target.is_empty() => return Err("it links to nothing".into()),
            MemberKind::Symlink(target) if target.len() > TARGET_BYTES => {
                return Err(format!("it links to a name of more than {TARGET_BYTES} bytes"));
            }
            MemberKind::Symlink(target) => Node { kind: NodeKind::Symlink, at: self.keep(target)?, length: target.len() as u64, ..blank },
            MemberKind::Hardlink(target) => self.hard_link(target, old, strip)?,
        })
    }

    /// A name shares everything with the file it names.
    fn hard_link(&mut self, target: &[u8], old: Option<u32>, strip: u32) -> Result<Node, Rule> {
        let path = stripped(target, strip).map_err(|rule| format!("it is a hard link whose target is refused: {rule}"))?;
        let leader = path.and_then(|path| self.at(&path)).filter(|leader| Some(*leader) != old);
        let groups = self.groups + 1;
        let leader = leader.map(|leader| &mut self.nodes[leader as usize]);
        let Some(leader) = leader.filter(|leader| leader.is_file()) else {
            return Err("it is a hard link to something that is not a file before it in the archive".into());
        };
        if leader.group == 0 {
            leader.group = groups;
            self.groups = groups;
        }
        Ok(Node { kind: NodeKind::Hardlink, ..*leader })
    }

    /// As an extraction would: the old file is taken away, not written into, so that its other names keep its body.
    fn replace(&mut self, old: u32, new: Node) -> Result<(), Rule> {
        use NodeKind::{Directory, File, Hardlink, Implied, Symlink};
        let place = &mut self.nodes[old as usize];
        match (place.kind, new.kind) {
            (File | Hardlink | Symlink, new) if self.unique && new != Directory => Err("another entry has its name, too".into()),
            (Implied | Directory, Directory) | (File, File) | (Hardlink, Hardlink) | (Symlink, Symlink) => {
                let Node { parent, name_at, name_length, .. } = *place;
                *place = Node { parent, name_at, name_length, ..new };
                Ok(())
            }
            (old, new) => Err(format!("it is {}, and was {} before", called(new), called(old))),
        }
    }

    fn insert(&mut self, parent: u32, name: &[u8], node: Node) -> Result<u32, Rule> {
        let id = u32::try_from(self.nodes.len()).map_err(|_| "the archive has too many entries".to_string())?;
        let name_at = u32::try_from(self.keep(name)?).unwrap_or_default();
        let name_length = u8::try_from(name.len()).map_err(|_| BadPath::TooLong.to_string())?;
        self.nodes.push(Node { parent, name_at, name_length, ..node });
        if self.nodes.len() * 4 > self.table.len() * 3 {
            self.table = vec![ROOT; self.table.len() * 2];
            for node in 1..id {
                self.remember(node);
            }
        }
        self.remember(id);
        Ok(id)
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<u64, Rule> {
        let at = self.names.len();
        if at + bytes.len() > NAME_BYTES {
            return Err(format!("the names of the archive have more than {NAME_BYTES} bytes together"));
        }
        self.names.extend_from_slice(bytes);
        Ok(at as u64)
    }

    /// The table holds node numbers, at the first free place from the one their name hashes to. The root is in none, so its
    /// number means "free"; and a quarter of the places always is.
    fn remember(&mut self, id: u32) {
        let node = self.nodes[id as usize];
        let free = self.probe(node.parent, self.name(&node)).find(|place| self.table[*place] == ROOT);
        if let Some(free) = free {
            self.table[free] = id;
        }
    }

    fn find(&self, parent: u32, name: &[u8]) -> Option<u32> {
        let places = self.probe(parent, name).map(|place| self.table[place]);
        places.take_while(|id| *id != ROOT).find(|id| {
            let node = &self.nodes[*id as usize];
            node.parent == parent && self.name(node) == name
        })
    }

    fn probe(&self, parent: u32, name: &[u8]) -> impl Iterator<Item = usize> + use<> {
        let mask = self.table.len() - 1;
        let hash = self.hasher.hash_one((parent, name));
        let first = usize::try_from(hash & mask as u64).unwrap_or_default();
        (0..=mask).map(move |step| (first + step) & mask)
    }
}

fn called(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::Implied | NodeKind::Directory => "a directory",
        NodeKind::File => "a file",
        NodeKind::Hardlink => "a hard link",
        NodeKind::Symlink => "a symbolic link",
    }
}

/// An entry's place. Like tar, counts what stands between slashes, a leading `.` too; `None` where nothing is left.
fn stripped(name: &[u8], strip: u32) -> Result<Option<TreePath>, BadPath> {
    let whole = TreePath::parse(name)?;
    if strip == 0 {
        return Ok(Some(whole));
    }
    let left: Vec<&[u8]> = name.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).skip(strip as usize).collect();
    if left.is_empty() { Ok(None) } else { TreePath::parse(&left.join(&b'/')).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_as_small_as_the_module_says() {
        assert_eq!(size_of::<Node>(), 40);
    }

    #[test]
    fn stripping_counts_as_tar_does() {
        let check = |name: &str, strip: u32, want: Option<&str>| {
            let got = stripped(name.as_bytes(), strip).unwrap();
            assert_eq!(got.map(|path| path.display()).as_deref(), want, "{name} {strip}");
        };
        check("a/b/c", 0, Some("a/b/c"));
        check("a/b/c", 1, Some("b/c"));
        check("./a/b", 1, Some("a/b"));
        check("a//b", 1, Some("b"));
        check("a/", 1, None);
        check("a", 1, None);
        check("a/b", 9, None);
        check("./", 0, Some(""));
        check("./", 1, None);
        // What is taken off must be harmless, too.
        assert_eq!(stripped(b"../a", 1), Err(BadPath::Parent));
        assert_eq!(stripped(b"/a/b", 1), Err(BadPath::Absolute));
    }
}
