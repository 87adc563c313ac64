//! The patterns of `.gitattributes`: gitignore's syntax without negation, matched as git's wildmatch.c does.
//!
//! The usual ones are compared as they stand; the rest become a regular expression, which takes linear time whatever a
//! hostile repository writes.

use regex::bytes::{Regex, RegexBuilder};

/// Bytes that one compiled expression may take, and its working memory: that of a path with `**` in it is some 8 KiB.
const REGEX_BYTES: usize = 32 << 10;

/// One pattern, relative to the directory of its file.
#[derive(Debug)]
pub(super) struct Pattern {
    /// Without a slash: it is the file's name that must match, at any depth.
    basename: bool,
    matcher: Matcher,
}

#[derive(Debug)]
enum Matcher {
    Literal(Vec<u8>),
    Suffix(Vec<u8>),
    Regex(Box<Regex>),
    /// A pattern for directories, or one that git cannot read either: it matches no file.
    Never,
}

impl Pattern {
    /// `None` for one that cannot be compiled within its bound.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.is_empty() || text.ends_with(b"/") {
            return Some(Self { basename: false, matcher: Matcher::Never });
        }
        let basename = !text.contains(&b'/');
        let text = text.strip_prefix(b"/").unwrap_or(text);
        Some(Self { basename, matcher: matcher(text, basename)? })
    }

    /// Whether it had to be compiled, and holds memory for it.
    pub fn is_expression(&self) -> bool {
        matches!(self.matcher, Matcher::Regex(_))
    }

    /// `path` is relative to the directory of the pattern's file.
    pub fn matches(&self, path: &[u8]) -> bool {
        let text = if self.basename { path.rsplit(|b| *b == b'/').next().unwrap_or(path) } else { path };
        match &self.matcher {
            Matcher::Literal(literal) => text == literal.as_slice(),
            Matcher::Suffix(suffix) => text.ends_with(suffix),
            Matcher::Regex(regex) => regex.is_match(text),
            Matcher::Never => false,
        }
    }
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b'*' | b'?' | b'[' | b'\\')
}

fn matcher(text: &[u8], basename: bool) -> Option<Matcher> {
    let special = |text: &[u8]| text.iter().any(|b| is_special(*b));
    if !special(text) {
        return Some(Matcher::Literal(text.to_owned()));
    }
    match text.strip_prefix(b"*") {
        Some(suffix) if basename && !special(suffix) => return Some(Matcher::Suffix(suffix.to_owned())),
        _ => {}
    }
    let Some(expression) = translate(text, basename) else { return Some(Matcher::Never) };
    let regex = RegexBuilder::new(&expression)
        .unicode(false)
        .dot_matches_new_line(true)
        .size_limit(REGEX_BYTES)
        .dfa_size_limit(REGEX_BYTES)
        .build()
        .ok()?;
    Some(Matcher::Regex(Box::new(regex)))
}

/// The expression; `None` for a pattern that never matches (an open bracket, a backslash at the end).
fn translate(text: &[u8], basename: bool) -> Option<String> {
    let mut out = String::from("^");
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'*' => at = stars(text, at, basename, &mut out),
            b'?' => {
                out.push_str(if basename { "." } else { "[^/]" });
                at += 1;
            }
            b'[' => at = class(text, at, basename, &mut out)?,
            b'\\' => {
                literal(*text.get(at + 1)?, &mut out);
                at += 2;
            }
            byte => {
                literal(byte, &mut out);
                at += 1;
            }
        }
    }
    out.push('$');
    Some(out)
}

fn literal(byte: u8, out: &mut String) {
    use std::fmt::Write;
    let _ = write!(out, "\\x{byte:02x}");
}

/// One or more stars. Two cross directories only between slashes; elsewhere they are one. git compares what stands before the
/// first special character apart (dir.c, `match_pathname`), so the first stars count as standing after a slash.
fn stars(text: &[u8], at: usize, basename: bool, out: &mut String) -> usize {
    let end = text[at..].iter().position(|b| *b != b'*').map_or(text.len(), |length| at + length);
    let first = !text[..at].iter().any(|b| is_special(*b));
    let from_slash = first || text[at - 1] == b'/';
    let to_slash = end == text.len() || text[end] == b'/' || text[end..].starts_with(b"\\/");
    if basename {
        out.push_str(".*");
    } else if end - at == 1 || !from_slash || !to_slash {
        out.push_str("[^/]*");
    } else if text.get(end) == Some(&b'/') {
        // `**/` is also nothing at all, together with its slash.
        out.push_str("(?:.*/)?");
        return end + 1;
    } else {
        out.push_str(".*");
    }
    end
}

/// A bracket expression, as the set of bytes it names.
fn class(text: &[u8], start: usize, basename: bool, out: &mut String) -> Option<usize> {
    let mut at = start + 1;
    let negated = matches!(text.get(at), Some(b'!' | b'^'));
    at += usize::from(negated);
    let mut set = [false; 256];
    let first = at;
    loop {
        let byte = *text.get(at)?;
        if byte == b']' && at > first {
            break;
        }
        if byte == b'[' && text.get(at + 1) == Some(&b':') {
            at = named(text, at, &mut set)?;
            continue;
        }
        let low = member(text, &mut at)?;
        if text.get(at) == Some(&b'-') && text.get(at + 1).is_some_and(|b| *b != b']') {
            at += 1;
            let high = member(text, &mut at)?;
            (low..=high).for_each(|b| set[usize::from(b)] = true);
        }
        // Also of a range that is upside down: git has taken its first character by then.
        set[usize::from(low)] = true;
    }
    let slash = usize::from(b'/');
    let mut members: Vec<bool> = set.iter().map(|have| *have != negated).collect();
    members[slash] &= basename;
    if !members.contains(&true) {
        return None;
    }
    out.push('[');
    (0..=255u8).filter(|b| members[usize::from(*b)]).for_each(|b| literal(b, out));
    out.push(']');
    Some(at + 1)
}

fn member(text: &[u8], at: &mut usize) -> Option<u8> {
    if text[*at] == b'\\' {
        *at += 1;
    }
    let byte = *text.get(*at)?;
    *at += 1;
    Some(byte)
}

/// `[:alpha:]` and its like.
fn named(text: &[u8], at: usize, set: &mut [bool; 256]) -> Option<usize> {
    let rest = &text[at + 2..];
    let end = rest.iter().position(|b| *b == b']')?;
    let name = rest[..end].strip_suffix(b":")?;
    let member: fn(&u8) -> bool = match name {
        b"alnum" => u8::is_ascii_alphanumeric,
        b"alpha" => u8::is_ascii_alphabetic,
        b"blank" => |b| matches!(b, b' ' | b'\t'),
        b"cntrl" => u8::is_ascii_control,
        b"digit" => u8::is_ascii_digit,
        b"graph" => u8::is_ascii_graphic,
        b"lower" => u8::is_ascii_lowercase,
        b"print" => |b| (0x20..0x7f).contains(b),
        b"punct" => u8::is_ascii_punctuation,
        b"space" => |b| matches!(b, b' ' | 0x09..=0x0d),
        b"upper" => u8::is_ascii_uppercase,
        b"xdigit" => u8::is_ascii_hexdigit,
        _ => return None,
    };
    (0..=255u8).filter(member).for_each(|b| set[usize::from(b)] = true);
    Some(at + 2 + end + 1)
}
