//! The JSON Schema of a scenario, from the same tables of keys that check it.

use orrery_units::Dimension;
use serde_json::{Map, Value, json};

use crate::raw::{BALANCING, Key, Kind, MOST, ROOT, SCHEMA};

/// The JSON Schema (draft 2020-12) of `scenario/1`, as pretty JSON with a final line break.
#[must_use]
pub fn schema_json() -> String {
    let kinds = [("training", ROOT), ("balancing", BALANCING)].map(|(kind, keys)| {
        let mut schema = table(keys);
        schema["title"] = Value::from(kind);
        schema
    });
    let mut schema = json!({ "anyOf": kinds });
    if let Value::Object(fields) = &mut schema {
        let head = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": SCHEMA,
            "description": "An Orrery scenario: what is trained or balanced, on what, how, and what must hold.",
        });
        if let Value::Object(mut head) = head {
            head.append(fields);
            *fields = head;
        }
    }
    let mut text = serde_json::to_string_pretty(&schema).expect("a JSON value can be written");
    text.push('\n');
    text
}

fn table(keys: &[Key]) -> Value {
    let properties: Map<String, Value> = keys
        .iter()
        .map(|key| {
            let mut schema = value(&key.kind);
            if let Value::Object(fields) = &mut schema {
                fields.insert("description".to_owned(), Value::from(key.about));
            }
            (key.name.to_owned(), schema)
        })
        .collect();
    let required: Vec<&str> = keys
        .iter()
        .filter(|key| key.required)
        .map(|key| key.name)
        .collect();
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "patternProperties": { "^x-": true },
        "additionalProperties": false,
    });
    // A scenario that extends another may leave everything to it, so only tables inside demand keys.
    if !required.is_empty() {
        schema["required"] = Value::from(required);
    }
    schema
}

fn value(kind: &Kind) -> Value {
    match kind {
        Kind::Text => json!({ "type": "string" }),
        // Editors show TOML dates as strings.
        Kind::Date => json!({ "type": "string", "format": "date" }),
        Kind::Choice(names) => json!({ "type": "string", "enum": names }),
        Kind::Integer(least) => json!({ "type": "integer", "minimum": least, "maximum": MOST }),
        Kind::Large(least) => json!({ "type": "integer", "minimum": least }),
        Kind::Number(least) => json!({ "type": "number", "minimum": least }),
        Kind::Share => json!({ "anyOf": [
            { "type": "number", "minimum": 0, "maximum": 1 },
            { "type": "string", "pattern": r"^\s*[0-9._]+\s*%\s*$", "examples": ["1 %"] },
        ] }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Quantity(dimension) => quantity(*dimension),
        Kind::List(of) => json!({ "type": "array", "items": value(of) }),
        Kind::Table(keys) => table(keys),
        Kind::Named(keys) => json!({ "type": "object", "additionalProperties": table(keys) }),
        Kind::Either(kinds) => json!({ "anyOf": kinds.iter().map(value).collect::<Vec<_>>() }),
    }
}

fn quantity(dimension: Dimension) -> Value {
    json!({
        "type": "string",
        "pattern": r"^\s*[0-9][0-9._eE+-]*\s*[A-Za-zµ/%].*$",
        "examples": [dimension.example()],
    })
}
