//! Go's `filepath.Match` (path/filepath/match.go): the syntax every Docker pattern is held to, and the matching of single
//! names that fsutil does when it follows links.

use super::text;

/// Why a pattern has no meaning.
pub type Malformed = &'static str;

enum Token {
    /// Any run of characters but `/`.
    Star,
    /// One character but `/`.
    Any,
    /// One character but `/`, inside or outside these ranges.
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
    Literal(char),
}

impl Token {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Star => false,
            Self::Any => c != '/',
            Self::Class { negated, ranges } => ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated,
            Self::Literal(literal) => *literal == c,
        }
    }
}

/// Whether the pattern is well-formed.
pub fn check(pattern: &[u8]) -> Result<(), Malformed> {
    parse(pattern).map(|_| ())
}

/// Whether the whole name matches; a malformed pattern matches nothing.
pub fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let Ok(tokens) = parse(pattern) else { return false };
    let name: Vec<char> = text::readable(name).chars().collect();
    let (mut token, mut at) = (0, 0);
    // Where to go on after the last star, should what follows it not fit: linear in both, as no star needs an earlier one.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match (tokens.get(token), name.get(at)) {
            (None, None) => return true,
            (Some(Token::Star), _) => {
                retry = Some((token + 1, at));
                token += 1;
            }
            (Some(one), Some(c)) if one.takes(*c) => {
                token += 1;
                at += 1;
            }
            _ => match retry {
                Some((after, from)) if from < name.len() && name[from] != '/' => {
                    retry = Some((after, from + 1));
                    token = after;
                    at = from + 1;
                }
                _ => return false,
            },
        }
    }
}

/// Whether a name must be matched rather than looked up (fsutil's `containsWildcards`).
pub fn has_wildcards(name: &[u8]) -> bool {
    let mut bytes = name.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'*' | b'?' | b'[' => return true,
            _ => {}
        }
    }
    false
}

fn parse(pattern: &[u8]) -> Result<Vec<Token>, Malformed> {
    let pattern: Vec<char> = text::readable(pattern).chars().collect();
    let mut rest = pattern.as_slice();
    let mut tokens = Vec::new();
    while let [first, after @ ..] = rest {
        rest = after;
        tokens.push(match first {
            '*' => Token::Star,
            '?' => Token::Any,
            '[' => class(&mut rest)?,
            '\\' => {
                let [next, after @ ..] = rest else { return Err("it ends in a `\\` that escapes nothing") };
                rest = after;
                Token::Literal(*next)
            }
            literal => Token::Literal(*literal),
        });
    }
    Ok(tokens)
}

/// After the `[`: ranges up to the `]` that closes them.
fn class(rest: &mut &[char]) -> Result<Token, Malformed> {
    let negated = rest.first() == Some(&'^');
    if negated {
        *rest = &rest[1..];
    }
    let mut ranges = Vec::new();
    loop {
        if rest.first() == Some(&']') && !ranges.is_empty() {
            *rest = &rest[1..];
            return Ok(Token::Class { negated, ranges });
        }
        let low = bound(rest)?;
        let mut high = low;
        if rest.first() == Some(&'-') {
            *rest = &rest[1..];
            high = bound(rest)?;
        }
        ranges.push((low, high));
    }
}

/// One end of a range (`getEsc`): something must follow it, as the `]` is still to come.
fn bound(rest: &mut &[char]) -> Result<char, Malformed> {
    if rest.first() == Some(&'\\') {
        *rest = &rest[1..];
    } else if let Some('-' | ']') = rest.first() {
        return Err("a `-` or `]` in `[…]` is written `\\-`, `\\]`, and `[…]` is not empty");
    }
    match rest {
        [c, _, ..] if text::is_raw(*c) => Err("`[…]` holds a byte that is no UTF-8"),
        [c, after @ ..] if !after.is_empty() => {
            let c = *c;
            *rest = after;
            Ok(c)
        }
        _ => Err("a `[` is not closed"),
    }
}
