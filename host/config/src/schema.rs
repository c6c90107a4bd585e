//! The JSON Schema of routes.toml (draft-07, which editors understand), made from the tables of `shape`. It accepts
//! more than the check does: it does not know which names are declared and which values exclude each other.

use crate::shape::{Default, KeySpec, KindFamily, Section, ValueKind, root};
use serde_json::{Map, Value, json};

/// Matches a text with `${…}`, whose value is known only when the file is read.
const INTERPOLATED: &str = r"\$\{";
/// Matches a name.
const NAME: &str = r"^[A-Za-z0-9_.-]{1,64}$";
/// Matches a duration.
const DURATION: &str = r"^[0-9]+(ms|s|m|h|d)$";
/// Matches a size.
const SIZE: &str = r"^[0-9]+(B|KB|MB|GB|KiB|MiB|GiB)?$";

/// The JSON Schema of routes.toml.
#[must_use]
pub fn schema() -> Value {
    let mut schema = section(&root::SECTION, None);
    if let Value::Object(map) = &mut schema {
        map.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
        map.insert("title".to_owned(), json!("routes.toml of Esclusa"));
    }
    schema
}

/// A table with known keys, and with `kind` if the table is one of a family.
fn section(section: &Section, kind: Option<&str>) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    if let Some(kind) = kind {
        properties.insert("kind".to_owned(), json!({ "const": kind, "description": section.about }));
        required.push("kind");
    }
    for key in section.keys {
        properties.insert(key.name.to_owned(), property(key));
        if matches!(key.default, Default::Required) {
            required.push(key.name);
        }
    }
    json!({
        "type": "object",
        "description": section.about,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn property(key: &KeySpec) -> Value {
    let mut property = value(&key.kind);
    if let Value::Object(map) = &mut property {
        let mut about = key.about.to_owned();
        if let Default::Depends(default) = key.default {
            about.push_str(&format!(" Default: {default}."));
        }
        map.insert("description".to_owned(), json!(about));
        if let Default::Value(default) = key.default {
            map.insert("default".to_owned(), default_value(&key.kind, default));
        }
    }
    property
}

fn default_value(kind: &ValueKind, default: &str) -> Value {
    match kind {
        ValueKind::Boolean | ValueKind::Integer { .. } | ValueKind::Object | ValueKind::Json => {
            serde_json::from_str(default).unwrap_or_else(|_| json!(default))
        }
        _ => json!(default),
    }
}

fn value(kind: &ValueKind) -> Value {
    match kind {
        ValueKind::Text | ValueKind::Path | ValueKind::Timestamp => json!({ "type": "string" }),
        ValueKind::Choice(words) => or_interpolated(json!({ "enum": words })),
        ValueKind::Boolean => or_interpolated(json!({ "type": "boolean" })),
        ValueKind::Integer { min, max } if min == max => json!({ "const": min }),
        ValueKind::Integer { min, max: i64::MAX } => or_interpolated(json!({ "type": "integer", "minimum": min })),
        ValueKind::Integer { min, max } => {
            or_interpolated(json!({ "type": "integer", "minimum": min, "maximum": max }))
        }
        ValueKind::Duration { endless, .. } => {
            let mut choices = vec![json!({ "type": "string", "pattern": DURATION })];
            if *endless {
                choices.push(json!({ "enum": [-1, "-1"] }));
            }
            choices.push(interpolated());
            json!({ "anyOf": choices })
        }
        ValueKind::Size { .. } => json!({ "anyOf": [
            { "type": "string", "pattern": SIZE }, { "type": "integer", "minimum": 0 }, interpolated(),
        ] }),
        ValueKind::Names => json!({ "type": "array", "items": { "type": "string" } }),
        ValueKind::OneOrMore => json!({ "anyOf": [{ "type": "string" },
            { "type": "array", "items": { "type": "string" } }] }),
        ValueKind::Texts => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        ValueKind::Json => json!({}),
        ValueKind::Object => json!({ "type": "object" }),
        ValueKind::List => json!({ "type": "array", "minItems": 1 }),
        ValueKind::Patterns => json!({ "anyOf": [{ "type": "object" }, { "type": "string" },
            { "type": "array", "items": { "type": ["object", "string"] }, "minItems": 1 }] }),
        ValueKind::Section(inner) => section(inner, None),
        ValueKind::Sections(inner) => named(section(inner, None)),
        ValueKind::Family(family) => named(kinds(family)),
        ValueKind::SectionList(inner) => json!({ "type": "array", "items": section(inner, None) }),
    }
}

fn kinds(family: &KindFamily) -> Value {
    let kinds = family.kinds.iter().map(|inner| section(inner, Some(inner.name)));
    json!({ "description": family.about, "oneOf": kinds.collect::<Vec<_>>() })
}

fn named(value: Value) -> Value {
    json!({ "type": "object", "propertyNames": { "pattern": NAME }, "additionalProperties": value })
}

fn or_interpolated(value: Value) -> Value {
    json!({ "anyOf": [value, interpolated()] })
}

fn interpolated() -> Value {
    json!({ "type": "string", "pattern": INTERPOLATED })
}
