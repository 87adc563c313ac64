//! The directives at the head of a Dockerfile (BuildKit, frontend/dockerfile/parser/directives.go): `syntax` and `escape`.
//!
//! Releases of BuildKit differ in what they take for a `syntax` directive, and a frontend is a program that the daemon
//! trusts. So the question is what any release might start.

use std::collections::BTreeSet;

use crate::support::patterns::paths::trim_start;

/// A frontend that the Dockerfile asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syntax {
    /// As it is written, up to the first space. Not checked.
    pub image: String,
    /// The line it stands on, from 1; the first line of a JSON object.
    pub line: usize,
}

/// The document looks like JSON and is none that could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadJson;

/// Everything that some release of BuildKit takes for the frontend, in the order of the lines; a superset. A current one
/// (`DetectSyntax`) takes the first `# syntax=`, else the first `// syntax=`, else `syntax` of a JSON object. Releases up to
/// 0.10 let the last one win, took both styles of comment mixed and went on over unknown keys and `#!` lines.
pub fn every_syntax(dockerfile: &[u8]) -> Result<Vec<Syntax>, BadJson> {
    let (body, line) = body(dockerfile);
    let mut found = Vec::new();
    for (text, at) in lines(body).zip(line..) {
        if text.starts_with(b"#!") {
            continue;
        }
        let Some(comment) = text.strip_prefix(b"#").or_else(|| text.strip_prefix(b"//")) else { break };
        let Some((key, value)) = directive(comment) else { break };
        if key == "syntax" {
            found.push(Syntax { image: first_word(value), line: at });
        }
    }
    found.extend(json(body)?.map(|image| Syntax { image, line }));
    Ok(found)
}

/// The character that escapes and continues lines: `\`, or a backtick if the head says so.
pub fn escape(dockerfile: &[u8]) -> char {
    let (body, _) = body(dockerfile);
    match head(body, "#").find(|(key, ..)| key == "escape") {
        Some((_, b"`", _)) => '`',
        _ => '\\',
    }
}

/// Without byte order mark and `#!` line; and the number of its first line.
fn body(dockerfile: &[u8]) -> (&[u8], usize) {
    let dockerfile = dockerfile.strip_prefix(b"\xef\xbb\xbf").unwrap_or(dockerfile);
    if !dockerfile.starts_with(b"#!") {
        return (dockerfile, 1);
    }
    let end = dockerfile.iter().position(|byte| *byte == b'\n').map_or(dockerfile.len(), |end| end + 1);
    (&dockerfile[end..], 2)
}

fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    body.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// Key, value and offset of each directive: up to the first line that is none, has an unknown key, or one that was there.
fn head<'a>(body: &'a [u8], comment: &'a str) -> impl Iterator<Item = (String, &'a [u8], usize)> {
    let mut seen = BTreeSet::new();
    lines(body).zip(0..).map_while(move |(line, at)| {
        let (key, value) = directive(line.strip_prefix(comment.as_bytes())?)?;
        let known = matches!(key.as_str(), "syntax" | "escape" | "check");
        (known && seen.insert(key.clone())).then_some((key, value, at))
    })
}

/// `key = value` after the comment's sign: `^\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$`, where `\s` is Go's.
fn directive(comment: &[u8]) -> Option<(String, &[u8])> {
    let comment = trim_start(comment);
    let end = comment.iter().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(comment.len());
    let (key, rest) = comment.split_at(end);
    let value = trim_left(rest).strip_prefix(b"=")?;
    let whole = key.first()?.is_ascii_alphabetic() && !value.is_empty();
    whole.then(|| (String::from_utf8_lossy(key).to_ascii_lowercase(), trim_right(trim_left(value))))
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\x0c' | b'\r' | b' ')
}

fn trim_left(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !is_space(*byte)).unwrap_or(text.len());
    &text[start..]
}

fn trim_right(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| !is_space(*byte)).map_or(0, |last| last + 1);
    &text[..end]
}

fn first_word(value: &[u8]) -> String {
    String::from_utf8_lossy(value.split(|byte| *byte == b' ').next().unwrap_or_default()).into_owned()
}

/// `syntax` of a document that is one JSON object. Go's reader is milder than ours (bytes that are no UTF-8, lone
/// surrogates): what begins as an object and cannot be read here is refused rather than taken for a Dockerfile, which it
/// could not be anyway.
fn json(body: &[u8]) -> Result<Option<String>, BadJson> {
    let begins = body.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
    if begins != Some(&b'{') {
        return Ok(None);
    }
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&String::from_utf8_lossy(body)).map_err(|_| BadJson)?;
    Ok(object.get("syntax").and_then(|syntax| syntax.as_str()).map(str::to_owned))
}
