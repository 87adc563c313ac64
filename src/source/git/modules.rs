//! `.gitmodules`: which repository belongs into which directory (gitmodules(5)). The form is that of git's configuration
//! (git-config(1), "Syntax"), without includes, which git does not follow there either.
//!
//! Whoever writes the repository writes this file, so a name or a URL is believed only as far as it harms nobody (G5).

use std::collections::BTreeMap;

use git2::Oid;

use crate::model::TreePath;

/// Sections of a file: one that holds more was written to be read, not to be used.
const MOST_SECTIONS: usize = 10_000;

/// A directory of a commit that another repository belongs into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submodule {
    /// Below the tree's root.
    pub path: TreePath,
    /// As it is written, relative or not.
    pub url: String,
    pub commit: Oid,
}

/// What one section says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Section {
    pub url: Option<String>,
    /// `update = none`: git leaves the directory empty.
    pub skipped: bool,
}

/// The sections by their path. What git would refuse, or read in more than one way, is an error.
pub(super) fn parse(text: &[u8]) -> Result<BTreeMap<String, Section>, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8".to_owned())?;
    let mut named: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut reader = Reader { chars: text.chars().peekable(), line: 1 };
    let mut current = None;
    while let Some(item) = reader.item().map_err(|what| format!("line {}: {what}", reader.line))? {
        match item {
            Item::Section(section, name) => {
                current = name.filter(|_| section == "submodule");
                if let Some(name) = &current {
                    check_name(name)?;
                    named.entry(name.clone()).or_default();
                }
            }
            Item::Value(key, value) => {
                if let Some(values) = current.as_ref().and_then(|name| named.get_mut(name)) {
                    values.insert(key, value);
                }
            }
        }
        if named.len() > MOST_SECTIONS {
            return Err(format!("it has more than {MOST_SECTIONS} submodules"));
        }
    }
    let mut sections = BTreeMap::new();
    for (name, mut values) in named {
        let Some(path) = values.remove("path") else { continue };
        if path.starts_with('-') {
            return Err(format!("submodule {name:?} has a path that begins with a hyphen"));
        }
        let skipped = match values.get("update").map(String::as_str) {
            None | Some("checkout" | "rebase" | "merge") => false,
            Some("none") => true,
            // git takes a command from the user's own configuration alone.
            Some(_) => return Err(format!("submodule {name:?} wants a command to be run (update)")),
        };
        let section = Section { url: values.remove("url"), skipped };
        if sections.insert(path.trim_end_matches('/').to_owned(), section).is_some() {
            return Err(format!("two submodules have the path {path:?}"));
        }
    }
    Ok(sections)
}

/// A name becomes a directory in git's own (submodule-config.c, `check_submodule_name`).
fn check_name(name: &str) -> Result<(), String> {
    let up = name.split(['/', '\\']).any(|part| part == "..");
    if name.is_empty() || up { Err(format!("a submodule may not have the name {name:?}")) } else { Ok(()) }
}

enum Item {
    Section(String, Option<String>),
    Value(String, String),
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
            // A name alone is a true one.
            None | Some('\n') => return Ok(Item::Value(key, "true".to_owned())),
            Some('=') => {}
            Some(_) => return Err("the name is followed by something else than ="),
        }
        let value = self.text()?;
        if value.chars().any(char::is_control) {
            return Err("the value holds a control character");
        }
        Ok(Item::Value(key, value))
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

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn section(url: &str) -> Section {
        Section { url: Some(url.to_owned()), skipped: false }
    }

    #[test]
    fn the_file_is_read_as_git_reads_it() {
        let text = "\u{feff}# a comment\n[submodule \"lib/a\"]\n\tpath = lib/a ; why\n\turl = ../a.git\n[core]\npath = x\n\
                    [Submodule \"b \\\"c\\\"\"] path=\"b c/\"\r\n url = https://h/\\\n  b.git # end\n\tupdate = none\nshallow\n\
                    [submodule \"no path\"]\n\turl = https://h/x\n";
        let sections = parse(text.as_bytes()).unwrap();
        let want = [("b c", Section { skipped: true, ..section("https://h/  b.git") }), ("lib/a", section("../a.git"))];
        assert_eq!(sections, want.map(|(path, section)| (path.to_owned(), section)).into());
        // git's own reading of the same file.
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("m");
        std::fs::write(&file, text).unwrap();
        let git = |key: &str| {
            let output = Command::new("git").args(["config", "-f"]).arg(&file).args(["--get", key]).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim_end_matches('\n').to_owned()
        };
        assert_eq!((git("submodule.lib/a.path").as_str(), git("submodule.b \"c\".path").as_str()), ("lib/a", "b c/"));
        assert_eq!(git("submodule.b \"c\".url"), "https://h/  b.git");
    }

    #[test]
    fn g5_what_git_would_not_believe_is_refused() {
        for (text, what) in [
            ("[submodule \"../../x\"]\npath = a\n", "may not have the name"),
            ("[submodule \"a\\\\..\\\\b\"]\npath = a\n", "may not have the name"),
            ("[submodule \"a\"]\npath = -x\n", "hyphen"),
            ("[submodule \"a\"]\npath = x\nupdate = !touch /tmp/x\n", "command"),
            ("[submodule \"a\"]\npath = x\n[submodule \"b\"]\npath = x/\n", "two submodules"),
            ("[submodule \"a\"]\npath = \"x\\n\"\n", "control"),
            ("[submodule \"a\"]\npath = \"x\r\"\n", "control"),
            ("[submodule \"a\"]\npath = \"x\n", "quotes"),
            ("[submodule \"a]\npath = x\n", "not closed"),
            ("[submodule a]\n", "quotes"),
            ("path x\n", "something else"),
            ("= x\n", "neither"),
        ] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(error.contains(what), "{text:?}: {error}");
        }
        assert!(parse(&[0xff]).is_err());
        let many: Vec<String> = (0..=MOST_SECTIONS).map(|n| format!("[submodule \"{n}\"]\n")).collect();
        assert!(parse(many.concat().as_bytes()).is_err());
    }
}
