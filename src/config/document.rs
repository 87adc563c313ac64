//! The document: YAML or JSON text to a JSON value, with nothing lost and nothing guessed on the way.
//!
//! A key that is written twice is refused. A bare word stays a word (`off`, `no`), a number with leading zeros stays text.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy};

use super::error::{ConfigError, shown};
use crate::support::limits::REQUEST_BYTES;

/// Levels of nesting. The schema has four.
const MAX_DEPTH: usize = 32;

/// Nodes of a document, aliases expanded: a document of the largest size cannot honestly have more.
const MAX_NODES: usize = 100_000;

/// Reads the text; `from` says in errors where it came from.
pub fn parse(text: &str, from: &str) -> Result<Value, ConfigError> {
    let problem = |what: String| ConfigError::Document {
        from: from.to_owned(),
        what,
        fix: "`podwright schema request` prints what a request can be".into(),
    };
    if text.len() as u64 > REQUEST_BYTES {
        return Err(problem(format!("has {} bytes, more than the limit of {REQUEST_BYTES}", text.len())));
    }
    let value = match json(text) {
        Some(value) => value.map_err(|what| problem(format!("cannot be parsed: {what}")))?,
        None => yaml(text).map_err(|what| problem(format!("cannot be parsed: {what}")))?,
    };
    match value {
        Value::Object(_) => Ok(value),
        Value::Null => Err(problem("is empty".into())),
        _ => Err(problem("is not a map of fields".into())),
    }
}

/// `None` where the text is not JSON at all, and may be YAML that begins with a brace.
fn json(text: &str) -> Option<Result<Value, String>> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Strict { depth: 0 }.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    match value {
        Ok(value) => Some(Ok(value)),
        Err(error) if error.is_data() => Some(Err(error.to_string())),
        Err(_) => None,
    }
}

fn yaml(text: &str) -> Result<Value, String> {
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        reject_unsupported_tags: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        // A snippet would show the lines around the mistake, whatever is in them.
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_documents: 1,
            max_depth: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: MAX_NODES * 3,
        },
    };
    serde_saphyr::with_deserializer_from_str_with_options(text, options, |reader| Strict { depth: 0 }.deserialize(reader))
        .map_err(|error| explain(&error))
}

/// What is wrong and where, in the library's words where these hold nothing of the document but a key. Of a tag or a value that
/// it would quote, only the place is told.
fn explain(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error;
    match error {
        // Those of `Strict` are messages, those of the parser are about single characters.
        Error::Message { .. }
        | Error::ExternalMessage { .. }
        | Error::Eof { .. }
        | Error::MultipleDocuments { .. }
        | Error::MergeKeyNotAllowed { .. }
        | Error::UnknownAnchor { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::DuplicateMappingKey { .. }
        | Error::Budget { .. } => error.to_string(),
        other => {
            let what = if matches!(other, Error::UnsupportedTag { .. }) { "a tag (`!…`)" } else { "something that no request has" };
            match other.location() {
                Some(at) => format!("there is {what} at line {}, column {}", at.line(), at.column()),
                None => format!("there is {what}"),
            }
        }
    }
}

/// Builds a value, and refuses a key that is there already.
#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth < MAX_DEPTH { Ok(Self { depth: self.depth + 1 }) } else { Err(E::custom("it is nested too deeply")) }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    // Numbers wider than any field's become floats, and so no field's value: the check asks for quotes.
    #[expect(clippy::cast_precision_loss, reason = "the value is only ever refused")]
    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(Value::from(value as f64))
    }

    #[expect(clippy::cast_precision_loss, reason = "the value is only ever refused")]
    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(Value::from(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or_else(|| Value::from(value.to_string()), Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = access.next_element_seed(self.deeper()?)? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key {} is there twice", shown(&key))));
            }
            let value = access.next_value_seed(self.deeper()?)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_and_json_say_the_same() {
        let want =
            json!({"name": "web", "push": {"destinations": ["a/b", "c"], "verify": "off"}, "build": {"pull": true, "args": {"A": "1.2"}}});
        let texts = [
            "name: web\npush:\n  destinations: [a/b, c]\n  verify: off\nbuild: {pull: true, args: {A: '1.2'}}\n",
            "{name: web, push: {destinations: [a/b, c], verify: off}, build: {pull: true, args: {A: '1.2'}}}",
            "{\"name\":\"web\",\n\t\"push\":{\"destinations\":[\"a\\/b\",\"\\u0063\"],\"verify\":\"off\"},\"build\":{\"pull\":true,\"args\":{\"A\":\"1.2\"}}}",
        ];
        for text in texts {
            assert_eq!(parse(text, "x").unwrap(), want, "{text}");
        }
    }

    #[test]
    fn scalars_are_not_guessed_at() {
        let text =
            "a: no\nb: 007\nc: 1_000\nd: 1.10\ne: 1234567890123456789012345678901234567890\nf: .inf\ng: ~\nh: 2024-01-01\ni: 0x10\nj: on\n";
        let value = parse(text, "x").unwrap();
        for (key, want) in [("a", json!("no")), ("b", json!("007")), ("c", json!("1_000")), ("h", json!("2024-01-01")), ("j", json!("on"))]
        {
            assert_eq!(value[key], want, "{key}");
        }
        for number in ["d", "e", "i"] {
            assert!(!value[number].is_string() || number == "e", "{number}: {}", value[number]);
        }
        assert!(value["f"].is_string() && value["g"].is_null());
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let deep = format!("a: {}1{}", "[".repeat(200), "]".repeat(200));
        let deep_json = format!("{{\"a\": {}1{}}}", "[".repeat(60), "]".repeat(60));
        let wide = "x: &a [1,1,1,1,1,1,1,1,1,1]\n".to_owned()
            + &(0..8)
                .map(|i| format!("y{i}: &{} [{}]\n", (b'b' + i) as char, vec![format!("*{}", (b'a' + i) as char); 10].join(",")))
                .collect::<Vec<_>>()
                .concat();
        let large = format!("name: {}", "x".repeat(2 << 20));
        let table = [
            ("", "empty"),
            ("# nothing\n", "empty"),
            ("- a\n", "not a map"),
            ("just text", "not a map"),
            ("name: a\nname: b\n", "name"),
            ("{\"name\": 1, \"name\": 2}", "twice"),
            ("build: {args: {A: x, A: y}}", "A"),
            ("a: [1", "cannot be parsed"),
            ("a: !!python/object:os.system x", "cannot be parsed"),
            ("a: 1\n---\nb: 2\n", "cannot be parsed"),
            ("base: &b {x: 1}\nc:\n  <<: *b\n", "cannot be parsed"),
            (&deep, "cannot be parsed"),
            (&deep_json, "cannot be parsed"),
            (&wide, "cannot be parsed"),
            (&large, "limit"),
        ];
        for (text, want) in table {
            let error = parse(text, "of the test").unwrap_err().to_string();
            assert!(error.contains(want), "{}: {error}", &text[..text.len().min(40)]);
            assert!(error.len() < 500, "{error}");
        }
    }

    #[test]
    fn a_syntax_error_does_not_show_the_lines_around_it() {
        for text in [
            "token: hush\nurl: \"https://me:hush@a.b\n",
            "name: !hush x\n",
            "name: !!hush x\n",
            "name: !<tag:a.b,2000:hush> x\n",
            "name: !hush!x y\n",
            "name: *hush\n",
            "name: &hush\n  - [\n",
            "name: !!binary hush\n",
            "name: !!int hush\n",
            "name: !!bool hush\n",
            "%hush 1\n---\nname: x\n",
            "name: \"\\hush\"\n",
            "name: hush: hush\n",
            "- hush\nname: hush\n",
        ] {
            if let Err(error) = parse(text, "x") {
                assert!(!error.to_string().contains("hush"), "{text}: {error}");
            }
        }
        let error = parse("name: web\nbuild: !hush\n", "x").unwrap_err().to_string();
        assert!(error.contains("a tag") && error.contains("line 2"), "{error}");
    }
}
