//! Reading an ignore file (`moby/patternmatcher`, ignorefile/ignorefile.go): lines into patterns.

use super::paths::{clean, trim_space};

/// A pattern and the line it stands on, counted from 1; 0 where it came from no file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub number: usize,
    pub pattern: Vec<u8>,
}

/// The patterns of an ignore file: without comments (`#` in the first column only), blank lines and a byte order mark,
/// trimmed, cleaned, relative to the context; a `!` is kept in front. Nothing is checked: see `Matcher`.
pub fn read_ignore_file(file: &[u8]) -> Vec<Line> {
    let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
    let numbered = file.split(|byte| *byte == b'\n').zip(1..);
    numbered
        .filter(|(line, _)| !line.starts_with(b"#"))
        .filter_map(|(line, number)| Some(Line { number, pattern: pattern(line)? }))
        .collect()
}

fn pattern(line: &[u8]) -> Option<Vec<u8>> {
    let line = trim_space(line);
    if line.is_empty() {
        return None;
    }
    Some(match line.strip_prefix(b"!") {
        Some(rest) => [b"!", relative(trim_space(rest)).as_slice()].concat(),
        None => relative(line),
    })
}

/// `/a` and `a` are the same to Docker; `/` alone stays, and matches nothing.
fn relative(pattern: &[u8]) -> Vec<u8> {
    if pattern.is_empty() {
        return Vec::new();
    }
    let mut cleaned = clean(pattern);
    if cleaned.len() > 1 && cleaned[0] == b'/' {
        cleaned.remove(0);
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `number:pattern`, one after the other.
    fn read(file: &[u8]) -> String {
        let lines = read_ignore_file(file).into_iter();
        lines.map(|line| format!("{}:{}", line.number, line.pattern.escape_ascii())).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn mobys_own_file_reads_as_moby_reads_it() {
        let file = b"test1\n/test2\n/a/file/here\n\nlastfile\n# this is a comment\n! /inverted/abs/path\n!\n! ";
        assert_eq!(read(file), "1:test1|2:test2|3:a/file/here|5:lastfile|7:!inverted/abs/path|8:!|9:!");
    }

    #[test]
    fn lines_are_trimmed_cleaned_and_numbered() {
        let table: [(&[u8], &str); 11] = [
            (b"", ""),
            (b"\xef\xbb\xbf# c\r\na\r\n", "2:a"),
            (b"\xef\xbb\xbfa", "1:a"),
            (b"a\n\xef\xbb\xbfb", "1:a|2:\\xef\\xbb\\xbfb"),
            (b" # no comment", "1:# no comment"),
            (b"  a/./b//c/  ", "1:a/b/c"),
            (b"./a\n!./b\n!/c", "1:a|2:!b|3:!c"),
            (b"a/../b\n/\n.", "1:b|2:/|3:."),
            (b"/../a\n../b", "1:a|2:../b"),
            (b"\\#a", "1:\\\\#a"),
            (b"caf\xe9", "1:caf\\xe9"),
        ];
        for (file, want) in table {
            assert_eq!(read(file), want, "{}", file.escape_ascii());
        }
    }
}
