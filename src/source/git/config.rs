//! The form of git's configuration (git-config(1), "Syntax"), as `.gitmodules` and `.lfsconfig` have it. Includes are not followed,
//! which git does not do there either.

/// One line that says something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// In lower case.
    pub section: String,
    pub subsection: Option<String>,
    /// In lower case; empty for a section that begins.
    pub key: String,
    /// `None` for a name alone.
    pub value: Option<String>,
}

/// Everything that is said, in its order. What git would refuse is an error that names the line.
pub(super) fn parse(text: &[u8]) -> Result<Vec<Said>, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8".to_owned())?;
    let mut reader = Reader { chars: text.chars().peekable(), line: 1 };
    let (mut said, mut section, mut subsection) = (Vec::new(), String::new(), None);
    while let Some(item) = reader.item().map_err(|what| format!("line {}: {what}", reader.line))? {
        let (key, value) = match item {
            Item::Section(name, second) => {
                (section, subsection) = (name, second);
                (String::new(), None)
            }
            Item::Value(key, value) => (key, value),
        };
        said.push(Said { section: section.clone(), subsection: subsection.clone(), key, value });
    }
    Ok(said)
}

enum Item {
    Section(String, Option<String>),
    Value(String, Option<String>),
}

struct Reader<'a> {
    chars: std::iter::Peekable<std::str::Chars<'a>>,
    line: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let mut next = self.chars.next();
        // A line end of DOS is one of git's only before the line feed.
        if next == Some('\r') && self.chars.peek() == Some(&'\n') {
            next = self.chars.next();
        }
        self.line += usize::from(next == Some('\n'));
        next
    }

    fn item(&mut self) -> Result<Option<Item>, &'static str> {
        loop {
            match self.next() {
                None => return Ok(None),
                Some('#' | ';') => while self.next().is_some_and(|c| c != '\n') {},
                Some('[') => return self.section().map(Some),
                Some(c) if c.is_ascii_whitespace() || c == '\u{feff}' => {}
                Some(c) if c.is_ascii_alphabetic() => return self.value(c).map(Some),
                Some(_) => return Err("it is neither a section nor a name"),
            }
        }
    }

    fn section(&mut self) -> Result<Item, &'static str> {
        let mut section = String::new();
        loop {
            match self.next() {
                Some(']') => return Ok(Item::Section(section, None)),
                Some(' ' | '\t') => break,
                Some(c) if c.is_ascii_alphanumeric() || matches!(c, '-' | '.') => section.push(c.to_ascii_lowercase()),
                _ => return Err("the section's name is not closed"),
            }
        }
        while self.chars.peek().is_some_and(|c| matches!(c, ' ' | '\t')) {
            self.next();
        }
        if self.next() != Some('"') {
            return Err("the section's second name is not in quotes");
        }
        let mut name = String::new();
        loop {
            match self.next() {
                Some('"') => break,
                Some('\\') => name.push(self.next().filter(|c| *c != '\n').ok_or("the section's name is not closed")?),
                Some('\n') | None => return Err("the section's name is not closed"),
                Some(c) => name.push(c),
            }
        }
        if self.next() == Some(']') { Ok(Item::Section(section, Some(name))) } else { Err("the section is not closed") }
    }

    fn value(&mut self, first: char) -> Result<Item, &'static str> {
        let mut key = first.to_ascii_lowercase().to_string();
        while let Some(c) = self.chars.peek().copied().filter(|c| c.is_ascii_alphanumeric() || *c == '-') {
            key.push(c.to_ascii_lowercase());
            self.next();
        }
        while self.chars.peek().is_some_and(|c| matches!(c, ' ' | '\t')) {
            self.next();
        }
        match self.next() {
            None | Some('\n') => return Ok(Item::Value(key, None)),
            Some('=') => {}
            Some(_) => return Err("the name is followed by something else than ="),
        }
        let value = self.text()?;
        Ok(Item::Value(key, Some(value)))
    }

    /// A value: white space is kept within it and in quotes, comments end it.
    fn text(&mut self) -> Result<String, &'static str> {
        let (mut value, mut kept, mut quoted) = (String::new(), 0, false);
        loop {
            match self.next() {
                None | Some('\n') if quoted => return Err("the quotes are not closed"),
                None | Some('\n') => break,
                Some('"') => {
                    quoted = !quoted;
                    kept = value.len();
                }
                Some('\\') => {
                    match self.next() {
                        Some('\n') => continue,
                        Some('n') => value.push('\n'),
                        Some('t') => value.push('\t'),
                        Some('b') => value.push('\u{8}'),
                        Some(c @ ('"' | '\\')) => value.push(c),
                        _ => return Err("a backslash stands before what it cannot escape"),
                    }
                    kept = value.len();
                }
                Some('#' | ';') if !quoted => {
                    while self.next().is_some_and(|c| c != '\n') {}
                    break;
                }
                Some(c) if c.is_ascii_whitespace() && !quoted => {
                    if !value.is_empty() {
                        value.push(c);
                    }
                }
                Some(c) => {
                    value.push(c);
                    kept = value.len();
                }
            }
        }
        value.truncate(kept);
        Ok(value)
    }
}
