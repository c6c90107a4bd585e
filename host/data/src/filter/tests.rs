//! Patterns against events: operators, arrays, documents by source, hazards of JSON, mistakes.

mod cost;
mod documents;
mod hazards;
mod mistakes;
mod model;
mod naive;
mod operators;
mod page;

use super::*;
use crate::event::{Columns, NewEvent};
use serde_json::json;
use std::collections::HashMap;

fn pattern(value: Value) -> Pattern {
    Pattern::compile(&value).unwrap_or_else(|error| panic!("{value}: {error}"))
}

/// A filter of one pattern, held against an event.
fn matches(kind: &str, pattern: Value, event: &NewEvent<'_>) -> bool {
    let mut columns = Columns::default();
    columns.push(event).unwrap();
    let filter = Filter::compile(std::slice::from_ref(&pattern)).unwrap_or_else(|error| panic!("{pattern}: {error}"));
    taken(&filter, kind, columns.get(0).unwrap())
}

/// True if a filter takes an event, within the budget of that event.
fn taken(filter: &Filter, kind: &str, event: EventRef<'_>) -> bool {
    filter.matches(kind, event, &mut filter.budget(event), &AtomicBool::new(false)).unwrap()
}

/// A pattern for the data of an event, held against data.
fn matches_data(pattern: Value, data: impl AsRef<[u8]>) -> bool {
    matches("stream", json!({ "data": pattern }), &NewEvent { data: data.as_ref(), ..NewEvent::default() })
}

/// Holds a pattern against an object whose fields were read already; `None` for a value that is no object.
fn matches_fields(pattern: &Pattern, value: &Value) -> Option<bool> {
    let object = value.as_object()?;
    let texts: HashMap<&str, String> = object.iter().map(|(name, value)| (name.as_str(), value.to_string())).collect();
    Some(pattern.matches_fields(|name| {
        Some(match object.get(name)? {
            Value::Null => FieldValue::Null,
            Value::Bool(boolean) => FieldValue::Boolean(*boolean),
            Value::Number(_) => FieldValue::Number(&texts[name]),
            Value::String(text) => FieldValue::Text(text),
            Value::Array(_) | Value::Object(_) => FieldValue::Json(&texts[name]),
        })
    }))
}
