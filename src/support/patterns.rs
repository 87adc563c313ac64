//! Docker's ignore patterns, to the letter of `moby/patternmatcher` (patternmatcher.go): what `docker build` leaves out of a
//! context is left out here, and nothing else. The same patterns serve as include patterns of a FileSync request.
//!
//! Paths and patterns are bytes. Nothing here touches a file system: bytes in, answers out.

mod compile;
pub mod gomatch;
mod ignorefile;
pub mod paths;
mod regexp;
mod text;

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;

pub use ignorefile::{Line, read_ignore_file};

use compile::Kind;

/// Patterns in one list. Docker has no bound; the longest lists of real projects have some hundreds.
pub const MAX_PATTERNS: usize = 10_000;

/// Bytes of one pattern: a longer one can match no path (Linux's PATH_MAX).
pub const MAX_PATTERN: usize = 4096;

/// MiB that the regular expressions of one list may take, by estimate: about 2,000 everyday patterns with wildcards.
pub const MAX_MEMORY: usize = 32;

/// Why a list of patterns was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPattern {
    #[error("{}the pattern {pattern:?} is malformed: {rule}", at(*.line))]
    Malformed { line: usize, pattern: String, rule: &'static str },
    #[error("{}the pattern {pattern:?}… is longer than {MAX_PATTERN} bytes", at(*.line))]
    TooLong { line: usize, pattern: String },
    #[error("more than {MAX_PATTERNS} patterns")]
    TooMany,
    #[error("the wildcards of the list would take more than {MAX_MEMORY} MiB: join patterns, or name their directory")]
    TooManyWild,
}

/// Line 0 is a pattern that came without a file.
fn at(line: usize) -> String {
    if line == 0 { String::new() } else { format!("line {line}: ") }
}

/// One pattern, cleaned and compiled.
struct Pattern {
    /// Written with a `!`: takes back what an earlier pattern matched.
    exception: bool,
    kind: Kind,
}

/// A compiled list of patterns. A later pattern overrides an earlier one.
#[derive(Default)]
pub struct Matcher {
    patterns: Vec<Pattern>,
    exceptions: bool,
}

/// What the patterns said of one path, carried down to what is below it. The default is the root of a walk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trail {
    hits: Vec<bool>,
    matched: bool,
}

impl Trail {
    /// Whether the path matched: is ignored, or is included, as the list is meant.
    pub fn matched(&self) -> bool {
        self.matched
    }
}

impl Matcher {
    /// From the bytes of an ignore file; an error names the line.
    pub fn from_ignore_file(file: &[u8]) -> Result<Self, BadPattern> {
        Self::compile(read_ignore_file(file))
    }

    /// From patterns that were read elsewhere (the metadata of a FileSync request).
    pub fn new<P: Into<Vec<u8>>>(patterns: impl IntoIterator<Item = P>) -> Result<Self, BadPattern> {
        Self::compile(patterns.into_iter().map(|pattern| Line { number: 0, pattern: pattern.into() }))
    }

    fn compile(lines: impl IntoIterator<Item = Line>) -> Result<Self, BadPattern> {
        let mut matcher = Self::default();
        let mut memory = 0;
        for line in lines {
            let Some(pattern) = compile::pattern(&line)? else { continue };
            memory += pattern.kind.memory();
            if memory > MAX_MEMORY << 20 {
                return Err(BadPattern::TooManyWild);
            }
            matcher.exceptions |= pattern.exception;
            matcher.patterns.push(pattern);
            if matcher.patterns.len() > MAX_PATTERNS {
                return Err(BadPattern::TooMany);
            }
        }
        Ok(matcher)
    }

    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// The answer for one path out of nowhere (`MatchesOrParentMatches`): a pattern that matches a directory above counts.
    pub fn matches_or_parent_matches(&self, path: &[u8]) -> bool {
        let path = text::readable(path);
        let mut matched = false;
        for pattern in &self.patterns {
            // What cannot change the answer is not asked.
            if pattern.exception == matched && pattern.kind.matches_or_above(&path) {
                matched = !pattern.exception;
            }
        }
        matched
    }

    /// The answer for one step of a walk (`MatchesUsingParentResults`), from what its directory answered. It is what `docker
    /// build` computes, and differs from `matches_or_parent_matches` where a `!` pattern names a directory that no earlier
    /// pattern matches: that pattern then says nothing of what is below.
    pub fn step(&self, path: &[u8], parent: &Trail) -> Trail {
        let path = text::readable(path);
        let mut trail = Trail { hits: Vec::with_capacity(self.patterns.len()), matched: false };
        for (index, pattern) in self.patterns.iter().enumerate() {
            let hit = match parent.hits.get(index) {
                Some(true) => true,
                _ if pattern.exception != trail.matched => false,
                Some(false) => pattern.kind.matches(&path),
                None => pattern.kind.matches_or_above(&path),
            };
            trail.hits.push(hit);
            if hit {
                trail.matched = !pattern.exception;
            }
        }
        trail
    }

    /// Whether something below a directory that matched may still be taken back by a `!` pattern. `false` is certain: an
    /// ignored directory may then be skipped. (fsutil's own test is coarser, and wrong for `!a/*/**`.)
    pub fn may_take_back_below(&self, directory: &[u8]) -> bool {
        self.exceptions && self.may_match_below(directory, true)
    }

    /// Whether something below a directory that did not match may match. `false` is certain.
    pub fn may_add_below(&self, directory: &[u8]) -> bool {
        self.may_match_below(directory, false)
    }

    fn may_match_below(&self, directory: &[u8], exception: bool) -> bool {
        let below = [directory, b"/"].concat();
        self.patterns.iter().filter(|pattern| pattern.exception == exception).any(|pattern| pattern.kind.may_match_below(&below))
    }
}
