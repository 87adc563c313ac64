//! Extended headers: `length key=value\n` records (POSIX.1-2017, pax, "pax Extended Header").
//!
//! Malformed records are refused, never skipped: two readers that skip differently see different archives (CVE-2025-62518).
//! Records that say nothing of what this program keeps (owners, access times, extended attributes, comments) are dropped.

use super::sparse::Records;
use crate::model::tree::Time;

/// What one extended header says. An empty name means "as in the header block".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extended {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    /// Since the epoch.
    pub modified: Option<Time>,
    /// Of a sparse file.
    pub sparse: Records,
}

/// The error is a rule for people. `global` headers (`g`) may not name or measure: that would go for every entry.
pub fn parse(mut records: &[u8], global: bool) -> Result<Extended, &'static str> {
    let mut extended = Extended::default();
    let mut seen: Vec<&[u8]> = Vec::new();
    while !records.is_empty() {
        let Record { key, value, rest } = record(records)?;
        records = rest;
        if global && (matches!(key, b"path" | b"linkpath" | b"size") || key.starts_with(b"GNU.sparse.")) {
            return Err("a global extended header names or measures an entry");
        }
        if keep(&mut extended, key, value)? {
            if seen.contains(&key) {
                return Err("an extended header says the same thing twice");
            }
            seen.push(key);
        }
    }
    Ok(extended)
}

struct Record<'a> {
    key: &'a [u8],
    value: &'a [u8],
    rest: &'a [u8],
}

/// The first record and what follows it.
fn record(records: &[u8]) -> Result<Record<'_>, &'static str> {
    const MALFORMED: &str = "an extended header is malformed";
    let blank = records.iter().take(8).position(|byte| *byte == b' ').ok_or(MALFORMED)?;
    let length = usize::try_from(decimal(&records[..blank]).ok_or(MALFORMED)?).map_err(|_| MALFORMED)?;
    if length <= blank + 1 || length > records.len() {
        return Err(MALFORMED);
    }
    let (record, rest) = records.split_at(length);
    let line = record[blank + 1..].strip_suffix(b"\n").ok_or(MALFORMED)?;
    let equals = line.iter().position(|byte| *byte == b'=').ok_or(MALFORMED)?;
    let (key, value) = (&line[..equals], &line[equals + 1..]);
    // GNU tar passes over more blanks than the one, others take them for a part of the key.
    if key.first().is_none_or(u8::is_ascii_whitespace) { Err(MALFORMED) } else { Ok(Record { key, value, rest }) }
}

/// Whether the record is one that counts.
fn keep(extended: &mut Extended, key: &[u8], value: &[u8]) -> Result<bool, &'static str> {
    if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
        // Some of them are there many times: what may be there once is known there.
        return extended.sparse.keep(key, value, decimal).map(|()| false);
    }
    match key {
        b"path" => extended.path = Some(name(value)?),
        b"linkpath" => extended.link = Some(name(value)?),
        b"size" => extended.size = Some(decimal(value).ok_or("an extended header's size is no number")?),
        b"mtime" => extended.modified = Some(time(value).ok_or("an extended header's time is no number")?),
        b"hdrcharset" if !matches!(value, b"BINARY" | b"ISO-IR 10646 2000 UTF-8" | b"") => {
            return Err("its names are in an unknown charset");
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn name(value: &[u8]) -> Result<Vec<u8>, &'static str> {
    if value.contains(&0) { Err("the name holds a NUL byte") } else { Ok(value.to_vec()) }
}

fn decimal(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

/// `[-]digits[.digits]`, rounded down: a second begun before the epoch counts as begun.
fn time(text: &[u8]) -> Option<Time> {
    let (negative, text) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
    let mut parts = text.splitn(2, |byte| *byte == b'.');
    let whole = i64::try_from(decimal(parts.next()?)?).ok()?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    let nanos = digits.fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
    if !negative {
        return Some(Time { seconds: whole, nanos });
    }
    // What is finer than a nanosecond has begun one.
    let nanos = nanos + u32::from(fraction.iter().skip(9).any(|digit| *digit != b'0'));
    Some(if nanos == 0 { Time { seconds: -whole, nanos } } else { Time { seconds: -whole - 1, nanos: 1_000_000_000 - nanos } })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(key: &str, value: &str) -> Vec<u8> {
        let rest = key.len() + value.len() + 3;
        let length = (rest + 1..rest + 9).find(|length| rest + length.to_string().len() == *length).unwrap();
        format!("{length} {key}={value}\n").into_bytes()
    }

    #[test]
    fn a3_records_are_read_exactly_or_refused() {
        let path = |name: &[u8]| Extended { path: Some(name.to_vec()), ..Extended::default() };
        assert_eq!(parse(b"10 path=a\n", false), Ok(path(b"a")));
        assert_eq!(parse(b"10 path=a\n10 foo=bar", false).ok(), None);
        assert_eq!(parse(b"10 path=a\n11 foo=bar\n", false), Ok(path(b"a")));
        assert_eq!(parse(b"12 path=a=b\n", false), Ok(path(b"a=b")));
        assert_eq!(parse(b"12 path=a\nb\n", false), Ok(path(b"a\nb")));
        assert_eq!(parse(b"8 path=\n", false), Ok(path(b"")));
        assert_eq!(parse(b"", false), Ok(Extended::default()));
        let malformed: &[&[u8]] = &[
            b"path=a\n",
            b"11 path=a\n",
            b"12 path=a\n",
            b"0 path=a\n",
            b"-1 path=a\n",
            b"+10 path=a\n",
            b"11  path=a\n",
            b" 10 path=a\n",
            b"10 path=ab",
            b"7 path\n",
            b"6 =ab\n",
            b"99999999999999999999 path=a\n",
            b"10 path=a\n\0\0",
        ];
        for records in malformed {
            assert!(parse(records, false).is_err(), "{:?}", String::from_utf8_lossy(records));
        }
        for (key, value) in [
            ("path", "a\0"),
            ("linkpath", "\0"),
            ("size", "-1"),
            ("size", "x"),
            ("size", ""),
            ("size", "0x1"),
            ("size", " 1"),
            ("size", "99999999999999999999"),
            ("mtime", "1e4"),
            ("mtime", ""),
            ("GNU.sparse.major", "x"),
            ("GNU.sparse.map", "0,1,"),
            ("GNU.sparse.numbytes", "1"),
            ("GNU.sparse.what", "1"),
            ("hdrcharset", "KOI8"),
        ] {
            assert!(parse(&written(key, value), false).is_err(), "{key}={value:?}");
        }
        let twice = [written("path", "a"), written("path", "a")].concat();
        assert!(parse(&twice, false).is_err());
        let dropped =
            [written("comment", ""), written("uid", "x"), written("SCHILY.xattr.user.a", "\0=\n"), written("comment", "")].concat();
        assert_eq!(parse(&dropped, true), Ok(Extended::default()));
        for key in ["path", "linkpath", "size", "GNU.sparse.size"] {
            assert!(parse(&written(key, "1"), true).is_err(), "{key}");
            assert!(parse(&written(key, "1"), false).is_ok(), "{key}");
        }
        assert_eq!(parse(b"14 mtime=12.9\n", true).unwrap().modified, Some(Time { seconds: 12, nanos: 900_000_000 }));
    }

    #[test]
    fn times_round_down() {
        let table = [
            ("0", 0, 0),
            ("1.999", 1, 999_000_000),
            ("1.0000000019", 1, 1),
            ("-1", -1, 0),
            ("-1.5", -2, 500_000_000),
            ("-1.0000000001", -2, 999_999_999),
            ("-0.0", 0, 0),
            ("-0.1", -1, 900_000_000),
            ("-0.9999999999", -1, 0),
            ("7.", 7, 0),
        ];
        for (text, seconds, nanos) in table {
            assert_eq!(time(text.as_bytes()), Some(Time { seconds, nanos }), "{text}");
        }
        for text in ["", "-", ".5", "--1", "+1", "1.2.3", " 1", "1 ", "9223372036854775808", "nan"] {
            assert_eq!(time(text.as_bytes()), None, "{text}");
        }
    }
}
