//! JSON of a bounded size: shortened field by field, never cut in the middle, safe to show on a terminal.
//!
//! It knows nothing of what the fields mean: its callers say what may go, in which order.

use std::borrow::Cow;
use std::fmt::Write;

use serde::Serialize;
use serde_json::Value;

use super::redact::Redactor;

/// What stands at the end of a text that was cut.
pub const ELLIPSIS: char = '…';

/// Characters that change how a terminal shows others: DEL and the C1 controls (ECMA-48), the bidirectional controls
/// (Unicode UAX #9) and the two separators that some viewers take for line ends.
pub fn disturbs_terminals(c: char) -> bool {
    matches!(c, '\u{7f}'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// One line of compact JSON without a line end. What would disturb a terminal is written as `\uXXXX`, which RFC 8259 (section 7)
/// allows for any character of a string.
pub fn line(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned());
    // The first look is at bytes, and nearly always enough.
    if text.bytes().all(|byte| byte < 0x7f) || !text.contains(disturbs_terminals) {
        return text;
    }
    text.chars().fold(String::with_capacity(text.len() + 64), |mut out, c| {
        if disturbs_terminals(c) {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
        out
    })
}

/// Bytes that [`line`] writes for this character inside a string.
pub fn cost(c: char) -> usize {
    match c {
        // Nearly all there is.
        'a'..='z' | ' ' => 1,
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        c if c < ' ' || disturbs_terminals(c) => 6,
        c => c.len_utf8(),
    }
}

/// The text, cut at a character so that it takes at most `most` bytes inside a JSON string; the cut shows as an ellipsis.
pub fn cut(text: &str, most: usize) -> Cow<'_, str> {
    let room = most.saturating_sub(ELLIPSIS.len_utf8());
    let (mut used, mut end) = (0, 0);
    for (at, c) in text.char_indices() {
        used += cost(c);
        if used <= room {
            end = at + c.len_utf8();
        }
        if used > most {
            return Cow::Owned(format!("{}{ELLIPSIS}", &text[..end]));
        }
    }
    Cow::Borrowed(text)
}

/// One way to make a document shorter. Paths are field names joined by dots; one that is not there changes nothing.
#[derive(Clone, Copy, Debug)]
pub enum Shorten {
    /// Takes the field away.
    Drop(&'static str),
    /// Keeps the first elements of a list.
    First(&'static str, usize),
    /// Keeps the last elements of a list.
    Last(&'static str, usize),
    /// Cuts a text to so many bytes as JSON writes them.
    Cut(&'static str, usize),
}

/// Applies the steps in their order until the line has at most `most` bytes; gives the line that it came to.
pub fn fit(value: &mut Value, most: usize, order: &[Shorten]) -> String {
    shorter(value, most, order, |value, step| shorten(value, *step))
}

fn shorter<S>(value: &mut Value, most: usize, steps: impl IntoIterator<Item = S>, apply: impl Fn(&mut Value, S)) -> String {
    let mut written = line(value);
    for step in steps {
        if written.len() <= most {
            break;
        }
        apply(value, step);
        written = line(value);
    }
    written
}

fn shorten(value: &mut Value, step: Shorten) {
    let (Shorten::Drop(path) | Shorten::First(path, _) | Shorten::Last(path, _) | Shorten::Cut(path, _)) = step;
    let mut parts = path.split('.').rev();
    let name = parts.next().unwrap_or_default();
    let parent = parts.rev().try_fold(value, |value, part| value.get_mut(part));
    let Some(object) = parent.and_then(Value::as_object_mut) else { return };
    match (step, object.get_mut(name)) {
        (Shorten::Drop(_), Some(_)) => {
            object.shift_remove(name);
        }
        (Shorten::First(_, keep), Some(Value::Array(list))) => list.truncate(keep),
        (Shorten::Last(_, keep), Some(Value::Array(list))) => {
            list.drain(..list.len().saturating_sub(keep));
        }
        (Shorten::Cut(_, most), Some(Value::String(text))) => *text = cut(text, most).into_owned(),
        _ => {}
    }
}

/// The last resort for any value: texts are cut and lists end earlier, ever more, until the line has at most `most` bytes.
pub fn squeeze(value: &mut Value, most: usize) -> String {
    let bounds = [(4096, 256), (2048, 128), (1024, 64), (512, 32), (256, 16), (128, 8), (64, 4), (16, 1)];
    shorter(value, most, bounds, |value, (bytes, items)| bound(value, bytes, items))
}

fn bound(value: &mut Value, bytes: usize, items: usize) {
    match value {
        Value::String(text) => *text = cut(text, bytes).into_owned(),
        Value::Array(list) => {
            list.truncate(items);
            for value in list {
                bound(value, bytes, items);
            }
        }
        Value::Object(map) => map.values_mut().for_each(|value| bound(value, bytes, items)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Masks every known secret in every text of the value, as it reads before JSON escapes it.
pub fn scrub(value: &mut Value, redactor: &Redactor) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(clean) = redactor.scrub(text) {
                *text = clean;
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|value| scrub(value, redactor)),
        Value::Object(map) => map.values_mut().for_each(|value| scrub(value, redactor)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The line with every known secret masked as it stands there: the last look before it leaves. `None` where the mask broke the
/// JSON or made it longer than `most`, which takes a secret that looks like JSON itself.
pub fn scrub_line(line: String, most: usize, redactor: &Redactor) -> Option<String> {
    let clean = match redactor.scrub(&line) {
        Cow::Borrowed(_) => return Some(line),
        Cow::Owned(clean) => clean,
    };
    let whole = clean.len() <= most && serde_json::from_str::<serde::de::IgnoredAny>(&clean).is_ok();
    whole.then_some(clean)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::SecretString;
    use serde_json::json;

    use super::*;

    proptest! {
        #[test]
        fn a_cut_keeps_to_its_bytes_and_to_characters(text in "\\PC*|[\\x00-\\x20\"\\\\\u{7f}\u{9b}\u{202e}é€😀]*", most in 3usize..80) {
            let short = cut(&text, most);
            let written = line(&short);
            prop_assert!(written.len() <= most + 2, "{written}");
            prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), short.as_ref());
            if short != text {
                prop_assert!(short.ends_with(ELLIPSIS) && text.starts_with(short.trim_end_matches(ELLIPSIS)));
            }
        }

        #[test]
        fn cost_is_what_is_written(c in any::<char>()) {
            prop_assert_eq!(cost(c) + 2, line(&c.to_string()).len());
        }
    }

    #[test]
    fn shortening_follows_the_order_and_stops_early() {
        let order = [Shorten::Last("a.log", 1), Shorten::Drop("a.log"), Shorten::Cut("b", 8), Shorten::Drop("missing.x")];
        let full = json!({"a": {"log": ["one", "two"]}, "b": "0123456789"});
        for (most, want) in [
            (100, r#"{"a":{"log":["one","two"]},"b":"0123456789"}"#),
            (40, r#"{"a":{"log":["two"]},"b":"0123456789"}"#),
            (30, r#"{"a":{},"b":"0123456789"}"#),
            (24, r#"{"a":{},"b":"01234…"}"#),
        ] {
            let mut value = full.clone();
            assert_eq!(fit(&mut value, most, &order), want);
        }
        assert!(fit(&mut full.clone(), 5, &order).len() > 5);
    }

    #[test]
    fn anything_can_be_squeezed() {
        let mut value = json!({"list": vec!["\u{202e}".repeat(5000); 5000], "text": "😀".repeat(9000)});
        assert!(squeeze(&mut value, 1000).len() <= 1000);
    }

    #[test]
    fn a_mask_that_breaks_the_line_is_noticed() {
        let redactor = Redactor::default();
        redactor.add(&SecretString::from("nabcdefg"));
        let broken = line(&json!({"a": "\nabcdefg"}));
        assert_eq!(scrub_line(broken, 100, &redactor), None);
        assert_eq!(scrub_line(line(&json!({"a": "nabcdefg"})), 100, &redactor).unwrap(), r#"{"a":"[redacted]"}"#);
    }
}
