//! From the syntax of Go's `regexp` (regexp/syntax/parse.go) to that of the `regex` crate. The two differ inside `[…]`
//! (nested classes, `&&`, `--`), in what `\d` and its kin mean, and in which escapes exist.
//!
//! Only what moby's translation can produce is known here; what has no meaning in Go is refused, as it is there.

use std::fmt::Write as _;

use super::gomatch::Malformed;

const BAD_ESCAPE: Malformed = "its `\\` stands before a letter or digit that makes no escape";
const BAD_CLASS: Malformed = "its `[…]` makes no set of characters: a range runs backwards, or a class is unknown";

/// Names that stand in `[[:name:]]`; both syntaxes know them, as sets of ASCII.
const NAMES: [&str; 14] =
    ["alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word", "xdigit"];

/// What a `\` and what follows it mean.
enum Escape {
    Literal(char),
    /// The inside of a set.
    Set(&'static str),
    Position(&'static str),
    /// Everything up to `\E`.
    Quote,
}

/// The same expression for the `regex` crate, in its Unicode mode, over bytes that are all valid UTF-8.
pub fn from_go(expression: &str) -> Result<String, Malformed> {
    let chars: Vec<char> = expression.chars().collect();
    let mut rest = chars.as_slice();
    let mut out = String::with_capacity(expression.len() * 2);
    while let [c, after @ ..] = rest {
        rest = after;
        match c {
            '\\' => match escape(&mut rest)? {
                Escape::Literal(c) => literal(&mut out, c),
                Escape::Set(set) => out.extend(["[", set, "]"]),
                Escape::Position(position) => out.push_str(position),
                Escape::Quote => quoted(&mut out, &mut rest),
            },
            '[' => class(&mut out, &mut rest)?,
            '(' => out.push_str("(?:"),
            '.' | '*' | '?' | ')' | '^' | '$' => out.push(*c),
            c => literal(&mut out, *c),
        }
    }
    Ok(out)
}

fn literal(out: &mut String, c: char) {
    if c.is_ascii_alphanumeric() || !c.is_ascii() {
        out.push(c);
    } else {
        // Writing to a string cannot fail.
        let _ = write!(out, "\\x{{{:X}}}", u32::from(c));
    }
}

fn quoted(out: &mut String, rest: &mut &[char]) {
    while let [c, after @ ..] = *rest {
        if rest.starts_with(&['\\', 'E']) {
            *rest = &rest[2..];
            return;
        }
        literal(out, *c);
        *rest = after;
    }
}

/// After the `\`.
fn escape(rest: &mut &[char]) -> Result<Escape, Malformed> {
    let [c, after @ ..] = *rest else { return Err(BAD_ESCAPE) };
    *rest = after;
    Ok(match c {
        'a' => Escape::Literal('\x07'),
        'f' => Escape::Literal('\x0c'),
        'n' => Escape::Literal('\n'),
        'r' => Escape::Literal('\r'),
        't' => Escape::Literal('\t'),
        'v' => Escape::Literal('\x0b'),
        'd' => Escape::Set("0-9"),
        'D' => Escape::Set("^0-9"),
        's' => Escape::Set(r"\t\n\x0C\r\x20"),
        'S' => Escape::Set(r"^\t\n\x0C\r\x20"),
        'w' => Escape::Set("0-9A-Za-z_"),
        'W' => Escape::Set("^0-9A-Za-z_"),
        'A' => Escape::Position(r"\A"),
        'z' => Escape::Position(r"\z"),
        'b' => Escape::Position(r"(?-u:\b)"),
        'B' => Escape::Position(r"(?-u:\B)"),
        'Q' => Escape::Quote,
        'x' => Escape::Literal(number(rest, 16, 2, 2)?),
        '1'..='7' if !rest.first().is_some_and(|next| next.is_digit(8)) => return Err(BAD_ESCAPE),
        '0'..='7' => {
            let digits = &chars_of(*c, rest);
            let value = number(&mut digits.as_slice(), 8, 1, 3)?;
            let used = digits.iter().take(3).take_while(|c| c.is_digit(8)).count();
            *rest = &rest[used - 1..];
            Escape::Literal(value)
        }
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => Escape::Literal(*c),
        _ => return Err(BAD_ESCAPE),
    })
}

fn chars_of(first: char, rest: &[char]) -> Vec<char> {
    std::iter::once(first).chain(rest.iter().take(2).copied()).collect()
}

fn number(rest: &mut &[char], radix: u32, least: usize, most: usize) -> Result<char, Malformed> {
    let digits: Vec<u32> = rest.iter().take(most).map_while(|c| c.to_digit(radix)).collect();
    if digits.len() < least {
        return Err(BAD_ESCAPE);
    }
    *rest = &rest[digits.len()..];
    char::from_u32(digits.iter().fold(0, |value, digit| value * radix + digit)).ok_or(BAD_ESCAPE)
}

/// After the `[`: up to and with the `]` that closes the set.
fn class(out: &mut String, rest: &mut &[char]) -> Result<(), Malformed> {
    out.push('[');
    if rest.first() == Some(&'^') {
        out.push('^');
        *rest = &rest[1..];
    }
    let mut first = true;
    loop {
        if rest.starts_with(&['[', ':']) && named(out, rest)? {
            first = false;
            continue;
        }
        match *rest {
            [] => return Err(BAD_CLASS),
            [']', after @ ..] if !first => {
                *rest = after;
                out.push(']');
                return Ok(());
            }
            ['\\', 'd' | 'D' | 's' | 'S' | 'w' | 'W', ..] => {
                *rest = &rest[1..];
                if let Escape::Set(set) = escape(rest)? {
                    out.extend(["[", set, "]"]);
                }
            }
            _ => range(out, rest)?,
        }
        first = false;
    }
}

/// `[:name:]`; `false` where it is none, and the `[` is a character like others.
fn named(out: &mut String, rest: &mut &[char]) -> Result<bool, Malformed> {
    let Some(length) = rest[2..].windows(2).position(|pair| pair == [':', ']']) else { return Ok(false) };
    let name: String = rest[2..2 + length].iter().collect();
    if !NAMES.contains(&name.strip_prefix('^').unwrap_or(&name)) {
        return Err(BAD_CLASS);
    }
    out.extend(["[:", &name, ":]"]);
    *rest = &rest[length + 4..];
    Ok(true)
}

fn range(out: &mut String, rest: &mut &[char]) -> Result<(), Malformed> {
    let low = member(rest)?;
    let mut high = low;
    if let ['-', next, ..] = *rest
        && *next != ']'
    {
        *rest = &rest[1..];
        high = member(rest)?;
    }
    if high < low {
        return Err(BAD_CLASS);
    }
    let _ = write!(out, "\\x{{{:X}}}-\\x{{{:X}}}", u32::from(low), u32::from(high));
    Ok(())
}

fn member(rest: &mut &[char]) -> Result<char, Malformed> {
    let [c, after @ ..] = *rest else { return Err(BAD_CLASS) };
    *rest = after;
    match c {
        '\\' => match escape(rest)? {
            Escape::Literal(c) => Ok(c),
            _ => Err(BAD_ESCAPE),
        },
        c => Ok(*c),
    }
}
