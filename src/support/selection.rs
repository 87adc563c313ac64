//! What of a tree the daemon asked to see: the filter a FileSync client applies (`tonistiigi/fsutil`, filter.go, `NewFilterFS`).
//!
//! The daemon filters nothing itself: whatever is announced lands in the build. A directory that holds nothing wanted is not
//! announced; one that does is announced late, just before the first wanted entry below it. Nothing here touches a tree:
//! a walker offers its entries in path order and announces what it is told to.

mod links;
#[cfg(test)]
mod tests;

pub use links::{Links, MAX_FOLLOWED, follow_links};

use super::patterns::{BadPattern, Matcher, Trail};

/// The metadata of a FileSync request, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// `include-patterns`: an entry matches one of them, or is left out. None at all: everything.
    pub include: Vec<Vec<u8>>,
    /// `exclude-patterns`: an entry that matches is left out, as by an ignore file.
    pub exclude: Vec<Vec<u8>>,
    /// `followpaths`: include patterns, with all that the links on their way point to.
    pub follow: Vec<Vec<u8>>,
}

/// Why a request cannot be answered. `E` is the tree's own error.
#[derive(Debug, thiserror::Error)]
pub enum BadSelection<E: std::error::Error + 'static> {
    #[error("the daemon asks with include patterns or followed paths that make no pattern")]
    Include(#[source] BadPattern),
    #[error("the daemon asks with exclude patterns that make no pattern")]
    Exclude(#[source] BadPattern),
    #[error("the followed paths lead over more than {MAX_FOLLOWED} links")]
    TooManyLinks,
    #[error(transparent)]
    Tree(E),
}

/// A request, compiled.
#[derive(Default)]
pub struct Selection {
    include: Option<Matcher>,
    exclude: Option<Matcher>,
}

/// Whether a walk goes on below the entry that was offered. Of no meaning for what is no directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Below {
    Enter,
    /// Nothing below is wanted: certain.
    Skip,
}

impl Selection {
    /// Follows the links and compiles the patterns.
    pub fn new<L: Links>(wanted: Wanted, links: &L) -> Result<Self, BadSelection<L::Error>> {
        let mut include = wanted.include;
        if !wanted.follow.is_empty()
            && let Some(targets) = follow_links(links, &wanted.follow)?
        {
            include.extend(targets);
            // A pattern that is the root asks for everything.
            include = links::without_nested(include).unwrap_or_default();
        }
        let compiled = |patterns: Vec<Vec<u8>>| (!patterns.is_empty()).then(|| Matcher::new(patterns)).transpose();
        Ok(Self {
            include: compiled(include).map_err(BadSelection::Include)?,
            exclude: compiled(wanted.exclude).map_err(BadSelection::Exclude)?,
        })
    }

    /// Everything but what an ignore file names.
    pub fn without(ignored: Matcher) -> Self {
        Self { include: None, exclude: Some(ignored) }
    }

    /// Whether this one path is left out, with whatever is above it.
    pub fn leaves_out(&self, path: &[u8]) -> bool {
        self.exclude.as_ref().is_some_and(|exclude| exclude.matches_or_parent_matches(path))
    }

    /// A walk from the root. `T` is what the walker announces: an entry, a stat.
    pub fn walk<T>(&self) -> Walk<'_, T> {
        Walk { selection: self, open: Vec::new() }
    }
}

/// One walk over a tree: knows the directories that are open, and which of them are still to be announced.
pub struct Walk<'a, T> {
    selection: &'a Selection,
    open: Vec<Open<T>>,
}

/// A directory that the walk is in.
struct Open<T> {
    /// With a `/` at the end.
    path: Vec<u8>,
    include: Trail,
    exclude: Trail,
    /// What is announced once something below is wanted.
    pending: Option<T>,
}

impl<T> Walk<'_, T> {
    /// Offers the next entry of the tree: path order, a directory before what is in it, the root never. Adds to `announce`
    /// what is to be announced now, in this order: directories above that were held back, and the entry itself.
    pub fn offer(&mut self, path: &[u8], is_directory: bool, item: T, announce: &mut Vec<T>) -> Below {
        while self.open.last().is_some_and(|directory| !path.starts_with(&directory.path)) {
            self.open.pop();
        }
        let include = self.ask(self.selection.include.as_ref(), path, |directory| &directory.include);
        let included = self.selection.include.is_none() || include.matched();
        if is_directory && !included && !may(self.selection.include.as_ref(), |matcher| matcher.may_add_below(path)) {
            return Below::Skip;
        }
        let exclude = self.ask(self.selection.exclude.as_ref(), path, |directory| &directory.exclude);
        if is_directory && exclude.matched() && !may(self.selection.exclude.as_ref(), |matcher| matcher.may_take_back_below(path)) {
            return Below::Skip;
        }
        let mut item = Some(item);
        if included && !exclude.matched() {
            announce.extend(self.open.iter_mut().filter_map(|directory| directory.pending.take()));
            announce.extend(item.take());
        }
        if is_directory {
            self.open.push(Open { path: [path, b"/"].concat(), include, exclude, pending: item });
        }
        Below::Enter
    }

    fn ask(&self, matcher: Option<&Matcher>, path: &[u8], above: impl Fn(&Open<T>) -> &Trail) -> Trail {
        let Some(matcher) = matcher else { return Trail::default() };
        match self.open.last() {
            Some(directory) => matcher.step(path, above(directory)),
            None => matcher.step(path, &Trail::default()),
        }
    }
}

fn may(matcher: Option<&Matcher>, question: impl Fn(&Matcher) -> bool) -> bool {
    matcher.is_none_or(question)
}
