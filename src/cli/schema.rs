//! The JSON Schemas that the program prints: draft 2020-12, from the types themselves, closed to what is not in them.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::SchemaOf;
use crate::config::check;
use crate::event::{Event, Level};
use crate::model::Phase;
use crate::model::result::{Document, SCHEMA};

/// The names of the events, in the order of `Event`'s variants (a test holds them against it).
const EVENTS: [&str; 22] = [
    "run.started",
    "run.heartbeat",
    "phase.started",
    "phase.finished",
    "source.waiting",
    "source.progress",
    "source.resolved",
    "context.sent",
    "engine.connected",
    "build.step",
    "build.progress",
    "build.log",
    "build.warning",
    "image.built",
    "push.progress",
    "push.retry",
    "image.pushed",
    "notice",
    "error",
    "run.cancelling",
    "events.dropped",
    "run.finished",
];

pub fn of(what: SchemaOf) -> Value {
    match what {
        SchemaOf::Request => check::schema(),
        SchemaOf::Result => result(),
        SchemaOf::Event => event(),
    }
}

fn result() -> Value {
    let mut schema = generator().into_root_schema_for::<Document>().to_value();
    close(&mut schema);
    fix_document(&mut schema);
    schema
}

/// The envelope, and the data that each name of an event brings.
fn event() -> Value {
    let mut generator = generator();
    let level = generator.subschema_for::<Level>().to_value();
    let phase = generator.subschema_for::<Phase>().to_value();
    // A schema of its own, not a reference: its alternatives are what the names choose from.
    let mut data = Event::json_schema(&mut generator).to_value();
    let mut definitions = Value::Object(generator.take_definitions(true).into_iter().collect::<Map<_, _>>());
    close(&mut data);
    close(&mut definitions);
    if let Some(document) = definitions.get_mut("Document") {
        fix_document(document);
    }
    let data = data.get_mut("anyOf").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
    let kinds: Vec<Value> =
        EVENTS.iter().zip(data).map(|(name, data)| json!({"properties": {"event": {"const": name}, "data": data}})).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Event",
        "description": "One line of standard output. `seq` has no holes, except where events.dropped says so.",
        "type": "object",
        "properties": {
            "v": {"const": 1},
            "seq": {"type": "integer", "minimum": 1},
            "time": {"type": "string", "format": "date-time"},
            "event": {"enum": EVENTS},
            "level": level,
            "run": {"type": "string"},
            "phase": phase,
            "data": {"type": "object"},
        },
        "required": ["v", "seq", "time", "event", "level", "run", "phase", "data"],
        "additionalProperties": false,
        "oneOf": kinds,
        "$defs": definitions,
    })
}

fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12().for_serialize().into_generator()
}

/// Types that are only ever written do not say so themselves: no field is there but those that are known.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.values_mut().for_each(close);
            let is_map = fields.get("properties").is_some_and(Value::is_object) && fields.get("type").is_some_and(|t| t == "object");
            if is_map {
                fields.entry("additionalProperties").or_insert(Value::Bool(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

fn fix_document(schema: &mut Value) {
    if let Some(name) = schema.pointer_mut("/properties/schema") {
        *name = json!({"const": SCHEMA});
    }
}

#[cfg(test)]
mod tests;
