//! What an archive holds, sorted for walking: the entries' records, their names, and each directory's children in order.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use super::error::ArchiveError;
use super::intake::Received;
use super::members::Members;
use super::trie::{Node, NodeKind, Trie};
use super::{ArchiveOptions, NAME_BYTES};
use crate::model::TreePath;
use crate::model::tree::Time;
use crate::support::limits::SOURCE_ENTRIES;

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

/// Reads all headers of a spooled archive and checks every rule.
pub fn read(received: &Received, options: &ArchiveOptions, beat: &mut dyn FnMut() -> ControlFlow<()>) -> Result<Index, ArchiveError> {
    let limits = &options.limits;
    let mut members = Members::new(&received.spool, received.bytes, limits.object_bytes);
    let mut trie = Trie::new();
    let mut count = 0;
    while let Some(member) = members.next()? {
        count += 1;
        trie.add(&member, options.strip_components).map_err(|rule| ArchiveError::entry(&member.name, rule))?;
        // Directories that are only implied count: one name may imply hundreds.
        if count.max(trie.nodes.len() as u64 - 1) > limits.source_entries {
            return Err(ArchiveError::Limit { limit: SOURCE_ENTRIES, value: limits.source_entries, unit: "entries" });
        }
        if count % BEAT == 0 && beat().is_break() {
            return Err(ArchiveError::Cancelled);
        }
    }
    Ok(Index::new(trie))
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
        path.components().try_fold(root, |parent, name| {
            let children = self.children(self.node(parent));
            let by_name = |child: &u32| -> Ordering { self.name(self.node(*child)).cmp(name) };
            children.binary_search_by(by_name).ok().map(|place| children[place])
        })
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
