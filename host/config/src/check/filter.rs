//! `filter`: patterns to a compiled filter, with the mistake's place.

use crate::codes::Code;
use crate::plan::Source;
use crate::report::Finding;
use crate::shape::route::FILTER;
use crate::syntax::json::json;
use crate::syntax::reader::Reader;
use crate::syntax::scalar;
use crate::syntax::tree::{Node, Value};
use esclusa_flow::filter::Filter;

/// The filter of a route, where it has one. A field that no event from `source` has is warned of.
pub fn filter(reader: &Reader<'_>, source: Option<&Source>) -> Option<Filter> {
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
        Ok(filter) => {
            if let Some(source) = source {
                unknown_field(reader, &filter, source.kind(), &patterns);
            }
            return Some(filter);
        }
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

fn unknown_field(reader: &Reader<'_>, filter: &Filter, kind: &str, patterns: &[&Node]) {
    let Some((pattern, field)) = filter.unknown_field(kind) else { return };
    let entry = patterns.get(pattern).and_then(|node| node.table()).and_then(|table| table.entry(field));
    let place = entry.map_or_else(|| reader.key_place(&FILTER), |entry| entry.key_span.clone());
    let message = format!("no event from a source of kind {kind} has a field \"{field}\" at the top");
    let help = format!("a field of the payload lies in data: write {{ data = {{ {field} = … }} }}");
    reader.findings.add(Finding::warning(Code::ROUTE_UNKNOWN_FIELD, place, message).help(help));
}
