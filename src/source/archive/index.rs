//! What an archive holds, sorted for walking: the entries' records, their names, and each directory's children in order.

use std::cmp::Ordering;
use std::fs::File;
use std::ops::ControlFlow;

use super::error::ArchiveError;
use super::format::Format;
use super::intake::Received;
use super::largest::Largest;
use super::members::{Member, MemberKind, Members};
use super::trie::{Node, NodeKind, Trie};
use super::{ArchiveOptions, NAME_BYTES, zip};
use crate::model::TreePath;
use crate::model::tree::Time;
use crate::support::limits::{OBJECT_BYTES, SOURCE_ENTRIES};

/// Entries between two looks at whether the run was cancelled.
const BEAT: u64 = 1024;

/// All entries of an archive.
pub struct Index {
    nodes: Vec<Node>,
    names: Vec<u8>,
    /// Node numbers: the children of each directory side by side, sorted by name.
    children: Vec<u32>,
    /// The newest time of any entry, in seconds since the epoch.
    pub newest: Option<i64>,
}

/// Takes entries in as they are read, and judges them.
pub struct Collector<'a> {
    trie: Trie,
    count: u64,
    options: &'a ArchiveOptions,
    beat: &'a mut dyn FnMut() -> ControlFlow<()>,
    largest: Largest,
}

impl<'a> Collector<'a> {
    /// `unique`: no two entries may have one name, but for directories.
    pub fn new(options: &'a ArchiveOptions, unique: bool, beat: &'a mut dyn FnMut() -> ControlFlow<()>) -> Self {
        Self { trie: Trie::new(unique), count: 0, options, beat, largest: Largest::default() }
    }

    pub fn add(&mut self, member: &Member) -> Result<(), ArchiveError> {
        self.count += 1;
        if let MemberKind::File { size, .. } = member.kind {
            self.largest.note(&member.name, size);
        }
        self.trie.add(member, self.options.strip_components).map_err(|rule| ArchiveError::entry(&member.name, rule))?;
        // Directories that are only implied count: one name may imply hundreds.
        let most = self.options.limits.source_entries;
        if self.count.max(self.trie.nodes.len() as u64 - 1) > most {
            return Err(ArchiveError::limit(SOURCE_ENTRIES, most, "entries"));
        }
        if self.count.is_multiple_of(BEAT) { self.beat() } else { Ok(()) }
    }

    /// To be called now and then: whether the run was cancelled.
    pub fn beat(&mut self) -> Result<(), ArchiveError> {
        if (self.beat)().is_break() { Err(ArchiveError::Cancelled) } else { Ok(()) }
    }
}

/// Reads all headers of a spooled archive and checks every rule.
pub fn read(received: &mut Received, options: &ArchiveOptions, beat: &mut dyn FnMut() -> ControlFlow<()>) -> Result<Index, ArchiveError> {
    let mut collector = Collector::new(options, received.format == Format::Zip, beat);
    let read = match received.format {
        Format::Tar | Format::Compressed(_) => tar(received, options, &mut collector),
        Format::Zip => zip::read(received, options, &mut collector),
        Format::File => file(received, options, &mut collector),
    };
    read.map_err(|error| error.with(collector.largest))?;
    Ok(Index::new(collector.trie))
}

/// The largest files of a tar of which only this much is there, the one that it ends in among them.
pub fn largest_of(spool: &File, bytes: u64, options: &ArchiveOptions) -> Largest {
    let mut largest = Largest::default();
    let mut members = Members::new(spool, bytes, u64::MAX, options);
    for _ in 0..options.limits.source_entries {
        let Ok(Some(member)) = members.next() else { break };
        if let MemberKind::File { size, .. } = member.kind {
            largest.note(&member.name, size);
        }
    }
    if let Some((name, size)) = members.cut() {
        largest.note(name, size);
    }
    largest
}

/// The whole spool under the name that was asked for. Nobody says of when it is.
fn file(received: &Received, options: &ArchiveOptions, collector: &mut Collector<'_>) -> Result<(), ArchiveError> {
    let (name, size, most) = (options.name.as_bytes().to_vec(), received.bytes, options.limits.object_bytes);
    if size > most {
        return Err(ArchiveError::entry(&name, format!("it has more than the limit {OBJECT_BYTES} of {most} bytes")));
    }
    collector.add(&Member { name, kind: MemberKind::File { at: 0, size }, mode: 0o644, modified: Time::default() })?;
    collector.trie.newest = None;
    Ok(())
}

fn tar(received: &mut Received, options: &ArchiveOptions, collector: &mut Collector<'_>) -> Result<(), ArchiveError> {
    let mut members = Members::new(&received.spool, received.bytes, received.size, options);
    while let Some(member) = members.next()? {
        collector.add(&member)?;
    }
    received.bytes = members.end();
    Ok(())
}

impl Index {
    fn new(trie: Trie) -> Self {
        let newest = trie.newest;
        let (mut nodes, mut names) = trie.into_parts();
        names.shrink_to_fit();
        nodes.shrink_to_fit();
        for implied in nodes.iter_mut().filter(|node| node.kind == NodeKind::Implied) {
            implied.set_modified(Time { seconds: newest.unwrap_or_default(), nanos: 0 });
        }
        let mut index = Self { nodes, names, children: Vec::new(), newest };
        index.sort();
        index
    }

    fn sort(&mut self) {
        let mut children: Vec<u32> = (1..).take(self.nodes.len() - 1).collect();
        children.sort_unstable_by(|a, b| {
            let (a, b) = (self.node(*a), self.node(*b));
            a.parent.cmp(&b.parent).then_with(|| self.name(a).cmp(self.name(b)))
        });
        for (place, child) in children.iter().enumerate() {
            let parent = self.nodes[*child as usize].parent;
            let parent = &mut self.nodes[parent as usize];
            if parent.length == 0 {
                parent.at = place as u64;
            }
            parent.length += 1;
        }
        self.children = children;
    }

    pub fn node(&self, id: u32) -> &Node {
        &self.nodes[id as usize]
    }

    pub fn name(&self, node: &Node) -> &[u8] {
        node.name_in(&self.names)
    }

    /// A symbolic link's target.
    pub fn target(&self, node: &Node) -> &[u8] {
        &self.names[range(node)]
    }

    /// In the order of their names; none for what is no directory.
    pub fn children(&self, node: &Node) -> &[u32] {
        if node.is_directory() { &self.children[range(node)] } else { &[] }
    }

    /// The node at a path below `root`.
    pub fn find(&self, root: u32, path: &TreePath) -> Option<u32> {
        path.components().try_fold(root, |parent, name| self.child(parent, name))
    }

    /// The node of this name in a directory.
    pub fn child(&self, parent: u32, name: &[u8]) -> Option<u32> {
        let children = self.children(self.node(parent));
        let by_name = |child: &u32| -> Ordering { self.name(self.node(*child)).cmp(name) };
        children.binary_search_by(by_name).ok().map(|place| children[place])
    }

    /// Every node but the root.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().skip(1)
    }

    /// Bytes of all names and targets.
    pub fn name_bytes(&self) -> usize {
        self.names.len()
    }

    /// Bytes of memory it takes.
    #[cfg(test)]
    pub fn memory(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>() + self.names.capacity() + self.children.capacity() * size_of::<u32>()
    }
}

/// What `at` and `length` of a node that is no file span: never more than memory holds.
fn range(node: &Node) -> std::ops::Range<usize> {
    let at = usize::try_from(node.at).unwrap_or(NAME_BYTES);
    at..at + usize::try_from(node.length).unwrap_or_default()
}
