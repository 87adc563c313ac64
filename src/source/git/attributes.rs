//! `.gitattributes`, as far as it changes a file's bytes on checkout: what is shipped is what `git clone` gives, and a file
//! whose attributes nothing here can follow is refused instead of shipped in another form than its author meant.
//!
//! gitattributes(5); the decisions are those of git's attr.c (which line wins) and convert.c (what a checkout changes).

use std::collections::HashMap;

use super::convert::{Conversion, Crlf};
use super::ident::Ident;
use super::pattern::Pattern;

/// Bytes of one `.gitattributes`; git's own bound on a line (attr.h).
pub(super) const FILE_BYTES: u64 = 1 << 20;
const LINE_BYTES: usize = 2048;

/// Settings of attributes that matter here, and patterns that need an expression, in all files that are held at once.
const MOST_SETTINGS: usize = 16_384;
const MOST_EXPRESSIONS: usize = 1024;

/// Expansions of macros by macros for one file.
const MOST_MACROS: usize = 64;

/// The attributes that can change bytes; `crlf` is what `text` was called once.
const ACTIVE: [&str; 6] = ["text", "crlf", "eol", "ident", "filter", "working-tree-encoding"];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Set,
    Unset,
    Unspecified,
    Is(String),
}

type Assignments = Vec<(String, Value)>;

/// One file's lines, in their order.
#[derive(Debug, Default)]
pub(super) struct Rules {
    lines: Vec<(Pattern, Assignments)>,
    macros: HashMap<String, Assignments>,
    /// Something in here may make a file one of Git LFS.
    mentions_lfs: bool,
}

/// There is more than can be held and matched within bounds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany;

/// What may still be held of a commit's attributes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    settings: usize,
    expressions: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { settings: MOST_SETTINGS, expressions: MOST_EXPRESSIONS }
    }
}

impl Budget {
    /// Whether it is time to let go of what is held.
    pub fn is_low(&self) -> bool {
        self.settings < MOST_SETTINGS / 4 || self.expressions < MOST_EXPRESSIONS / 4
    }

    fn spend(&mut self, settings: usize, expressions: usize) -> Result<(), TooMany> {
        self.settings = self.settings.checked_sub(settings).ok_or(TooMany)?;
        self.expressions = self.expressions.checked_sub(expressions).ok_or(TooMany)?;
        Ok(())
    }
}

impl Rules {
    /// `root` holds the macros, which may be defined in the root's file only: this is that file where there is none.
    /// What changes no bytes is left out before its pattern is looked at.
    pub fn parse(text: &[u8], root: Option<&Self>, budget: &mut Budget) -> Result<Self, TooMany> {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let lines = || text.split(|b| *b == b'\n').filter(|line| line.len() < LINE_BYTES).filter_map(split);
        let mut rules = Self::default();
        for (name, assignments) in lines().filter(|_| root.is_none()) {
            if let Some(name) = name.strip_prefix(b"[attr]").and_then(|name| attribute_name(name.trim_ascii())) {
                budget.spend(assignments.len() + 1, 0)?;
                rules.macros.insert(name, assignments);
            }
        }
        let macros = &root.unwrap_or(&rules).macros;
        let matters = |name: &str| ACTIVE.contains(&name) || name == "binary" || macros.contains_key(name);
        let mut kept = Vec::new();
        for (pattern, mut assignments) in lines() {
            assignments.retain(|(name, _)| matters(name));
            if assignments.is_empty() || pattern.starts_with(b"[attr]") || pattern.starts_with(b"!") {
                continue;
            }
            let pattern = Pattern::parse(&pattern).ok_or(TooMany)?;
            budget.spend(assignments.len(), usize::from(pattern.is_expression()))?;
            kept.push((pattern, assignments));
        }
        rules.lines = kept;
        let mut all = rules.lines.iter().map(|(_, assignments)| assignments).chain(rules.macros.values()).flatten();
        rules.mentions_lfs = all.any(|(_, value)| *value == Value::Is("lfs".to_owned()));
        Ok(rules)
    }

    pub fn mentions_lfs(&self) -> bool {
        self.mentions_lfs
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

/// The name or pattern, and what follows it; `None` for a comment, an empty line, and one with a bad attribute name.
fn split(line: &[u8]) -> Option<(Vec<u8>, Assignments)> {
    let line = line.trim_ascii();
    if line.is_empty() || line.starts_with(b"#") {
        return None;
    }
    let blank = |b: &u8| matches!(b, b' ' | b'\t' | b'\r');
    let (name, rest) = match line.strip_prefix(b"\"") {
        Some(quoted) => unquote(quoted)?,
        None if line.starts_with(b"[attr]") => {
            let name = line[6..].trim_ascii_start();
            let end = name.iter().position(blank).unwrap_or(name.len());
            ([b"[attr]", &name[..end]].concat(), &name[end..])
        }
        None => {
            let end = line.iter().position(blank).unwrap_or(line.len());
            (line[..end].to_owned(), &line[end..])
        }
    };
    let words = rest.split(blank).filter(|word| !word.is_empty());
    let assignments: Option<Assignments> = words.map(assignment).collect();
    Some((name, assignments?))
}

fn assignment(word: &[u8]) -> Option<(String, Value)> {
    let (name, value) = match word {
        [b'-', name @ ..] => (name, Value::Unset),
        [b'!', name @ ..] => (name, Value::Unspecified),
        _ => match word.iter().position(|b| *b == b'=') {
            Some(at) => (&word[..at], Value::Is(String::from_utf8_lossy(&word[at + 1..]).into_owned())),
            None => (word, Value::Set),
        },
    };
    Some((attribute_name(name)?, value))
}

fn attribute_name(name: &[u8]) -> Option<String> {
    let good = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let good = !name.is_empty() && !name.starts_with(b"-") && name.iter().all(good);
    good.then(|| String::from_utf8_lossy(name).into_owned())
}

/// A C-style string (git's quote.c), without its opening quote; and what follows the closing one.
fn unquote(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut out = Vec::new();
    let mut at = 0;
    loop {
        match *text.get(at)? {
            b'"' => return Some((out, &text[at + 1..])),
            b'\\' => {
                let (byte, length) = escape(&text[at + 1..])?;
                out.push(byte);
                at += 1 + length;
            }
            byte => {
                out.push(byte);
                at += 1;
            }
        }
    }
}

fn escape(text: &[u8]) -> Option<(u8, usize)> {
    let byte = match *text.first()? {
        b'a' => 7,
        b'b' => 8,
        b'f' => 12,
        b'n' => 10,
        b'r' => 13,
        b't' => 9,
        b'v' => 11,
        quoted @ (b'"' | b'\\') => quoted,
        b'0'..=b'3' => {
            let digits = std::str::from_utf8(text.get(..3)?).ok()?;
            return Some((u8::from_str_radix(digits, 8).ok()?, 3));
        }
        _ => return None,
    };
    Some((byte, 1))
}

/// What one file's attributes come to.
#[derive(Debug, Default)]
pub(super) struct Attributes(HashMap<String, Value>);

impl Attributes {
    /// `files`: every `.gitattributes` on the way, the nearest first, each with the path as seen from its directory.
    /// `root` is the root's, for its macros.
    pub fn of<'a>(files: impl Iterator<Item = (&'a Rules, &'a [u8])>, root: Option<&Rules>) -> Self {
        let mut found = Self::default();
        let mut macros = MOST_MACROS;
        for (rules, path) in files {
            for (_, assignments) in rules.lines.iter().rev().filter(|(pattern, _)| pattern.matches(path)) {
                found.fill(assignments, root, &mut macros);
            }
        }
        found
    }

    /// Later words win over earlier ones, and whatever was found before wins over both.
    fn fill(&mut self, assignments: &Assignments, root: Option<&Rules>, macros: &mut usize) {
        for (name, value) in assignments.iter().rev() {
            if self.0.contains_key(name) {
                continue;
            }
            self.0.insert(name.clone(), value.clone());
            if *value != Value::Set || *macros == 0 {
                continue;
            }
            *macros -= 1;
            if let Some(body) = root.and_then(|root| root.macros.get(name)) {
                self.fill(body, root, macros);
            } else if name == "binary" {
                self.fill(&vec![("text".to_owned(), Value::Unset)], root, macros);
            }
        }
    }

    fn get(&self, name: &str) -> &Value {
        self.0.get(name).unwrap_or(&Value::Unspecified)
    }

    /// What a checkout on Linux, with git-lfs and without any configuration, does to the file (convert.c, `convert_attrs`).
    pub fn treatment(&self) -> Treatment {
        let lfs = *self.get("filter") == Value::Is("lfs".to_owned());
        let line_ends = self.line_ends();
        // Bodies that go through a filter, or are looked at before it is known what becomes of them, are held whole.
        let whole = lfs || line_ends.guesses;
        let ident = (*self.get("ident") == Value::Set).then_some(if whole { Ident::Whole } else { Ident::Streamed });
        Treatment { refused: self.refused(), lfs, conversion: Conversion { ident, crlf: line_ends.crlf } }
    }

    fn refused(&self) -> Option<Refusal> {
        match (self.get("filter"), self.get("working-tree-encoding")) {
            (Value::Is(name), _) if name != "lfs" => Some(Refusal { attribute: format!("filter={name}"), of_empty: true }),
            (_, Value::Set) => Some(Refusal { attribute: "working-tree-encoding".to_owned(), of_empty: true }),
            (_, Value::Is(name)) if !name.is_empty() && !is_utf8(name) => {
                Some(Refusal { attribute: format!("working-tree-encoding={name}"), of_empty: false })
            }
            _ => None,
        }
    }

    fn line_ends(&self) -> LineEnds {
        let action = Some(Text::of(self.get("text"))).filter(|text| *text != Text::Unspecified);
        let action = action.unwrap_or_else(|| Text::of(self.get("crlf")));
        let crlf = *self.get("eol") == Value::Is("crlf".to_owned());
        let lf = *self.get("eol") == Value::Is("lf".to_owned());
        match action {
            Text::Binary => LineEnds { crlf: Crlf::Never, guesses: false },
            Text::Auto if crlf => LineEnds { crlf: Crlf::Guessed, guesses: true },
            Text::Auto => LineEnds { crlf: Crlf::Never, guesses: !lf },
            Text::Yes | Text::Unspecified => LineEnds { crlf: if crlf { Crlf::Always } else { Crlf::Never }, guesses: false },
        }
    }
}

/// What becomes of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Treatment {
    /// It cannot be had as git gives it.
    pub refused: Option<Refusal>,
    /// It may be a pointer of Git LFS.
    pub lfs: bool,
    pub conversion: Conversion,
}

/// An attribute that nothing here can follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub attribute: String,
    /// Also where there is not a byte to change.
    pub of_empty: bool,
}

struct LineEnds {
    crlf: Crlf,
    guesses: bool,
}

/// What `text` says, or `crlf`, its old name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Text {
    Yes,
    Binary,
    Auto,
    Unspecified,
}

impl Text {
    fn of(value: &Value) -> Self {
        match value {
            Value::Set => Self::Yes,
            Value::Unset => Self::Binary,
            Value::Is(name) if name == "input" => Self::Yes,
            Value::Is(name) if name == "auto" => Self::Auto,
            Value::Is(_) | Value::Unspecified => Self::Unspecified,
        }
    }
}

fn is_utf8(name: &str) -> bool {
    name.eq_ignore_ascii_case("utf-8") || name.eq_ignore_ascii_case("utf8")
}
