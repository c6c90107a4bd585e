//! Patterns against events: operators, arrays, documents by source, hazards of JSON, mistakes.

mod cost;
mod documents;
mod hazards;
mod mistakes;
mod model;
mod operators;
mod page;

use super::*;
use crate::event::{Columns, NewEvent};
use serde_json::json;

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
