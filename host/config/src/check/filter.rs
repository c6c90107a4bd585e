//! `filter`: patterns to a compiled filter, with the mistake's place.

use crate::codes::Code;
use crate::report::Finding;
use crate::shape::route::FILTER;
use crate::syntax::json::json;
use crate::syntax::reader::Reader;
use crate::syntax::scalar;
use crate::syntax::tree::{Node, Value};
use esclusa_flow::filter::Filter;

/// The filter of a route, where it has one.
pub fn filter(reader: &Reader<'_>) -> Option<Filter> {
    let node = reader.node(&FILTER)?;
    let patterns: Vec<&Node> = match &node.value {
        Value::List(list) => list.iter().collect(),
        Value::Table(_) | Value::Text(_) => vec![node],
        Value::Broken => return None,
        _ => {
            let help = "write filter = { data = { FIELD = [\"VALUE\"] } }, or a list of such tables";
            reader.findings.add(scalar::wrong_type(&FILTER, node, "a pattern", help));
            return None;
        }
    };
    let values: Vec<_> = patterns.iter().map(|node| json(node)).collect();
    let error = match Filter::compile(&values) {
        Ok(filter) => return Some(filter),
        Err(error) => error,
    };
    let place = match patterns.get(error.pattern) {
        Some(pattern) if !error.pointer.is_empty() => pattern.at_pointer(&error.pointer),
        _ if node.table().is_some() => reader.key_place(&FILTER),
        Some(pattern) => pattern.span.clone(),
        None => node.span.clone(),
    };
    reader.findings.add(Finding::error(
        Code::ROUTE_BAD_FILTER,
        place,
        format!("this filter is none: {}", error.message),
    ));
    None
}
