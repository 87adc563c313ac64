//! Several tars over each other, as the layers of an image are (OCI image-spec, layer.md, "Applying Changesets"): a name counts
//! as the topmost layer has it, directories are joined, and a whiteout hides what the layers below have.
//!
//! Nothing is applied to anything: each layer keeps its own index, and a directory of the whole is the list of the layers' own.
//! Every layer was judged by itself before; what layers may do to each other is judged here, once, when they are put together:
//! - a directory that a layer only implies does not take the place of a file or a link below it, for then its entries would
//!   lie below a link;
//! - a whiteout is a file, and hides something.
//!
//! One layer alone hides nothing: whatever its files are called, they are files.

use std::fmt;
use std::io::Read;

use super::error::ArchiveError;
use super::format::Format;
use super::tree::ArchiveTree;
use super::trie::{NodeKind, ROOT};
use super::{ArchiveOptions, NAME_BYTES, Progress};
use crate::model::TreePath;
use crate::model::tree::{BodyKey, Entry, Kind, Revision, SourceTree, TreeError, Visited, Walk};

/// What the name of a whiteout begins with (layer.md, "Whiteouts").
const WHITEOUT: &[u8] = b".wh.";

/// In a directory: nothing of it in the layers below is there (layer.md, "Opaque Whiteout").
const OPAQUE: &[u8] = b".wh..wh..opq";

/// AUFS kept things of its own under such names; no reader shows them.
const RESERVED: &[u8] = b".wh..wh.";

/// Reads one layer, whose options give its size and digest.
pub fn layer(reader: impl Read, options: &ArchiveOptions, progress: &mut Progress<'_>) -> Result<ArchiveTree, ArchiveError> {
    let (received, index) = super::read(reader, options, progress)?;
    if received.format == Format::Zip {
        return Err(ArchiveError::Format("it is a zip, and a layer is a tar".into()));
    }
    if let Some(size) = options.size.filter(|size| *size != received.size) {
        return Err(ArchiveError::Damaged(format!("it has {} bytes, and the manifest says {size}", received.size)));
    }
    ArchiveTree::new(received, index, options)
}

/// A node of a layer.
#[derive(Clone, Copy)]
struct Place {
    layer: usize,
    node: u32,
}

/// What is to be seen at a name.
enum Seen {
    /// A file or a link.
    Leaf(Place),
    /// The directories it is joined of, the topmost first.
    Directory(Vec<Place>),
}

/// The whole.
pub struct LayeredTree {
    /// The lowest first.
    layers: Vec<ArchiveTree>,
    /// Which of them has a whiteout.
    hiding: Vec<bool>,
    /// The directories that the root is joined of.
    root: Vec<Place>,
    pub revision: Revision,
    identity: String,
}

/// Without the entries: there may be a million.
impl fmt::Debug for LayeredTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayeredTree").field("layers", &self.layers.len()).finish_non_exhaustive()
    }
}

impl LayeredTree {
    /// Puts nothing together yet; layers are pushed from the lowest on.
    pub fn new(identity: String) -> Self {
        Self { layers: Vec::new(), hiding: Vec::new(), root: Vec::new(), revision: Revision::default(), identity }
    }

    /// Lays one more on top.
    pub fn push(&mut self, layer: ArchiveTree) -> Result<(), ArchiveError> {
        self.layers.push(layer);
        let names: usize = self.layers.iter().map(|layer| layer.index().name_bytes()).sum();
        if names > NAME_BYTES {
            return Err(ArchiveError::Format(format!("the names of all layers have more than {NAME_BYTES} bytes together")));
        }
        Ok(())
    }

    /// Bytes of all layers, decompressed.
    pub fn bytes(&self) -> u64 {
        self.layers.iter().map(ArchiveTree::bytes).sum()
    }

    /// Entries of all layers, seen or hidden.
    pub fn entries(&self) -> u64 {
        self.layers.iter().map(|layer| layer.index().nodes().count() as u64).sum()
    }

    /// The newest time of any entry, in seconds since the epoch.
    pub fn newest(&self) -> Option<i64> {
        self.layers.iter().filter_map(|layer| layer.index().newest).max()
    }

    /// Judges what the layers do to each other, and makes a directory of the whole its root.
    pub fn rooted(mut self, subdir: &TreePath) -> Result<Self, ArchiveError> {
        self.whiteouts()?;
        let roots = (0..self.layers.len()).rev().map(|layer| Place { layer, node: ROOT });
        self.root = self.joined(roots.collect());
        let refused = |error| match error {
            TreeError::Refused { path, rule } => ArchiveError::Entry { entry: path, rule },
            other => ArchiveError::Damaged(other.to_string()),
        };
        self.walk(&mut |_| Ok(Walk::Enter)).map_err(refused)?;
        self.root = match self.at(subdir).map_err(refused)? {
            Some(Seen::Directory(places)) => places,
            Some(Seen::Leaf(_)) => {
                return Err(ArchiveError::entry(subdir.as_bytes(), "it is no directory, though it was asked for as one"));
            }
            None => return Err(ArchiveError::NoSubdir(subdir.display())),
        };
        self.identity = format!("{}\n{}", self.identity, subdir.display());
        Ok(self)
    }

    fn whiteouts(&mut self) -> Result<(), ArchiveError> {
        self.hiding = vec![false; self.layers.len()];
        if self.layers.len() == 1 {
            return Ok(());
        }
        for (layer, hiding) in self.layers.iter().zip(&mut self.hiding) {
            for node in layer.index().nodes() {
                let name = layer.index().name(node);
                if !name.starts_with(WHITEOUT) || (name.starts_with(RESERVED) && name != OPAQUE) {
                    continue;
                }
                *hiding = true;
                if !node.is_file() {
                    return Err(ArchiveError::entry(name, "it is named a whiteout, and is no file"));
                }
                if matches!(&name[WHITEOUT.len()..], b"" | b"." | b"..") {
                    return Err(ArchiveError::entry(name, "it is a whiteout of nothing"));
                }
            }
        }
        Ok(())
    }

    /// Without the directories below one that hides them.
    fn joined(&self, mut places: Vec<Place>) -> Vec<Place> {
        let opaque = |place: &Place| self.hiding[place.layer] && self.layers[place.layer].index().child(place.node, OPAQUE).is_some();
        if let Some(last) = places.iter().position(opaque) {
            places.truncate(last + 1);
        }
        places
    }

    fn kind(&self, place: Place) -> NodeKind {
        self.layers[place.layer].index().node(place.node).kind
    }

    /// What a joined directory has under a name.
    fn child(&self, directory: &[Place], name: &[u8]) -> Result<Option<Seen>, &'static str> {
        let found = directory.iter().map(|place| self.layers[place.layer].index().child(place.node, name));
        self.judge(directory, name, found)
    }

    /// The same, from what each of its directories has under that name.
    fn judge(&self, directory: &[Place], name: &[u8], found: impl Iterator<Item = Option<u32>>) -> Result<Option<Seen>, &'static str> {
        if self.layers.len() > 1 && name.starts_with(WHITEOUT) {
            return Ok(None);
        }
        let mut places: Vec<Place> = Vec::new();
        let whiteout = [WHITEOUT, name].concat();
        for (Place { layer, node }, found) in directory.iter().copied().zip(found) {
            let index = self.layers[layer].index();
            if let Some(node) = found {
                let place = Place { layer, node };
                match (index.node(node).is_directory(), places.last()) {
                    (true, _) => places.push(place),
                    (false, None) => return Ok(Some(Seen::Leaf(place))),
                    (false, Some(above)) if self.kind(*above) == NodeKind::Directory => break,
                    (false, Some(_)) => return Err("a layer has entries below it, and a layer below that has it as a file or a link"),
                }
                if self.hiding[layer] && index.child(node, OPAQUE).is_some() {
                    break;
                }
            }
            if self.hiding[layer] && index.child(node, &whiteout).is_some() {
                break;
            }
        }
        Ok(if places.is_empty() { None } else { Some(Seen::Directory(self.joined(places))) })
    }

    fn at(&self, path: &TreePath) -> Result<Option<Seen>, TreeError> {
        let mut seen = Seen::Directory(self.root.clone());
        for name in path.components() {
            let Seen::Directory(places) = &seen else { return Ok(None) };
            match self.child(places, name).map_err(|rule| TreeError::refused(path, rule))? {
                Some(child) => seen = child,
                None => return Ok(None),
            }
        }
        Ok(Some(seen))
    }

    fn entry(&self, seen: &Seen, path: &TreePath) -> Option<Entry> {
        let place = match seen {
            Seen::Leaf(place) => *place,
            // What is only implied leaves the directory as the layers below have it.
            Seen::Directory(places) => {
                let said = places.iter().find(|place| self.kind(**place) == NodeKind::Directory);
                *said.or(places.first())?
            }
        };
        let layer = &self.layers[place.layer];
        let mut entry = layer.entry(layer.index().node(place.node), path);
        let number = u32::try_from(place.layer).unwrap_or_default();
        entry.key[16..].copy_from_slice(&number.to_be_bytes());
        if let Kind::File { link, .. } = &mut entry.kind
            && *link > 0
        {
            *link |= u64::from(number + 1) << 32;
        }
        Some(entry)
    }

    fn show(&self, directory: &[Place], path: &TreePath, visit: &mut dyn FnMut(Entry) -> Visited) -> Result<(), TreeError> {
        // All sorted by name, so that each is gone through once, however many layers there are.
        let children = |place: &Place| {
            let index = self.layers[place.layer].index();
            index.children(index.node(place.node)).iter().map(|id| (index.name(index.node(*id)), *id)).peekable()
        };
        let mut heads: Vec<_> = directory.iter().map(children).collect();
        while let Some(name) = heads.iter_mut().filter_map(|head| head.peek().map(|(name, _)| *name)).min() {
            let found: Vec<_> = heads.iter_mut().map(|head| head.next_if(|(other, _)| *other == name).map(|(_, id)| id)).collect();
            let below = path.clone().checked_join(name).map_err(|rule| TreeError::bad_name(name, rule))?;
            let seen = self.judge(directory, name, found.into_iter()).map_err(|rule| TreeError::refused(&below, rule))?;
            let Some(seen) = seen else { continue };
            let Some(entry) = self.entry(&seen, &below) else { continue };
            if visit(entry)? == Walk::Enter
                && let Seen::Directory(places) = &seen
            {
                self.show(places, &below, visit)?;
            }
        }
        Ok(())
    }
}

impl SourceTree for LayeredTree {
    fn revision(&self) -> &Revision {
        &self.revision
    }

    fn identity(&self) -> String {
        self.identity.clone()
    }

    fn walk(&self, visit: &mut dyn FnMut(Entry) -> Visited) -> Result<(), TreeError> {
        self.show(&self.root, &TreePath::root(), visit)
    }

    fn lookup(&self, path: &TreePath) -> Result<Option<Entry>, TreeError> {
        Ok(self.at(path)?.and_then(|seen| self.entry(&seen, path)))
    }

    fn open(&self, path: &TreePath, key: &BodyKey) -> Result<Box<dyn Read + Send + '_>, TreeError> {
        let number = key[16..].iter().fold(0, |value, byte| value << 8 | usize::from(*byte));
        let layer = self.layers.get(number);
        layer.ok_or_else(|| TreeError::Damaged(format!("{:?} has no body in this artifact", path.display())))?.open(path, key)
    }
}
