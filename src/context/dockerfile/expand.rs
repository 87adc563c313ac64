//! Variables in a word (BuildKit, frontend/dockerfile/shell/lex.go): quotes, escapes, `$name`, `${name}` and the modifiers
//! `-`, `+`, `?` with and without `:`. Anything else is not guessed.

use std::iter::Peekable;
use std::str::Chars;

/// What is known of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Set(String),
    Unset,
    /// It has a value that only the daemon knows.
    Unknown,
}

/// Bytes of an expanded word: longer ones name no image, and doubling ones must end.
const MAX_WORD: usize = 4096;

/// `${a:-${b:-…}}` this deep.
const MAX_DEPTH: usize = 16;

/// The word as the daemon will read it; `None` where that cannot be told.
pub fn expand(word: &str, escape: char, value: &dyn Fn(&str) -> Value) -> Option<String> {
    let mut expansion = Expansion { chars: word.chars().peekable(), escape, value };
    expansion.until(None, 0)
}

struct Expansion<'a> {
    chars: Peekable<Chars<'a>>,
    escape: char,
    value: &'a dyn Fn(&str) -> Value,
}

impl Expansion<'_> {
    /// Up to the end, or to `stop`, which must come.
    fn until(&mut self, stop: Option<char>, depth: usize) -> Option<String> {
        let mut out = String::new();
        loop {
            match self.chars.next() {
                None => return stop.is_none().then_some(out),
                Some(c) if Some(c) == stop => return Some(out),
                Some('$') => out.push_str(&self.variable(depth)?),
                Some('\'') => out.push_str(&self.verbatim()?),
                Some('"') => out.push_str(&self.quoted(depth)?),
                Some(c) if c == self.escape => out.extend(self.chars.next()),
                Some(c) => out.push(c),
            }
            if out.len() > MAX_WORD {
                return None;
            }
        }
    }

    fn verbatim(&mut self) -> Option<String> {
        let mut out = String::new();
        loop {
            match self.chars.next()? {
                '\'' => return Some(out),
                c => out.push(c),
            }
        }
    }

    fn quoted(&mut self, depth: usize) -> Option<String> {
        let mut out = String::new();
        loop {
            match self.chars.next()? {
                '"' => return Some(out),
                '$' => out.push_str(&self.variable(depth)?),
                c if c == self.escape => match self.chars.next()? {
                    next if next == '"' || next == '$' || next == self.escape => out.push(next),
                    next => out.extend([c, next]),
                },
                c => out.push(c),
            }
            if out.len() > MAX_WORD {
                return None;
            }
        }
    }

    /// After the `$`.
    fn variable(&mut self, depth: usize) -> Option<String> {
        if self.chars.next_if_eq(&'{').is_none() {
            let name = self.name();
            // `$1`, `$@` and a `$` alone are the shell's business.
            return if name.is_empty() { None } else { self.known(&name) };
        }
        let name = self.name();
        if name.is_empty() || depth == MAX_DEPTH {
            return None;
        }
        let mut modifier = self.chars.next()?;
        if modifier == '}' {
            return self.known(&name);
        }
        let empty_is_unset = modifier == ':';
        if empty_is_unset {
            modifier = self.chars.next()?;
        }
        if !matches!(modifier, '-' | '+' | '?') {
            return None;
        }
        let word = self.until(Some('}'), depth + 1)?;
        let set = match (self.value)(&name) {
            Value::Unknown => return None,
            Value::Set(text) => Some(text).filter(|text| !(empty_is_unset && text.is_empty())),
            Value::Unset => None,
        };
        match (modifier, set) {
            ('+', Some(_)) | ('-', None) => Some(word),
            ('+', None) => Some(String::new()),
            (_, set) => set,
        }
    }

    fn known(&self, name: &str) -> Option<String> {
        match (self.value)(name) {
            Value::Set(text) => Some(text),
            Value::Unset => Some(String::new()),
            Value::Unknown => None,
        }
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) =
            self.chars.next_if(|c| *c == '_' || if name.is_empty() { c.is_ascii_alphabetic() } else { c.is_ascii_alphanumeric() })
        {
            name.push(c);
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_expand_as_buildkit_expands_them_or_not_at_all() {
        let value = |name: &str| match name {
            "A" => Value::Set("a".into()),
            "EMPTY" => Value::Set(String::new()),
            "FAR" => Value::Unknown,
            "LONG" => Value::Set("x".repeat(3000)),
            _ => Value::Unset,
        };
        let table = [
            ("x", Some("x")),
            ("$A", Some("a")),
            ("$A/$B", Some("a/")),
            ("${A}b", Some("ab")),
            ("$Ab", Some("")),
            ("${B:-c}", Some("c")),
            ("${EMPTY:-c}", Some("c")),
            ("${EMPTY-c}", Some("")),
            ("${A:-c}", Some("a")),
            ("${A:+c}", Some("c")),
            ("${B:+c}", Some("")),
            ("${EMPTY+c}", Some("c")),
            ("${A:?no}", Some("a")),
            ("${B:?no}", None),
            ("${B:-${A}x}", Some("ax")),
            ("${B:-$FAR}", None),
            ("${A:-$FAR}", None),
            ("$FAR", None),
            ("${FAR:-a}", None),
            ("\"$A b\"'$A'", Some("a b$A")),
            ("\\$A", Some("$A")),
            ("\"\\$A\\x\"", Some("$A\\x")),
            ("${A#x}", None),
            ("${A/x/y}", None),
            ("${A", None),
            ("${}", None),
            ("$1", None),
            ("'a", None),
            ("\"a", None),
            ("$LONG$LONG", None),
        ];
        for (word, want) in table {
            assert_eq!(expand(word, '\\', &value).as_deref(), want, "{word}");
        }
        assert_eq!(expand("`$A\\", '`', &value).as_deref(), Some("$A\\"));
        assert_eq!(expand(&"${B:-".repeat(1000), '\\', &value), None);
    }
}
