//! `.lfsconfig`: git's own form of configuration (git-config(1), "Syntax"), of which two keys are looked for. Includes are not
//! followed, and everything else it says is somebody else's business.

/// The server that the repository names: `lfs.url`, or else `remote.origin.lfsurl`, as git-lfs has it after a clone.
pub(super) fn url(text: &[u8]) -> Option<String> {
    let (mut lfs, mut origin) = (None, None);
    let text = String::from_utf8_lossy(text);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).replace("\r\n", "\n");
    let mut rest = text.as_str();
    let mut section = String::new();
    while let Some((line, after)) = take(rest) {
        rest = after;
        match line {
            Line::Section(name) => section = name,
            Line::Key(key, value) if section == "lfs" && key == "url" => lfs = value,
            Line::Key(key, value) if section == "remote.origin" && key == "lfsurl" => origin = value,
            Line::Key(..) | Line::Nothing => {}
        }
    }
    lfs.or(origin).filter(|url| !url.is_empty())
}

enum Line {
    /// `section` in lower case, or `section.Subsection`.
    Section(String),
    Key(String, Option<String>),
    Nothing,
}

/// The next section, key or empty stretch, and what follows it. A key may stand on the line of its section.
fn take(text: &str) -> Option<(Line, &str)> {
    let text = text.trim_start_matches([' ', '\t']);
    let first = text.chars().next()?;
    if first == '[' {
        return Some(section(&text[1..]).map_or_else(|| (Line::Nothing, next_line(text)), |(name, rest)| (Line::Section(name), rest)));
    }
    if !first.is_ascii_alphabetic() {
        return Some((Line::Nothing, next_line(text)));
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(text.len());
    let (key, rest) = (text[..end].to_ascii_lowercase(), text[end..].trim_start_matches([' ', '\t']));
    Some(match rest.strip_prefix('=') {
        Some(rest) => {
            let (value, rest) = value(rest);
            (Line::Key(key, Some(value)), rest)
        }
        None => (Line::Key(key, None), next_line(rest)),
    })
}

fn next_line(text: &str) -> &str {
    text.split_once('\n').map_or("", |(_, rest)| rest)
}

/// `lfs]` or `remote "origin"]`.
fn section(text: &str) -> Option<(String, &str)> {
    let end = text.find(['"', ']', '\n'])?;
    let name = text[..end].trim().to_ascii_lowercase();
    match text.as_bytes()[end] {
        b']' => Some((name, &text[end + 1..])),
        b'"' => {
            let mut sub = String::new();
            let mut chars = text[end + 1..].char_indices();
            while let Some((at, c)) = chars.next() {
                match c {
                    '"' => return text[end + 2 + at..].strip_prefix(']').map(|rest| (format!("{name}.{sub}"), rest)),
                    '\\' => sub.push(chars.next()?.1),
                    '\n' => return None,
                    c => sub.push(c),
                }
            }
            None
        }
        _ => None,
    }
}

/// A value to the end of its line, with quotes, escapes, comments and lines that go on; blanks outside quotes are trimmed.
fn value(text: &str) -> (String, &str) {
    let (mut value, mut kept, mut quoted) = (String::new(), 0, false);
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\n' => return (cut(value, kept), &text[at + 1..]),
            '#' | ';' if !quoted => return (cut(value, kept), next_line(&text[at..])),
            '"' => quoted = !quoted,
            '\\' => {
                match chars.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, 't')) => value.push('\t'),
                    Some((_, 'b')) => value.push('\u{8}'),
                    Some((_, '\n')) | None => continue,
                    Some((_, other)) => value.push(other),
                }
                kept = value.len();
            }
            ' ' | '\t' if !quoted => {
                if !value.is_empty() {
                    value.push(c);
                }
            }
            c => {
                value.push(c);
                kept = value.len();
            }
        }
    }
    (cut(value, kept), "")
}

fn cut(mut value: String, kept: usize) -> String {
    value.truncate(kept);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_url_is_found_as_git_finds_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for text in [
            "[lfs]\n\turl = https://a.example/x\n",
            "[lfs]\r\n\turl = https://a.example/x\r\n",
            "[lfs] url = https://a.example/x",
            "[LFS]\nURL=https://a.example/x # a comment\n",
            "# [lfs]\n; url = no\n[lfs]\nurl = \"https://a.example/x;y#z\" ; more\n",
            "[lfs]\nurl = https://a.example/\\\nx\n",
            "[lfs]\nurl = first\nurl = https://a.example/second\n",
            "[lfs \"https://a.example\"]\nurl = no\naccess = basic\n",
            "[lfs \"a\\\"]\\\\b\"]\nurl = no\n[lfs]\n  url = \" a b \"  \n",
            "[other]\nurl = no\n",
            "[remote \"origin\"]\nlfsurl = https://a.example/remote\n",
            "[remote \"Origin\"]\nlfsurl = https://a.example/remote\n",
            "[remote \"origin\"]\nlfsurl = https://a.example/remote\n[lfs]\nurl = https://a.example/x\n",
            "[lfs]\nfetchexclude = *\nurl2 = x\n",
            "",
        ] {
            std::fs::write(file.path(), text).unwrap();
            let git = |key: &str| {
                let out = std::process::Command::new("git").args(["config", "-f"]).arg(file.path()).args(["--get", key]).output().unwrap();
                Some(String::from_utf8(out.stdout).unwrap().trim_end_matches('\n').to_owned()).filter(|value| !value.is_empty())
            };
            assert_eq!(url(text.as_bytes()), git("lfs.url").or_else(|| git("remote.origin.lfsurl")), "{text:?}");
        }
    }

    #[test]
    fn anything_at_all_comes_to_an_end() {
        for text in
            ["[", "[a", "[a \"", "[a \"b\\", "[lfs]\nurl", "[lfs]\nurl =", "[lfs]\nurl = \"", "[lfs]\nurl = \\", "é", "[lfs]\n=\n", "\\\n"]
        {
            assert_eq!(url(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(url(b"[include]\npath = /etc/passwd\n[lfs]\nurl = \xff\n").as_deref(), Some("\u{fffd}"));
    }
}
