//! Go's `path/filepath` for slash-separated bytes (path.go: `Clean`, `Join`, `Dir`, `Base`) and its `strings.TrimSpace`:
//! Docker's patterns are defined in these terms.

/// The shortest name of the same path, by the text alone; `.` for nothing.
pub fn clean(path: &[u8]) -> Vec<u8> {
    let rooted = path.first() == Some(&b'/');
    let mut kept: Vec<&[u8]> = Vec::new();
    for component in path.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." if kept.last().is_some_and(|last| *last != b"..") => {
                kept.pop();
            }
            b".." if rooted => {}
            _ => kept.push(component),
        }
    }
    let joined = kept.join(&b'/');
    match (rooted, joined.is_empty()) {
        (true, _) => [b"/", joined.as_slice()].concat(),
        (false, true) => b".".to_vec(),
        (false, false) => joined,
    }
}

/// The two paths one below the other, cleaned. Empty parts are left out.
pub fn join(first: &[u8], second: &[u8]) -> Vec<u8> {
    match (first.is_empty(), second.is_empty()) {
        (true, true) => Vec::new(),
        (true, false) => clean(second),
        (false, true) => clean(first),
        (false, false) => clean(&[first, b"/", second].concat()),
    }
}

/// Everything before the last component, cleaned.
pub fn dir(path: &[u8]) -> Vec<u8> {
    let end = path.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    clean(&path[..end])
}

/// The last component.
pub fn base(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

/// Without the white space of Unicode at both ends.
pub fn trim_space(bytes: &[u8]) -> &[u8] {
    let bytes = trim_start(bytes);
    let mut end = bytes.len();
    while let Some(width) = (1..=4.min(end)).find(|width| is_space(&bytes[end - width..end])) {
        end -= width;
    }
    &bytes[..end]
}

/// Without the white space of Unicode at the start.
pub fn trim_start(bytes: &[u8]) -> &[u8] {
    let mut start = 0;
    while let Some(width) = (1..=4.min(bytes.len() - start)).find(|width| is_space(&bytes[start..start + width])) {
        start += width;
    }
    &bytes[start..]
}

/// Whether the bytes are one character of white space.
fn is_space(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let mut chars = text.chars();
    chars.next().is_some_and(char::is_whitespace) && chars.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cleaned_as_go_does() {
        let table: &[(&[u8], &[u8])] = &[
            (b"", b"."),
            (b"a/b", b"a/b"),
            (b"a/b/", b"a/b"),
            (b"a//b/./c", b"a/b/c"),
            (b"a/../b", b"b"),
            (b"a/..", b"."),
            (b"../a", b"../a"),
            (b"a/../../b", b"../b"),
            (b"/", b"/"),
            (b"/../a", b"/a"),
            (b"//a//", b"/a"),
            (b"./a", b"a"),
            (b"!./a", b"!./a"),
            (b"\xff/../\xfe", b"\xfe"),
        ];
        for (path, want) in table {
            assert_eq!(clean(path), *want, "{}", path.escape_ascii());
        }
        assert_eq!(join(b"a", b""), b"a");
        assert_eq!(join(b"/", b"../x"), b"/x");
        assert_eq!(join(b"", b""), b"");
        assert_eq!((dir(b"a"), dir(b"a/b"), dir(b"/a")), (b".".to_vec(), b"a".to_vec(), b"/".to_vec()));
        assert_eq!(base(b"a/b"), b"b");
    }

    #[test]
    fn white_space_is_unicodes_and_bytes_that_are_no_text_are_none() {
        assert_eq!(trim_space(b" \t\x0b\x0c\r\n a b \xc2\xa0\xe3\x80\x80"), b"a b");
        assert_eq!(trim_space(b"\xa0x\x85"), b"\xa0x\x85");
        assert_eq!(trim_space(b" \xc2\xa0 "), b"");
        assert_eq!(trim_start(b"  a "), b"a ");
    }
}
