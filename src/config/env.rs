//! The environment: read through one door, so that tests can bring their own, and so that nothing else reads it.
//!
//! `PODWRIGHT_*` variables become a layer of the request. An empty variable is an unset one, as pod templates leave them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

use super::document;
use super::error::{ConfigError, did_you_mean, shown};
use super::fields::{FIELDS, Field, Kind, NOT_BUILT, OTHERS};
use super::layer::Layer;
use crate::support::limits::REQUEST_BYTES;

/// What variables of ours begin with.
const PREFIX: &str = "PODWRIGHT_";

/// Where variables come from.
pub trait Environment {
    /// The value as it is; `None` where it is not set.
    fn get(&self, name: &str) -> Option<OsString>;

    /// The names that are set; one that is not UTF-8 is none of ours.
    fn names(&self) -> Vec<String>;
}

/// The process's own environment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Env;

impl Environment for Env {
    fn get(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name)
    }

    fn names(&self) -> Vec<String> {
        std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect()
    }
}

impl Environment for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<OsString> {
        self.get(name).map(OsString::from)
    }

    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }
}

/// A variable's text; `None` where it is unset or empty.
pub fn text(env: &dyn Environment, name: &str) -> Result<Option<String>, ConfigError> {
    let Some(value) = env.get(name).filter(|value| !value.is_empty()) else { return Ok(None) };
    value.into_string().map(Some).map_err(|_| ConfigError::invalid(name, "is not UTF-8", "set it to text"))
}

/// A variable of ours, or the file that its `_FILE` twin names.
pub fn ours(env: &dyn Environment, name: &str, twin: bool) -> Result<Option<String>, ConfigError> {
    let name = format!("{PREFIX}{name}");
    let value = text(env, &name)?;
    if !twin {
        return Ok(value);
    }
    let file = format!("{name}_FILE");
    match (value, text(env, &file)?) {
        (Some(_), Some(_)) => Err(ConfigError::invalid(name, format!("is set, and {file} too"), "unset one of the two")),
        (None, Some(path)) => read(&file, &path, name == "PODWRIGHT_REQUEST").map(Some),
        (value, None) => Ok(value),
    }
}

/// A file that the pod's author named; without the line end that editors leave. `plain`: its name is one even without a slash.
pub fn read(name: &str, path: &str, plain: bool) -> Result<String, ConfigError> {
    // Somebody may have put the value where its file's name belongs.
    let is_path = (plain || path.starts_with(['/', '.'])) && !path.contains(|c: char| c.is_control() || matches!(c, '{' | ':' | '@'));
    let file = if is_path { path.to_owned() } else { format!("({} characters)", path.chars().count()) };
    let unreadable = |what: String| ConfigError::Unreadable { path: name.to_owned(), file: file.clone(), what };
    let opened = File::open(Path::new(path)).map_err(|cause| unreadable(cause.to_string()))?;
    let mut text = bounded(opened).map_err(unreadable)?;
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    Ok(text)
}

/// Reads text up to the bound of a request.
pub fn bounded(reader: impl Read) -> Result<String, String> {
    let mut bytes = Vec::new();
    reader.take(REQUEST_BYTES + 1).read_to_end(&mut bytes).map_err(|cause| cause.to_string())?;
    if bytes.len() as u64 > REQUEST_BYTES {
        return Err(format!("it has more than {REQUEST_BYTES} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

/// The layer that the variables make.
pub fn layer(env: &dyn Environment) -> Result<Layer, ConfigError> {
    for name in env.names() {
        check_name(&name)?;
    }
    let mut layer = Layer::default();
    for field in FIELDS {
        if let Some(value) = ours(env, field.variable, field.secret)? {
            layer.set(field.path, typed(field, &value)?);
        }
    }
    Ok(layer)
}

fn typed(field: &Field, text: &str) -> Result<Value, ConfigError> {
    let invalid = |what: &str, fix: &str| ConfigError::invalid(format!("{PREFIX}{}", field.variable), what, fix);
    match field.kind {
        Kind::Text => Ok(Value::from(text)),
        Kind::Switch => match text {
            "true" | "1" => Ok(Value::Bool(true)),
            "false" | "0" => Ok(Value::Bool(false)),
            _ => Err(invalid("is neither true nor false", "set it to true or false")),
        },
        Kind::Number => text.parse::<u64>().map(Value::from).map_err(|_| invalid("is not a whole number", "set it to a whole number")),
        Kind::List => Ok(text.split([',', '\n']).map(str::trim).filter(|item| !item.is_empty()).map(Value::from).collect()),
        Kind::Lines => Ok(text.lines().map(str::trim).filter(|item| !item.is_empty()).map(Value::from).collect()),
        Kind::Pairs if text.trim_start().starts_with('{') => document::parse(text, "variable's JSON").map_err(|error| match error {
            ConfigError::Document { what, .. } => invalid(&what, "write one KEY=VALUE on each line, or a JSON object"),
            other => other,
        }),
        Kind::Pairs => {
            let lines = text.lines().map(str::trim_start).filter(|line| !line.is_empty());
            let pairs: Option<Map<String, Value>> =
                lines.map(|line| line.split_once('=').map(|(key, value)| (key.to_owned(), Value::from(value)))).collect();
            pairs.map(Value::Object).ok_or_else(|| invalid("has a line without `=`", "write one KEY=VALUE on each line, or a JSON object"))
        }
    }
}

/// That a name with our prefix is one of ours.
fn check_name(name: &str) -> Result<(), ConfigError> {
    let Some(rest) = name.strip_prefix(PREFIX) else { return Ok(()) };
    if is_known(rest) || is_service(rest) {
        return Ok(());
    }
    if NOT_BUILT.iter().any(|path| variable(path) == rest) {
        return Err(ConfigError::not_built(name, "unset it; a later version will know it"));
    }
    let all: Vec<String> = known().collect();
    // Most often the name is right, but for the section it is in.
    let longer = all.iter().find(|known| known.strip_suffix(rest).is_some_and(|above| above.ends_with('_')));
    let fix = match longer.map(String::as_str).or_else(|| did_you_mean(rest, all.iter().map(String::as_str))) {
        Some(meant) => format!("did you mean {PREFIX}{meant}?"),
        None => "`podwright build --help` names the variable of each flag".into(),
    };
    Err(ConfigError::invalid(shown(name).trim_matches('"'), "no such variable", fix))
}

fn is_known(rest: &str) -> bool {
    known().any(|known| known == rest)
}

fn known() -> impl Iterator<Item = String> {
    let fields = FIELDS.iter().map(|field| (field.variable, field.secret));
    let others = OTHERS.iter().map(|(_, variable, twin)| (*variable, *twin));
    fields.chain(others).flat_map(|(name, twin)| [Some(name.to_owned()), twin.then(|| format!("{name}_FILE"))]).flatten()
}

/// What Kubernetes injects for a Service named `podwright`, or `podwright-` and something more (kubernetes.io, "Service",
/// "Environment variables").
fn is_service(rest: &str) -> bool {
    let port = |at: usize| {
        let after = &rest[at + "PORT".len()..];
        let own = at == 0 || rest.as_bytes()[at - 1] == b'_';
        own && (after.is_empty() || after.strip_prefix('_').is_some_and(|more| more.starts_with(|c: char| c.is_ascii_digit())))
    };
    rest.starts_with("SERVICE_")
        || rest.starts_with("PORT")
        || rest.contains("_SERVICE_HOST")
        || rest.contains("_SERVICE_PORT")
        || rest.match_indices("PORT").any(|(at, _)| port(at))
}

/// The variable's name for a path of the document, without the prefix.
fn variable(path: &str) -> String {
    path.chars().fold(String::new(), |mut name, c| {
        match c {
            '.' => name.push('_'),
            c if c.is_ascii_uppercase() => name.extend(['_', c]),
            c => name.push(c.to_ascii_uppercase()),
        }
        name
    })
}

#[cfg(test)]
mod tests;
