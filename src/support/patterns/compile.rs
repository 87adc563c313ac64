//! One line into one compiled pattern (patternmatcher.go, `New` and `compile`).

use regex::bytes::{Regex, RegexBuilder};

use super::paths::{clean, trim_space};
use super::{BadPattern, Line, MAX_PATTERN, Pattern, gomatch, regexp, text};

/// Bytes that one regular expression may take, compiled. 4,096 wildcards need less than a tenth of it.
const REGEX_BYTES: usize = 8 << 20;

/// Bytes of the cache that matching one pattern may fill: small, as there may be many patterns.
const CACHE_BYTES: usize = 64 << 10;

/// How a pattern is matched: by text alone where that is enough. Texts are in the form of `text::readable`.
pub enum Kind {
    Exact(String),
    /// `a/**`: everything that begins like this.
    Prefix(String),
    /// `**a`, `**/a`: everything that ends like this.
    Suffix(String),
    Wild {
        regex: Box<Regex>,
        /// What every match begins with.
        literal: Vec<u8>,
        /// Bytes the expression takes, by estimate.
        memory: usize,
    },
}

impl Kind {
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(text) => path == text,
            Self::Prefix(text) => path.starts_with(text.as_str()),
            Self::Suffix(text) => path.ends_with(text.as_str()) || text.strip_prefix('/') == Some(path),
            Self::Wild { regex, .. } => regex.is_match(path.as_bytes()),
        }
    }

    /// The path, or a directory above it.
    pub fn matches_or_above(&self, path: &str) -> bool {
        self.matches(path) || path.match_indices('/').any(|(at, _)| self.matches(&path[..at]))
    }

    /// Bytes this takes in memory, by estimate.
    pub fn memory(&self) -> usize {
        match self {
            Self::Exact(text) | Self::Prefix(text) | Self::Suffix(text) => text.len(),
            Self::Wild { memory, .. } => *memory,
        }
    }

    /// Whether a path that begins with `below` (a directory and its `/`) may match; `false` is certain.
    pub fn may_match_below(&self, below: &[u8]) -> bool {
        let literal = match self {
            Self::Exact(text) => return text.as_bytes().starts_with(below),
            Self::Prefix(text) => text.as_bytes(),
            Self::Suffix(_) => return true,
            Self::Wild { literal, .. } => literal,
        };
        literal.starts_with(below) || below.starts_with(literal)
    }
}

/// `None` for a blank one.
pub fn pattern(line: &Line) -> Result<Option<Pattern>, BadPattern> {
    let trimmed = trim_space(&line.pattern);
    if trimmed.is_empty() {
        return Ok(None);
    }
    if trimmed.len() > MAX_PATTERN {
        return Err(BadPattern::TooLong { line: line.number, pattern: shown(&trimmed[..60]) });
    }
    let malformed = |rule| BadPattern::Malformed { line: line.number, pattern: shown(trimmed), rule };
    let cleaned = clean(trimmed);
    let (exception, body) = match cleaned.strip_prefix(b"!") {
        Some(b"") => return Err(malformed("nothing follows the `!`")),
        Some(body) => (true, body),
        None => (false, cleaned.as_slice()),
    };
    gomatch::check(body).map_err(malformed)?;
    Ok(Some(Pattern { exception, kind: kind(&text::readable(body)).map_err(malformed)? }))
}

fn shown(pattern: &[u8]) -> String {
    String::from_utf8_lossy(pattern).into_owned()
}

fn kind(body: &str) -> Result<Kind, gomatch::Malformed> {
    match shape(body) {
        (Shape::Exact, _) => Ok(Kind::Exact(body.to_owned())),
        (Shape::Prefix, _) => Ok(Kind::Prefix(body[..body.len() - 2].to_owned())),
        (Shape::Suffix, _) => Ok(Kind::Suffix(body[2..].to_owned())),
        (Shape::Wild, expression) => {
            let mut builder = RegexBuilder::new(&regexp::from_go(&expression)?);
            let regex = builder.size_limit(REGEX_BYTES).dfa_size_limit(CACHE_BYTES).build();
            let regex = Box::new(regex.map_err(|_| "it makes no regular expression, as Docker makes one of it")?);
            let literal = body.split(['*', '?', '[', '\\']).next().unwrap_or_default().as_bytes().to_vec();
            Ok(Kind::Wild { regex, literal, memory: estimate(body) })
        }
    }
}

/// As measured with regex 1: a base, the literal characters, and by far the most for what spans directories.
fn estimate(body: &str) -> usize {
    let spans = body.matches("**").count();
    let wildcards = body.matches(['*', '?', '[', '\\']).count();
    (6 << 10) + 48 * body.len() + (5 << 10) * spans + (1 << 10) * wildcards
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Exact,
    Prefix,
    Suffix,
    Wild,
}

/// What a pattern needs, and the regular expression, in Go's syntax, that moby makes of it. Odd corners are moby's: what
/// stands in `[…]` is translated like the rest, and `\d` is a digit.
pub fn shape(body: &str) -> (Shape, String) {
    let mut shape = Shape::Exact;
    let mut expression = String::from("^");
    let mut chars = body.chars().peekable();
    let mut first = true;
    while let Some(c) = chars.next() {
        match c {
            '*' if chars.next_if_eq(&'*').is_some() => {
                let _ = chars.next_if_eq(&'/');
                shape = match (chars.peek().is_none(), shape) {
                    (true, Shape::Exact) if !first => Shape::Prefix,
                    _ if first => Shape::Suffix,
                    _ => Shape::Wild,
                };
                expression.push_str(if chars.peek().is_none() { ".*" } else { "(.*/)?" });
            }
            '*' | '?' => {
                expression.push_str(if c == '*' { "[^/]*" } else { "[^/]" });
                shape = Shape::Wild;
            }
            '.' | '+' | '(' | ')' | '|' | '{' | '}' | '$' => expression.extend(['\\', c]),
            '\\' => {
                expression.push('\\');
                expression.extend(chars.next());
                shape = Shape::Wild;
            }
            '[' | ']' => {
                expression.push(c);
                shape = Shape::Wild;
            }
            _ => expression.push(c),
        }
        first = false;
    }
    expression.push('$');
    (shape, expression)
}
