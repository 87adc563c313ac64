//! Which entries a `COPY link` needs (`tonistiigi/fsutil`, followlinks.go, `FollowLinks`): the link, and what it points to,
//! link by link, inside the tree.
//!
//! Unlike fsutil, two paths through one linked directory (`COPY link/a link/b`) are both followed to their ends.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::super::patterns::{gomatch, paths};
use super::BadSelection;

/// Steps of following, all paths together. A build names some dozens of paths.
pub const MAX_FOLLOWED: usize = 4_096;

/// Links in one chain: Linux gives up after as many (`ELOOP`).
const MAX_CHAIN: usize = 40;

/// The little a follower needs to know of a tree. Paths are relative to its root, cleaned; no link on the way is followed.
pub trait Links {
    type Error: std::error::Error + 'static;

    /// The target of the link of this name, as it stands; `None` where there is no link, or nothing, or for a name that
    /// leads out of the tree.
    fn read_link(&self, path: &[u8]) -> Result<Option<Vec<u8>>, Self::Error>;

    /// The names in a directory (`.` is the root), in any order; none where there is no directory. Asked once for each pattern.
    fn names(&self, directory: &[u8]) -> Result<Vec<Vec<u8>>, Self::Error>;
}

/// The patterns that include everything these paths lead to, sorted; `None` if that is the whole tree. A component may
/// hold wildcards; paths that lead nowhere stay as they are.
pub fn follow_links<L: Links>(links: &L, paths: &[Vec<u8>]) -> Result<Option<Vec<Vec<u8>>>, BadSelection<L::Error>> {
    let mut follower = Follower { links, found: BTreeSet::new(), seen: HashSet::new(), listed: HashMap::new() };
    for path in paths {
        follower.follow(path, 0)?;
    }
    Ok(without_nested(follower.found))
}

/// Leaves out what lies below the path before it (fsutil's `dedupePaths`); `None` if one of the paths is the root.
pub fn without_nested(paths: impl IntoIterator<Item = Vec<u8>>) -> Option<Vec<Vec<u8>>> {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    for path in paths {
        if path == b"." {
            return None;
        }
        let nested = kept.last().is_some_and(|last| path.strip_prefix(last.as_slice()).is_some_and(|rest| rest.starts_with(b"/")));
        if !nested {
            kept.push(path);
        }
    }
    Some(kept)
}

struct Follower<'a, L> {
    links: &'a L,
    found: BTreeSet<Vec<u8>>,
    /// A link and what was still to follow behind it: nothing is followed twice, so loops end.
    seen: HashSet<(Vec<u8>, Vec<u8>)>,
    /// What wildcards led to: listing a directory may be dear.
    listed: HashMap<Vec<u8>, Vec<Vec<u8>>>,
}

impl<L: Links> Follower<'_, L> {
    fn follow(&mut self, path: &[u8], chain: usize) -> Result<(), BadSelection<L::Error>> {
        let mut current = b".".to_vec();
        let mut rest = path;
        loop {
            let end = rest.iter().position(|byte| *byte == b'/');
            current = paths::join(&current, &rest[..end.unwrap_or(rest.len())]);
            rest = end.map_or(&[][..], |end| &rest[end + 1..]);
            let targets = self.targets(&current)?;
            if !targets.is_empty() {
                return self.go_on(current, rest, &targets, chain);
            }
            if rest.is_empty() {
                self.found.insert(current);
                return Ok(());
            }
        }
    }

    fn go_on(&mut self, link: Vec<u8>, rest: &[u8], targets: &[Vec<u8>], chain: usize) -> Result<(), BadSelection<L::Error>> {
        self.found.insert(link.clone());
        if !self.seen.insert((link, rest.to_vec())) || chain == MAX_CHAIN {
            return Ok(());
        }
        if self.seen.len() > MAX_FOLLOWED {
            return Err(BadSelection::TooManyLinks);
        }
        targets.iter().try_for_each(|target| self.follow(&paths::join(target, rest), chain + 1))
    }

    /// Where the link of this name points, or the links that its wildcards match; empty where there is none.
    fn targets(&mut self, path: &[u8]) -> Result<Vec<Vec<u8>>, BadSelection<L::Error>> {
        let pattern = paths::base(path);
        if !gomatch::has_wildcards(pattern) {
            return Ok(self.target(path)?.into_iter().collect());
        }
        if let Some(targets) = self.listed.get(path) {
            return Ok(targets.clone());
        }
        let directory = paths::dir(path);
        let mut targets = BTreeSet::new();
        for name in self.links.names(&directory).map_err(BadSelection::Tree)? {
            if gomatch::matches(pattern, &name) {
                targets.extend(self.target(&paths::join(&directory, &name))?);
            }
        }
        let targets: Vec<Vec<u8>> = targets.into_iter().collect();
        self.listed.insert(path.to_vec(), targets.clone());
        Ok(targets)
    }

    /// As a path from the root of the tree, which a `..` too many does not leave.
    fn target(&self, path: &[u8]) -> Result<Option<Vec<u8>>, BadSelection<L::Error>> {
        let Some(link) = self.links.read_link(path).map_err(BadSelection::Tree)? else { return Ok(None) };
        let from = if link.starts_with(b"/") { b"/".to_vec() } else { paths::join(b"/", &paths::dir(path)) };
        Ok(Some(paths::join(&from, &link)))
    }
}
