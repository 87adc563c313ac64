//! Holds a document against the schema: unknown fields, wrong types, unknown words, each with its path and the fix.
//!
//! It knows the part of JSON Schema that the schema of a request uses (draft 2020-12), and no more. No value is ever shown,
//! but for a word where one of a few words is wanted.

use serde_json::{Map, Value};

use super::error::{ConfigError, did_you_mean, shown};
use super::fields::{FIELDS, NOT_BUILT, ONLY_BY_SOLVE};
use super::request::Request;

/// The schema of a request, as `podwright schema request` prints it.
pub fn schema() -> Value {
    schemars::schema_for!(Request).to_value()
}

/// That the document is one of the schema.
pub fn check(document: &Value, schema: &Value) -> Result<(), ConfigError> {
    Checker { root: schema }.value(document, schema, "")
}

struct Checker<'a> {
    root: &'a Value,
}

impl<'a> Checker<'a> {
    fn value(&self, value: &Value, schema: &'a Value, path: &str) -> Result<(), ConfigError> {
        let schema = self.resolved(schema);
        if schema.get("anyOf").is_some() {
            return self.any_of(value, &self.alternatives(schema), path);
        }
        let words = words(schema);
        let absent = value.is_null() && types(schema).contains(&"null");
        if !words.is_empty() && !absent {
            return word(value, &words, path);
        }
        let types = types(schema);
        if !types.is_empty() && !types.iter().any(|name| is(value, name)) {
            return Err(wrong_type(value, &types, path));
        }
        match value {
            Value::Object(fields) => self.object(fields, schema, path),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .filter_map(|(index, item)| schema.get("items").map(|schema| self.value(item, schema, &format!("{path}[{index}]"))))
                .collect(),
            Value::Number(number) => in_range(number, schema, path),
            _ => Ok(()),
        }
    }

    fn object(&self, fields: &Map<String, Value>, schema: &'a Value, path: &str) -> Result<(), ConfigError> {
        let properties = schema.get("properties").and_then(Value::as_object);
        let additional = schema.get("additionalProperties");
        for (name, value) in fields {
            let below = join(path, name);
            match (properties.and_then(|known| known.get(name)), additional) {
                (None, Some(Value::Bool(false))) => return Err(unknown(name, path, properties)),
                (Some(schema), _) | (None, Some(schema)) => self.value(value, schema, &below)?,
                (None, None) => {}
            }
        }
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        match required.into_iter().find(|name| !fields.contains_key(*name)) {
            Some(name) => Err(ConfigError::invalid(join(path, name), "is missing", format!("add {name:?} to {path}"))),
            None => Ok(()),
        }
    }

    /// The alternatives of one field differ by type, so the value's own type says which one was meant.
    fn any_of(&self, value: &Value, choices: &[&'a Value], path: &str) -> Result<(), ConfigError> {
        match choices.iter().find(|choice| types(choice).iter().any(|name| is(value, name))) {
            Some(choice) => self.value(value, choice, path),
            None => Err(wrong_type(value, &choices.iter().flat_map(|choice| types(choice)).collect::<Vec<_>>(), path)),
        }
    }

    /// What `anyOf` offers, with what its own alternatives offer.
    fn alternatives(&self, schema: &'a Value) -> Vec<&'a Value> {
        let schema = self.resolved(schema);
        match schema.get("anyOf").and_then(Value::as_array) {
            Some(choices) => choices.iter().flat_map(|choice| self.alternatives(choice)).collect(),
            None => vec![schema],
        }
    }

    fn resolved(&self, schema: &'a Value) -> &'a Value {
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix('#'));
        target.and_then(|pointer| self.root.pointer(pointer)).unwrap_or(schema)
    }
}

fn join(path: &str, name: &str) -> String {
    let name: String = name.chars().take(60).map(|c| if c.is_control() { '?' } else { c }).collect();
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

fn unknown(name: &str, path: &str, properties: Option<&Map<String, Value>>) -> ConfigError {
    let whole = join(path, name);
    let known = || properties.into_iter().flat_map(|known| known.keys().map(String::as_str));
    if NOT_BUILT.contains(&whole.as_str()) {
        return ConfigError::not_built(whole, "leave it out; a later version will know it");
    }
    if ONLY_BY_SOLVE.contains(&whole.as_str()) {
        let fix = match name {
            "cacheTo" => "build.args: {BUILDKIT_INLINE_CACHE: \"1\"} puts the cache into the image that is pushed",
            "platforms" => "run one build for each platform, with build.platform",
            _ => "leave it out",
        };
        return ConfigError::Unsupported { path: whole, what: "this", fix: fix.to_owned() };
    }
    if whole == "kind" {
        return ConfigError::invalid(whole, "a request has no kind", "leave it out: apiVersion says all");
    }
    let elsewhere = FIELDS.iter().find(|field| field.path.rsplit('.').next() == Some(name)).map(|field| field.path.replace('*', "git"));
    let fix = match (did_you_mean(name, known()), elsewhere) {
        (Some(meant), _) => format!("did you mean {meant}?"),
        (None, Some(elsewhere)) => format!("did you mean {elsewhere}?"),
        (None, None) => format!("there {} {}", if path.is_empty() { "is" } else { "can be" }, known().collect::<Vec<_>>().join(", ")),
    };
    ConfigError::invalid(whole, "no such field", fix)
}

/// The words of an enumeration, in any of the forms in which a schema writes one.
fn words(schema: &Value) -> Vec<&str> {
    let listed = schema.get("enum").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let alternatives = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    let constants = alternatives.chain([schema]).filter_map(|one| one.get("const").and_then(Value::as_str));
    let nested = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten().filter(|one| one.get("const").is_none());
    listed.chain(constants).chain(nested.flat_map(words)).collect()
}

fn word(value: &Value, words: &[&str], path: &str) -> Result<(), ConfigError> {
    let Some(text) = value.as_str() else { return Err(wrong_type(value, &["string"], path)) };
    if words.contains(&text) {
        return Ok(());
    }
    if NOT_BUILT.contains(&format!("{path}={text}").as_str()) {
        return Err(ConfigError::not_built(format!("{path}: {text}"), format!("this version knows {}", words.join(", "))));
    }
    let fix = did_you_mean(text, words.iter().copied())
        .map_or_else(|| format!("it can be {}", words.join(", ")), |meant| format!("did you mean {meant}?"));
    Err(ConfigError::invalid(path, format!("there is no {} here", shown(text)), fix))
}

fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ if words(schema).is_empty() => Vec::new(),
        _ => vec!["string"],
    }
}

fn is(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

fn wrong_type(value: &Value, wanted: &[&str], path: &str) -> ConfigError {
    let (found, quoted) = match value {
        Value::Null => ("nothing", false),
        Value::Bool(_) => ("true or false", true),
        Value::Number(_) => ("a number", true),
        Value::String(_) => ("text", false),
        Value::Array(_) => ("a list", false),
        Value::Object(_) => ("a map", false),
    };
    let mut names: Vec<&str> = wanted.iter().filter_map(|name| spoken(name)).collect();
    names.dedup();
    let names = names.join(" or ");
    let fix = if quoted && wanted.contains(&"string") {
        "write it in quotes, so that it stays as it is".into()
    } else {
        format!("write {names}")
    };
    ConfigError::invalid(path, format!("is {found}, and should be {names}"), fix)
}

fn spoken(name: &str) -> Option<&'static str> {
    Some(match name {
        "boolean" => "`true` or `false`",
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "text",
        "array" => "a list",
        "object" => "a map",
        _ => return None,
    })
}

fn in_range(number: &serde_json::Number, schema: &Value, path: &str) -> Result<(), ConfigError> {
    let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
    let value = number.as_f64().unwrap_or(f64::NAN);
    match (bound("minimum"), bound("maximum")) {
        (Some(least), _) if value < least => Err(ConfigError::invalid(path, format!("is less than {least}"), "write a larger number")),
        (_, Some(most)) if value > most => Err(ConfigError::invalid(path, format!("is more than {most}"), "write a smaller number")),
        _ => Ok(()),
    }
}
