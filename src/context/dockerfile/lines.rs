//! A Dockerfile as instructions (BuildKit, frontend/dockerfile/parser/parser.go): continued lines joined, comments and
//! here-documents left out. What an instruction means is not looked at.

use super::directives::escape;

/// One instruction.
#[derive(Debug, PartialEq, Eq)]
pub struct Instruction {
    /// In lower case.
    pub keyword: String,
    /// `--name=value`, before the arguments; without quotes.
    pub flags: Vec<(String, String)>,
    pub arguments: String,
}

impl Instruction {
    /// The values of a flag.
    pub fn flag(&self, name: &str) -> impl Iterator<Item = &str> {
        self.flags.iter().filter(move |(flag, _)| flag == name).map(|(_, value)| value.as_str())
    }
}

/// Every instruction, in order. Bytes that are no UTF-8 are replaced.
pub fn instructions(dockerfile: &[u8]) -> Vec<Instruction> {
    let escape = escape(dockerfile);
    let text = String::from_utf8_lossy(dockerfile.strip_prefix(b"\xef\xbb\xbf").unwrap_or(dockerfile));
    let mut lines = text.split('\n').map(|line| line.trim_end_matches('\r'));
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        if is_skipped(line) {
            continue;
        }
        let (mut whole, mut more) = continued(line.trim_start(), escape);
        while more && let Some(next) = lines.next() {
            // Comments and blank lines do not end a continued one.
            if !is_skipped(next) {
                let (part, again) = continued(next, escape);
                whole.push_str(&part);
                more = again;
            }
        }
        let instruction = split(&whole);
        for (name, indented) in here_documents(&instruction) {
            // To its terminator, or to the end: then the daemon refuses it.
            let _ = lines.by_ref().find(|line| if indented { line.trim_start_matches('\t') == name } else { *line == name });
        }
        found.push(instruction);
    }
    found
}

fn is_skipped(line: &str) -> bool {
    let line = line.trim_start();
    line.is_empty() || line.starts_with('#')
}

/// Without the character that continues it, and whether it had one.
fn continued(line: &str, escape: char) -> (String, bool) {
    let end = line.trim_end_matches([' ', '\t']);
    match end.strip_suffix(escape) {
        Some(rest) if !rest.ends_with(escape) => (rest.to_owned(), true),
        _ => (line.to_owned(), false),
    }
}

fn split(line: &str) -> Instruction {
    let line = line.trim();
    let (keyword, mut rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let mut flags = Vec::new();
    loop {
        rest = rest.trim_start();
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let Some(flag) = rest[..end].strip_prefix("--").filter(|flag| !flag.is_empty()) else { break };
        let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
        flags.push((name.to_owned(), value.replace(['"', '\''], "")));
        rest = &rest[end..];
    }
    Instruction { keyword: keyword.to_lowercase(), flags, arguments: rest.trim().to_owned() }
}

/// The names that end the here-documents of an instruction, and whether tabs may stand before them: `<<EOF`, `<<-"EOF"`.
fn here_documents(instruction: &Instruction) -> Vec<(String, bool)> {
    if !matches!(instruction.keyword.as_str(), "run" | "copy" | "add" | "onbuild") {
        return Vec::new();
    }
    let words = instruction.arguments.split_whitespace();
    words.filter_map(|word| here_document(word.trim_start_matches(|c: char| c.is_ascii_digit()))).collect()
}

fn here_document(word: &str) -> Option<(String, bool)> {
    let rest = word.strip_prefix("<<")?;
    let (indented, name) = rest.strip_prefix('-').map_or((false, rest), |name| (true, name));
    let bare = name.trim_matches(['"', '\'']);
    (!bare.is_empty() && !bare.contains('<')).then(|| (bare.to_owned(), indented))
}

/// Words at white space, but not inside quotes; the quotes stay.
pub fn words(text: &str, escape: char) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let Some(word) = words.last_mut() else { break };
        if c == escape && quote != Some('\'') {
            word.push(c);
            word.extend(chars.next());
        } else if quote == Some(c) {
            quote = None;
            word.push(c);
        } else if quote.is_none() && c.is_whitespace() {
            words.push(String::new());
        } else {
            quote = quote.or(Some(c).filter(|c| matches!(c, '"' | '\'')));
            word.push(c);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}
