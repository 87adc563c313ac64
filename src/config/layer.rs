//! Layers: what flags and variables say, laid over the document field by field, the stronger last.

use serde_json::{Map, Value};

use super::error::ConfigError;
use super::fields::{self, Field, NO_PUSH};

/// The fields that one source of settings names. At most one value for each; pairs are fields of their own.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    values: Vec<(&'static Field, Value)>,
}

impl Layer {
    /// Sets a field of the table; a path that is not in it is a defect, which the tests of the callers find.
    pub fn set(&mut self, path: &str, value: impl Into<Value>) {
        debug_assert!(fields::at(path).is_some(), "{path} is no field");
        if let Some(field) = fields::at(path) {
            self.values.push((field, value.into()));
        }
    }

    /// Sets it if there is a value.
    pub fn maybe<V: Into<Value>>(&mut self, path: &str, value: Option<V>) {
        if let Some(value) = value {
            self.set(path, value);
        }
    }

    pub fn get(&self, path: &str) -> Option<&Value> {
        self.values.iter().find(|(field, _)| field.path == path).map(|(_, value)| value)
    }
}

/// The request while layers are laid over it.
#[derive(Clone, Debug, Default)]
pub struct Merged {
    /// A document of the schema, but that `push` is never the word `none`.
    pub document: Value,
    /// Nothing is pushed, by request. `push` may still say which credentials base images need.
    pub no_push: bool,
    /// Fields of whichever source is named in the end.
    of_source: Vec<(&'static str, Value)>,
}

/// The one switch among what names a source: `false` names none.
const STDIN: &str = "source.archive.stdin";

fn names_a_source(path: &str, value: &Value) -> bool {
    path != STDIN || *value == Value::Bool(true)
}

/// What names a source, and so replaces a weaker layer's.
const SOURCES: [(&str, &str, &str); 9] = [
    ("source.git.url", "git", "url"),
    ("source.archive.url", "archive", "url"),
    ("source.archive.path", "archive", "path"),
    (STDIN, "archive", "stdin"),
    ("source.archive.upload.listen", "archive", "upload"),
    ("source.archive.upload.socket", "archive", "upload"),
    ("source.artifact.ref", "artifact", "ref"),
    ("source.directory.path", "directory", "path"),
    ("source.prepared", "prepared", ""),
];

impl Merged {
    /// From a document that was found to be of the schema.
    pub fn new(mut document: Value) -> Self {
        let push = document.get_mut("push").map(Value::take);
        let no_push = push.as_ref().and_then(Value::as_str).is_some();
        if let (false, Some(push)) = (no_push, push) {
            document["push"] = push;
        } else if let Some(fields) = document.as_object_mut() {
            fields.remove("push");
        }
        if let Some(directory) = document.pointer_mut("/source/directory")
            && directory.is_string()
        {
            *directory = Value::Object(Map::from_iter([("path".to_owned(), directory.take())]));
        }
        Self { document, no_push, of_source: Vec::new() }
    }

    /// Lays a stronger layer over what is there.
    pub fn lay(&mut self, layer: &Layer) -> Result<(), ConfigError> {
        self.replace_source(layer);
        self.replace_push(layer)?;
        let archive = self.document.pointer("/source/archive").is_some_and(Value::is_object);
        for (field, value) in layer.values.iter().filter(|(field, _)| field.path != NO_PUSH) {
            if field.path == STDIN && !names_a_source(field.path, value) && !archive {
                // Not from standard input: nothing that another source would have to be told.
                continue;
            }
            match field.path.strip_prefix("source.*.") {
                Some(name) => {
                    self.of_source.retain(|(other, _)| *other != name);
                    self.of_source.push((name, value.clone()));
                }
                None => put(&mut self.document, field.path, value.clone()),
            }
        }
        Ok(())
    }

    /// A layer that names a source means that one, whatever the layers below named.
    fn replace_source(&mut self, layer: &Layer) {
        let named: Vec<_> = SOURCES.iter().filter(|(path, ..)| layer.get(path).is_some_and(|value| names_a_source(path, value))).collect();
        let Some(source) = self.document.get_mut("source").and_then(Value::as_object_mut) else { return };
        if named.is_empty() {
            return;
        }
        source.retain(|kind, _| kind == "dockerfile" || named.iter().any(|(_, named, _)| kind == named));
        if let Some(archive) = source.get_mut("archive").and_then(Value::as_object_mut) {
            // Of an upload what another layer says of it stays: where its token is, and its certificate.
            let upload = named.iter().any(|(.., field)| *field == "upload");
            archive.retain(|name, _| !["url", "path", "stdin", "upload"].contains(&name.as_str()) || (upload && name == "upload"));
        }
    }

    fn replace_push(&mut self, layer: &Layer) -> Result<(), ConfigError> {
        match (layer.get(NO_PUSH), layer.get("push.destinations")) {
            (Some(_), Some(_)) => Err(ConfigError::invalid("push", "says both `none` and destinations", "leave one of the two out")),
            (Some(word), None) if word != "none" => {
                Err(ConfigError::invalid("push", "as a variable can only say `none`", "name images in PODWRIGHT_PUSH_DESTINATIONS"))
            }
            (Some(_), None) => {
                self.no_push = true;
                if let Some(push) = self.document.get_mut("push").and_then(Value::as_object_mut) {
                    push.remove("destinations");
                }
                Ok(())
            }
            (None, Some(_)) => {
                self.no_push = false;
                Ok(())
            }
            (None, None) => Ok(()),
        }
    }

    /// Gives the fields of "the source" to the one that is named; after the last layer.
    pub fn settle(&mut self) -> Result<(), ConfigError> {
        for (name, value) in std::mem::take(&mut self.of_source) {
            let source = self.document.get("source").and_then(Value::as_object);
            let mut kinds = ["git", "archive", "artifact", "directory"]
                .into_iter()
                .filter(|kind| source.is_some_and(|s| s.get(*kind).is_some_and(|v| !v.is_null())));
            let (Some(kind), None) = (kinds.next(), kinds.next()) else {
                let what = format!("a {name} is given, but not one source that it could be of");
                return Err(ConfigError::invalid("source", what, "name one of git, archive, artifact and directory"));
            };
            if (kind, name) == ("directory", "secret") {
                return Err(ConfigError::invalid("source.directory", "a directory needs no secret", "leave the source's secret out"));
            }
            put(&mut self.document, &format!("source.{kind}.{name}"), value);
        }
        Ok(())
    }
}

/// Sets the value at a dotted path, making the maps on the way. A map is laid over a map key by key.
fn put(document: &mut Value, path: &str, value: Value) {
    let mut at = document;
    for name in path.split('.') {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at = &mut at[name];
    }
    match (at.as_object_mut(), value) {
        (Some(below), Value::Object(above)) => below.extend(above),
        (_, value) => *at = value,
    }
}
